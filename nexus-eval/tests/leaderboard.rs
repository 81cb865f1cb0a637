//! The leaderboard: ratings against scikit-learn and scipy, the file under two writers, and damaged files.

mod random_cases;

use nexus_core::report::{EvalReport, Measure};
use nexus_eval::Error;
use nexus_eval::leaderboard::{
    Entry, ExampleScores, Leaderboard, Pair, Prior, RatingOptions, Tally, fit,
};
use random_cases::SplitMix64;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Both sides solve the same equations to the last digits of double precision; what is left is the conditioning of
/// nearly one-sided tournaments.
const TOLERANCE: f64 = 1e-9;

#[derive(Deserialize)]
struct Golden {
    prior_variance: f64,
    cases: Vec<(Vec<f64>, Option<Vec<f64>>)>,
}

/// The tournaments of `golden/bradley_terry/export.py`.
fn tournament(seed: u64) -> (usize, Vec<Pair>) {
    let mut random = SplitMix64(seed);
    let players = random.between(2, 7);
    let scale = [2, 10, 100, 10_000][random.below(4)];
    let mut pairs = Vec::new();
    for b in 1..players {
        for a in 0..b {
            if random.below(5) > 0 {
                let [wins, losses, ties] = std::array::from_fn(|_| random.below(scale) as u64);
                pairs.push(Pair { a, b, tally: Tally { wins, losses, ties } });
            }
        }
    }
    (players, pairs)
}

#[test]
fn strengths_are_those_of_scikit_learn_and_scipy() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bradley_terry/strengths.json");
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let sd = golden.prior_variance.sqrt() * 400.0 / std::f64::consts::LN_10;
    let mut likeliest = 0;
    for (seed, (penalised, unpenalised)) in golden.cases.iter().enumerate() {
        let (players, pairs) = tournament(seed as u64);
        close(&fit(players, &pairs, Prior::Normal { sd }).unwrap(), penalised, seed);
        match unpenalised {
            Some(wanted) => {
                close(&fit(players, &pairs, Prior::None).unwrap(), wanted, seed);
                likeliest += 1;
            }
            None => {
                let error = fit(players, &pairs, Prior::None).unwrap_err();
                assert!(matches!(error, Error::Refused(_)), "tournament {seed}: {error}");
            }
        }
    }
    assert!(golden.cases.len() == 1000 && likeliest > 500, "{likeliest}");
}

fn close(found: &[f64], wanted: &[f64], seed: usize) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < TOLERANCE, "tournament {seed}: {found} {wanted}");
    }
}

fn entry(model: &str, value: f64, time: i64) -> Entry {
    let measure = Measure {
        name: "accuracy".into(),
        value,
        stderr: Some(0.01),
        n: 100,
        higher_is_better: true,
    };
    let report = EvalReport {
        task: "security".into(),
        measures: vec![measure],
        examples: 100,
        seconds: 1.0,
    };
    Entry::from_report(model, &report, time).remove(0)
}

#[test]
fn results_stay_and_the_newest_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board.sqlite");
    let mut board = Leaderboard::open(&path).unwrap();
    let entries = [entry("a", 0.7, 10), entry("b", 0.8, 5), entry("a", 0.9, 20)];
    assert_eq!(board.add(&entries).unwrap(), 3);
    assert_eq!(board.add(&entries[1..]).unwrap(), 0, "the same results again");
    // All or nothing: a bad result keeps the good one before it out.
    assert!(board.add(&[entry("c", 0.5, 1), entry("d", f64::NAN, 1)]).is_err());
    let turned = Entry { higher_is_better: false, ..entry("e", 0.5, 1) };
    let error = board.add(&[entry("c", 0.5, 1), turned]).unwrap_err().to_string();
    assert!(error.contains("more is better"), "{error}");
    drop(board);

    let board = Leaderboard::open_existing(&path).unwrap();
    assert_eq!(board.entries(None).unwrap().len(), 3);
    assert_eq!(board.measures().unwrap(), [("security".to_string(), "accuracy".to_string())]);
    let table = board.table("security", "accuracy").unwrap();
    let found: Vec<_> = table.rows.iter().map(|row| (row.rank, row.entry.value)).collect();
    assert_eq!(found, [(1, 0.9), (2, 0.8)]);
    assert!(board.table("security", "f1").unwrap_err().to_string().contains("'f1'"));
    assert!(board.ratings(None, &RatingOptions::default()).is_err());
}

