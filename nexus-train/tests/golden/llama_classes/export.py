"""LLaMA with a head without bias on the last token that is not padding; all-linear leaves the head out."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import NAMES, classes_task, named
from golden_task import export_task
from golden_variants import small_llama
from transformers import LlamaForSequenceClassification

TASK = classes_task(
    LlamaForSequenceClassification,
    small_llama(pad_token_id=0, **named(NAMES)),
    adapter={"target_modules": "all-linear"},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
