"""What the T5 cases share: a tiny T5 whose positions reach the farthest buckets, and its batch."""

import torch
from golden import IGNORE, SEED
from golden_task import Task
from transformers import T5Config, T5ForConditionalGeneration

SOURCES = (24, 15)  # tokens of the two sources: more than `relative_attention_max_distance`
TARGETS = (22, 9)
# The embeddings are large as in real T5 models: a tied head divides by the square root of `d_model`.
SCALES = {"shared.weight": 1.0, "relative_attention_bias.weight": 0.5}


def t5_config(**changes):
    """3 heads of 5 on a `d_model` of 16, which 3 does not divide."""
    fields = dict(
        vocab_size=40,
        d_model=16,
        d_kv=5,
        d_ff=24,
        num_layers=2,
        num_heads=3,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return T5Config(**{**fields, **changes})


def t5_batch(config, seed=SEED):
    """Sources with a mask, labels that end with </s> and -100, and the labels shifted right as decoder inputs."""
    torch.manual_seed(seed + 1)
    input_ids = torch.randint(3, config.vocab_size, (2, max(SOURCES)))
    mask = (torch.arange(max(SOURCES)) < torch.tensor(SOURCES)[:, None]).long()
    labels = torch.randint(3, config.vocab_size, (2, max(TARGETS)))
    for row, length in enumerate(TARGETS):
        labels[row, length - 1] = config.eos_token_id
        labels[row, length:] = IGNORE
    shifted = labels.roll(1, dims=1).masked_fill(labels.roll(1, dims=1) == IGNORE, config.pad_token_id)
    shifted[:, 0] = config.decoder_start_token_id
    return {
        "input_ids": input_ids.where(mask == 1, config.pad_token_id),
        "attention_mask": mask,
        "decoder_input_ids": shifted,
        "labels": labels,
    }


def t5_task(config, adapter, **options):
    return Task(
        T5ForConditionalGeneration,
        config,
        t5_batch(config),
        objective="seq2seq_lm",
        task_type="SEQ_2_SEQ_LM",
        adapter=adapter,
        scales=SCALES,
        **options,
    )
