//! A model in several files: the same index and the same bytes as transformers writes.

use nexus_core::model::{Decoder, EncoderDecoder, Model};
use nexus_core::weights::{SaveOptions, StoredDtype, load, save};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn golden(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nexus-train/tests/golden").join(case)
}

fn weight_files(folder: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with("model")).collect()
}

/// Saves the model of `case` with the limit of its `export.py` and compares every file.
fn assert_same_files<M: Model>(case: &str, max_shard_bytes: u64) {
    let source = golden(case).join("model");
    let device = nexus_core::device("flex").unwrap();
    let model: M = load(&source, &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = SaveOptions { max_shard_bytes, ..SaveOptions::default() };
    save(&model, folder.path(), options).unwrap();
    let names = weight_files(folder.path());
    assert_eq!(names, weight_files(&source));
    assert!(names.len() > 2, "{names:?}");
    for name in names {
        let (ours, theirs) = (fs::read(folder.path().join(&name)), fs::read(source.join(&name)));
        assert!(ours.unwrap() == theirs.unwrap(), "{case}: {name} differs");
    }
}

#[test]
fn shards_and_index_are_those_of_transformers() {
    assert_same_files::<EncoderDecoder>("sharded_t5", 12_000);
    assert_same_files::<Decoder>("llama_sharded", 15_000);
}

#[test]
fn an_earlier_save_of_another_form_is_removed() {
    let device = nexus_core::device("flex").unwrap();
    let model: Decoder = load(&golden("llama_sharded/model"), &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sharded = |max_shard_bytes| SaveOptions { max_shard_bytes, ..SaveOptions::default() };
    let reload = || load::<Decoder>(folder.path(), &device).unwrap();

    save(&model, folder.path(), StoredDtype::F32).unwrap();
    let single = BTreeSet::from(["model.safetensors".to_string()]);
    assert_eq!(weight_files(folder.path()), single);
    save(&model, folder.path(), sharded(15_000)).unwrap();
    assert_eq!(weight_files(folder.path()), weight_files(&golden("llama_sharded/model")));
    reload();
    save(&model, folder.path(), sharded(30_000)).unwrap();
    assert!(weight_files(folder.path()).contains("model-00002-of-00002.safetensors"));
    assert_eq!(weight_files(folder.path()).len(), 3);
    reload();
    save(&model, folder.path(), StoredDtype::Bf16).unwrap();
    assert_eq!(weight_files(folder.path()), single);
    reload();

    let error = save(&model, folder.path(), sharded(0)).unwrap_err().to_string();
    assert!(error.contains("max_shard_bytes"), "{error}");
    assert_eq!(weight_files(folder.path()), single);
}
