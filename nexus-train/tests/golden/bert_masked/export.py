"""BERT that fills in masked tokens: a transform, then the word embeddings as the decoder, with a bias of its own."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from golden_encoder import bert_config, masked_task
from golden_task import export_task
from transformers import BertForMaskedLM

TASK = masked_task(BertForMaskedLM, bert_config(), adapter={"target_modules": "all-linear"}, pairs=True)


def export(folder):
    export_task(TASK, folder)


if __name__ == "__main__":
    export(HERE)
