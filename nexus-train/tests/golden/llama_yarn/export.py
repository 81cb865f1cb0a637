"""LLaMA: YaRN rope with the default betas and attention factor."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import export_case, rope_case

CASE = rope_case(
    {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 8},
    max_position_embeddings=32,
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
