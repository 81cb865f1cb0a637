"""LLaMA: dynamic NTK rope, 24 tokens against 16 trained positions."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import export_case, rope_case

CASE = rope_case({"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}, max_position_embeddings=16)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
