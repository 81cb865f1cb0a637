"""RoBERTa that fills in masked tokens."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import masked_task, roberta_config
from golden_task import export_task
from transformers import RobertaForMaskedLM

TASK = masked_task(RobertaForMaskedLM, roberta_config(), adapter={"target_modules": "all-linear"})


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
