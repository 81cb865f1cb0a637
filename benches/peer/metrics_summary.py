#!/usr/bin/env python3
"""Compares the JSON lines that Nexus and its peer print for text metrics: one table.

Needs only the standard library. Exits 1 when the two disagree.

Checked:
  - every run has the same number of pairs, and gives the same numbers each time;
  - BLEU's score, precisions and penalty agree within 1e-9, its counts and lengths exactly;
  - precision, recall and F of every pair agree within 1e-9 for each type of ROUGE.
"""

import argparse
import array
import json
import statistics
import sys
from pathlib import Path

PEER, NEXUS = "sacrebleu+rouge_score", "nexus"
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
TOLERANCE = 1e-9  # the same doubles, added in another order in places


def fail(message):
    sys.exit(f"error: {message}")


def read_runs(path):
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def values(found):
    """The numbers of a result in the order of their names."""
    if isinstance(found, dict):
        return [value for name in sorted(found) for value in values(found[name])]
    return [value for item in found for value in values(item)] if isinstance(found, list) else [found]


def largest_difference(mine, others):
    if len(mine) != len(others):
        fail(f"one side has {len(mine)} numbers, the other {len(others)}")
    return max((abs(a - b) for a, b in zip(mine, others)), default=0.0)


def read_scores(path, pairs):
    scores = array.array("d")
    try:
        scores.frombytes(path.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if sys.byteorder == "big":
        scores.byteswap()
    if len(scores) != 3 * len(TYPES) * pairs:
        fail(f"{path} has {len(scores)} numbers, not those of {pairs} pairs")
    return scores


def check(runs, folder):
    """The largest differences of BLEU and of ROUGE."""
    peers = [run for run in runs if run["program"] == PEER]
    if not peers or len(peers) == len(runs):
        fail("both programs must have run")
    first = peers[0]
    differences = {"BLEU": 0.0, "ROUGE": 0.0}
    for run in runs:
        if run["pairs"] != first["pairs"]:
            fail(f"{run['program']} scored {run['pairs']} pairs, the peer {first['pairs']}")
        for name in ("counts", "totals", "sys_len", "ref_len"):
            if run["bleu"][name] != first["bleu"][name]:
                fail(f"BLEU's {name} differ: {run['bleu'][name]} and {first['bleu'][name]}")
        for metric in differences:
            found = largest_difference(values(run[metric.lower()]), values(first[metric.lower()]))
            differences[metric] = max(differences[metric], found)
    scores = [read_scores(folder / f"rouge-{name}.f64", first["pairs"]) for name in ("nexus", "peer")]
    differences["ROUGE"] = max(differences["ROUGE"], largest_difference(*scores))
    for metric, difference in differences.items():
        if not difference <= TOLERANCE:
            fail(f"{metric} differs by {difference}")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--dir", type=Path, required=True, help="folder with the scores of each pair")
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    args = parser.parse_args()
    runs = read_runs(args.results)
    differences = check(runs, args.dir)
    pairs = runs[0]["pairs"]
    rows, figures = [], []
    for metric in ("BLEU", "ROUGE"):
        peer = None
        for program, threads in sorted({(run["program"], run["threads"]) for run in runs}, key=lambda key: (key[0] != PEER, key[1])):
            mine = [run for run in runs if (run["program"], run["threads"]) == (program, threads)]
            seconds = statistics.median(run[f"{metric.lower()}_seconds"] for run in mine)
            peer = peer or seconds
            rows.append([metric, program, str(threads), str(len(mine)), f"{seconds:.3f}", f"{pairs / seconds:,.0f}", f"{peer / seconds:.1f}x"])
            figures.append(dict(metric=metric, program=program, threads=threads, runs=len(mine), median_seconds=seconds, ratio=peer / seconds))
    header = ["metric", "program", "threads", "runs", "median s", "pairs/s", "ratio"]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))))
    print(f"\n{pairs:,} pairs; ROUGE is {', '.join(TYPES)} with the stemmer, in one pass.")
    print("Equal results: largest difference " + ", ".join(f"{metric} {found:.1e}" for metric, found in differences.items()))
    versions = {name: version for run in runs for name, version in run["versions"].items()}
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
    args.json.write_text(json.dumps(dict(pairs=pairs, figures=figures, differences=differences, versions=versions), indent=1) + "\n")


if __name__ == "__main__":
    main()
