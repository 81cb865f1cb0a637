#!/usr/bin/env python3
"""Compares the JSON lines that Nexus and its peer print for a classification: one table per data set and method.

Needs only the standard library. Exits 1 when the two disagree.

Checked for every data set and method:
  - each seed has one line of each program, with the same threads, steps and test rows;
  - the loss of the first step, before any update, agrees within 1e-4; later steps drift apart, because rounding grows
    with every update;
  - the mean accuracies over the seeds agree within 0.5 points, or within two standard errors of their paired difference
    where that is more: on a test set of 100 rows one row is a whole point;
  - accuracy and macro-F1 of a line are those of its predictions, so both programs mean the same by them.
"""

import argparse
import json
import math
import statistics
import sys
from pathlib import Path

PEER, NEXUS = "pytorch+peft", "nexus"
METHODS = ("full", "lora")
FIRST_LOSS_TOLERANCE = 1e-4
ACCURACY_TOLERANCE = 0.5  # points
SCORE_TOLERANCE = 1e-9

KEYS = {
    "program": str,
    "versions": dict,
    "data": str,
    "seed": int,
    "method": str,
    "threads": int,
    "train_seconds": float,
    "test_seconds": float,
    "accuracy": float,
    "macro_f1": float,
    "losses": list,
    "predictions": list,
    "peak_rss_bytes": int,
}


def fail(message):
    sys.exit(f"error: {message}")


def scores(predictions, targets):
    """Accuracy, and the mean F1 of the classes that occur among the predictions or the targets."""
    f1 = []
    for c in set(predictions) | set(targets):
        both = sum(p == c == t for p, t in zip(predictions, targets))
        f1.append(2 * both / (predictions.count(c) + targets.count(c)))
    right = sum(p == t for p, t in zip(predictions, targets))
    return right / len(targets), sum(f1) / len(f1)


