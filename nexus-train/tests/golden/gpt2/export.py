"""GPT-2: tied head, tanh gelu (`gelu_new`), learned positions, an explicit `n_inner`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import Case, export_case
from transformers import GPT2Config

CASE = Case(
    GPT2Config(
        vocab_size=64,
        n_positions=64,
        n_embd=24,
        n_layer=2,
        n_head=4,
        n_inner=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    ),
    adapter={"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True},
    adapter_extra={"adapter_attn": {"target_modules": ["c_attn"], "fan_in_fan_out": True}},
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
