"""The model of `llama_untied` in several files with an index."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import export_weights_only, llama_config

def export(folder):
    export_weights_only(llama_config(), folder, max_shard_size="15KB")


if __name__ == "__main__":
    export(HERE)
