"""Loads the tokenizers that data_tokenizer_families.rs saved with transformers' AutoTokenizer and
compares them with cases.json.

Run from the root with transformers 5.23.0, after cargo test -p nexus-core --test data_tokenizer_families:
    python nexus-core/tests/golden/tokenizer/reload.py target/tmp/tokenizers
"""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

cases = json.loads(Path(__file__).with_name("cases.json").read_text())
wrong = 0
for name, case in cases.items():
    tokenizer = AutoTokenizer.from_pretrained(Path(sys.argv[1]) / name)
    pairs = [("text", tokenizer(text)["input_ids"], ids) for text, ids, _, _ in case["texts"]]
    pairs += [("decoded", tokenizer.decode(ids), decoded) for _, ids, decoded, _ in case["texts"]]
    for (first, second), ids, types, _, _ in case["pairs"]:
        encoded = tokenizer([first], [second], return_token_type_ids=True)
        pairs.append(("pair", [encoded["input_ids"][0], encoded["token_type_ids"][0]], [ids, types]))
    for words, ids, of_word in case["words"]:
        encoded = tokenizer(words, is_split_into_words=True)
        pairs.append(("words", [encoded["input_ids"], encoded.word_ids()], [ids, of_word]))
    different = [pair for pair in pairs if pair[1] != pair[2]]
    wrong += len(different)
    print(name, tokenizer.model_input_names, f"{len(different)} of {len(pairs)} differ", different[:3])
sys.exit(wrong != 0)
