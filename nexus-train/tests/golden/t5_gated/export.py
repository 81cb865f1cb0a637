"""T5 1.1 and Flan: a gated tanh gelu, and a head of its own that is not scaled; also a DoRA adapter.

`config.json` is what transformers 5 writes: `tie_word_embeddings` true, `scale_decoder_outputs` false, and a head in
the weights. `config_hub.json` is the same model as older versions wrote it: `tie_word_embeddings` false.
"""

import json
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import load_model, write_json
from golden_t5 import t5_config, t5_task
from golden_task import export_task, forward

TASK = t5_task(
    t5_config(feed_forward_proj="gated-gelu", tie_word_embeddings=False, d_kv=3, d_ff=20, vocab_size=32),
    adapter={"target_modules": "all-linear"},
    dora={"target_modules": ["q", "wo"]},
)


def export(folder):
    export_task(TASK, folder)
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["tie_word_embeddings"] and not config["scale_decoder_outputs"], config
    config["tie_word_embeddings"] = False
    del config["scale_decoder_outputs"]
    write_json(folder / "model" / "config_hub.json", config)
    check_the_same(folder / "model")


def check_the_same(model):
    """Both configs must give the same logits, so that a reader is tested with what transformers does."""
    with tempfile.TemporaryDirectory() as other:
        shutil.copy(model / "model.safetensors", other)
        shutil.copy(model / "config_hub.json", pathlib.Path(other) / "config.json")
        logits = [forward(load_model(path, TASK.model_class), TASK)["logits"] for path in (model, other)]
    assert torch.equal(*logits)


if __name__ == "__main__":
    export(HERE)
