"""DistilBERT that fills in masked tokens."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import distilbert_config, masked_task
from golden_task import export_task
from transformers import DistilBertForMaskedLM

TASK = masked_task(DistilBertForMaskedLM, distilbert_config(), adapter={"target_modules": ["q_lin", "v_lin"]})


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
