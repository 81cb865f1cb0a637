"""Three adapters on one base: each alone, two at once, one a row, and what `add_weighted_adapter` makes of them."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import peft
import torch
from golden import SEED, disturb_adapter, load_model, make_batch, versions, write_json, write_tensors
from golden_task import Task, build
from golden_variants import small_llama
from transformers import LlamaForCausalLM

MLP = ["gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "first": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "second": {"r": 2, "lora_alpha": 3, "use_rslora": True, "target_modules": ["q_proj", "k_proj", *MLP]},
    "third": {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]},
}
ROWS = ["second", "__base__", "first", "third", "second"]
# name: adapters, weights, how. `svd` keeps the largest rank of its adapters unless it is given one.
COMBINED = {
    "linear": (["first", "third"], [0.7, 0.3], {"combination_type": "linear"}),
    "linear_negative": (["first", "third"], [0.7, -0.3], {"combination_type": "linear"}),
    "cat": (["first", "second"], [0.7, 0.3], {"combination_type": "cat"}),
    "svd": (["first", "second"], [0.7, 0.3], {"combination_type": "svd"}),
    "svd_rank_2": (["first", "third"], [0.7, 0.3], {"combination_type": "svd", "svd_rank": 2}),
}
SAVED = [*ADAPTERS, "linear", "linear_negative", "cat"]  # the factors of an SVD are free in sign


def with_adapters(folder):
    model = load_model(folder / "model", LlamaForCausalLM)
    for offset, (name, options) in enumerate(ADAPTERS.items()):
        torch.manual_seed(SEED + 2 + offset)
        config = peft.LoraConfig(**{"task_type": "CAUSAL_LM", **options})
        if offset == 0:
            model = peft.get_peft_model(model, config, adapter_name=name)
        else:
            model.add_adapter(name, config)
        disturb_adapter(model, name)
    return model.eval()


def export(folder):
    config = small_llama()
    build(Task(LlamaForCausalLM, config, {}, "", "", {})).save_pretrained(folder / "model")
    input_ids, _ = make_batch(config, 10)
    input_ids = torch.cat([input_ids, torch.randint(3, config.vocab_size, (len(ROWS) - 2, 10))])
    tensors = {"input_ids": input_ids}
    model = with_adapters(folder)
    with model.disable_adapter():
        tensors["logits"] = model(input_ids).logits
    tensors["rows_logits"] = model(input_ids, adapter_names=ROWS).logits

    for name, (adapters, weights, how) in COMBINED.items():
        model.add_weighted_adapter(adapters, weights, name, **how)
    for name in [*ADAPTERS, *COMBINED]:
        model.set_adapter(name)
        tensors[f"{name}_logits"] = model(input_ids).logits
    model.base_model.set_adapter(["first", "second"])
    tensors["first_and_second_logits"] = model(input_ids).logits

    check_rows(tensors)
    save(model, folder)
    write_tensors(folder / "expect.safetensors", tensors)
    expect = {"versions": versions(), "seed": SEED, "rows": ROWS, "combined": {}}
    for name, (adapters, weights, how) in COMBINED.items():
        expect["combined"][name] = {"adapters": adapters, "weights": weights, **how}
    write_json(folder / "expect.json", expect)


def check_rows(tensors):
    """A row of the mixed batch is that row with its adapter active."""
    for row, name in enumerate(ROWS):
        alone = tensors["logits" if name == "__base__" else f"{name}_logits"][row]
        torch.testing.assert_close(tensors["rows_logits"][row], alone, rtol=1e-5, atol=1e-5)


def save(model, folder):
    for name in SAVED:
        model.peft_config[name].base_model_name_or_path = "model"
    model.save_pretrained(folder, selected_adapters=SAVED, save_embedding_layers=False)
    (folder / "README.md").unlink()


if __name__ == "__main__":
    export(HERE)
