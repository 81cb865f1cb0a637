"""Learning rates of the first ten steps from transformers' `get_scheduler`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import versions, write_json
from transformers import get_scheduler

BASE, STEPS = 10.0, 10
SCHEDULES = {
    "constant": {},
    "constant_with_warmup": {"num_warmup_steps": 4},
    "linear": {"num_warmup_steps": 2, "num_training_steps": 10},
    "cosine": {"num_warmup_steps": 2, "num_training_steps": 10},
}


def export(folder):
    rates = {}
    for name, options in SCHEDULES.items():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
        schedule = get_scheduler(name, optimizer, **options)
        used = []
        for _ in range(STEPS):
            used.append(schedule.get_last_lr()[0])  # the rate that this optimizer step runs with
            optimizer.step()
            schedule.step()
        rates[name] = {**options, "rates": used}
    write_json(folder / "expect.json", {"versions": versions(), "base": BASE, "steps": STEPS, "schedules": rates})


if __name__ == "__main__":
    export(HERE)
