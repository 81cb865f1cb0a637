"""Loads what Nexus wrote with transformers and PEFT and compares the outputs: python check.py FOLDER.

FOLDER/<case>/ holds a folder per model or adapter, tensors.safetensors (`in.<argument>`, and `<variant>.<field>` as
Nexus computed it) and case.json: the `class` of transformers that loads the models and the `variants`, each a `name`, a
`model`, perhaps an `adapter`, perhaps what the folder `lacks`, and perhaps the `pad` token.
"""

import json
import pathlib
import sys
import warnings

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file

# f32 on both sides; logits of size about 10.
TOLERANCE = 1e-4
# What training changes at least.
EFFECT = 0.01


def load(class_name, folder, lacks):
    """The model in a folder, which must hold its parameters, all of them but those that begin with `lacks`."""
    load = getattr(transformers, class_name).from_pretrained
    model, report = load(folder, dtype=torch.float32, output_loading_info=True)
    lacking = {key for key in report["missing_keys"] if lacks and key.startswith(lacks)}
    if bool(lacking) != bool(lacks):
        sys.exit(f"{folder}: has {lacks}")
    for kind, keys in report.items():
        if set(keys) - lacking:
            sys.exit(f"{folder}: {kind}: {keys}")
    config = json.loads((folder / "config.json").read_text())
    if config["architectures"] != [type(model).__name__]:
        sys.exit(f"{folder}: {config['architectures']} was loaded as {type(model).__name__}")
    stored = load(folder, dtype="auto").dtype
    if str(stored) != f"torch.{config['dtype']}":
        sys.exit(f"{folder}: config.json says {config['dtype']}, the weights are {stored}")
    return model


def with_adapter(model, folder):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, folder)
    for warning in seen:
        if "adapter keys" in str(warning.message):
            sys.exit(f"{folder}: {warning.message}")
    return model


def run(model, inputs):
    """The fields of the model's result, which are tensors."""
    with torch.no_grad():
        result = model(**inputs)
    fields = ("logits", "last_hidden_state", "pooler_output")
    if "decoder_input_ids" in inputs:
        fields = ("logits",)
    return {name: result[name] for name in fields if result.get(name) is not None}


def difference(ours, theirs, mask):
    """The largest absolute difference where there is a token."""
    if ours.shape != theirs.shape:
        sys.exit(f"shapes differ: {tuple(ours.shape)}, {tuple(theirs.shape)}")
    apart = (ours - theirs).abs()
    if mask is not None and apart.dim() == 3:
        apart = apart[mask.bool()]
    return apart.max().item()


def check(case):
    spec = json.loads((case / "case.json").read_text())
    tensors = load_file(case / "tensors.safetensors")
    inputs = {name[3:]: value.long() for name, value in tensors.items() if name.startswith("in.")}
    mask = None if "decoder_input_ids" in inputs else inputs.get("attention_mask")
    base = None
    for variant in spec["variants"]:
        name = variant["name"]
        lacks = variant.get("lacks")
        model = load(spec["class"], case / variant["model"], lacks)
        if "adapter" in variant:
            model = with_adapter(model, case / variant["adapter"])
        if model.config.pad_token_id is None and "pad" in variant:
            # A classifier on a decoder needs it for a batch, and the base of this one had none.
            model.config.pad_token_id = variant["pad"]
        theirs = run(model, inputs)
        if lacks == "pooler.":
            del theirs["pooler_output"]
        ours = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        if ours.keys() != theirs.keys():
            sys.exit(f"{case.name} {name}: Nexus computes {list(ours)}, the reference {list(theirs)}")
        distance = max(difference(ours[key], theirs[key], mask) for key in ours)
        print(f"{case.name} {name}: largest difference {distance:.2e}", end="")
        if not distance < TOLERANCE:
            sys.exit(f"\n{case.name} {name}: Nexus and the reference disagree")
        if name == "base":
            base = theirs
        elif base is not None:
            effect = max(difference(base[key], theirs[key], mask) for key in base)
            print(f", effect {effect:.2e}", end="")
            if not effect > EFFECT:
                sys.exit(f"\n{case.name} {name}: as if it had not been trained")
        print()


def main(folder):
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    cases = sorted(path for path in folder.iterdir() if path.is_dir())
    for case in cases:
        check(case)
    print(f"{len(cases)} cases agree")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
