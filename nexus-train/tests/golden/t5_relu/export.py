"""T5 1.0: relu, and the embeddings as the head, after which logits are divided by the square root of `d_model`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_t5 import t5_config, t5_task
from golden_task import export_task

TASK = t5_task(t5_config(feed_forward_proj="relu"), adapter={"target_modules": ["q", "v"]})


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
