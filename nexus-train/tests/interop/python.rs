//! Runs the programs beside this file, which load what Nexus wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python with transformers and PEFT. Without one, says that the test is skipped.
pub(crate) fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    let python = std::env::var_os("NEXUS_PYTHON").map_or(venv, PathBuf::from);
    let works = Command::new(&python).args(["-c", "import peft, transformers"]).output();
    if works.is_ok_and(|out| out.status.success()) {
        return Some(python);
    }
    println!("skipped: no Python with transformers and peft");
    None
}

/// Runs `script FOLDER` and requires that it found everything equal in so many cases.
#[track_caller]
pub(crate) fn agrees(python: &Path, script: &str, folder: &Path, cases: usize) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script);
    let out = Command::new(python)
        .arg(script)
        .arg(folder)
        // What it needs lies in the folder.
        .env("HF_HUB_OFFLINE", "1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{stdout}\n{stderr}");
    println!("{stdout}");
    assert!(stdout.ends_with(&format!("{cases} cases agree\n")), "{stdout}");
}
