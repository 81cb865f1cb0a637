"""The model of `llama_untied` stored as bfloat16, read as float32."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import export_weights_only, llama_config

def export(folder):
    export_weights_only(llama_config(), folder, dtype=torch.bfloat16)


if __name__ == "__main__":
    export(HERE)
