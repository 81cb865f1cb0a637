"""BERT for masked tokens with three tokens more than its base, and an adapter saved after that.

The decoder's bias grows as well; PEFT stores it beside the decoder's weight, the words' embeddings once more.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import bert_config, rows
from golden_resize import export_resize
from golden_task import Task
from transformers import BertForMaskedLM

CONFIG = bert_config()
BATCH = rows(CONFIG, (12, 8))
for row, place in enumerate((2, 4, 5)):
    BATCH["input_ids"][:, place] = CONFIG.vocab_size + row

TASK = Task(
    BertForMaskedLM,
    CONFIG,
    BATCH,
    objective="masked_lm",
    task_type="FEATURE_EXTRACTION",
    adapter={"target_modules": ["query", "value"]},
)


def export(folder):
    export_resize(TASK, folder)


if __name__ == "__main__":
    export(HERE)
