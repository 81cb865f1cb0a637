"""BERT without a head: the hidden states, the pooler's output and the mean over the tokens."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden_encoder import bert_config, rows
from golden_task import Task, export_task
from transformers import BertModel

CONFIG = bert_config()
BATCH = rows(CONFIG, pairs=True)
HIDDEN = 0.01 * torch.randn(*BATCH["input_ids"].shape, CONFIG.hidden_size)
BATCH["hidden_direction"] = HIDDEN * BATCH["attention_mask"].unsqueeze(-1)
BATCH["pooled_direction"] = 0.01 * torch.randn(len(HIDDEN), CONFIG.hidden_size)

TASK = Task(
    BertModel,
    CONFIG,
    BATCH,
    objective="features",
    task_type="FEATURE_EXTRACTION",
    adapter={"target_modules": "all-linear"},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
