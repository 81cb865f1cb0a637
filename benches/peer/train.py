#!/usr/bin/env python3
"""The peer of the training benchmark: PyTorch + transformers + PEFT on the CPU.

`prepare` writes a seeded model, a fresh LoRA adapter, token batches (with classes for an encoder) and the untrained
model's loss on each; `run` trains on them and prints one JSON line.
Nexus reads the same folder and prints the same line, so `summary.py` can compare both.

Shapes: B sequences in a batch, T tokens in a sequence, V vocabulary.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is read from --dir
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SEED = 20240229
CLASSES = 4

# Every dropout is 0: two programs never draw the same masks.
LLAMA = dict(model_type="llama", rms_norm_eps=1e-5, tie_word_embeddings=False)
GPT2 = dict(model_type="gpt2", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
BERT = dict(
    model_type="bert",
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    classifier_dropout=0.0,
    num_labels=CLASSES,
)
# The configuration and the usual batch, B x T.
SHAPES = {
    "llama33m": (
        LLAMA
        | dict(vocab_size=8192, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8),
        (8, 256),
    ),
    "gpt2-124m": (GPT2 | dict(vocab_size=50257, n_embd=768, n_layer=12, n_head=12), (4, 512)),
    "bert-base": (
        BERT
        | dict(vocab_size=30522, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
        (16, 128),
    ),
    "tiny": (
        LLAMA
        | dict(vocab_size=512, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4),
        (8, 64),
    ),
    "tiny-gpt2": (GPT2 | dict(vocab_size=512, n_embd=64, n_layer=2, n_head=4), (4, 64)),
    "tiny-bert": (
        BERT
        | dict(vocab_size=512, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4),
        (4, 64),
    ),
}
# All projections of a block.
PROJECTIONS = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "bert": ["query", "key", "value", "dense"],
}
METHODS = ["lora", "full"]
# That of all weights of BERT is its authors' (Devlin et al. 2019, arXiv:1810.04805, appendix A.3).
LEARNING_RATE = {
    "llama": {"lora": 1e-3, "full": 1e-4},
    "gpt2": {"lora": 1e-3, "full": 1e-4},
    "bert": {"lora": 1e-3, "full": 2e-5},
}
MAX_GRAD_NORM = 1.0


def prepare(args):
    """Writes DIR/model, DIR/adapter, DIR/batches.safetensors, DIR/untrained.json and DIR/recipe.json, seeded."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import AutoConfig

    settings, (batch, length) = SHAPES[args.shape]
    batch, length = args.batch or batch, args.length or length
    family = settings["model_type"]
    if family == "llama":
        settings = settings | dict(max_position_embeddings=max(1024, length))
    config = AutoConfig.for_model(**settings)
    longest = config.max_position_embeddings
    if length > longest:
        raise SystemExit(f"error: --length {length}: {args.shape} has {longest} positions")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(SEED)
    model = model_class(config).from_config(config).to(torch.float32)
    model.save_pretrained(out / "model")

    torch.manual_seed(SEED + 1)
    lora = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.0,
        target_modules=PROJECTIONS[family],
        fan_in_fan_out=family == "gpt2",
        task_type="SEQ_CLS" if classifies(config) else "CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    adapted.save_pretrained(out / "adapter")

    generator = torch.Generator().manual_seed(SEED + 2)
    ids = torch.randint(config.vocab_size, (args.steps, batch, length), generator=generator, dtype=torch.int32)
    batches = {"ids": ids}
    if classifies(config):
        batches["classes"] = torch.randint(CLASSES, (args.steps, batch), generator=generator, dtype=torch.int32)
    save_file(batches, out / "batches.safetensors")

    # The adapter adds zero at the start (B = 0), so these are the starting losses of both methods.
    adapted.eval()
    with torch.no_grad():
        losses = [adapted(**inputs).loss.item() for inputs in model_inputs(batches)]
    (out / "untrained.json").write_text(json.dumps({"losses": losses}, allow_nan=False) + "\n")
    (out / "recipe.json").write_text(json.dumps({"learning_rate": LEARNING_RATE[family]}) + "\n")

    parameters = sum(p.numel() for name, p in model.named_parameters() if "lora_" not in name)
    print(f"prepared {args.shape}: {parameters:,} parameters, ids {list(ids.shape)}, in {out}", file=sys.stderr)


def classifies(config):
    return config.model_type == "bert"


def model_class(config):
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    return AutoModelForSequenceClassification if classifies(config) else AutoModelForCausalLM


def model_inputs(batches):
    """The arguments of the model for every batch. A decoder shifts the labels itself; without an attention mask sdpa
    takes its causal path."""
    ids = batches["ids"].long()
    if "classes" in batches:
        return [dict(input_ids=x, labels=y) for x, y in zip(ids, batches["classes"].long())]
    return [dict(input_ids=x, labels=x, use_cache=False) for x in ids]


