"""Cases of every objective but plain decoding: encoders, classification heads, T5, and the variants of LoRA.

A `Task` says which model, batch, objective and adapters; `export_task` writes the folder. `loss` in here is written
out with torch functions, and a model that computes a loss of its own must agree with it.
"""

import dataclasses

import safetensors
import torch
import torch.nn.functional as F
from golden import (
    ADAMW,
    IGNORE,
    SEED,
    adapter_key,
    add_adapter,
    causal_loss,
    load_model,
    randomise,
    save_adapter,
    train,
    versions,
    write_json,
    write_tensors,
)
from transformers.trainer_pt_utils import LabelSmoother

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "decoder_input_ids")
SMOOTHING = 0.1
PER_POSITION = ("token_classification", "masked_lm", "seq2seq_lm")


@dataclasses.dataclass
class Task:
    """One model with a batch, an objective and the adapters on it."""

    model_class: type
    config: object
    batch: dict  # name in `expect.safetensors` -> tensor
    objective: str
    task_type: str
    adapter: dict
    dora: dict | None = None  # LoraConfig arguments of `dora/`
    scales: dict = dataclasses.field(default_factory=dict)  # end of a parameter's name -> scale, see `randomise`
    class_weights: list | None = None
    seed: int = SEED


def build(task):
    torch.manual_seed(task.seed)
    model = task.model_class._from_config(task.config, attn_implementation="eager")
    if task.config.model_type == "t5" and not task.config.scale_decoder_outputs:
        # transformers ties T5's head in any case; a checkpoint with a head of its own is what unties it.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        model.all_tied_weights_keys.pop("lm_head.weight")
    return randomise(model, task.scales)


def forward(model, task):
    """The outputs that a case stores, by name."""
    out = model(**{name: task.batch[name] for name in INPUTS if name in task.batch})
    if task.objective == "features":
        return {"hidden": out.last_hidden_state, "pooled": out.pooler_output}
    return {"logits": out.logits}


def loss_of(task, outputs):
    batch = task.batch
    if task.objective == "features":
        # Linear, so that every position that is not padding, and every pooled value, has a gradient of its own.
        hidden = (outputs["hidden"] * batch["hidden_direction"]).sum()
        return hidden + (outputs["pooled"] * batch["pooled_direction"]).sum()
    logits = outputs["logits"]
    if task.objective == "causal_lm":
        return causal_loss(logits, batch["labels"])
    if task.objective == "single_label_classification":
        return F.cross_entropy(logits, batch["labels"])
    if task.objective == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, batch["label_values"])
    if task.objective == "regression":
        return F.mse_loss(logits.reshape(batch["label_values"].shape), batch["label_values"])
    assert task.objective in PER_POSITION, task.objective
    return F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE)


def other_losses(task, outputs):
    """The variants of the loss: class weights and label smoothing."""
    if task.objective == "single_label_classification":
        logits, labels = outputs["logits"], task.batch["labels"]
        weights = torch.tensor(task.class_weights)
        return {
            "class_weights": task.class_weights,
            "label_smoothing": SMOOTHING,
            "weighted_loss": F.cross_entropy(logits, labels, weight=weights).item(),
            "smoothed_loss": F.cross_entropy(logits, labels, label_smoothing=SMOOTHING).item(),
            "weighted_smoothed_loss": F.cross_entropy(
                logits, labels, weight=weights, label_smoothing=SMOOTHING
            ).item(),
            "smoothed_loss_label_smoother": LabelSmoother(SMOOTHING)({"logits": logits}, labels).item(),
        }
    if task.objective in PER_POSITION:
        logits, labels = outputs["logits"], task.batch["labels"]
        by_torch = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE, label_smoothing=SMOOTHING
        )
        by_transformers = LabelSmoother(SMOOTHING)({"logits": logits}, labels)
        return {
            "label_smoothing": SMOOTHING,
            "smoothed_loss": by_transformers.item(),
            "smoothed_loss_torch": by_torch.item(),
        }
    return {}


def check_own_loss(model, task, loss):
    """The loss that the model computes when it gets the labels."""
    if task.objective == "features":
        return
    inputs = {name: task.batch[name] for name in INPUTS if name in task.batch and name != "decoder_input_ids"}
    labels = task.batch["label_values" if "label_values" in task.batch else "labels"]
    own = model(**inputs, labels=labels).loss
    torch.testing.assert_close(own, loss, rtol=1e-6, atol=1e-6)


def adapted(task, folder, options, seed):
    return add_adapter(folder / "model", {"task_type": task.task_type, **options}, seed, task.model_class)


def export_adapter(task, folder, name, options, seed, tensors, expect):
    """An adapter's folder, its outputs, its gradients, its outputs when merged and ten steps from it."""
    model = adapted(task, folder, options, seed)
    save_adapter(model, folder / name)
    outputs = forward(model, task)
    loss = loss_of(task, outputs)
    loss.backward()
    gradients = {adapter_key(key): p.grad for key, p in model.named_parameters() if p.requires_grad}
    check_keys(folder / name, gradients)
    expect[f"{name}_loss"] = loss.item()
    tensors.update({f"{name}_{key}": value for key, value in outputs.items()})
    tensors.update({f"{name}_grad.{key}": value for key, value in gradients.items()})
    merged = "merged" if name == "adapter" else f"{name}_merged"
    outputs = forward(model.merge_and_unload(), task)
    tensors.update({f"{merged}_{key}": value for key, value in outputs.items()})

    steps = "lora" if name == "adapter" else name
    fresh = adapted(task, folder, options, seed)
    losses, norms = train(fresh, lambda model: loss_of(task, forward(model, task)))
    expect[f"{steps}_losses"], expect[f"{steps}_grad_norms"] = losses, norms


def check_keys(folder, gradients):
    """Every stored tensor of an adapter is trained, and the other way round."""
    with safetensors.safe_open(folder / "adapter_model.safetensors", "pt") as file:
        stored = set(file.keys())
    assert stored == set(gradients), stored ^ set(gradients)


def export_task(task, folder):
    build(task).save_pretrained(folder / "model")
    tensors = dict(task.batch)
    expect = {"versions": versions(), "seed": task.seed, "objective": task.objective}

    model = load_model(folder / "model", task.model_class)
    outputs = forward(model, task)
    loss = loss_of(task, outputs)
    check_own_loss(model, task, loss)
    loss.backward()
    tensors.update(outputs)
    if task.objective == "features":
        mask = task.batch["attention_mask"].unsqueeze(-1)
        tensors["mean_pooled"] = (outputs["hidden"] * mask).sum(1) / mask.sum(1)
    tensors.update({f"grad.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None})
    expect["without_grad"] = [name for name, p in model.named_parameters() if p.grad is None]
    expect["loss"] = loss.item()
    expect.update(other_losses(task, outputs))

    expect["adamw"] = ADAMW
    fresh = load_model(folder / "model", task.model_class)
    losses, norms = train(fresh, lambda model: loss_of(task, forward(model, task)))
    expect["full_losses"], expect["full_grad_norms"] = losses, norms

    export_adapter(task, folder, "adapter", task.adapter, task.seed + 2, tensors, expect)
    if task.dora:
        options = {"use_dora": True, **task.dora}
        export_adapter(task, folder, "dora", options, task.seed + 3, tensors, expect)

    write_tensors(folder / "expect.safetensors", tensors)
    write_json(folder / "expect.json", expect)
