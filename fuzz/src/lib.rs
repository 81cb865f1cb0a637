//! A folder in which a fuzzer replaces one file.

use nexus_core::adapter::load_adapter;
use nexus_core::data::{Message, Tokenizer};
use nexus_core::model::Decoder;
use nexus_core::weights::load;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of a folder of the tests, of which one file changes with every input.
pub struct Folder {
    folder: TempDir,
    file: PathBuf,
}

impl Folder {
    /// Copies `nexus-train/tests/golden/{case}`; `file` is what changes.
    pub fn golden(case: &str, file: &str) -> Self {
        let this = Self::empty(file);
        for entry in fs::read_dir(golden(case)).expect("the folder of the tests") {
            let entry = entry.expect("an entry of the folder");
            fs::copy(entry.path(), this.path().join(entry.file_name())).expect("a copy");
        }
        this
    }

    /// Only the file that changes.
    pub fn empty(file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join(file);
        Self { folder, file }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file that changes.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Replaces the file.
    pub fn write(&self, bytes: &[u8]) {
        fs::write(&self.file, bytes).expect("writing the input");
    }
}

/// A folder of the tests.
pub fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(case)
}

/// An adapter of which one file changes, and the model that it was made for.
pub struct Adapter {
    model: Decoder,
    folder: Folder,
}

impl Adapter {
    /// `file` is what changes.
    pub fn new(file: &str) -> Self {
        let device = nexus_core::device("flex").expect("the CPU");
        let model = load(&golden("llama_untied/model"), &device).expect("the model");
        Self { model, folder: Folder::golden("llama_untied/adapter", file) }
    }

    /// Replaces the file and loads the adapter.
    pub fn attack(&self, bytes: &[u8]) {
        self.folder.write(bytes);
        let _ = load_adapter(self.model.clone(), self.folder.path());
    }
}

/// Loads a tokenizer and, where that succeeds, uses it.
pub fn use_tokenizer(folder: &Path) {
    let Ok(tokenizer) = Tokenizer::load(folder) else { return };
    for text in ["", "ab a  b </s>x", "a\u{0}\u{202e}\u{1f600}"] {
        let _ = tokenizer.encode(text, true).and_then(|ids| tokenizer.decode(&ids, false));
        let _ = tokenizer.encode_pair(text, "b", true);
    }
    if let Some(template) = tokenizer.chat_template() {
        let chat = [Message::new("user", "a </s>"), Message::new("assistant", "b")];
        let _ = template.render(&chat, None, true);
        let _ = template.render_segments(&chat, None);
    }
}
