"""Probabilities after transformers' logits processors, on one fixed row of logits."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import SEED, versions, write_json
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

PREVIOUS = [3, 11, 3, 27, 39, 0]
VOCAB = 40


def export(folder):
    torch.manual_seed(SEED)
    logits = [round(x, 6) for x in (2.0 * torch.randn(VOCAB, dtype=torch.float64)).tolist()]
    cases = {
        "none": [],
        "temperature_0.7": [TemperatureLogitsWarper(0.7)],
        "top_k_5": [TopKLogitsWarper(5)],
        "top_p_0.8": [TopPLogitsWarper(0.8)],
        "min_p_0.1": [MinPLogitsWarper(0.1)],
        "repetition_penalty_1.3": [RepetitionPenaltyLogitsProcessor(1.3)],
        "temperature_0.7_top_k_10_top_p_0.9_min_p_0.05": [
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(10),
            TopPLogitsWarper(0.9),
            MinPLogitsWarper(0.05),
        ],
        "repetition_penalty_1.3_temperature_0.7_top_k_10_top_p_0.9_min_p_0.3": [
            RepetitionPenaltyLogitsProcessor(1.3),
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(10),
            TopPLogitsWarper(0.9),
            MinPLogitsWarper(0.3),
        ],
    }
    probabilities = {}
    for name, processors in cases.items():
        scores = torch.tensor([logits], dtype=torch.float32)
        for processor in processors:
            scores = processor(torch.tensor([PREVIOUS]), scores)
        probabilities[name] = scores.softmax(-1)[0].tolist()
    expect = {
        "versions": versions(),
        "seed": SEED,
        "order": ["repetition_penalty", "temperature", "top_k", "top_p", "min_p"],
        "previous_ids": PREVIOUS,
        "logits": logits,
        "probabilities": probabilities,
    }
    write_json(folder / "expect.json", expect)


if __name__ == "__main__":
    export(HERE)
