"""GPT-2: untied head, erf gelu (`gelu`), `n_inner` left to its default of 4 x `n_embd`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import Case, export_case
from transformers import GPT2Config

CASE = Case(
    GPT2Config(
        vocab_size=64,
        n_positions=32,
        n_embd=20,
        n_layer=2,
        n_head=2,
        activation_function="gelu",
        scale_attn_by_inverse_layer_idx=False,
        tie_word_embeddings=False,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    ),
    adapter={"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True},
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
