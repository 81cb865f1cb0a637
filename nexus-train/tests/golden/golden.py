"""What every golden case shares: tiny random models, their batch, and the numbers a port must reproduce.

A case is a folder with an `export.py` that defines `export(folder)`. Run that file to write the case beside itself;
run `python golden.py` to write every case and `python golden.py --check` to write them into a temporary folder and
compare (numbers within 1e-5, gradient norms over ten steps within 1e-4, everything else exactly). What cases of other
kinds share is in the `golden_*.py` files beside this one.
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import peft
import safetensors.torch
import torch
import torch.nn.functional as F
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")  # PEFT uses an older property name

HERE = pathlib.Path(__file__).resolve().parent
SEED = 21  # weights; SEED + 1: batch; SEED + 2: adapter; SEED + 3: second adapter
STEPS = 10
BATCH = 2
IGNORE = -100
ADAMW = {
    "lr": 1e-2,
    "betas": [0.9, 0.95],
    "eps": 1e-8,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "decay": "parameters with two or more dimensions, embeddings and LoRA factors included",
    "no_decay": "parameters with one dimension: biases and norm weights",
    "schedule": "constant",
    "grad_accumulation": 1,
}
SMALLEST_LEAD = 2e-3  # of a greedy winner, so that rounding cannot change a generated token
TOLERANCE = 1e-5  # rounding differs between processors; ten steps add it up
NORM_TOLERANCE = 1e-4
WALL_CLOCK = ("runtime", "per_second")  # measured, so free to change between two runs


@dataclasses.dataclass
class Case:
    """One model, the adapters on it and the length T of its two rows."""

    config: object
    seq_len: int = 12
    adapter: dict = dataclasses.field(default_factory=lambda: {"target_modules": "all-linear"})
    adapter_extra: dict = dataclasses.field(default_factory=dict)  # folder name -> LoraConfig arguments


def llama_config(**changes):
    """The untied LLaMA that the llama cases vary: hidden 24, 8 query heads on 2 key/value heads of D 4, V 64."""
    fields = dict(
        vocab_size=64,
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=8,
        head_dim=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    return LlamaConfig(**{**fields, **changes})


def rope_case(rope_parameters, **changes):
    """LLaMA with D 8 (four frequencies) and T 24, long enough that the scaling matters."""
    shape = dict(num_attention_heads=4, head_dim=8, intermediate_size=36)
    config = llama_config(**shape, rope_parameters=rope_parameters, **changes)
    return Case(config, seq_len=24)


def randomise(model, scales=None):
    """Random weights, larger than any real initialisation, so that a wrong term shows in the logits.

    `scales` maps the end of a parameter's name to a factor other than 0.2.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape)
            if name.endswith("bias"):
                parameter.copy_(0.1 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(1 + 0.1 * noise)
            else:
                scale = next((s for end, s in (scales or {}).items() if name.endswith(end)), 0.2)
                parameter.copy_(scale * noise)
    return model.eval()


def build_model(config):
    torch.manual_seed(SEED)
    return randomise(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def load_model(folder, model_class=AutoModelForCausalLM):
    """A fresh float32 model: dynamic rope remembers the longest sequence it has seen, so no two runs share one."""
    return model_class.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def make_batch(config, seq_len):
    """`(input_ids, labels)`, [2, T]: prompts of 3 and 2 tokens ignored, row 1 padded by 4 tokens (id 0, ignored)."""
    torch.manual_seed(SEED + 1)
    input_ids = torch.randint(3, config.vocab_size, (BATCH, seq_len))
    input_ids[1, -4:] = 0
    labels = input_ids.clone()
    labels[0, :3] = IGNORE
    labels[1, :2] = IGNORE
    labels[1, -4:] = IGNORE
    return input_ids, labels


def causal_loss(logits, labels):
    """Sum of the cross entropies of position t against label t + 1, over the number of labels that are not ignored."""
    targets = labels[:, 1:].reshape(-1)
    total = F.cross_entropy(
        logits[:, :-1].reshape(targets.numel(), -1), targets, ignore_index=IGNORE, reduction="sum"
    )
    return total / (targets != IGNORE).sum()


def train(model, loss_of):
    """`loss_of(model)` before each of ten AdamW steps, and the gradient norms before clipping."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": ADAMW["weight_decay"]},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=ADAMW["lr"],
        betas=tuple(ADAMW["betas"]),
        eps=ADAMW["eps"],
        foreach=False,
    )
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trainable, ADAMW["max_grad_norm"]).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms


def generate(folder, prompt, **options):
    """16 greedy token ids after `prompt` with no end token, and the smallest lead of a winner over the second."""
    model = load_model(folder)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    out = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=16,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    new = out.sequences[0, prompt.shape[1] :].tolist()
    assert len(new) == 16, new
    best = torch.stack(out.scores).topk(2).values
    lead = (best[..., 0] - best[..., 1]).min().item()
    assert lead > SMALLEST_LEAD, f"{folder}: a near tie ({lead}); take another seed"
    return new, lead


def add_adapter(folder, options, seed, model_class=AutoModelForCausalLM):
    """A fresh model with a LoRA adapter of rank 4 and alpha 8 whose B is not zero."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", **options})
    model = peft.get_peft_model(load_model(folder, model_class), config).eval()
    disturb_adapter(model)
    return model


