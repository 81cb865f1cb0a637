"""LoRA on LLaMA's token embeddings, untied from its head, and on `q_proj`.

`adapter_auto/` is the same adapter as PEFT saves it when left alone: with the embeddings' own weights, `base_layer`.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import save_adapter
from golden_task import adapted, export_task
from golden_variants import causal_task, small_llama

TASK = causal_task(small_llama(), adapter={"target_modules": ["embed_tokens", "q_proj"]})


def export(folder):
    export_task(TASK, folder)
    save_adapter(adapted(TASK, folder, TASK.adapter, TASK.seed + 2), folder / "adapter_auto", "auto")


if __name__ == "__main__":
    export(HERE)
