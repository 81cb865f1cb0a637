"""The `trainer_state.json` files of a real 20-step run of transformers' `Trainer`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import os
import shutil
import tempfile

import torch
from golden import SEED, build_model, llama_config
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments

def dataset(config, rows):
    """Rows of 8 random tokens, each its own label."""
    ids = torch.randint(3, config.vocab_size, (rows, 8))
    return [{"input_ids": row, "labels": row.clone()} for row in ids]


def export(folder):
    config = llama_config()
    model = build_model(config)
    train, evaluation = dataset(config, 16), dataset(config, 8)
    start = os.getcwd()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # the state names its best checkpoint by the path it was given: keep that relative
        try:
            trainer = Trainer(
                model=model,
                args=TrainingArguments(
                    output_dir="out",
                    max_steps=20,
                    per_device_train_batch_size=4,
                    per_device_eval_batch_size=4,
                    learning_rate=1e-3,
                    logging_steps=5,
                    eval_strategy="steps",
                    eval_steps=10,
                    save_steps=10,
                    load_best_model_at_end=True,
                    metric_for_best_model="eval_loss",
                    report_to="none",
                    disable_tqdm=True,
                    use_cpu=True,
                    seed=SEED,
                ),
                train_dataset=train,
                eval_dataset=evaluation,
                callbacks=[EarlyStoppingCallback(early_stopping_patience=3)],
            )
            trainer.train()
            trainer.save_state()
            for name in ("checkpoint-10", "checkpoint-20", "."):
                (folder / name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(f"out/{name}/trainer_state.json", folder / name / "trainer_state.json")
        finally:
            os.chdir(start)


if __name__ == "__main__":
    export(HERE)
