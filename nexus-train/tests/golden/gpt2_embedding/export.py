"""LoRA on GPT-2's token embeddings, which are its head as well, and on `c_attn`.

Before merging the head uses the embeddings without LoRA; merging adds LoRA to the weight that both share, so
`merged_logits` differ from `adapter_logits`.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_task import export_task
from golden_variants import causal_task, small_gpt2

TASK = causal_task(small_gpt2(), adapter={"target_modules": ["wte", "c_attn"], "fan_in_fan_out": True})


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
