#!/usr/bin/env python3
"""Writes the golden values of the text metrics, beside this file.

Pinned, and checked below: sacrebleu 2.6.0, rouge_score 0.1.2, nltk 3.10.4, torchmetrics 1.9.0 (normalisation of SQuAD
answers), rapidfuzz 3.14.6 (edit distances), numpy 2.4.6, regex 2026.11.19; Python 3.11.

    python export.py [FAMILY ...]       all families when none is named

perl_rouge.json is not written by it: texts of google-research/rouge/testdata (Apache-2.0, random strings of letters), with
the scores that ROUGE-1.5.5.pl gave them, from rouge_scorer_test.py there. perl_large_*.txt are the longest of these texts, 1,000
lines each; the means over their lines are those of text-to-text-transfer-transformer's evaluation tests (Apache-2.0).
shakespeare.txt holds words of Shakespeare's plays (public domain), from the file of the char-rnn experiments.
"""

import collections
import importlib.metadata
import json
import logging
import sys
import unicodedata
from pathlib import Path

import numpy
import regex
from inputs import GAPS, PUNCTUATION, SUFFIXES, SYLLABLES, WORDS, Random, corpus_or_sentence, stemmer_word

HERE = Path(__file__).parent
PINNED = {
    "sacrebleu": "2.6.0",
    "rouge_score": "0.1.2",
    "nltk": "3.10.4",
    "torchmetrics": "1.9.0",
    "rapidfuzz": "3.14.6",
    "numpy": "2.4.6",
    "regex": "2026.11.19",
}
CASES = 2000  # of each family, and of each setting that has a file or column of its own
GRID = 8192  # BLEU: 2048 of each tokenizer and smoothing, 4096 of each switch
ROUGE = 5000  # 2500 with the stemmer, as many without; 2000 have several references
LONG, LONG_TER = 80, 40  # words of the long texts, at least; the peer's TER takes seconds for longer ones

BLEU_OPTIONS = [
    dict(tokenize=tokenize, smooth_method=method, smooth_value=value, effective_order=effective, lowercase=lower, max_ngram_order=order)
    for tokenize, method, value, effective, lower, order in [
        ("13a", "exp", None, False, False, 4),
        ("13a", "exp", None, True, False, 4),
        ("13a", "floor", None, False, True, 4),
        ("13a", "floor", 0.01, True, False, 4),
        ("13a", "add-k", None, True, False, 4),
        ("13a", "add-k", 0.5, False, False, 4),
        ("13a", "none", None, False, False, 4),
        ("intl", "exp", None, False, False, 4),
        ("intl", "exp", None, True, True, 4),
        ("intl", "floor", 0.0, False, False, 2),
        ("char", "exp", None, True, False, 4),
        ("char", "add-k", None, False, True, 6),
        ("none", "exp", None, True, False, 4),
        ("none", "none", None, True, True, 1),
    ]
]
CHRF_OPTIONS = [
    dict(char_order=nc, word_order=nw, beta=beta, lowercase=lower, whitespace=space, eps_smoothing=eps)
    for nc, nw, beta, lower, space, eps in [
        (6, 0, 2, False, False, False),
        (6, 2, 2, False, False, False),
        (6, 2, 2, True, True, False),
        (6, 2, 2, False, False, True),
        (6, 0, 3, True, False, True),
        (3, 1, 1, False, True, True),
        (0, 2, 2, False, False, False),
        (1, 0, 0, False, False, False),
        (10, 4, 2, False, False, False),
    ]
]
TER_OPTIONS = [
    dict(normalized=normalized, no_punct=no_punct, asian_support=asian, case_sensitive=case)
    for normalized, no_punct, asian, case in [
        (False, False, False, False),
        (True, False, False, False),
        (True, False, True, False),
        (False, True, False, True),
        (False, True, True, False),
        (True, True, True, True),
    ]
]
ROUGE_TYPES = ["rouge1", "rouge2", "rouge3", "rougeL", "rougeLsum"]


def grid_option(index):
    """BLEU's options of a case of the grid: corpora and segments take turns, then each option changes half as often as the last."""
    tokenizer, smoothing, rest = index // 2 % 4, index // 8 % 4, index // 32
    method, value = [("exp", None), ("floor", 0.05), ("add-k", 0.5), ("none", None)][smoothing]
    return dict(
        tokenize=["13a", "intl", "char", "none"][tokenizer],
        smooth_method=method,
        smooth_value=value if rest // 2 % 2 else None,
        effective_order=rest % 2 == 1,
        lowercase=rest // 4 % 2 == 1,
        max_ngram_order=4,
    )


