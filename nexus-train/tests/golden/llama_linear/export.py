"""LLaMA: linear rope scaling, with the same config in the two older spellings."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import json

from golden import export_case, rope_case, write_json

CASE = rope_case({"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0})
CASE.seq_len = 12


def export(folder):
    export_case(CASE, folder)
    config = json.loads((folder / "model" / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["torch_dtype"] = config.pop("dtype")
    for file, key in {"config_old.json": "type", "config_old_rope_type.json": "rope_type"}.items():
        write_json(folder / "model" / file, {**config, "rope_scaling": {key: "linear", "factor": rope["factor"]}})


if __name__ == "__main__":
    export(HERE)
