"""DoRA on GPT-2's `Conv1D` weights, [in, out]: a magnitude for every output, that is for every column as stored."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_task import export_task
from golden_variants import causal_task, small_gpt2

TASK = causal_task(
    small_gpt2(),
    adapter={"target_modules": ["c_attn"], "fan_in_fan_out": True},
    dora={"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True},
)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
