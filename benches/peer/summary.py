#!/usr/bin/env python3
"""Compares the JSON lines of Nexus and of its peer: one table per method, and whether both computed the same thing.

Needs only the standard library. Exits 1 when the two disagree: a speed then compares different work and says nothing.

Checked on every line, against the peer's first line of that method:
  - same steps, tokens per step and threads, as many lines from both programs, one precision in each (both the same,
    unless the peer was asked for another);
  - the loss of every step agrees within 1e-3 relative;
  - the gradient norm of every step is > 0 and agrees within 1e-2 relative;
  - the losses change over the steps;
  - training did the same. Every step sees other tokens, so losses differ between steps with no training at all, and
    four steps move them by only 1e-4 or so, relative: the tolerances above pass a program that never updates a weight.
    The starting model's loss on each batch (untrained.json) tells how far training moved the peer; the other program
    may be off by at most a tenth of that (half of it if one is in bf16, where rounding is larger).

Not seen by these checks: gradient clipping (AdamW hardly depends on the scale of the gradient) and small differences in
beta2, eps or weight decay.
"""

import argparse
import json
import math
import os
import statistics
import struct
import sys
from pathlib import Path

PEER, NEXUS = "pytorch+peft", "nexus"
LOSS_TOLERANCE = 1e-3
GRAD_TOLERANCE = 1e-2
TRAINING_TOLERANCE = {"f32": 0.1, "bf16": 0.5}

KEYS = {
    "program": str,
    "versions": dict,
    "method": str,
    "precision": str,
    "threads": int,
    "tokens_per_step": int,
    "seconds": list,
    "tokens_per_second": (int, float),
    "losses": list,
    "grad_norms": list,
    "peak_rss_bytes": int,
}


def fail(message):
    sys.exit(f"error: {message}")


def read_lines(path):
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        where = f"{path}:{number}"
        try:
            line = json.loads(text)
        except ValueError as error:
            fail(f"{where}: not JSON: {error}")
        for key, kind in KEYS.items():
            if not isinstance(line, dict) or not isinstance(line.get(key), kind):
                fail(f"{where}: `{key}` is missing or of the wrong type")
        for key in ("seconds", "losses", "grad_norms"):
            if not line[key] or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in line[key]):
                fail(f"{where}: `{key}` is empty or has a value that is not a finite number")
        if len(line["losses"]) != len(line["grad_norms"]) or len(line["losses"]) < len(line["seconds"]):
            fail(f"{where}: `losses` and `grad_norms` must cover every step, warm-up included")
        if min(line["seconds"]) <= 0 or line["peak_rss_bytes"] <= 0:
            fail(f"{where}: `seconds` and `peak_rss_bytes` must be positive")
        if line["precision"] not in TRAINING_TOLERANCE:
            fail(f"{where}: unknown precision {line['precision']!r}")
        if line["program"] not in (PEER, NEXUS):
            fail(f"{where}: unknown program {line['program']!r}; expected {PEER!r} or {NEXUS!r}")
        expected = line["tokens_per_step"] / statistics.median(line["seconds"])
        if not math.isclose(line["tokens_per_second"], expected, rel_tol=1e-3):
            fail(f"{where}: `tokens_per_second` is not tokens_per_step / median(seconds) = {expected:.1f}")
        lines.append(line)
    if not lines:
        fail(f"{path} has no lines")
    return lines


def relative(value, reference):
    return abs(value - reference) / max(abs(reference), sys.float_info.min)


