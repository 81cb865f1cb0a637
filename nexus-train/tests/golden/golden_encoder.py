"""What the encoder cases share: tiny BERT, RoBERTa and DistilBERT, and batches of rows of unequal length."""

import torch
from golden import IGNORE, SEED
from golden_task import Task
from transformers import BertConfig, DistilBertConfig, RobertaConfig

LENGTHS = (12, 9, 12, 5)  # tokens of each row, padded on the right to the longest
NAMES = ["anger", "fear", "joy", "love", "surprise"]
CLASS_WEIGHTS = [0.5, 1.0, 2.0, 1.5, 0.75]


def bert_config(**changes):
    fields = dict(
        vocab_size=48,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=20,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    return BertConfig(**{**fields, **changes})


def roberta_config(**changes):
    """Positions start at `pad_token_id` + 1 and padding has position `pad_token_id`, so 20 rows hold 18 tokens."""
    fields = dict(
        vocab_size=48,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=20,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    return RobertaConfig(**{**fields, **changes})


def distilbert_config(**changes):
    fields = dict(
        vocab_size=48,
        dim=24,
        n_layers=2,
        n_heads=4,
        hidden_dim=40,
        max_position_embeddings=20,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        pad_token_id=0,
    )
    return DistilBertConfig(**{**fields, **changes})


def named(names):
    """The config fields that give classes their names."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def rows(config, lengths=LENGTHS, pairs=False, seed=SEED):
    """`input_ids` [B, T] padded on the right, their `attention_mask`, and `token_type_ids` for pairs of texts."""
    torch.manual_seed(seed + 1)
    shape = (len(lengths), max(lengths))
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    input_ids = torch.randint(3, config.vocab_size, shape)
    batch = {"input_ids": input_ids.where(mask == 1, config.pad_token_id), "attention_mask": mask}
    if pairs:
        firsts = torch.tensor([length // 2 + 1 for length in lengths])[:, None]
        batch["token_type_ids"] = (torch.arange(shape[1]) >= firsts).long() * mask
    return batch


def token_labels(batch, classes):
    """One class a token; -100 at padding, at the first token of a row and at every fourth token."""
    labels = torch.randint(0, classes, batch["input_ids"].shape)
    skipped = (batch["attention_mask"] == 0) | (torch.arange(labels.shape[1]) % 4 == 0)
    return labels.masked_fill(skipped, IGNORE)


def masked(batch, config, mask_id=3):
    """A third of the tokens replaced by `mask_id`; the labels are what stood there, -100 elsewhere."""
    chosen = (torch.rand(batch["input_ids"].shape) < 0.33) & (batch["attention_mask"] == 1)
    chosen[:, 1] = True
    labels = batch["input_ids"].masked_fill(~chosen, IGNORE)
    return {**batch, "input_ids": batch["input_ids"].masked_fill(chosen, mask_id), "labels": labels}


def classes_task(model_class, config, adapter, labels=(3, 0, 4, 1), pairs=False, lengths=LENGTHS, **options):
    batch = {**rows(config, lengths, pairs=pairs), "labels": torch.tensor(labels)}
    return Task(
        model_class,
        config,
        batch,
        objective="single_label_classification",
        task_type="SEQ_CLS",
        adapter=adapter,
        class_weights=CLASS_WEIGHTS,
        **options,
    )


def masked_task(model_class, config, adapter, pairs=False, **options):
    batch = masked(rows(config, (12, 8), pairs=pairs), config)
    return Task(
        model_class,
        config,
        batch,
        objective="masked_lm",
        task_type="FEATURE_EXTRACTION",
        adapter=adapter,
        **options,
    )
