"""Decoders of a smaller size for the variants of LoRA and for classification heads."""

from golden import llama_config, make_batch
from golden_task import Task
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM


def small_gpt2(**changes):
    fields = dict(
        vocab_size=48,
        n_positions=32,
        n_embd=20,
        n_layer=2,
        n_head=4,
        n_inner=44,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
    )
    return GPT2Config(**{**fields, **changes})


def small_llama(**changes):
    """6 query heads on 2 key/value heads of D 4, hidden 18, which is not their product."""
    fields = dict(vocab_size=48, hidden_size=18, num_attention_heads=6, intermediate_size=32, bos_token_id=1)
    return llama_config(**{**fields, "eos_token_id": 2, **changes})


def causal_task(config, adapter, **options):
    input_ids, labels = make_batch(config, 10)
    batch = {"input_ids": input_ids, "labels": labels}
    model_class = {"gpt2": GPT2LMHeadModel, "llama": LlamaForCausalLM}[config.model_type]
    return Task(model_class, config, batch, "causal_lm", "CAUSAL_LM", adapter=adapter, **options)
