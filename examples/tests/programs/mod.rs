//! Runs the example programs, which cargo builds beside the tests, and makes small models for them.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

use nexus_core::data::Tokenizer;
use nexus_core::model::{Decoder, Encoder, Model, RandomSource, Spec};
use nexus_core::weights::{StoredDtype, save};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program `name`, beside this test: target/<profile>/deps/<test> -> target/<profile>/examples/<name>.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} is missing: run `cargo build --examples`", path.display());
    path
}

/// Runs a program that computes, on one thread, with `stdin`.
pub fn program(name: &str, args: &[&str], stdin: &str) -> Ended {
    let threads = if args.contains(&"--help") { &[][..] } else { &["--threads", "1"] };
    plain_program(name, &[args, threads].concat(), stdin)
}

/// Runs a program with `stdin`.
pub fn plain_program(name: &str, args: &[&str], stdin: &str) -> Ended {
    let mut child = Command::new(binary(name))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Ended {
    /// The program's output, when it succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// The one line that a program prints for an error.
    pub fn error(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{}", self.stderr);
        assert!(self.stderr.starts_with("error: "), "{}", self.stderr);
        self.stderr
    }
}

/// A golden model, which has no tokenizer.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(name)
}

/// Writes a small random model with a tokenizer.
pub fn random_model(folder: &Path) {
    random_model_of(folder, 16);
}

/// The same with D = `width`.
pub fn random_model_of(folder: &Path, width: usize) {
    let texts = ["the cat sat on the mat. which animal sat? a cat, a dog, a bird.".to_string()];
    let tokenizer = Tokenizer::train_bpe(texts.into_iter(), 290, &[]).unwrap();
    let config = json!({
        "model_type": "llama", "vocab_size": tokenizer.vocab_size(), "hidden_size": width,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "hidden_act": "silu", "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": false,
        // Logits far apart, at any width.
        "initializer_range": 1.6 / (width as f64).sqrt(),
    });
    random::<Decoder>(folder, config);
    tokenizer.save(folder).unwrap();
}

/// The words of [`random_bert`].
pub const WORDS: [&str; 8] = ["cat", "dog", "bird", "mat", "the", "a", "sat", "on"];

/// Writes a small random BERT without a head, with a tokenizer of [`WORDS`].
pub fn random_bert(folder: &Path) {
    let tokens = [&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"][..], &WORDS].concat();
    let config = json!({
        "architectures": ["BertModel"], "model_type": "bert", "vocab_size": tokens.len(),
        "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 40, "max_position_embeddings": 20, "type_vocab_size": 2,
        "hidden_dropout_prob": 0.0, "initializer_range": 0.3,
    });
    random::<Encoder>(folder, config);
    std::fs::write(folder.join("vocab.txt"), tokens.join("\n")).unwrap();
}

fn random<M: Model>(folder: &Path, config: Value) {
    let Value::Object(config) = config else { unreachable!() };
    let spec = Arc::new(Spec::from_json(config, Path::new("config.json")).unwrap());
    let device = nexus_core::device("flex").unwrap();
    let model = M::build(&mut RandomSource::new(7, &device), spec).unwrap();
    save(&model, folder, StoredDtype::F32).unwrap();
}

/// Copies the files of a folder into another.
pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Writes a file of lines and gives its path.
pub fn lines(folder: &Path, name: &str, lines: &[&str]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.to_str().unwrap().to_string()
}
