"""Writes the data of the golden tasks, and what lm-evaluation-harness makes of them with the shipped decoder.

    python nexus-eval/tests/golden/tasks/export.py

Versions (checked below): lm_eval 0.4.13, transformers 5.23.0, torch 2.15.0, datasets 5.2.0, sacrebleu 2.6.0, pyarrow 26.0.1,
CPython 3.11.
All text is this project's own (examples/assets). Everything runs on the CPU in float32, one thread, batch size 4.

results.json    the harness's results, configs, versions, n-shot, higher_is_better and n-samples
samples.jsonl, samples_group.jsonl
                every sample as the harness writes it to its samples_*.jsonl, with the task's name under "task", in the
                second file of GROUP and of the tasks with several answers; an array of numpy is a list, and
                golden_votes is answered by Scripted
rolling.json    windows of get_rolling_token_windows and make_disjoint_window, after a prefix token 1000
random.json     draws of random.Random: sample and choices
windows.json    log-likelihoods of one document by PyTorch alone, over windows of 64 tokens
"""

import csv
import json
import os
import random
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ASSETS = HERE.parents[3] / "examples" / "assets"
os.environ.update(
    HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_DATASETS_CACHE=tempfile.mkdtemp(),
    DISABLE_MULTIPROC="1", TOKENIZERS_PARALLELISM="false", CUDA_VISIBLE_DEVICES="",
)
PINNED = {"lm_eval": "0.4.13", "transformers": "5.23.0", "torch": "2.15.0", "datasets": "5.2.0", "sacrebleu": "2.6.0", "pyarrow": "26.0.1"}
for package, pinned in PINNED.items():
    assert version(package).split("+")[0] == pinned, f"{package} must be {pinned}, not {version(package)}"
assert sys.version_info[:2] == (3, 11)

import lm_eval  # noqa: E402
import numpy  # noqa: E402
import pyarrow  # noqa: E402
import pyarrow.parquet as parquet  # noqa: E402
import torch  # noqa: E402
from lm_eval.api.model import LM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from lm_eval.utils import get_rolling_token_windows, handle_non_serializable, make_disjoint_window, sanitize_list  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

TASKS = ["golden_choice", "golden_table", "golden_cloze", "golden_documents", "golden_answers", "golden_texts"]
# A group within a group, with the tasks golden_classes, golden_pairs and golden_contexts.
GROUP = "golden_all"


