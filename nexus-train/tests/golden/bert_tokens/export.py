"""BERT with a class for every token, some of them not counted; tanh gelu (`gelu_new`); LoRA on all-linear.

PEFT keeps all-linear off the head for `SEQ_CLS` only; without `exclude_modules` it stops with an error here.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import bert_config, named, rows, token_labels
from golden_task import Task, export_task
from transformers import BertForTokenClassification

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CONFIG = bert_config(hidden_act="gelu_new", **named(NAMES))
BATCH = rows(CONFIG, (12, 9, 5))
BATCH["labels"] = token_labels(BATCH, len(NAMES))

TASK = Task(
    BertForTokenClassification,
    CONFIG,
    BATCH,
    objective="token_classification",
    task_type="TOKEN_CLS",
    adapter={"target_modules": "all-linear", "exclude_modules": ["classifier"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
