"""LLaMA: the rope scaling of Llama 3.1."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import export_case, rope_case

CASE = rope_case(
    {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8,
    },
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