def write(name, value, lines=False):
    dump = [json.dumps(one, ensure_ascii=False) for one in value] if lines else [json.dumps(value, indent=1, ensure_ascii=False)]
    text = "\n".join(dump) + "\n"
    assert len(text) < 200_000, name
    (HERE / name).write_text(text, encoding="utf-8")


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_data():
    choices = rows(ASSETS / "security" / "choice.jsonl")[:12]
    # A choice beyond ASCII, whose length differs by characters and bytes, and a document that occurs twice.
    choices[3]["choices"][0] = " Das Prinzip \u00fcberm\u00e4\u00dfig gro\u00dfer Schl\u00fcssel"
    choices.append(choices[5])
    write("choice.jsonl", choices, lines=True)
    pairs, contexts = [], []
    for i, row in enumerate(choices):
        right, wrong = row["choices"][row["answer"]], row["choices"][(row["answer"] + 1) % 4]
        answer = int(i % 3 > 0)
        both = [wrong, right] if answer else [right, wrong]
        # Fewer than there are choices, so that a mean over tasks and one over documents differ.
        if i < 9:
            pairs.append({"question": row["question"].split("\nAnswer:")[0], "choices": both, "answer": answer, "lead": "Answer:"})
        if i < 7:
            words = row["question"].split("\nAnswer:")[0].removeprefix("Question: ")
            contexts.append({"contexts": [f"{one.strip()}{'' if i % 2 else ' '}" for one in both], "answer": answer, "rest": words})
    write("pairs.jsonl", pairs, lines=True)
    write("contexts.jsonl", contexts, lines=True)
    write("votes.jsonl", [{"question": f"{n} and {n}?", "answer": str(2 * n)} for n in range(2, 6)], lines=True)
    cloze = rows(ASSETS / "security" / "valid.jsonl")[:16]
    for row in cloze:
        row["answer"] = " ".join(row["completion"].split()[:2])
    # Some that the decoder gets right: it begins every answer so.
    cloze[0]["answer"], cloze[1]["answer"] = "The Bug!", "a stack"
    cloze += [{**row, "completion": " A"} for row in cloze[2:8]]
    write("cloze.jsonl", cloze, lines=True)
    corpus = ASSETS / "corpus"
    security, cases = [(corpus / name).read_text(encoding="utf-8") for name in ("01_security_basics.txt", "20_cases.txt")]
    documents = [security[:6000], cases[:900], "  Zwei  W\u00f6rter \n\n\u65e5\u672c\u8a9e\u00a0x\t", "Port", cases[2000:5000]]
    write("documents.jsonl", [{"text": text, "id": i} for i, text in enumerate(documents)], lines=True)
    text = "A log entry of a user, {} times a minute"
    table = [{"text": text.format(n) + (" " if n % 2 else ""), "level": n % 3, "kind": "x" if n % 4 else "NA", "area": f"area {n}"} for n in range(36)]
    for name, part in (("table_train.csv", table[:30]), ("table.csv", table[30:])):
        with open(HERE / name, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(part)
    columns = {key: [row[key] for row in table[30:]] for key in table[0]}
    columns["names"] = [[row["kind"], "y"] for row in table[30:]]
    parquet.write_table(pyarrow.table(columns), HERE / "table.parquet", compression="snappy")


def write_random():
    sample = []
    for seed, n, k in [(1234, 12, 3), (1234, 22, 3), (1234, 300, 5), (0, 100, 20), (2**40 + 5, 85, 16), (7, 86, 21), (42, 5, 5), (1, 70000, 4)]:
        generator = random.Random(seed)
        draws = [generator.sample(range(n), k) for _ in range(4)]
        sample.append({"seed": seed, "n": n, "k": k, "draws": draws})
    choices = []
    for seed, n in [(0, 30), (99, 7)]:
        choices.append({"seed": seed, "n": n, "places": random.Random(seed).choices(range(n), k=700)})
    write("random.json", {"sample": sample, "choices": choices})


def write_rolling():
    cases = []
    for tokens, length, context in [(34, 10, 1), (34, 10, 8), (34, 10, 10), (30, 10, 1), (30, 10, 10), (18, 100, 4), (20, 1, 1), (9, 2, 2), (50, 7, 3)]:
        windows = get_rolling_token_windows(list(range(tokens)), prefix_token=1000, max_seq_len=length, context_len=context)
        windows = [make_disjoint_window(window) for window in windows]
        cases.append({"tokens": tokens, "max_length": length, "context": context, "windows": windows})
    (HERE / "rolling.json").write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n")


def as_written(task, sample):
    """A sample as EvaluationTracker.save_results_samples writes it."""
    arguments = {
        f"gen_args_{i}": {f"arg_{j}": value for j, value in enumerate(argument)}
        for i, argument in enumerate(sample["arguments"])
    }
    sample = {**sample, "arguments": arguments, "target": str(sample["target"])}
    sample["resps"], sample["filtered_resps"] = sanitize_list(sample["resps"]), sanitize_list(sample["filtered_resps"])
    default = lambda value: value.tolist() if isinstance(value, numpy.ndarray) else handle_non_serializable(value)
    return {"task": task, **json.loads(json.dumps(sample, default=default))}


class Scripted(LM):
    """Answers the nth question with the nth of these, again and again."""

    ANSWERS = ["It is 4", "5", "4.", "no", "5", "6", "7 or 6", "It is 6", "8", "9", "8", "10", "none"]

    def generate_until(self, requests):
        return [self.ANSWERS[i % len(self.ANSWERS)] for i in range(len(requests))]

    def loglikelihood(self, requests):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def write_results():
    os.chdir(HERE)
    torch.set_num_threads(1)
    manager = TaskManager(include_path=str(HERE), include_defaults=False)
    results = lm_eval.simple_evaluate(
        model="hf",
        model_args=f"pretrained={ASSETS / 'decoder'},dtype=float32",
        tasks=[*TASKS, "golden_repeats", GROUP],
        batch_size=4,
        device="cpu",
        task_manager=manager,
    )
    kept = ["results", "configs", "versions", "n-shot", "higher_is_better", "n-samples"]
    votes = lm_eval.simple_evaluate(model=Scripted(), tasks=["golden_votes"], task_manager=manager)
    for key in [*kept, "samples"]:
        results[key].update(votes[key])
    kept += ["groups", "group_subtasks"]
    dumped = json.loads(json.dumps({key: results[key] for key in kept}, default=handle_non_serializable))
    for config in dumped["configs"].values():
        # Where the file lies, and what the model was loaded with.
        for key in ("config_source", "pretrained", "dtype"):
            config["metadata"].pop(key, None)
        if not config["metadata"]:
            del config["metadata"]
    write("results.json", dumped)
    for name, tasks in [("samples.jsonl", TASKS), ("samples_group.jsonl", [task for task in results["samples"] if task not in TASKS])]:
        write(name, [as_written(task, sample) for task in tasks for sample in results["samples"][task]], lines=True)


def write_windows():
    """Perplexity of one document: every token once, after at most 64 before it, the first after <|endoftext|>."""
    model = AutoModelForCausalLM.from_pretrained(ASSETS / "decoder", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "decoder")
    text = (ASSETS / "corpus" / "20_cases.txt").read_text(encoding="utf-8")[:3000]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    length, total = 64, 0.0
    for start in range(0, len(ids), length):
        end = min(start + length, len(ids))
        before = [tokenizer.bos_token_id] if start == 0 else ids[end - length - 1 : start]
        row = torch.tensor([before + ids[start:end]])
        with torch.no_grad():
            log_probabilities = model(row[:, :-1]).logits.double().log_softmax(-1)
        total += log_probabilities[0].gather(1, row[0, 1:, None])[len(before) - 1 :].sum().item()
    write("windows.json", {"text": text, "max_length": length, "tokens": len(ids), "log_likelihood": total})


if __name__ == "__main__":
    write_data()
    write_random()
    write_rolling()
    write_windows()
    write_results()
