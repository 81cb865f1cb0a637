"""BERT with three values a text: `num_labels` 3 and `problem_type` regression."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden_encoder import bert_config, named, rows
from golden_task import Task, export_task
from transformers import BertForSequenceClassification

CONFIG = bert_config(problem_type="regression", **named(["width", "height", "depth"]))
VALUES = torch.tensor([[0.5, -1.0, 1.5], [-1.25, 0.0, 0.25], [2.0, 1.0, -0.5], [0.0, 0.75, -2.0]])

TASK = Task(
    BertForSequenceClassification,
    CONFIG,
    {**rows(CONFIG), "label_values": VALUES},
    objective="regression",
    task_type="SEQ_CLS",
    adapter={"target_modules": ["key", "value"]},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
