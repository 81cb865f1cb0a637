"""Mistral: a sliding window of 5 over 12 tokens."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import Case, export_case
from transformers import MistralConfig

CASE = Case(
    MistralConfig(
        vocab_size=64,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        sliding_window=5,
    )
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
