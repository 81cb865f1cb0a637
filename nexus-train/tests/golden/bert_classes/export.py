"""BERT with a head of five named classes on pairs of texts of unequal length; erf gelu; also a DoRA adapter."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import NAMES, bert_config, classes_task, named
from golden_task import export_task
from transformers import BertForSequenceClassification

TASK = classes_task(
    BertForSequenceClassification,
    bert_config(hidden_act="gelu", **named(NAMES)),
    adapter={"target_modules": ["query", "value"]},
    dora={"target_modules": ["query", "value"]},
    pairs=True,
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