def read_labels(path):
    """The tensor `labels`, i32, of a safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    start, end = json.loads(data[8 : 8 + size])["labels"]["data_offsets"]
    values = memoryview(data)[8 + size + start : 8 + size + end].tobytes()
    return [int.from_bytes(values[i : i + 4], "little", signed=True) for i in range(0, len(values), 4)]


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
        if line["program"] not in (PEER, NEXUS):
            fail(f"{where}: unknown program {line['program']!r}; expected {PEER!r} or {NEXUS!r}")
        if not line["losses"] or not all(isinstance(x, float) and math.isfinite(x) for x in line["losses"]):
            fail(f"{where}: `losses` is empty or has a value that is not a finite number")
        lines.append(line)
    if not lines:
        fail(f"{path} has no lines")
    return lines


def compare(pairs, targets):
    """Figures of one data set and method, and what disagrees. `pairs`: (nexus line, peer line, seed)."""
    problems = []
    first_loss, changed = 0.0, 0
    for nexus, peer, seed in pairs:
        who = f"seed {seed}"
        for key in ("threads",):
            if nexus[key] != peer[key]:
                problems.append(f"{who}: {key} is {nexus[key]}, the peer's {peer[key]}")
        if len(nexus["losses"]) != len(peer["losses"]):
            problems.append(f"{who}: {len(nexus['losses'])} steps, the peer {len(peer['losses'])}")
        off = abs(nexus["losses"][0] - peer["losses"][0])
        first_loss = max(first_loss, off)
        if off > FIRST_LOSS_TOLERANCE:
            problems.append(
                f"{who}: the first loss is {nexus['losses'][0]:.6f}, the peer's {peer['losses'][0]:.6f}: "
                f"{off:.1e} apart, {FIRST_LOSS_TOLERANCE:.0e} allowed"
            )
        for line in (nexus, peer):
            if len(line["predictions"]) != len(targets[seed]):
                fail(f"{who}: {len(line['predictions'])} predictions for {len(targets[seed])} test rows")
            for key, value in zip(("accuracy", "macro_f1"), scores(line["predictions"], targets[seed])):
                if abs(line[key] - value) > SCORE_TOLERANCE:
                    problems.append(f"{who}, {line['program']}: {key} {line[key]} is not that of its predictions, {value}")
        changed += sum((n == t) != (p == t) for n, p, t in zip(nexus["predictions"], peer["predictions"], targets[seed]))

    def mean(side, key):
        return statistics.fmean(pair[side][key] for pair in pairs)

    rows = sum(len(targets[seed]) for _, _, seed in pairs)
    difference = 100 * (mean(0, "accuracy") - mean(1, "accuracy"))
    allowed = max(ACCURACY_TOLERANCE, 2 * 100 * math.sqrt(changed) / rows)
    if abs(difference) > allowed:
        problems.append(f"accuracy is {difference:+.2f} points from the peer's, {allowed:.2f} allowed")

    def ratio(key):
        return statistics.median(nexus[key] / peer[key] for nexus, peer, _ in pairs)

    programs = {}
    for side, name in enumerate((NEXUS, PEER)):
        programs[name] = {
            "accuracy": mean(side, "accuracy"),
            "macro_f1": mean(side, "macro_f1"),
            **{
                key: statistics.median(pair[side][key] for pair in pairs)
                for key in ("train_seconds", "test_seconds", "peak_rss_bytes")
            },
        }
    return {
        "seeds": [seed for _, _, seed in pairs],
        "steps": len(pairs[0][1]["losses"]),
        "threads": pairs[0][1]["threads"],
        "test_rows": len(targets[pairs[0][2]]),
        "programs": programs,
        "accuracy_difference_points": difference,
        "accuracy_difference_allowed": allowed,
        "largest_first_loss_difference": first_loss,
        "ratio_nexus_to_peer": {key: ratio(key) for key in ("train_seconds", "test_seconds", "peak_rss_bytes")},
        "agree": not problems,
    }, problems


def table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())


def show(title, figures):
    print(
        f"\n{title}  {len(figures['seeds'])} seeds, {figures['steps']} steps, {figures['threads']} threads, "
        f"{figures['test_rows']} test rows"
    )
    rows = [["program", "accuracy %", "macro-F1 %", "training s", "test s", "peak memory"]]
    for name, values in figures["programs"].items():
        rows.append(
            [
                name,
                f"{100 * values['accuracy']:.2f}",
                f"{100 * values['macro_f1']:.2f}",
                f"{values['train_seconds']:.1f}",
                f"{values['test_seconds']:.1f}",
                f"{values['peak_rss_bytes'] / 2**20:.0f} MiB",
            ]
        )
    ratio = figures["ratio_nexus_to_peer"]
    f1 = 100 * (figures["programs"][NEXUS]["macro_f1"] - figures["programs"][PEER]["macro_f1"])
    rows.append(
        [
            "difference, ratio",
            f"{figures['accuracy_difference_points']:+.2f}",
            f"{f1:+.2f}",
            *(f"{ratio[key]:.3f}" for key in ("train_seconds", "test_seconds", "peak_rss_bytes")),
        ]
    )
    table(rows)
    print(
        f"  {'both agree' if figures['agree'] else 'THE TWO DISAGREE'} "
        f"(accuracy within {figures['accuracy_difference_allowed']:.2f} points allowed; "
        f"first losses {figures['largest_first_loss_difference']:.1e} apart)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="file with one JSON line per run of either program")
    parser.add_argument("--dir", type=Path, required=True, help="folder with DATA/seed-N as `classify.py prepare` wrote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    args = parser.parse_args()

    try:
        lines = read_lines(args.results)
        folders = {(line["data"], line["seed"]): args.dir / line["data"] / f"seed-{line['seed']}" for line in lines}
        targets = {key: read_labels(folder / "test.safetensors") for key, folder in folders.items()}
    except OSError as error:
        fail(error)

    problems = []
    report = {"versions": {}, "results": []}
    for line in lines:
        known = report["versions"].setdefault(line["program"], line["versions"])
        if known != line["versions"]:
            problems.append(f"{line['program']} ran in two versions: {known} and {line['versions']}")
    for program, versions in report["versions"].items():
        print(f"versions  {program}: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print("model     all-MiniLM-L6-v2 (BERT, 6 layers of 384) with a fresh pooler and classifier; every dropout 0; f32")

    for data, method in dict.fromkeys((line["data"], line["method"]) for line in lines):
        title = f"{data}, {method}"
        group = [line for line in lines if (line["data"], line["method"]) == (data, method)]
        pairs = []
        for seed in dict.fromkeys(line["seed"] for line in group):
            sides = [[x for x in group if x["seed"] == seed and x["program"] == name] for name in (NEXUS, PEER)]
            if [len(side) for side in sides] == [1, 1]:
                pairs.append((sides[0][0], sides[1][0], seed))
            else:
                problems.append(f"{title}, seed {seed}: {len(sides[0])} lines of {NEXUS}, {len(sides[1])} of {PEER}")
        if not pairs:
            continue
        figures, found = compare(pairs, {seed: targets[data, seed] for _, _, seed in pairs})
        problems += [f"{title}: {text}" for text in found]
        report["results"].append({"data": data, "method": method, **figures})
        show(title, figures)

    report["problems"] = problems
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    if problems:
        sys.stdout.flush()
        fail("the results do not compare:" + "".join(f"\n  {text}" for text in problems[:20]))


if __name__ == "__main__":
    main()