def disturb_adapter(model, adapter="default"):
    """What PEFT starts at zero, or at the model's own value, gets values that differ from it."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if f".lora_B.{adapter}." in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape))
            elif f".modules_to_save.{adapter}." in name:
                parameter.add_(0.2 * torch.randn(parameter.shape))
            elif name.endswith(f".lora_embedding_A.{adapter}") or name.endswith(f".lora_embedding_B.{adapter}"):
                parameter.copy_(0.2 * torch.randn(parameter.shape))
            elif f".lora_magnitude_vector.{adapter}." in name:
                parameter.mul_(1 + 0.2 * torch.randn(parameter.shape))


def save_adapter(model, folder, save_embedding_layers=False):
    model.peft_config["default"].base_model_name_or_path = "model"
    model.save_pretrained(folder, save_embedding_layers=save_embedding_layers)
    (folder / "README.md").unlink()  # PEFT's empty model card


def adapter_key(name):
    """The key in `adapter_model.safetensors` of a parameter of a PEFT model."""
    name = name.replace(".modules_to_save.default.", ".")
    name = name.replace(".lora_magnitude_vector.default.weight", ".lora_magnitude_vector")
    return name.removesuffix(".default").replace(".default.", ".")


def export_case(case, folder):
    """Writes `model/`, the adapters, `expect.safetensors` and `expect.json` of one case."""
    build_model(case.config).save_pretrained(folder / "model")
    input_ids, labels = make_batch(case.config, case.seq_len)
    tensors = {"input_ids": input_ids, "labels": labels}
    expect = {"versions": versions(), "seed": SEED}

    model = load_model(folder / "model")
    logits = model(input_ids).logits
    loss = causal_loss(logits, labels)
    loss.backward()
    tensors["logits"] = logits
    tensors.update({f"grad.{name}": p.grad for name, p in model.named_parameters()})
    expect["loss"] = loss.item()

    adapted = add_adapter(folder / "model", case.adapter, SEED + 2)
    save_adapter(adapted, folder / "adapter")
    logits = adapted(input_ids).logits
    loss = causal_loss(logits, labels)
    loss.backward()
    tensors["adapter_logits"] = logits
    tensors.update(
        {
            f"adapter_grad.{adapter_key(name)}": p.grad
            for name, p in adapted.named_parameters()
            if p.requires_grad
        }
    )
    expect["adapter_loss"] = loss.item()
    tensors["merged_logits"] = adapted.merge_and_unload()(input_ids).logits

    for offset, (name, options) in enumerate(case.adapter_extra.items()):
        extra = add_adapter(folder / "model", options, SEED + 3 + offset)
        save_adapter(extra, folder / name)
        tensors[f"{name}_logits"] = extra(input_ids).logits

    expect["adamw"] = ADAMW

    def loss_of(model):
        return causal_loss(model(input_ids).logits, labels)

    full_losses, full_norms = train(load_model(folder / "model"), loss_of)
    expect["full_losses"], expect["full_grad_norms"] = full_losses, full_norms
    lora_losses, lora_norms = train(add_adapter(folder / "model", case.adapter, SEED + 2), loss_of)
    expect["lora_losses"], expect["lora_grad_norms"] = lora_losses, lora_norms

    prompt = input_ids[:1, :4]
    expect["generation"] = {"prompt": prompt[0].tolist(), "max_new_tokens": 16, "repetition_penalty": 1.3}
    for name, options in {
        "greedy": {},
        "greedy_penalty": {"repetition_penalty": 1.3},
        "greedy_uncached": {"use_cache": False},
        "greedy_penalty_uncached": {"repetition_penalty": 1.3, "use_cache": False},
    }.items():
        ids, lead = generate(folder / "model", prompt, **options)
        expect["generation"][f"{name}_ids"] = ids
        expect["generation"][f"{name}_smallest_lead"] = lead

    write_tensors(folder / "expect.safetensors", tensors)
    write_json(folder / "expect.json", expect)


def export_weights_only(config, folder, dtype=torch.float32, **save_options):
    """Writes `model/` and the logits of what a float32 reader gets from it."""
    build_model(config).to(dtype).save_pretrained(folder / "model", **save_options)
    input_ids, labels = make_batch(config, 12)
    logits = load_model(folder / "model")(input_ids).logits
    tensors = {"input_ids": input_ids, "labels": labels, "logits": logits}
    write_tensors(folder / "expect.safetensors", tensors)
    write_json(
        folder / "expect.json", {"versions": versions(), "seed": SEED, "loss": causal_loss(logits, labels).item()}
    )


def versions():
    return {module.__name__: module.__version__.split("+")[0] for module in (torch, transformers, peft)}


def write_tensors(path, tensors):
    safetensors.torch.save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, path)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


# --- the check -------------------------------------------------------------------------------------------------


def case_folders():
    return sorted(path.parent for path in HERE.glob("*/export.py"))


def run_export(case_folder, out):
    """Imports `case_folder/export.py` under a name of its own and lets it write into `out`."""
    sys.path.insert(0, str(HERE))
    spec = importlib.util.spec_from_file_location(f"golden_{case_folder.name}", case_folder / "export.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.export(out)


def differences(old, new, at=""):
    """Where two JSON values differ. Lists of names are sets in PEFT and have no order; measured times are skipped."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if any(word in key for word in WALL_CLOCK):
                continue
            if key not in old or key not in new:
                yield f"{at}/{key}: only in one"
            else:
                yield from differences(old[key], new[key], f"{at}/{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        if all(isinstance(item, str) for item in old + new):
            old, new = sorted(old), sorted(new)
        for index, pair in enumerate(zip(old, new)):
            yield from differences(*pair, f"{at}/{index}")
    elif isinstance(old, float) and isinstance(new, float):
        tolerance = NORM_TOLERANCE if "grad_norms" in at else TOLERANCE
        if not math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{at}: {old} != {new}"
    elif type(old) is not type(new) or old != new:
        yield f"{at}: {old!r} != {new!r}"


def tensor_differences(old_path, new_path):
    old, new = safetensors.torch.load_file(old_path), safetensors.torch.load_file(new_path)
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            yield f"{name}: only in one"
        elif old[name].dtype != new[name].dtype or old[name].shape != new[name].shape:
            yield f"{name}: dtype or shape"
        elif not torch.allclose(old[name].double(), new[name].double(), rtol=TOLERANCE, atol=TOLERANCE):
            yield f"{name}: off by {(old[name].double() - new[name].double()).abs().max().item():.3e}"


def check(case_folder, out):
    """Differences between a case on disk and the same case written into `out`."""
    written = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    kept = {
        path.relative_to(case_folder)
        for path in case_folder.rglob("*")
        if path.is_file() and path.name != "export.py" and "__pycache__" not in path.parts
    }
    for path in sorted(written ^ kept):
        yield f"{path}: only {'written now' if path in written else 'on disk'}"
    for path in sorted(written & kept):
        if path.suffix == ".safetensors":
            found = tensor_differences(case_folder / path, out / path)
        elif path.suffix == ".json":
            found = differences(json.loads((case_folder / path).read_text()), json.loads((out / path).read_text()))
        else:
            found = [] if (case_folder / path).read_bytes() == (out / path).read_bytes() else ["bytes differ"]
        yield from (f"{path}: {text}" for text in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with what is on disk, write nothing")
    parser.add_argument("case", nargs="*", help="folder names; all without one")
    arguments = parser.parse_args()
    chosen = [folder for folder in case_folders() if not arguments.case or folder.name in arguments.case]
    failed = False
    for folder in chosen:
        if not arguments.check:
            run_export(folder, folder)
            print(f"{folder.name}: written")
            continue
        with tempfile.TemporaryDirectory() as out:
            run_export(folder, pathlib.Path(out))
            found = list(check(folder, pathlib.Path(out)))
        failed |= bool(found)
        print(f"{folder.name}: {'changed' if found else 'unchanged'}")
        for text in found:
            print(f"  {text}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
