"""Loads tokenizers that Nexus saved with AutoTokenizer and compares what they do: python check_tokenizer.py FOLDER.

FOLDER/<case>/ holds what `Tokenizer::save` wrote and case.json with what Nexus computes: ids with and without special
tokens, decoded text, pairs, the ids of special tokens, rendered conversations (`text` null where it refuses).
"""

import json
import pathlib
import sys

import jinja2
from transformers import AutoTokenizer


def render(tokenizer, chat):
    try:
        return tokenizer.apply_chat_template(
            chat["messages"], tokenize=False, add_generation_prompt=chat["prompt"]
        )
    except jinja2.TemplateError:
        return None


def check(folder):
    case = json.loads((folder / "case.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    wrong = []

    def equal(what, ours, theirs):
        if ours != theirs:
            wrong.append(f"{folder.name}, {what}:\n  Nexus     {ours!r}\n  reference {theirs!r}")

    for role in ("bos", "eos", "unk", "sep", "cls", "mask"):
        equal(role, case[role], getattr(tokenizer, f"{role}_token_id"))
    equal("size", case["size"], len(tokenizer))
    for text in case["texts"]:
        name = repr(text["text"])[:80]
        ids = tokenizer(text["text"]).input_ids
        equal(f"ids of {name}", text["ids"], ids)
        equal(f"bare ids of {name}", text["bare"], tokenizer(text["text"], add_special_tokens=False).input_ids)
        equal(f"decoded {name}", text["decoded"], tokenizer.decode(text["ids"]))
        equal(f"skipped {name}", text["skipped"], tokenizer.decode(text["ids"], skip_special_tokens=True))
    for pair in case["pairs"]:
        # In a batch, because outside of one an empty second text counts as none.
        theirs = tokenizer([pair["first"]], [pair["second"]], return_token_type_ids=True)
        theirs = (theirs.input_ids[0], theirs.token_type_ids[0])
        equal(f"pair {pair['first']!r}", (pair["ids"], pair["types"]), theirs)
    for chat in case["chats"]:
        equal(f"chat {chat['name']}", chat["text"], render(tokenizer, chat))
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{folder.name}: {len(case['texts'])} texts, {len(case['chats'])} conversations")


def main(root):
    cases = sorted(path for path in root.iterdir() if path.is_dir())
    for folder in cases:
        check(folder)
    print(f"{len(cases)} cases agree")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
