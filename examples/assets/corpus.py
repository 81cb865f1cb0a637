"""Builds the text on which the shipped decoder was trained.

    python3 examples/assets/corpus.py DATA_FOLDER OUT_FOLDER

DATA_FOLDER holds one folder per set (the names below), each with train.jsonl and valid.jsonl; all are permissively
licensed or in the public domain, see MODEL_CARD.md. OUT_FOLDER receives train.jsonl and valid.jsonl ({"text"} records).
The text written for the decoder (corpus/*.txt) is repeated, because it is the only one in the style of the
specialists; every tenth of its passages is held out.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# set -> the share of its records that is taken, from the front
SETS = {
    "arch_corpus": 1.0,
    "attack_procedures": 1.0,
    "attack_qa": 1.0,
    "clippy_qa": 1.0,
    "design_patterns_qa": 0.6,
    "devops_corpus": 0.45,
    "perf_corpus": 1.0,
    "prom_alerts_qa": 1.0,
    "runbooks_qa": 1.0,
    "rustsec_qa": 1.0,
}
OWN_REPEATS = 4


def text_of(record):
    if "prompt" in record:
        return f"Question: {record['prompt']}\nAnswer: {record['completion']}"
    return record["text"]


def main(data, out):
    out.mkdir(parents=True, exist_ok=True)
    train, valid = [], []
    for name, share in SETS.items():
        for split, texts in (("train", train), ("valid", valid)):
            lines = (data / name / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
            take = lines[: int(len(lines) * share)]
            if split == "valid":
                take = take[::6]
            texts += [text_of(json.loads(line)) for line in take]
    passages = []
    for path in sorted((HERE / "corpus").glob("*.txt")):
        passages += [p.strip() for p in path.read_text(encoding="utf-8").split("\n\n") if p.strip()]
    held_out = passages[::10]
    own = [p for i, p in enumerate(passages) if i % 10]
    train += own * OWN_REPEATS
    for name, texts in (("train", train), ("valid", valid), ("own_valid", held_out)):
        with open(out / f"{name}.jsonl", "w", encoding="utf-8") as file:
            for text in texts:
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        size = sum(len(text.encode()) for text in texts)
        print(f"{name}: {len(texts)} records, {size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
