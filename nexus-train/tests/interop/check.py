"""Loads what Nexus wrote with transformers and PEFT and compares the logits: python check.py FOLDER.

FOLDER/<case>/ holds base/ (the model), adapter/ (trained and saved by Nexus), merged/ (merged and saved by Nexus) and
logits.safetensors (`ids` i32 [B, T], `adapter` and `merged` f32 [B, T, V], computed by Nexus).
"""

import pathlib
import sys

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

# f32 on both sides; logits of size about 10.
TOLERANCE = 1e-4


def main(folder):
    torch.set_num_threads(1)
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        tensors = load_file(case / "logits.safetensors")
        ids = tensors["ids"].long()
        load = lambda name: AutoModelForCausalLM.from_pretrained(case / name, dtype=torch.float32)
        with torch.no_grad():
            base = load("base")(ids).logits
            adapted = PeftModel.from_pretrained(load("base"), case / "adapter")(ids).logits
            merged = load("merged")(ids).logits
        for name, ours, theirs in (
            ("adapter", tensors["adapter"], adapted),
            ("merged", tensors["merged"], merged),
        ):
            distance = (ours - theirs).abs().max().item()
            effect = (theirs - base).abs().max().item()
            print(f"{case.name} {name}: largest difference {distance:.2e}, effect {effect:.2e}")
            if not distance < TOLERANCE or not effect > 0.01:
                sys.exit(f"{case.name} {name}: Nexus and the reference disagree")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