def write(name, rows):
    """One row of JSON a line."""
    dump = lambda row: json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    (HERE / name).write_text("[\n" + ",\n".join(map(dump, rows)) + "\n]\n", encoding="utf-8")


def streams(references):
    """References by segment as sacrebleu wants them: by position, None where a segment has fewer."""
    return [[group[i] if i < len(group) else None for group in references] for i in range(max(map(len, references)))]


def score_of(metric, index, hypotheses, references):
    if index % 2 == 0:
        return metric.corpus_score(hypotheses, streams(references))
    return metric.sentence_score(hypotheses[0], references[0])


def sacrebleu_scores(metric_type, options, family, long):
    for index in range(CASES):
        hypotheses, references = corpus_or_sentence(family, index, long)
        # Corpora and segments take turns: both see every option.
        metric = metric_type(**options[index // 2 % len(options)])
        yield index, score_of(metric, index, hypotheses, references), (hypotheses, references)


def signatures(metric_type, options):
    """Of each option: with one reference, and with a varying number; and a line."""
    for option in options:
        metric = metric_type(**option)
        score = metric.corpus_score(["a b c d e"], [["a b c d e f"]])
        one = str(metric.get_signature())
        line = score.format(signature=one)
        metric.corpus_score(["a", "b"], [["a", "b"], ["a", None]])
        yield {"options": option, "one": one, "varying": str(metric.get_signature()), "line": line}


def bleu():
    from sacrebleu.metrics import BLEU

    write("bleu_options.json", signatures(BLEU, BLEU_OPTIONS))
    rows, lines = [], []
    for index, s, _ in sacrebleu_scores(BLEU, BLEU_OPTIONS, 1, LONG):
        rows.append([s.score, s.bp, s.sys_len, s.ref_len, *s.counts, *s.totals, *s.precisions])
        if index < 100:
            lines.append(s.format())
    write("bleu_corpus.json", rows[0::2])
    write("bleu_sentence.json", rows[1::2])
    write("bleu_lines.json", lines)
    scores, names = [], []
    for index in range(GRID):
        metric = BLEU(**grid_option(index))
        scores.append(score_of(metric, index, *corpus_or_sentence(8, index, LONG)).score)
        if index < 256:
            names.append(str(metric.get_signature()))
    write("bleu_grid.json", scores)
    write("bleu_grid_signatures.json", names)


def chrf():
    from sacrebleu.metrics import CHRF

    write("chrf_options.json", signatures(CHRF, CHRF_OPTIONS))
    rows = []
    for index, s, texts in sacrebleu_scores(CHRF, CHRF_OPTIONS, 2, LONG):
        rows.append([s.score, *(score_of(CHRF(word_order=order), index, *texts).score for order in (0, 2))])
    write("chrf.json", rows)


def ter():
    from sacrebleu.metrics import TER

    write("ter_options.json", signatures(TER, TER_OPTIONS))
    scores = sacrebleu_scores(TER, TER_OPTIONS, 3, LONG_TER)
    write("ter.json", [[s.score, s.num_edits, s.ref_length] for _, s, _ in scores])
    # Lengths so different that the beam matters, and so many matches that the search for shifts gives up.
    rows = []
    for index in range(24):
        random = Random(index)
        lengths = [(4, 300), (300, 4), (60, 250), (250, 60), (120, 120), (1, 80)][index % 6]
        words = 3 + 40 * (index // 6)
        hypothesis, reference = (" ".join(f"w{random.below(words)}" for _ in range(n)) for n in lengths)
        score = TER().sentence_score(hypothesis, [reference])
        rows.append([score.score, score.num_edits, score.ref_length])
    write("ter_beam.json", rows)


def rouge():
    from rouge_score.rouge_scorer import RougeScorer

    scorers = [RougeScorer(ROUGE_TYPES, use_stemmer=stem) for stem in (False, True)]
    fmeasures, others = [], []
    for index in range(ROUGE):
        hypotheses, references = corpus_or_sentence(4, index, LONG)
        # Other endings, for the stemmer to take off again.
        hypothesis = hypotheses[0].replace("s ", " ").replace("e ", "es ")
        scores = scorers[index // 2 % 2].score_multi(references[0], hypothesis)
        fmeasures.append([scores[kind].fmeasure for kind in ROUGE_TYPES])
        if index < 500:
            others.append([value for kind in ROUGE_TYPES for value in scores[kind][:2]])
    write("rouge_fmeasure.json", fmeasures)
    write("rouge_precision_recall.json", others)


def bootstrap():
    """Intervals of made-up scores, with the indices that inputs.Random draws in place of numpy's."""
    from rouge_score import scoring

    choice, rows = numpy.random.choice, []
    for index in range(CASES):
        random = Random(index)
        n, samples, confidence = 1 + random.below(12), 2 + random.below(30), (0.95, 0.9, 0.5)[index % 3]
        scores = [random.below(1000) / 999 for _ in range(n)]
        numpy.random.choice = lambda a, size: numpy.array([random.below(len(a)) for _ in range(size)])
        aggregator = scoring.BootstrapAggregator(confidence_interval=confidence, n_samples=samples)
        for score in scores:
            aggregator.add_scores({"rouge": scoring.Score(score, score, score)})
        found = aggregator.aggregate()["rouge"]
        rows.append([found.low.fmeasure, found.mid.fmeasure, found.high.fmeasure])
    numpy.random.choice = choice
    write("bootstrap.json", rows)


def porter():
    from nltk.stem.porter import PorterStemmer

    stem = PorterStemmer().stem
    words = (HERE / "shakespeare.txt").read_text().split()
    write("porter_shakespeare.json", [[stem(word) for word in words[i : i + 20]] for i in range(0, len(words), 20)])
    made = [stem(stemmer_word(index)) for index in range(12000)]
    write("porter_made.json", [made[i : i + 20] for i in range(0, len(made), 20)])


def squad():
    from torchmetrics.functional.text.squad import _normalize_text as normalize

    def f1(prediction, truth):
        """The formula of evaluate-v1.1.py in double precision; torchmetrics computes in single precision."""
        mine, other = normalize(prediction).split(), normalize(truth).split()
        same = sum((collections.Counter(mine) & collections.Counter(other)).values())
        if same == 0:
            return 0.0
        precision, recall = same / len(mine), same / len(other)
        return 2 * precision * recall / (precision + recall)

    rows = []
    for index in range(CASES):
        hypotheses, references = corpus_or_sentence(6, index, 20)
        if index % 3 == 0:  # articles are rare in the word list
            references = [[f"The {text} a An" for text in group] for group in references]
        pairs = list(zip(hypotheses, references))
        exact = sum(max(normalize(h) == normalize(r) for r in group) for h, group in pairs)
        rows.append([100 * exact / len(pairs), 100 * sum(max(f1(h, r) for r in group) for h, group in pairs) / len(pairs)])
    write("squad.json", rows)
    write("squad_normal.json", [normalize(corpus_or_sentence(6, index, 20)[0][0]) for index in range(300)])


def edits():
    from rapidfuzz.distance import Levenshtein

    rows = []
    for index in range(CASES):
        hypotheses, references = corpus_or_sentence(7, index, LONG)
        pairs = [(h, group[0]) for h, group in zip(hypotheses, references)]
        words = sum(Levenshtein.distance(h.split(), r.split()) for h, r in pairs)
        characters = sum(Levenshtein.distance(h, r) for h, r in pairs)
        rows.append([words, sum(len(r.split()) for _, r in pairs), characters, sum(len(r) for _, r in pairs)])
    write("edits.json", rows)


def unicode():
    """Classes of all characters as ranges; those that Python's older tables do not know are listed too."""
    import re

    everything = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]

    def ranges(test):
        found = []
        for c in everything:
            if test(c):
                if found and found[-1][1] == ord(c) - 1:
                    found[-1][1] = ord(c)
                else:
                    found.append([ord(c), ord(c)])
        return found

    classes = {name: ranges(regex.compile(rf"\p{{{name}}}").match) for name in "PSN"}
    classes["space"] = ranges(str.isspace)
    assert classes["space"] == ranges(re.compile(r"\s").match)
    classes["word"] = ranges(re.compile(r"\w").match)
    classes["unknown"] = ranges(lambda c: unicodedata.category(c) == "Cn")
    lower = [[ord(c), c.lower()] for c in everything if c.lower() != c]
    write("unicode.json", [[name, *found] for name, found in classes.items()] + [["lower", *lower]])


FAMILIES = [bleu, chrf, ter, rouge, bootstrap, porter, squad, edits, unicode]


def main():
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    for package, version in PINNED.items():
        found = importlib.metadata.version(package)
        if found != version:
            sys.exit(f"error: {package} {found} is installed; these values are those of {version}")
    texts = {"words": WORDS, "gaps": GAPS, "punctuation": PUNCTUATION, "syllables": SYLLABLES, "suffixes": SUFFIXES}
    write("texts.json", [texts])
    chosen = sys.argv[1:]
    for family in FAMILIES:
        if not chosen or family.__name__ in chosen:
            print(family.__name__, file=sys.stderr)
            family()


if __name__ == "__main__":
    main()
