"""BERT with one value a text: `num_labels` 1, and no `problem_type`, which then means regression."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden_encoder import bert_config, rows
from golden_task import Task, export_task
from transformers import BertForSequenceClassification

CONFIG = bert_config(num_labels=1)

TASK = Task(
    BertForSequenceClassification,
    CONFIG,
    {**rows(CONFIG), "label_values": torch.tensor([0.5, -1.25, 2.0, 0.0])},
    objective="regression",
    task_type="SEQ_CLS",
    adapter={"target_modules": ["query", "value"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
