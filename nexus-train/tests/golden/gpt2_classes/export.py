"""GPT-2 with a head without bias on the last token that is not padding."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import NAMES, classes_task, named
from golden_task import export_task
from golden_variants import small_gpt2
from transformers import GPT2ForSequenceClassification

TASK = classes_task(
    GPT2ForSequenceClassification,
    small_gpt2(pad_token_id=0, **named(NAMES)),
    adapter={"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
