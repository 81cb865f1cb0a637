"""A vocabulary that grew by three tokens before an adapter was trained: PEFT then stores the embeddings in full."""

import pathlib
import tempfile

import safetensors
import torch
from golden import SEED, add_adapter, load_model, save_adapter, versions, write_json, write_tensors
from golden_task import build, forward
from peft import PeftModel

ADDED = 3


def grow(model, tensors):
    """Adds three rows and gives them the values in `tensors`."""
    old = model.config.vocab_size
    model.resize_token_embeddings(old + ADDED, mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight[old:] = tensors["new_rows"]
        if "new_bias" in tensors:
            model.get_output_embeddings().bias[old:] = tensors["new_bias"]
    return model.eval()


def stored_keys(path):
    with safetensors.safe_open(path, "pt") as file:
        return sorted(file.keys())


def export_resize(task, folder):
    """Writes `model/`, `resized/`, `adapter/` and the logits of each; `task.batch` uses the new tokens."""
    build(task).save_pretrained(folder / "model")
    old, tensors = task.config.vocab_size, dict(task.batch)
    tensors["new_rows"] = 0.2 * torch.randn(ADDED, task.config.hidden_size)
    assert task.config.tie_word_embeddings
    if getattr(load_model(folder / "model", task.model_class).get_output_embeddings(), "bias", None) is not None:
        tensors["new_bias"] = 0.1 * torch.randn(ADDED)

    resized = grow(load_model(folder / "model", task.model_class), tensors)
    assert task.batch["input_ids"].max() == old + ADDED - 1
    resized.save_pretrained(folder / "resized")
    tensors["logits"] = forward(resized, task)["logits"]
    assert tensors["logits"].shape[-1] == old + ADDED

    options = {"task_type": task.task_type, **task.adapter}
    model = add_adapter(folder / "resized", options, SEED + 2, task.model_class)
    save_adapter(model, folder / "adapter", save_embedding_layers=True)
    tensors["adapter_logits"] = forward(model, task)["logits"]
    keys = stored_keys(folder / "adapter" / "adapter_model.safetensors")
    check_automatic(model, folder, keys)
    check_loads(task, folder, tensors)
    tensors["merged_logits"] = forward(model.merge_and_unload(), task)["logits"]

    write_tensors(folder / "expect.safetensors", tensors)
    expect = {"versions": versions(), "seed": SEED, "old_vocab_size": old, "new_vocab_size": old + ADDED}
    write_json(folder / "expect.json", {**expect, "adapter_keys": keys})


def check_automatic(model, folder, keys):
    """PEFT stores the embeddings without being told when the base's config has another `vocab_size`."""
    with tempfile.TemporaryDirectory() as out:
        model.peft_config["default"].base_model_name_or_path = str(folder / "model")
        model.save_pretrained(out)
        assert stored_keys(pathlib.Path(out) / "adapter_model.safetensors") == keys


def check_loads(task, folder, tensors):
    """The small base, grown but without the new values, and the adapter give the same logits."""
    base = load_model(folder / "model", task.model_class)
    base.resize_token_embeddings(task.config.vocab_size + ADDED, mean_resizing=False)
    again = PeftModel.from_pretrained(base, folder / "adapter").eval()
    torch.testing.assert_close(forward(again, task)["logits"], tensors["adapter_logits"], rtol=1e-6, atol=1e-6)
