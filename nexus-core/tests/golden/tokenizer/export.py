"""Encodes odd texts with transformers' BERT, T5 and RoBERTa tokenizers into cases.json.

Run with transformers 5.23.0, tokenizers 0.23, sentencepiece 0.2 and protobuf 7.36:
    python export.py ../../../../../shared/data/tokenizers
The folder holds bert-base-uncased/vocab.txt, t5/spiece.model and gpt2/{vocab.json,merges.txt}. The
RoBERTa tokenizer is GPT-2's vocabulary with RoBERTa's special tokens at its end.
"""

import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from transformers import AddedToken, BertTokenizerFast, RobertaTokenizerFast, T5TokenizerFast

SENTENCES = [
    "", " ", "\n", "\t\r\n ", "a", ".", "...", "hello world", "  leading", "trailing  ", "two  spaces",
    "The quick brown fox jumps over the lazy dog.", "UPPER lower MiXeD", "don't won't I'm we've you're",
    "' quoted ' , and . spaced ? yes !", "do not", "it 's n't", "x" * 99, "x" * 100, "x" * 101,
    "ab" * 80, "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "3.14159 1,000,000 -5e-3 0x1F", "$5 €4 £3 ¥2 ₹1", "user@example.com https://example.com/a?b=c#d",
    "C:\\path\\to /usr/bin", "f(x) = x^2 + {y} [z] <w> |v|", "#tag @name ~home `code`", "a_b_c-d-e",
    "naïve café Ünïcödé", "cafe\u0301 n\u0303 a\u030a", "\u0301\u0302\u0303", "z\u0335a\u0334l\u0337g\u0336o",
    "ﬁne ﬂow ﬃ ﬄ", "①②③ ⅷ ½ ¼ ²³", "ＦＵＬＬ ｗｉｄｔｈ １２３", "ﷺ", "İstanbul ıßẞ", "Ελληνικά ΣΊΣΥΦΟΣ", "Привет мир Ёё Йй",
    "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "வணக்கம்", "สวัสดีชาวโลก", "ສະບາຍດີ", "မင်္ဂလာပါ", "გამარჯობა", "Բարև",
    "你好，世界！", "生活的真谛是", "ah博推zz", "こんにちは世界", "カタカナ ｶﾀｶﾅ", "안녕하세요 세계", "\u1112\u1161\u11ab", "𠀀𠀁 㐀 豈", "々〆〇",
    "😂", "😂👍🏽 family 👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️ ❤", "a😂b", "✨ 🤗 👁️", "\u200b", "a\u200bb", "a\u200cb\u200dc", "a\u00adb", "a\u00a0b", "a\u2003b",
    "a\u2028b\u2029c", "a\u3000b", "\ufeffbom", "a\x00b", "a\x01\x02b", "a\x7fb", "a\x0bb\x0cc", "\ufffd", "\ufffe\uffff", "\ue000 private",
    "\U000e0067\U000e007f", "\U0010ffff", "‘single’ “double” – — … ‹›", "«guillemets»", "¿Qué? ¡Sí!", "·•‣", "−×÷≠≤", "∀x∃y",
    "▁under ▁score", "▁", "▁▁", "a▁b", "_", "[CLS] text [SEP]", "[MASK] [mask] [UNK] [PAD]", "a[MASK]b", "[CLS][SEP]",
    "<extra_id_0> a <extra_id_99>", "x<extra_id_1>y", "<extra_id_100>", "<extra_id_5><extra_id_6>", "<pad> </s> <unk>", "</s>",
    "a</s>b", " </s> ", "<s> <mask> </s>", "a <mask>b", "translate English to German: That is good.", "##hash ##ing",
    "line one\nline two\r\nline three", "tab\tseparated\tvalues", "'s 't 're", "\"json\": [1, 2]", "e\u0301e\u0301e\u0301",
    "ǅ ǆ Ǆ", "ſ K Å", "ﬀ\u0301", "à la carte", "\u1e9b\u0323", "한글\u302e", "\u202eright to left\u202c", "a\u2060b", "１９９９年",
]
PAIRS = [
    ("hello", "world"), ("", ""), ("a", ""), ("", "b"), ("What is it?", "It is a test."), ("你好", "世界"), ("[SEP]", "</s>"),
    (" lead", "trail "), ("😂", "<extra_id_0>"), ("A long premise, with two clauses.", "A hypothesis"),
]
WORDS = [
    ["hello", "world"], [], [""], ["a", "", "b"], ["EU", "rejects", "German", "call", "."], ["unwantedly", "antidisestablishment"],
    ["don't", "U.S."], ["New York", "is big"], [" ", "\n", "x"], ["你好", "世界"], ["😂", "ok"], ["[SEP]", "</s>", "<extra_id_3>"],
    ["e\u0301", "\u200b", "z"], ["x" * 101, "y"],
]
POOL = "abcdefghijkl  etaoin ETAOIN .,!?'\"-0123\n\t éßñçåøжшщлдαβγ你好世界のカ한국ไทยمرح 😂👍❤️\u0301\u0308\u200d\u00a0▁#<>[]/"


def main(root):
    random.seed(7)
    generated = ["".join(random.choices(POOL, k=random.randint(3, 24))) for _ in range(130)]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copy(root / "t5/spiece.model", folder / "spiece.model")
        shutil.copy(root / "bert-base-uncased/vocab.txt", folder / "vocab.txt")
        vocab = json.loads((root / "gpt2/vocab.json").read_text())
        for token in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]:
            vocab[token] = len(vocab)
        (folder / "roberta").mkdir()
        (folder / "roberta/vocab.json").write_text(json.dumps(vocab))
        shutil.copy(root / "gpt2/merges.txt", folder / "roberta/merges.txt")
        mask = AddedToken("<mask>", lstrip=True, normalized=False, special=True)
        tokenizers = {
            "bert": BertTokenizerFast.from_pretrained(folder),
            "t5": T5TokenizerFast.from_pretrained(folder),
            "roberta": RobertaTokenizerFast.from_pretrained(folder / "roberta", mask_token=mask),
        }
    texts = {"bert": SENTENCES + generated, "t5": SENTENCES + generated, "roberta": SENTENCES[-45:-20]}
    out = {}
    for name, tokenizer in tokenizers.items():
        out[name] = case = {"texts": [], "pairs": [], "words": []}
        for text in texts[name]:
            ids = tokenizer(text)["input_ids"]
            decoded = tokenizer.decode(ids)
            clean = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=True)
            case["texts"].append([text, ids, decoded, clean])
        for first, second in PAIRS:
            # As a batch: of a single pair, an empty second text would count as none.
            case["pairs"].append([[first, second]])
            for special in [True, False]:
                encoded = tokenizer([first], [second], return_token_type_ids=True, add_special_tokens=special)
                case["pairs"][-1] += [encoded["input_ids"][0], encoded["token_type_ids"][0]]
        for words in WORDS:
            encoded = tokenizer(words, is_split_into_words=True)
            case["words"].append([words, encoded["input_ids"], encoded.word_ids()])
    path = Path(__file__).with_name("cases.json")
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(path.stat().st_size, {name: {k: len(v) for k, v in case.items()} for name, case in out.items()})


main(Path(sys.argv[1]))