#[test]
fn examples_become_outcomes_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = Leaderboard::open(&folder.path().join("board.sqlite")).unwrap();
    let model = |model: &str, right: &[usize]| ExampleScores {
        model: model.into(),
        scores: (0..10).map(|i| (i.to_string(), f64::from(right.contains(&i)))).collect(),
    };
    let models = [model("z", &[0, 1, 2, 3, 4, 5, 6]), model("a", &[6, 7]), model("m", &[])];
    for _ in 0..2 {
        assert_eq!(board.record_examples("t", &models, true).unwrap(), 3);
        let (names, pairs) = board.pairs(Some("t")).unwrap();
        assert_eq!(names, ["a", "m", "z"]);
        let tally = Tally { wins: 1, losses: 6, ties: 3 };
        assert_eq!(pairs[1], Pair { a: 0, b: 2, tally });
    }
    board.record_match("other", "a", "z", "votes", Tally { wins: 5, losses: 0, ties: 0 }).unwrap();
    assert_eq!(board.pairs(None).unwrap().1[1].tally, Tally { wins: 6, losses: 6, ties: 3 });
    let ratings = board.ratings(Some("t"), &RatingOptions::default()).unwrap();
    let order: Vec<&str> = ratings.rows.iter().map(|row| row.model.as_str()).collect();
    assert_eq!(order, ["z", "a", "m"]);
    let alone = board.record_examples("t", &models[..1], true).unwrap_err().to_string();
    assert!(alone.contains("in common"), "{alone}");
    let same = board.record_match("t", "a", "a", "votes", Tally::default()).unwrap_err();
    assert!(same.to_string().contains("itself"), "{same}");
}

const WRITER: &str = "NEXUS_TEST_LEADERBOARD_WRITER";
const ROUNDS: usize = 50;

/// Not a test of its own: `two_programs_lose_nothing` starts it twice as a program of its own.
#[test]
fn writer() {
    let Ok(task) = std::env::var(WRITER) else { return };
    let (path, name) = task.split_once('|').unwrap();
    for i in 0..ROUNDS {
        let mut board = Leaderboard::open(Path::new(path)).unwrap();
        board.add(&[entry(name, 0.5, i as i64), entry("shared", 0.5, i as i64)]).unwrap();
        let tally = Tally { wins: 1, losses: 1, ties: 0 };
        board.record_match("t", name, "shared", &i.to_string(), tally).unwrap();
    }
}

#[test]
fn two_programs_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board.sqlite");
    let start = |name: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer"])
            .env(WRITER, format!("{}|{name}", path.display()))
            .spawn()
            .unwrap()
    };
    for mut program in [start("one"), start("two"), start("three")] {
        assert!(program.wait().unwrap().success());
    }
    let board = Leaderboard::open_existing(&path).unwrap();
    assert_eq!(board.entries(None).unwrap().len(), 4 * ROUNDS);
    let outcomes: u64 = board.pairs(None).unwrap().1.iter().map(|pair| pair.tally.total()).sum();
    assert_eq!(outcomes, 6 * ROUNDS as u64);
}

#[test]
fn a_file_that_is_no_leaderboard_or_damaged_gives_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("board.sqlite");
    let refuse = |what: &str| {
        let open = || Leaderboard::open(&path)?.entries(None);
        let error = open().unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("board.sqlite") && text.contains(what), "{text}");
    };
    assert!(matches!(Leaderboard::open_existing(&path), Err(Error::Io { .. })));

    std::fs::write(&path, "this is a text and not a database, whatever its name says").unwrap();
    refuse("damaged");

    std::fs::remove_file(&path).unwrap();
    let execute = |sql: &str| {
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    };
    execute("CREATE TABLE things (x)");
    refuse("not a leaderboard");

    std::fs::remove_file(&path).unwrap();
    let entries: Vec<Entry> = (0..500).map(|i| entry("m", 0.5, i)).collect();
    Leaderboard::open(&path).unwrap().add(&entries).unwrap();
    let whole = std::fs::read(&path).unwrap();

    execute("PRAGMA user_version = 99");
    refuse("version 99");

    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refuse("damaged");

    let mut scribbled = whole.clone();
    scribbled[whole.len() / 2..whole.len() / 2 + 3000].fill(0xa5);
    std::fs::write(&path, &scribbled).unwrap();
    refuse("damaged");

    std::fs::write(&path, &whole).unwrap();
    execute("UPDATE entries SET value = 0.99 WHERE id = 7");
    refuse("result 7");

    std::fs::write(&path, &whole).unwrap();
    execute("DROP TABLE entries");
    refuse("damaged");

    std::fs::write(&path, &whole).unwrap();
    assert_eq!(Leaderboard::open(&path).unwrap().entries(None).unwrap(), entries);
}
