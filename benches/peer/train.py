#!/usr/bin/env python3
"""The peer of the training benchmark: PyTorch + transformers + PEFT on the CPU.

`prepare` writes a seeded model, a fresh LoRA adapter, token batches and the untrained model's loss on each; `run`
trains on them and prints one JSON line.
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
SHAPES = {
    "llama33m": dict(
        vocab_size=8192, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8
    ),
    "tiny": dict(vocab_size=512, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4),
}
MAX_POSITIONS = 1024
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LEARNING_RATE = {"lora": 1e-3, "full": 1e-4}
MAX_GRAD_NORM = 1.0


def prepare(args):
    """Writes DIR/model, DIR/adapter, DIR/batches.safetensors and DIR/untrained.json, seeded."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = SHAPES[args.shape]
    config = LlamaConfig(
        **shape,
        num_key_value_heads=shape["num_attention_heads"],
        max_position_embeddings=MAX_POSITIONS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        use_cache=False,
    )
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(SEED)
    model = LlamaForCausalLM(config).to(torch.float32)
    model.save_pretrained(out / "model")

    torch.manual_seed(SEED + 1)
    lora = LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=0.0,
        target_modules=PROJECTIONS,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    adapted.save_pretrained(out / "adapter")

    generator = torch.Generator().manual_seed(SEED + 2)
    ids = torch.randint(
        config.vocab_size, (args.steps, args.batch, args.length), generator=generator, dtype=torch.int32
    )
    save_file({"ids": ids}, out / "batches.safetensors")

    # The adapter adds zero at the start (B = 0), so these are the starting losses of both methods.
    with torch.no_grad():
        losses = [adapted(input_ids=batch, labels=batch, use_cache=False).loss.item() for batch in ids.long()]
    (out / "untrained.json").write_text(json.dumps({"losses": losses}, allow_nan=False) + "\n")

    parameters = sum(p.numel() for name, p in model.named_parameters() if "lora_" not in name)
    print(f"prepared {args.shape}: {parameters:,} parameters, ids {list(ids.shape)}, in {out}", file=sys.stderr)


def load(directory, method, precision):
    """The model to train and the list of its trainable parameters."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    # bf16 is mixed precision: the trainable weights and the optimizer state stay f32 and autocast runs the products in
    # bf16. A frozen base needs no f32 copy, so for LoRA it is stored in bf16 (autocast would cast it at every use).
    frozen_bf16 = precision == "bf16" and method == "lora"
    model = LlamaForCausalLM.from_pretrained(
        directory / "model",
        dtype=torch.bfloat16 if frozen_bf16 else torch.float32,
        attn_implementation="sdpa",
    )
    if method == "lora":
        model = PeftModel.from_pretrained(model, directory / "adapter", is_trainable=True)
    model.train()

    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if method == "lora":
        strangers = [name for name in parameters if "lora_" not in name]
        if strangers or not parameters:
            raise SystemExit(f"error: the frozen base has trainable parameters, or no adapter matched: {strangers[:3]}")
    elif len(parameters) != sum(1 for _ in model.parameters()):
        raise SystemExit("error: a parameter is frozen in full fine-tuning")
    if any(p.dtype != torch.float32 for p in parameters.values()):
        raise SystemExit("error: a trainable parameter is not f32")
    return model, list(parameters.values())


def make_optimizer(parameters, method):
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
        parameters, lr=LEARNING_RATE[method], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, fused=True
    )


def train_step(model, parameters, optimizer, ids, precision):
    """One optimizer step on ids [B, T]; returns the loss, a mean over B*(T-1) tokens, and the norm before clipping."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        # Without an attention mask sdpa takes its causal path. The labels are shifted inside the model.
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
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
    batches = load_file(directory / "batches.safetensors")["ids"]
    if batches.dtype != torch.int32 or batches.dim() != 3:
        raise SystemExit("error: batches.safetensors: `ids` must be int32 [steps, batch, length]")
    batches = batches.long()
    model, parameters = load(directory, args.method, args.precision)
    optimizer = make_optimizer(parameters, args.method)

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

    tokens = batches[0].numel()
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


def at_least(low, high=None):
    def parse(text):
        value = int(text)
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"must be at least {low}" + (f" and at most {high}" if high else ""))
        return value

    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    defaults = argparse.ArgumentDefaultsHelpFormatter

    p = commands.add_parser("prepare", help="write the model, the adapter and the batches", formatter_class=defaults)
    p.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    p.add_argument("--shape", choices=SHAPES, default="llama33m", help="the model's size; tiny is for smoke tests")
    p.add_argument("--rank", type=at_least(1), default=8, help="rank of the adapter; alpha is twice that")
    p.add_argument("--batch", type=at_least(1), default=8, help="sequences in a batch")
    p.add_argument("--length", type=at_least(2, MAX_POSITIONS), default=256, help="tokens in a sequence")
    p.add_argument("--steps", type=at_least(1), default=8, help="batches to write; a run goes round them")
    p.set_defaults(action=prepare)

    p = commands.add_parser("run", help="train and print one JSON line", formatter_class=defaults)
    p.add_argument("--dir", required=True, help="folder that `prepare` wrote")
    p.add_argument("--method", choices=LEARNING_RATE, required=True, help="train the adapter, or every weight")
    p.add_argument("--steps", type=at_least(1), required=True, metavar="N", help="timed steps")
    p.add_argument("--warmup", type=at_least(0), required=True, metavar="K", help="untimed steps before them")
    p.add_argument("--threads", type=at_least(1), default=2, help="threads of PyTorch")
    p.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="bf16: autocast, f32 trainable weights")
    p.set_defaults(action=run)

    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
