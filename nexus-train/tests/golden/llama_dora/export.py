"""DoRA on every projection of LLaMA, with rsLoRA's scale."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_task import export_task
from golden_variants import causal_task, small_llama

TASK = causal_task(
    small_llama(),
    adapter={"target_modules": ["q_proj", "v_proj"]},
    dora={"target_modules": "all-linear", "use_rslora": True},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
