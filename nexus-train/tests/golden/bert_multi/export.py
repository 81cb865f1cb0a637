"""BERT with several labels a text (`multi_label_classification`); relu; LoRA on every `dense`, the pooler's too."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden_encoder import NAMES, bert_config, named, rows
from golden_task import Task, export_task
from transformers import BertForSequenceClassification

CONFIG = bert_config(hidden_act="relu", problem_type="multi_label_classification", **named(NAMES))
LABELS = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 1]])

TASK = Task(
    BertForSequenceClassification,
    CONFIG,
    {**rows(CONFIG), "label_values": LABELS.float()},
    objective="multi_label_classification",
    task_type="SEQ_CLS",
    adapter={"target_modules": ["query", "key", "value", "dense"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
