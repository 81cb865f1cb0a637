"""RoBERTa with a head of five classes on the first token; positions start after the padding id."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import NAMES, classes_task, named, roberta_config
from golden_task import export_task
from transformers import RobertaForSequenceClassification

TASK = classes_task(
    RobertaForSequenceClassification,
    roberta_config(**named(NAMES)),
    adapter={"target_modules": ["query", "value"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
