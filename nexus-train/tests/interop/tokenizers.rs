//! Tokenizers and chat templates that Nexus saved, in `AutoTokenizer`.

use crate::python::{agrees, python};
use nexus_core::data::{CHATML, Message, Tokenizer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const TEXTS: &[&str] = &[
    "",
    " ",
    "   ",
    "\n",
    "\n\n\n a",
    "\t\r\n \u{b}\u{c}",
    " leading, two  spaces, trailing ",
    "Don't can't I'll they're WE'VE",
    "A-b_c/d.e,f;g:h!i?j(k)[l]{m}<n>\"o\"'p'`q`~^|\\@#$%&*+=",
    "1234567890 3.14159 1,000,000 0x7f",
    "fn main() {\n    println!(\"{}\", 1 << 4);\n}\n",
    "caf\u{e9} cafe\u{301} \u{fb01} \u{df} \u{130}stanbul \u{1c5}",
    "\u{4f60}\u{597d}\u{ff0c}\u{4e16}\u{754c} \u{3053}\u{3093}\u{306b}\u{3061}\u{306f} \u{d55c}\u{ad6d}\u{c5b4}",
    "\u{627}\u{644}\u{639}\u{631}\u{628}\u{64a}\u{629} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{e2a}\u{e27}\u{e31}\u{e2a}\u{e14}\u{e35}",
    "\u{1f999}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f3fd}\u{20e3} \u{1f1e9}\u{1f1ea}",
    "\u{0}a\u{1}b\u{7f}\u{80}\u{ad}",
    "\u{feff}\u{200b}\u{202e}\u{2028}\u{a0}\u{3000}\u{fffd}\u{10ffff}",
    "\u{2581}a \u{2581}\u{2581} b\u{120}",
    "<s> </s><s>x</s> y <unk> <pad> <mask>",
    "[CLS] a [SEP][MASK]b[PAD] [UNK] [cls]",
    "<|endoftext|>a<|endoftext|> <|im_start|>user",
    "<extra_id_0> and <extra_id_99>x",
    "##a a##b unaffable Antidisestablishmentarianism",
    "he said -- \u{201c}no\u{201d} \u{2026} and left .",
];

/// The external test data, which is not part of the repository.
fn external() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/tokenizers");
    if root.is_dir() {
        return Some(root);
    }
    println!("skipped: no folder {}", root.display());
    None
}

/// Saves a tokenizer and what it does, for check_tokenizer.py to compare.
fn write(root: &Path, name: &str, tokenizer: &Tokenizer, chats: &BTreeMap<String, Vec<Message>>) {
    let folder = root.join(name);
    fs::create_dir(&folder).unwrap();
    tokenizer.save(&folder).unwrap();
    let long = "ab ".repeat(400) + &"x".repeat(300);
    let texts = TEXTS.iter().copied().chain([long.as_str()]);
    let texts: Vec<Value> = texts
        .map(|text| {
            let ids = tokenizer.encode(text, true).unwrap();
            json!({
                "text": text,
                "bare": tokenizer.encode(text, false).unwrap(),
                "decoded": tokenizer.decode(&ids, false).unwrap(),
                "skipped": tokenizer.decode(&ids, true).unwrap(),
                "ids": ids,
            })
        })
        .collect();
    let pairs: Vec<Value> = [("a cat", "sat there"), ("", "b"), ("one", "")]
        .map(|(first, second)| {
            let (ids, types) = tokenizer.encode_pair(first, second, true).unwrap();
            json!({"first": first, "second": second, "ids": ids, "types": types})
        })
        .to_vec();
    let mut rendered = Vec::new();
    if let Some(template) = tokenizer.chat_template() {
        for (chat, messages) in chats {
            for prompt in [false, true] {
                let text = template.render(messages, None, prompt).ok();
                rendered.push(
                    json!({"name": chat, "messages": messages, "prompt": prompt, "text": text}),
                );
            }
        }
        assert!(rendered.iter().any(|chat| chat["text"].is_string()), "{name} renders no chat");
    }
    let case = json!({
        "texts": texts, "pairs": pairs, "chats": rendered, "size": tokenizer.vocab_size(),
        "bos": tokenizer.bos(), "eos": tokenizer.eos().first(), "unk": tokenizer.unk(),
        "sep": tokenizer.sep(), "cls": tokenizer.cls(), "mask": tokenizer.mask(),
    });
    fs::write(folder.join("case.json"), case.to_string()).unwrap();
}

/// The chats and templates of nexus-core's tests.
#[derive(serde::Deserialize)]
struct Chats {
    templates: BTreeMap<String, String>,
    chats: BTreeMap<String, Vec<Message>>,
}

fn chats() -> Chats {
    let path = "../nexus-core/tests/golden/chat/chat.json";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn trained_tokenizers_and_chat_templates() {
    let Some(python) = python() else { return };
    let Chats { templates, chats } = chats();
    let folder = tempfile::tempdir().unwrap();
    let texts = TEXTS.iter().map(ToString::to_string);
    let special = ["<s>", "</s>", "<pad>"];
    let tokenizer = Tokenizer::train_bpe(texts, 600, &special).unwrap();
    write(folder.path(), "trained", &tokenizer, &chats);
    let tokenizer = tokenizer.with_special(Some("<s>"), Some("</s>"), Some("<pad>")).unwrap();
    for (name, template) in &templates {
        let tokenizer = tokenizer.clone().with_chat_template(template).unwrap();
        write(folder.path(), name, &tokenizer, &chats);
    }
    agrees(&python, "check_tokenizer.py", folder.path(), 1 + templates.len());
}

#[test]
fn published_tokenizers() {
    let (Some(python), Some(root)) = (python(), external()) else { return };
    let Chats { chats, .. } = chats();
    let folder = tempfile::tempdir().unwrap();
    let forms: [(&str, &str, &[&str]); 6] = [
        ("bert_whole", "bert-base-uncased", &["tokenizer.json"]),
        ("bert_words", "bert-base-uncased", &["vocab.txt"]),
        ("gpt2_whole", "gpt2", &["tokenizer.json"]),
        ("gpt2_words", "gpt2", &["vocab.json", "merges.txt"]),
        ("llama", "llama", &["tokenizer.model"]),
        ("t5", "t5", &["spiece.model"]),
    ];
    for (name, source, files) in forms {
        let form = tempfile::tempdir().unwrap();
        for file in files {
            fs::copy(root.join(source).join(file), form.path().join(file)).unwrap();
        }
        let tokenizer = Tokenizer::load(form.path()).unwrap().with_chat_template(CHATML).unwrap();
        write(folder.path(), name, &tokenizer, &chats);
    }
    agrees(&python, "check_tokenizer.py", folder.path(), forms.len());
}
