#!/usr/bin/env python3
"""The peer of the benchmark of text metrics: sacrebleu and rouge_score.

`prepare` writes pairs of a hypothesis and a reference, `run` scores them and prints one JSON line. Nexus reads the same pairs
and prints the same line, so `metrics_summary.py` can compare both. Reading the pairs is not timed.
"""

import argparse
import array
import importlib.metadata
import itertools
import json
import random
import sys
import time
from pathlib import Path

from metrics_summary import PEER, TYPES

FUNCTION_WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they which one you "
    "were all her she there would their we him been has when who will no more if out so said what up its about into than them"
).split()
BEGINNINGS = "con re in de pro ex com dis trans sub inter per".split()
MIDDLES = "form struct port tract vert mit duc fer scrib spect pend clud sist rupt cept gress nat val mov cred lev sign".split()
ENDINGS = (" s ed ing er ers ation ations able ive ively ment ments ness al ally ize ized ity ous ful fully ance y ies").split(" ")


def vocabulary(generator):
    """Words by falling frequency: function words, then made ones with the endings of English."""
    made = ["".join(parts) for parts in itertools.product(BEGINNINGS, MIDDLES, ENDINGS)]
    generator.shuffle(made)
    words = FUNCTION_WORDS + made
    return words, list(itertools.accumulate(1 / (rank + 3) for rank in range(len(words))))


class Sentences:
    """References of 8 to 40 words, a third of them of two lines, with punctuation, numbers and capitals."""

    def __init__(self, generator):
        self.generator = generator
        self.words, self.weights = vocabulary(generator)

    def word(self):
        kind = self.generator.random()
        if kind < 0.02:
            return str(self.generator.randrange(2100))
        if kind < 0.03:
            return f"{self.generator.randrange(1, 100)},{self.generator.randrange(100, 1000)}.5"
        word = self.generator.choices(self.words, cum_weights=self.weights)[0]
        return word.capitalize() if kind < 0.06 else word

    def reference(self):
        words = [self.word() for _ in range(self.generator.randint(8, 40))]
        for i in range(len(words)):
            if self.generator.random() < 0.06:
                words[i] += self.generator.choice([",", ",", ";", ":", "'s"])
        words[0] = words[0].capitalize()
        if self.generator.random() < 1 / 3:
            words[len(words) // 2] += ".\n"
        return " ".join(words).replace("\n ", "\n") + "."

    def hypothesis(self, reference):
        """The reference with words dropped, replaced and inserted, and sometimes a phrase moved."""
        words = []
        for word in reference.split(" "):
            kind = self.generator.random()
            if kind < 0.12:
                words.append(self.word())
            if not kind < 0.07 and kind < 0.95:
                words.append(word)
        if len(words) > 6 and self.generator.random() < 0.4:
            start = self.generator.randrange(len(words) - 3)
            phrase = words[start : start + 3]
            del words[start : start + 3]
            target = self.generator.randrange(len(words))
            words[target:target] = phrase
        return " ".join(words)


def prepare(args):
    """Writes OUT/pairs.jsonl. The references are made, or the lines of a file, repeated as often as is needed."""
    generator = random.Random(args.seed)
    sentences = Sentences(generator)
    if args.data:
        try:
            lines = [line for line in Path(args.data).read_text(encoding="utf-8").split("\n") if line.strip()]
        except OSError as error:
            sys.exit(f"error: --data: {error}")
        if not lines:
            sys.exit(f"error: --data: {args.data} has no lines")
        references = itertools.islice(itertools.cycle(lines), args.pairs)
    else:
        references = (sentences.reference() for _ in range(args.pairs))
    with open(args.out / "pairs.jsonl", "w", encoding="utf-8") as file:
        for reference in references:
            pair = {"hypothesis": sentences.hypothesis(reference), "reference": reference}
            file.write(json.dumps(pair, ensure_ascii=False) + "\n")


def run(args):
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    with open(args.dir / "pairs.jsonl", encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    hypotheses, references = ([pair[side] for pair in pairs] for side in ("hypothesis", "reference"))

    start = time.perf_counter()
    bleu = BLEU(force=True).corpus_score(hypotheses, [references])
    bleu_seconds = time.perf_counter() - start

    start = time.perf_counter()
    scorer = RougeScorer(TYPES, use_stemmer=True)
    scores = [scorer.score(reference, hypothesis) for hypothesis, reference in zip(hypotheses, references)]
    rouge_seconds = time.perf_counter() - start

    values = array.array("d", (value for score in scores for kind in TYPES for value in score[kind]))
    if sys.byteorder == "big":
        values.byteswap()
    (args.dir / "rouge-peer.f64").write_bytes(values.tobytes())
    line = {
        "program": PEER,
        "versions": {name: importlib.metadata.version(name) for name in ("sacrebleu", "rouge_score", "nltk")},
        "threads": 1,
        "pairs": len(pairs),
        "bleu_seconds": bleu_seconds,
        "rouge_seconds": rouge_seconds,
        "bleu": {name: getattr(bleu, name) for name in ("score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len")},
        "rouge": {kind: sum(score[kind].fmeasure for score in scores) / len(scores) for kind in TYPES},
    }
    print(json.dumps(line))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help=prepare.__doc__)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--pairs", type=int, default=100_000)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--data", help="a text file whose lines are the references")
    command = commands.add_parser("run")
    command.add_argument("--dir", type=Path, required=True)
    args = parser.parse_args()
    prepare(args) if args.command == "prepare" else run(args)


if __name__ == "__main__":
    main()
