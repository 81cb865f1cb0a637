"""Checks the security records and the corpus: run `python3 check.py`."""
import json
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PREFIX, SUFFIX = "Question: ", "\nAnswer:"
problems = []


def fail(text):
    problems.append(text)
    print("FAIL", text)


def load(name, keys):
    raw = (ROOT / "security" / name).read_bytes()
    if any(b > 126 or (b < 32 and b != 10) for b in raw):
        fail(f"{name}: a byte that is not plain ASCII")
    rows = []
    for n, line in enumerate(raw.decode("ascii", "replace").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError as err:
            fail(f"{name}:{n}: {err}")
            continue
        if set(row) != keys:
            fail(f"{name}:{n}: keys {sorted(row)}")
        if any(ord(c) > 126 for v in row.values() for c in (v if isinstance(v, str) else str(v))):
            fail(f"{name}:{n}: not ASCII after decoding")
        rows.append(row)
    return rows


def words(text):
    return re.findall(r"[a-z0-9.'-]+", text.lower())


def grams(text, n=8):
    w = words(text)
    return {" ".join(w[i:i + n]) for i in range(len(w) - n + 1)}


def inner(name, text):
    if not (text.startswith(PREFIX) and text.endswith(SUFFIX)):
        fail(f"{name}: layout of {text!r}")
    return text[len(PREFIX):-len(SUFFIX)]


train = load("train.jsonl", {"prompt", "completion"})
valid = load("valid.jsonl", {"prompt", "completion"})
choice = load("choice.jsonl", {"question", "choices", "answer"})
for name, rows, want in (("train", train, 260), ("valid", valid, 30), ("choice", choice, 40)):
    print(f"{name}: {len(rows)} records")
    if len(rows) != want:
        fail(f"{name}: {len(rows)} records, {want} wanted")

questions = {
    "train": [inner("train", r["prompt"]) for r in train],
    "valid": [inner("valid", r["prompt"]) for r in valid],
    "choice": [inner("choice", r["question"]) for r in choice],
}

# completions
for name, rows in (("train", train), ("valid", valid)):
    sizes = []
    for r in rows:
        c = r["completion"]
        if not re.match(r"^ [^ ]", c) or "\n" in c or "  " in c or not c.endswith("."):
            fail(f"{name}: form of {c!r}")
        n = len(c.split())
        sizes.append(n)
        if not 12 <= n <= 40:
            fail(f"{name}: {n} words in {c!r}")
    print(f"{name}: completion words {min(sizes)}..{max(sizes)}, mean {sum(sizes) / len(sizes):.1f}")

# no repeats inside or between the sets
seen = Counter(" ".join(words(q)) for qs in questions.values() for q in qs)
for q, n in seen.items():
    if n > 1:
        fail(f"question {n} times: {q}")
answers = Counter(" ".join(words(r["completion"])) for r in train + valid)
for a, n in answers.items():
    if n > 1:
        fail(f"answer {n} times: {a}")
names = list(questions)
for i, a in enumerate(names):
    ga = {g: q for q in questions[a] for g in grams(q)}
    for b in names[i + 1:]:
        for q in questions[b]:
            for g in grams(q):
                if g in ga:
                    fail(f"8-gram {g!r} in {a} and {b}: {q}")
train_sentences = {s.strip().lower() for r in train for s in re.split(r"(?<=[.;:])\s", r["completion"])}
for r in valid:
    for s in re.split(r"(?<=[.;:])\s", r["completion"]):
        if s.strip().lower() in train_sentences:
            fail(f"valid sentence in train: {s}")

# choices
completions = [r["completion"].strip().lower() for r in train]
prompts_with_answer = Counter()
support, lead = [], 0
familiar = total = 0
for r in choice:
    cs, k = r["choices"], r["answer"]
    if len(cs) != 4 or len({c.lower() for c in cs}) != 4 or k not in range(4):
        fail(f"choice form: {r}")
    lens = [len(c.split()) for c in cs]
    for c in cs:
        if not re.match(r"^ [^ ]", c) or c != c.rstrip():
            fail(f"choice text {c!r}")
    if min(lens) < 2 or max(lens) > 8:
        fail(f"choice words {lens}: {cs}")
    right = cs[k].strip().lower()
    hits = sum(right in c for c in completions)
    support.append(hits)
    lead += sum(c.startswith(right) for c in completions) >= 2
    if hits < 2:
        fail(f"right answer in only {hits} train completions: {right}")
    for j, c in enumerate(cs):
        if j != k:
            total += 1
            familiar += any(c.strip().lower() in x for x in completions)
    if right in r["question"].lower():
        fail(f"the question gives the answer: {right}")
balance = Counter(r["answer"] for r in choice)
print("choice: right index", dict(sorted(balance.items())))
if len(balance) != 4 or max(balance.values()) - min(balance.values()) > 1:
    fail("right index not balanced")
rights = Counter(r["choices"][r["answer"]] for r in choice)
if max(rights.values()) > 1:
    fail(f"one fact asked twice: {rights.most_common(1)}")
longest = sum(len(r["choices"][r["answer"]]) == max(map(len, r["choices"])) for r in choice)
shortest = sum(len(r["choices"][r["answer"]]) == min(map(len, r["choices"])) for r in choice)
print(f"choice: right answer in {min(support)}..{max(support)} train completions each; "
      f"opens at least two of them in {lead} of {len(choice)}")
print(f"choice: {familiar} of {total} wrong choices occur in train completions")
print(f"choice: right one is the longest in {longest}, the shortest in {shortest} of {len(choice)}")
if familiar < 0.85 * total:
    fail("too few familiar wrong choices")
if max(longest, shortest) > 0.5 * len(choice):
    fail("length gives the answer away")

# corpus
size = pairs = 0
held = {" ".join(words(q)) for qs in questions.values() for q in qs} | set(answers)
held_grams = {g for name in ("valid", "choice") for q in questions[name] for g in grams(q)}
corpus_questions, paragraphs = Counter(), Counter()
for path in sorted((ROOT / "corpus").glob("*.txt")):
    raw = path.read_bytes()
    size += len(raw)
    if any(b > 126 or (b < 32 and b != 10) for b in raw):
        fail(f"{path.name}: not plain ASCII")
    text = raw.decode("ascii", "replace")
    flat = " " + " ".join(words(text)) + " "
    for h in held:
        if " " + h + " " in flat:
            fail(f"{path.name}: holds a record's sentence: {h}")
    for g in held_grams & grams(text):
        fail(f"{path.name}: 8-gram of a held-out question: {g}")
    n = 0
    for block in text.strip().split("\n\n"):
        paragraphs[block] += 1
        if block.startswith("Question:"):
            n += 1
            lines = block.split("\n")
            if len(lines) != 2 or not lines[1].startswith("Answer: "):
                fail(f"{path.name}: passage form {block!r}")
            corpus_questions[lines[0].lower()] += 1
        elif "\n" in block:
            fail(f"{path.name}: line break inside a paragraph: {block[:60]!r}")
    pairs += n
    print(f"corpus/{path.name}: {len(raw)} bytes, {n} question passages")
for q, n in corpus_questions.items():
    if n > 1:
        fail(f"corpus question {n} times: {q}")
for p, n in paragraphs.items():
    if n > 1:
        fail(f"corpus paragraph {n} times: {p[:60]}")
print(f"corpus: {size} bytes, {pairs} question passages")
if size < 120000:
    fail("corpus below 120000 bytes")
print("FAILED" if problems else "OK", len(problems), "problems")
sys.exit(bool(problems))
