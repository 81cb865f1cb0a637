"""Inverse frequencies and attention factors of every rope type, at small and at published settings."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import llama_config, versions, write_json
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

LLAMA3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0}
# name -> (head width D, max_position_embeddings, length of the sequence, rope parameters)
TABLE = {
    "default": (16, 64, 12, {"rope_type": "default", "rope_theta": 10000.0}),
    "default_theta": (16, 64, 12, {"rope_type": "default", "rope_theta": 500000.0}),
    "linear": (16, 64, 12, {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5}),
    "dynamic_short": (16, 16, 12, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    "dynamic_equal": (16, 16, 16, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    "dynamic_one_more": (16, 16, 17, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}),
    "dynamic_long": (16, 16, 48, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}),
    "yarn": (16, 32, 24, {**YARN, "rope_theta": 10000.0, "original_max_position_embeddings": 8}),
    "yarn_betas": (
        16,
        64,
        24,
        {**YARN, "rope_theta": 100.0, "original_max_position_embeddings": 16, "beta_fast": 2.0, "beta_slow": 0.05},
    ),
    "yarn_not_truncated": (
        16,
        64,
        24,
        {
            **YARN,
            "rope_theta": 100.0,
            "original_max_position_embeddings": 16,
            "beta_fast": 2.0,
            "beta_slow": 0.05,
            "truncate": False,
        },
    ),
    "yarn_mscale": (
        16,
        128,
        24,
        {**YARN, "rope_theta": 10000.0, "original_max_position_embeddings": 32, "mscale": 0.7, "mscale_all_dim": 1.0},
    ),
    "yarn_attention_factor": (
        16,
        128,
        24,
        {**YARN, "rope_theta": 10000.0, "original_max_position_embeddings": 32, "attention_factor": 1.25},
    ),
    "yarn_qwen2_5": (128, 131072, 24, {**YARN, "rope_theta": 1e6, "original_max_position_embeddings": 32768}),
    "llama3": (
        16,
        64,
        24,
        {**LLAMA3, "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 8},
    ),
    "llama3_1_8b": (
        128,
        131072,
        24,
        {**LLAMA3, "rope_theta": 500000.0, "factor": 8.0, "original_max_position_embeddings": 8192},
    ),
    "llama3_2_1b": (
        64,
        131072,
        24,
        {**LLAMA3, "rope_theta": 500000.0, "factor": 32.0, "original_max_position_embeddings": 8192},
    ),
}


def export(folder):
    rows = {}
    for name, (head_dim, max_position, seq_len, rope_parameters) in TABLE.items():
        config = llama_config(
            head_dim=head_dim, max_position_embeddings=max_position, rope_parameters=dict(rope_parameters)
        )
        rope = LlamaRotaryEmbedding(config)
        rope(torch.zeros(1), torch.arange(seq_len)[None])  # dynamic rope rescales in the forward pass
        rows[name] = {
            "head_dim": head_dim,
            "max_position_embeddings": max_position,
            "seq_len": seq_len,
            "rope_parameters": rope_parameters,
            "inv_freq": rope.inv_freq.tolist(),
            "attention_factor": float(rope.attention_scaling),
        }
    write_json(folder / "expect.json", {"versions": versions(), "rows": rows})


if __name__ == "__main__":
    export(HERE)