def check(lines, untrained):
    """What disagrees among one method's lines (empty when all is well), and the largest deviations of Nexus."""
    problems = []
    worst = {"loss": 0.0, "grad_norm": 0.0, "training": 0.0}
    reference = next(line for line in lines if line["program"] == PEER)
    steps = len(reference["losses"])
    start = [untrained[i % len(untrained)] for i in range(steps)]
    moved = max(abs(a - b) for a, b in zip(reference["losses"], start))
    if steps < 2:
        problems.append("one step shows no training: warm-up and timed steps must be 2 together, or more")
    elif moved == 0:
        problems.append("the peer's losses are those of the untrained model")

    counts = {name: sum(line["program"] == name for line in lines) for name in (NEXUS, PEER)}
    if counts[NEXUS] != counts[PEER]:
        problems.append(f"{counts[NEXUS]} lines of {NEXUS}, {counts[PEER]} of {PEER}")

    for number, line in enumerate(lines, 1):
        who = f"{line['program']} (line {number} of this method)"
        first = next(other for other in lines if other["program"] == line["program"])
        if line["precision"] != first["precision"]:
            problems.append(f"{who}: precision is {line['precision']}, earlier {first['precision']}")
        for key in ("threads", "tokens_per_step"):
            if line[key] != reference[key]:
                problems.append(f"{who}: {key} is {line[key]}, the peer's {reference[key]}")
        if len(line["losses"]) != steps or len(line["seconds"]) != len(reference["seconds"]):
            problems.append(f"{who}: {len(line['losses'])} steps, the peer {steps}, or other timed steps")
            continue
        if steps > 1 and len(set(line["losses"])) == 1:
            problems.append(f"{who}: the loss is {line['losses'][0]} at every step")

        deviation = dict.fromkeys(worst, 0.0)
        for i, (loss, norm) in enumerate(zip(line["losses"], line["grad_norms"])):
            loss_error = relative(loss, reference["losses"][i])
            norm_error = relative(norm, reference["grad_norms"][i])
            if loss_error > LOSS_TOLERANCE:
                problems.append(
                    f"{who}, step {i}: loss {loss:.6f}, the peer's {reference['losses'][i]:.6f}: "
                    f"{loss_error:.1e} relative, {LOSS_TOLERANCE:.0e} allowed"
                )
            if norm <= 0:
                problems.append(f"{who}, step {i}: gradient norm {norm}, must be > 0")
            elif norm_error > GRAD_TOLERANCE:
                problems.append(
                    f"{who}, step {i}: gradient norm {norm:.6g}, the peer's {reference['grad_norms'][i]:.6g}: "
                    f"{norm_error:.1e} relative, {GRAD_TOLERANCE:.0e} allowed"
                )
            deviation["loss"] = max(deviation["loss"], loss_error)
            deviation["grad_norm"] = max(deviation["grad_norm"], norm_error)
        if moved > 0:
            off = max(abs(a - b) for a, b in zip(line["losses"], reference["losses"]))
            deviation["training"] = off / moved
            allowed = max(TRAINING_TOLERANCE[other["precision"]] for other in lines)
            if deviation["training"] > allowed:
                problems.append(
                    f"{who}: training moved the peer's loss by {moved:.2e}, this trajectory is off by {off:.2e}: "
                    f"{deviation['training']:.0%} of that, {allowed:.0%} allowed (100%: no weight was updated)"
                )
        if line["program"] == NEXUS:
            worst = {key: max(worst[key], deviation[key]) for key in worst}
    return problems, worst


def measure(lines):
    """The figures of one program and method: medians over rounds, each round's figure being its own median."""
    speeds = [line["tokens_per_step"] / statistics.median(line["seconds"]) for line in lines]
    peaks = [line["peak_rss_bytes"] for line in lines]
    return {
        "rounds": len(lines),
        "tokens_per_second": {"median": statistics.median(speeds), "min": min(speeds), "max": max(speeds)},
        "peak_rss_bytes": {"median": statistics.median(peaks), "min": min(peaks), "max": max(peaks)},
    }


def machine():
    model = "unknown CPU"
    try:
        for text in Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {"cpu": model, "cores": len(os.sched_getaffinity(0))}