def load(directory, method, precision):
    """The model to train and the list of its trainable parameters."""
    import torch
    from peft import PeftModel
    from transformers import AutoConfig

    # bf16 is mixed precision: the trainable weights and the optimizer state stay f32 and autocast runs the products in
    # bf16. A frozen base needs no f32 copy, so for LoRA it is stored in bf16 (autocast would cast it at every use).
    frozen_bf16 = precision == "bf16" and method == "lora"
    config = AutoConfig.from_pretrained(directory / "model")
    model = model_class(config).from_pretrained(
        directory / "model",
        dtype=torch.bfloat16 if frozen_bf16 else torch.float32,
        attn_implementation="sdpa",
    )
    if method == "lora":
        model = PeftModel.from_pretrained(model, directory / "adapter", is_trainable=True)
    model.train()

    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if method == "lora":
        # A classifier is trained with its adapter.
        strangers = [name for name in parameters if "lora_" not in name and "modules_to_save" not in name]
        if strangers or not parameters:
            raise SystemExit(f"error: the frozen base has trainable parameters, or no adapter matched: {strangers[:3]}")
    elif len(parameters) != sum(1 for _ in model.parameters()):
        raise SystemExit("error: a parameter is frozen in full fine-tuning")
    if any(p.dtype != torch.float32 for p in parameters.values()):
        raise SystemExit("error: a trainable parameter is not f32")
    return model, list(parameters.values())


def make_optimizer(parameters, learning_rate):
    import torch

    # Tried in f32 at llama33m on two cores, seconds per step in CPU time, so that other load counts for less; the best
    # of five steps, in two alternating series (LoRA; full). The machine was not idle: differences below 5% are noise.
    #   fused AdamW, foreach clipping      2.64, 2.62; 3.12, 3.13    used
    #   foreach AdamW, foreach clipping    2.68, 2.72; 3.21, 3.34
    #   loop over parameters in both       2.63, 2.62; 3.10, 3.25    as fast as fused
    #   fused, attention eager, not sdpa   2.66, 2.85; 3.22, 3.34    and more memory
    #   fused, malloc never returns pages  2.47, 2.65; 3.03, 2.98    not what users run
    # torch.compile, one pair in a later series: 2.79 against 2.75; 3.13 against 3.37, for 20 to 30 s of compilation and
    # a C++ compiler; less memory (1.9 against 2.7 GB; 2.1 against 2.5 GB). Not used: it is off by default in the peer.
    return torch.optim.AdamW(
        parameters, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, fused=True
    )


def train_step(model, parameters, optimizer, inputs, precision):
    """One optimizer step on ids [B, T]; returns the loss, a mean over B*(T-1) tokens or B classes, and the norm before
    clipping."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        loss = model(**inputs).loss
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM, foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item(), norm.item()


def peak_rss_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("error: /proc/self/status has no VmHWM")


def run(args):
    import peft
    import torch
    import transformers
    from safetensors.torch import load_file

    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("highest")  # f32 means f32: no bf16 or tf32 inside the products
    transformers.logging.disable_progress_bar()

    directory = Path(args.dir)
    tensors = load_file(directory / "batches.safetensors")
    if tensors["ids"].dtype != torch.int32 or tensors["ids"].dim() != 3:
        raise SystemExit("error: batches.safetensors: `ids` must be int32 [steps, batch, length]")
    batches = model_inputs(tensors)
    model, parameters = load(directory, args.method, args.precision)
    recipe = json.loads((directory / "recipe.json").read_text())
    optimizer = make_optimizer(parameters, recipe["learning_rate"][args.method])

    seconds, losses, norms = [], [], []
    for i in range(args.warmup + args.steps):
        start = time.perf_counter()
        loss, norm = train_step(model, parameters, optimizer, batches[i % len(batches)], args.precision)
        elapsed = time.perf_counter() - start
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise SystemExit(f"error: step {i}: loss {loss}, gradient norm {norm}")
        losses.append(loss)
        norms.append(norm)
        if i >= args.warmup:
            seconds.append(elapsed)

    tokens = tensors["ids"][0].numel()
    line = {
        "program": "pytorch+peft",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        "method": args.method,
        "precision": args.precision,
        "threads": args.threads,
        "tokens_per_step": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / statistics.median(seconds),
        "losses": losses,
        "grad_norms": norms,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    print(json.dumps(line, allow_nan=False))


def at_least(low):
    def parse(text):
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}")
        return value

    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    defaults = argparse.ArgumentDefaultsHelpFormatter

    p = commands.add_parser("prepare", help="write the model, the adapter and the batches", formatter_class=defaults)
    p.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    p.add_argument("--shape", choices=SHAPES, default="llama33m", help="the model; the tiny ones are for smoke tests")
    p.add_argument("--rank", type=at_least(1), default=8, help="rank of the adapter; alpha is twice that")
    p.add_argument("--batch", type=at_least(1), help="sequences in a batch; by default the shape's")
    p.add_argument("--length", type=at_least(2), help="tokens in a sequence; by default the shape's")
    p.add_argument("--steps", type=at_least(1), default=8, help="batches to write; a run goes round them")
    p.set_defaults(action=prepare)

    p = commands.add_parser("run", help="train and print one JSON line", formatter_class=defaults)
    p.add_argument("--dir", required=True, help="folder that `prepare` wrote")
    p.add_argument("--method", choices=METHODS, required=True, help="train the adapter, or every weight")
    p.add_argument("--steps", type=at_least(1), required=True, metavar="N", help="timed steps")
    p.add_argument("--warmup", type=at_least(0), required=True, metavar="K", help="untimed steps before them")
    p.add_argument("--threads", type=at_least(1), default=2, help="threads of PyTorch")
    p.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="bf16: autocast, f32 trainable weights")
    p.set_defaults(action=run)

    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
