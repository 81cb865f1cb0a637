"""Greedy and beam search: two T5 models with sources of unequal length, and decoders with prompts padded on the left.

Seeds and end tokens were chosen so that hypotheses end at different lengths and no decision is a near tie.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import torch
from golden import versions
from golden_beams import generated, lists, write_compact
from golden_t5 import t5_config
from golden_task import Task, build
from golden_variants import small_gpt2, small_llama
from transformers import GPT2LMHeadModel, LlamaForCausalLM, T5ForConditionalGeneration

SMALLEST_LEAD = 1e-4
SMALL = dict(vocab_size=32, d_kv=3, d_ff=16)


def encoder_settings(eos, other_eos):
    beams = {"num_beams": 4, "max_new_tokens": 10}
    return {
        "greedy": {"num_beams": 1, "max_new_tokens": 10},
        "greedy_no_repeat_ngram": {"num_beams": 1, "max_new_tokens": 10, "no_repeat_ngram_size": 2},
        "greedy_repetition_penalty": {"num_beams": 1, "max_new_tokens": 10, "repetition_penalty": 1.2},
        "beams_2": {**beams, "num_beams": 2},
        "beams_4": beams,
        "beams_5": {**beams, "num_beams": 5, "num_return_sequences": 5},
        "length_penalty_minus_1": {**beams, "length_penalty": -1.0},
        "length_penalty_0": {**beams, "length_penalty": 0.0},
        "length_penalty_half": {**beams, "length_penalty": 0.5},
        "length_penalty_2": {**beams, "length_penalty": 2.0},
        "early_stopping": {**beams, "early_stopping": True, "num_return_sequences": 4},
        "early_stopping_never": {**beams, "early_stopping": "never", "num_return_sequences": 4},
        "early_stopping_false": {**beams, "early_stopping": False, "num_return_sequences": 4},
        "early_stopping_penalty_2": {**beams, "early_stopping": True, "length_penalty": 2.0},
        "early_stopping_never_penalty_2": {**beams, "early_stopping": "never", "length_penalty": 2.0},
        "early_stopping_never_penalty_0": {**beams, "early_stopping": "never", "length_penalty": 0.0},
        "min_length": {**beams, "min_length": 6},
        "min_new_tokens": {**beams, "min_new_tokens": 6},
        "max_length": {"num_beams": 4, "max_length": 6},
        "max_new_tokens_3": {**beams, "max_new_tokens": 3, "num_return_sequences": 2},
        "num_return_sequences": {**beams, "num_return_sequences": 3},
        "no_repeat_ngram": {**beams, "no_repeat_ngram_size": 2},
        "repetition_penalty": {**beams, "repetition_penalty": 1.2},
        "forced_eos": {**beams, "max_new_tokens": 4, "forced_eos_token_id": eos},
        "forced_bos": {**beams, "forced_bos_token_id": 7},
        "two_eos": {**beams, "eos_token_id": [eos, other_eos], "num_return_sequences": 2},
    }


def decoder_settings():
    beams = {"num_beams": 3, "max_new_tokens": 10}
    return {
        "greedy": {"num_beams": 1, "max_new_tokens": 10},
        "beams_3": beams,
        "beams_3_return_3": {**beams, "num_return_sequences": 3},
        "beams_3_length_penalty_2": {**beams, "length_penalty": 2.0},
        "beams_3_early_stopping": {**beams, "early_stopping": True},
        "beams_3_min_new_tokens": {**beams, "min_new_tokens": 5},
    }


def sources(seed, vocab):
    """Three sources of unequal length, padded on the right."""
    torch.manual_seed(seed + 1)
    lengths = torch.tensor([9, 5, 7])
    mask = (torch.arange(9) < lengths[:, None]).long()
    return {"input_ids": torch.randint(3, vocab, (3, 9)) * mask, "attention_mask": mask}


def prompts(seed, vocab):
    """Three prompts of unequal length, padded on the left."""
    torch.manual_seed(seed + 1)
    lengths = torch.tensor([7, 2, 4])
    mask = (torch.arange(7) >= 7 - lengths[:, None]).long()
    return {"input_ids": torch.randint(3, vocab, (3, 7)) * mask, "attention_mask": mask}


SCALES = {
    "t5_relu": {"shared.weight": 1.0, "relative_attention_bias.weight": 0.5, ".o.weight": 1.0, ".wo.weight": 1.0},
    "t5_gated": {"shared.weight": 1.0, "relative_attention_bias.weight": 0.5, "lm_head.weight": 0.5},
    "llama": {"lm_head.weight": 0.5},
    "gpt2": {"wte.weight": 0.5},
}
OTHER_EOS = {"t5_relu": 21, "t5_gated": 11}  # frequent ones, as the second of two end tokens


def models():
    """Name -> model class, config, seed."""
    relu = t5_config(feed_forward_proj="relu", eos_token_id=17, **SMALL)
    gated = t5_config(feed_forward_proj="gated-gelu", tie_word_embeddings=False, eos_token_id=16, **SMALL)
    decoder = {"vocab_size": 32, "pad_token_id": 0}
    return {
        "t5_relu": (T5ForConditionalGeneration, relu, 83),
        "t5_gated": (T5ForConditionalGeneration, gated, 24),
        "llama": (LlamaForCausalLM, small_llama(eos_token_id=29, **decoder), 25),
        "gpt2": (GPT2LMHeadModel, small_gpt2(eos_token_id=30, **decoder), 33),
    }


def export_model(folder, name, model_class, config, seed):
    """Writes one model and returns its inputs and what it generates with every setting."""
    task = Task(model_class, config, {}, "", "", {}, scales=SCALES[name], seed=seed)
    build(task).save_pretrained(folder / name)
    encoder = config.is_encoder_decoder
    inputs = sources(seed, config.vocab_size) if encoder else prompts(seed, config.vocab_size)
    results = {}
    settings = encoder_settings(config.eos_token_id, OTHER_EOS[name]) if encoder else decoder_settings()
    for setting, options in settings.items():
        found = generated(folder / name, model_class, inputs, options)
        assert found["smallest_lead"] > SMALLEST_LEAD, (name, setting, found["smallest_lead"])
        results[setting] = found
        if not encoder:
            check_alone(folder / name, model_class, inputs, found)
    lengths = {len(ids) for found in results.values() for ids in found["generated"]}
    assert len(lengths) > 4, lengths
    return {"seed": seed, "eos_token_id": config.eos_token_id, "inputs": lists(inputs), "results": results}


def check_alone(folder, model_class, inputs, together):
    """Every prompt without its padding and on its own gives what it gave in the batch."""
    mask = inputs["attention_mask"]
    returned = together["settings"].get("num_return_sequences", 1)
    for row, count in enumerate(mask.sum(1).tolist()):
        ids = inputs["input_ids"][row : row + 1, -count:]
        alone = generated(
            folder, model_class, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, together["settings"]
        )
        assert alone["generated"] == together["generated"][row * returned : (row + 1) * returned], row


def export(folder):
    expect = {"versions": versions(), "models": {}}
    for name, (model_class, config, seed) in models().items():
        expect["models"][name] = export_model(folder, name, model_class, config, seed)
    write_compact(folder / "expect.json", expect)


if __name__ == "__main__":
    export(HERE)