def read_shape(directory):
    config = json.loads((directory / "model/config.json").read_text())
    adapter = json.loads((directory / "adapter/adapter_config.json").read_text())

    def field(*names):
        """The field by the name that the family gives it."""
        return next((config[name] for name in names if config.get(name)), None)

    with open(directory / "batches.safetensors", "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        if size > 1 << 20:
            fail(f"{directory}/batches.safetensors: header of {size} bytes")
        batches, batch, length = json.loads(file.read(size))["ids"]["shape"]
    return {
        "family": config["model_type"],
        "hidden": field("hidden_size", "n_embd"),
        "layers": field("num_hidden_layers", "n_layer"),
        "heads": field("num_attention_heads", "n_head"),
        "kv_heads": field("num_key_value_heads", "num_attention_heads", "n_head"),
        "feed_forward": field("intermediate_size", "n_inner") or 4 * field("hidden_size", "n_embd"),
        "vocabulary": config["vocab_size"],
        "lora_rank": adapter["r"],
        "batches": batches,
        "batch": batch,
        "length": length,
    }


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file with one JSON line per run of either program")
    parser.add_argument("--dir", type=Path, required=True, help="folder that `train.py prepare` wrote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    args = parser.parse_args()

    try:
        lines = read_lines(args.results)
        shape = read_shape(args.dir)
        untrained = json.loads((args.dir / "untrained.json").read_text())["losses"]
    except OSError as error:
        fail(error)
    tokens = shape["batch"] * shape["length"]

    report = {"machine": machine(), "shape": shape, "versions": {}, "methods": {}}
    problems = []
    for line in lines:
        known = report["versions"].setdefault(line["program"], line["versions"])
        if known != line["versions"]:
            problems.append(f"{line['program']} ran in two versions: {known} and {line['versions']}")
        if line["tokens_per_step"] != tokens:
            problems.append(f"{line['program']}: {line['tokens_per_step']} tokens per step; the batches have {tokens}")

    print(f"machine   {report['machine']['cpu']}, {report['machine']['cores']} cores")
    for program, versions in report["versions"].items():
        print(f"versions  {program}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print(
        f"shape     {shape['family']}, hidden {shape['hidden']}, {shape['layers']} layers, "
        f"{shape['heads']}/{shape['kv_heads']} heads, "
        f"ff {shape['feed_forward']}, vocabulary {shape['vocabulary']}, LoRA rank {shape['lora_rank']}, "
        f"batch {shape['batch']} x {shape['length']}"
    )

    for method in dict.fromkeys(line["method"] for line in lines):
        group = [line for line in lines if line["method"] == method]
        missing = [name for name in (NEXUS, PEER) if all(line["program"] != name for line in group)]
        if missing:
            problems.append(f"{method}: no line of {missing[0]}; a number without its peer is not a result")
            continue
        found, worst = check(group, untrained)
        problems += [f"{method}: {text}" for text in found]

        figures = {name: measure([line for line in group if line["program"] == name]) for name in (NEXUS, PEER)}
        ratio = {
            key: figures[NEXUS][key]["median"] / figures[PEER][key]["median"]
            for key in ("tokens_per_second", "peak_rss_bytes")
        }
        first = group[0]
        settings = {key: first[key] for key in ("threads", "tokens_per_step")}
        precisions = {name: next(x["precision"] for x in group if x["program"] == name) for name in (NEXUS, PEER)}
        settings["precision"] = precisions
        settings.update(timed_steps=len(first["seconds"]), warmup_steps=len(first["losses"]) - len(first["seconds"]))
        report["methods"][method] = {
            **settings,
            "programs": figures,
            "ratio_nexus_to_peer": ratio,
            "largest_deviation": worst,
            "agree": not found,
        }

        print(
            f"\n{method}  {' beside '.join(dict.fromkeys(precisions.values()))}, {settings['threads']} threads, {figures[NEXUS]['rounds']} rounds of "
            f"{settings['warmup_steps']} warm-up + {settings['timed_steps']} timed steps"
        )
        rows = [["program", "tokens/s", "min..max", "peak memory"]]
        for name in (NEXUS, PEER):
            speed, peak = figures[name]["tokens_per_second"], figures[name]["peak_rss_bytes"]
            rows.append(
                [
                    name,
                    f"{speed['median']:.1f}",
                    f"{speed['min']:.1f}..{speed['max']:.1f}",
                    f"{peak['median'] / 2**20:.0f} MiB",
                ]
            )
        rows.append(["nexus/peer", f"{ratio['tokens_per_second']:.3f}", "", f"{ratio['peak_rss_bytes']:.3f}"])
        table(rows)
        print(
            f"  {'both computed the same' if not found else 'THE TWO DISAGREE: these speeds compare different work'}"
            f" (largest deviation: loss {worst['loss']:.1e}, gradient norm {worst['grad_norm']:.1e}, "
            f"of the effect of training {worst['training']:.1%})"
        )

    report["problems"] = problems
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    if problems:
        sys.stdout.flush()
        shown = "".join(f"\n  {text}" for text in problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        fail(f"the results do not compare:{shown}{more}")


if __name__ == "__main__":
    main()
