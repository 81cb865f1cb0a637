"""LLaMA: grouped queries, untied head; a second adapter with rsLoRA, patterns and a saved head."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import Case, export_case, llama_config

CASE = Case(
    llama_config(),
    adapter_extra={
        "adapter_rs": {
            "use_rslora": True,
            "target_modules": r".*\.layers\.\d+\.(self_attn\.(q|v)_proj|mlp\.down_proj)",
            "rank_pattern": {"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 6},
            "alpha_pattern": {"v_proj": 5, r"layers\.0\.mlp\.down_proj": 3},
            "modules_to_save": ["lm_head"],
        }
    },
)


def export(folder):
    export_case(CASE, folder)


if __name__ == "__main__":
    export(HERE)
