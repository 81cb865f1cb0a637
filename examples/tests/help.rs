//! `--help` of every program shows a command to begin with.

mod programs;

use programs::program;
use std::collections::BTreeSet;
use std::path::Path;

/// Every program, the subcommand of its first example, and flags that the example shows.
const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("classify", "", &["--model", "--train", "--test", "--method", "--out"]),
    ("compare", "", &["--out"]),
    ("embed", "", &["--model", "--text"]),
    ("evaluate", "", &["--model", "--task", "--data"]),
    ("export", "", &["--model", "--adapter", "--dtype", "--out"]),
    ("finetune", "", &["--model", "--train", "--valid", "--learning-rate", "--out"]),
    ("generate", "", &["--model", "--prompt"]),
    ("leaderboard", "add", &["--file", "--model"]),
    ("loadtest", "", &["--model", "--prompts", "--workers", "--duration"]),
    ("pretrain", "", &["--config", "--train", "--valid", "--out"]),
    ("score", "", &["--model", "--input"]),
    ("seq2seq", "train", &["--model", "--train"]),
    ("specialist", "", &[]),
];

/// The words of the first command for a program in a text, over the ends of lines that a backslash continues.
fn first_command<'a>(help: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!("cargo run --release --example {name}");
    let at = help.find(&begin).unwrap_or_else(|| panic!("{name}: no {begin:?} in:\n{help}"));
    let mut words = Vec::new();
    for line in help[at..].lines() {
        words.extend(line.split_whitespace());
        match words.last() {
            Some(&"\\") => words.pop(),
            _ => break,
        };
    }
    words
}

#[test]
fn every_program_shows_a_first_command() {
    // The table has them all.
    let files = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_string();
    let found: BTreeSet<String> = files.map(|path| stem(&path)).collect();
    let listed = PROGRAMS.iter().map(|(name, ..)| name.to_string()).collect();
    assert_eq!(found, listed);

    for (name, subcommand, shown) in PROGRAMS {
        let ended = program(name, &["--help"], "");
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{name}");
        let command = first_command(&ended.stdout, name);
        let arguments = command.split(|&word| word == "--").nth(1).unwrap_or(&[]);
        let flags: Vec<&str> =
            arguments.iter().copied().filter(|word| word.starts_with("--")).collect();
        for flag in *shown {
            assert!(flags.contains(flag), "{name}: {flag} is not in {command:?}");
        }
        // What the command says is understood.
        let help = match *subcommand {
            "" => ended.stdout.clone(),
            subcommand => {
                assert!(arguments.contains(&subcommand), "{name}: {command:?}");
                ended.stdout.clone() + &program(name, &[subcommand, "--help"], "").ok()
            }
        };
        for flag in flags {
            let explained = help.lines().any(|line| {
                line.trim_start().split([' ', '=', ',']).any(|word| word == flag)
                    && line.trim_start().starts_with('-')
            });
            assert!(explained, "{name}: {flag} of its example is not among its flags:\n{help}");
        }
        // A wrong call says how to ask for help, and is not an error of the work.
        let wrong = program(name, &["--no-such-flag"], "");
        assert_eq!(wrong.code, Some(2), "{name}: {}", wrong.stderr);
        assert!(wrong.stderr.contains("--help"), "{name}: {}", wrong.stderr);
    }
}
