"""T5 1.0 in several files with an index; the three names tied to `shared.weight` are left out."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden import SEED, load_model, versions, write_json, write_tensors
from golden_t5 import t5_config, t5_task
from golden_task import build, forward, loss_of

TASK = t5_task(t5_config(feed_forward_proj="relu", vocab_size=32), adapter={})
TIED = ["decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "lm_head.weight"]


def export(folder):
    model = build(TASK)
    model.save_pretrained(folder / "model", max_shard_size="12KB")
    index = json.loads((folder / "model" / "model.safetensors.index.json").read_text())
    keys = sorted(index["weight_map"])
    assert sorted(set(model.state_dict()) - set(keys)) == TIED
    assert len(set(index["weight_map"].values())) > 2

    outputs = forward(load_model(folder / "model", TASK.model_class), TASK)
    write_tensors(folder / "expect.safetensors", {**TASK.batch, **outputs})
    expect = {"versions": versions(), "seed": SEED, "loss": loss_of(TASK, outputs).item()}
    write_json(folder / "expect.json", {**expect, "keys": keys, "left_out": TIED})


if __name__ == "__main__":
    export(HERE)
