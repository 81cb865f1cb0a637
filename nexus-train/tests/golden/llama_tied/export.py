"""LLaMA: tied head, biases on attention and MLP, and a head width that is not hidden / heads."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import Case, export_case, llama_config

CASE = Case(llama_config(tie_word_embeddings=True, attention_bias=True, mlp_bias=True, head_dim=6, intermediate_size=30))


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
