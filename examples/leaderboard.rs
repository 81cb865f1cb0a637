//! Keeps a leaderboard in a SQLite file: adds results and comparisons, shows tables and ratings.

use clap::{Parser, Subcommand};
use nexus_core::report::{EvalReport, table};
use nexus_eval::leaderboard::{Entry, Leaderboard, RatingOptions, Ratings, Tally, TaskTable};
use nexus_examples::{Failure, run};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Keeps a leaderboard in a SQLite file: adds results and comparisons, shows tables and ratings.
///
/// Example:
///   cargo run --release --example evaluate -- --model runs/base --task choice \
///     --data examples/assets/security/choice.jsonl --json > base.json
///   cargo run --release --example leaderboard -- --file board.sqlite add --model base base.json
///   cargo run --release --example leaderboard -- --file board.sqlite show
#[derive(Parser)]
#[command(verbatim_doc_comment)]
struct Args {
    /// The leaderboard
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add what evaluations of a model found: files that `evaluate --json` wrote
    Add {
        /// The model's name
        #[arg(long)]
        model: String,
        /// The reports, as JSON
        #[arg(required = true, value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
    /// Record outcomes between two models; the same task, models and source again replace them
    Match {
        /// The task's name
        #[arg(long)]
        task: String,
        /// What was compared, such as a set of examples or a week of votes
        #[arg(long)]
        source: String,
        /// The first model
        first: String,
        /// The second model
        second: String,
        /// Times that the first was better
        #[arg(long)]
        wins: u64,
        /// Times that the second was
        #[arg(long)]
        losses: u64,
        /// Times that neither was
        #[arg(long, default_value_t = 0)]
        ties: u64,
    },
    /// Show the table of every measure, and the ratings
    Show {
        /// Only this task
        #[arg(long)]
        task: Option<String>,
        /// Print one JSON object instead of tables
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Shown {
    tables: Vec<TaskTable>,
    ratings: Option<Ratings>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    run(|| leaderboard(&args))
}

fn leaderboard(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Add { model, reports } => {
            let time = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
            let mut entries = Vec::new();
            for path in reports {
                entries.extend(Entry::from_report(model, &read(path)?, time));
            }
            let added = Leaderboard::open(&args.file)?.add(&entries)?;
            println!("added {added} of {} results", entries.len());
            Ok(())
        }
        Command::Match { task, source, first, second, wins, losses, ties } => {
            let tally = Tally { wins: *wins, losses: *losses, ties: *ties };
            Ok(Leaderboard::open(&args.file)?.record_match(task, first, second, source, tally)?)
        }
        Command::Show { task, json } => show(&args.file, task.as_deref(), *json),
    }
}

fn read(path: &Path) -> Result<EvalReport, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let report = serde_json::from_str(&text).map_err(|why| {
        format!("{}: {why}; a report of `evaluate --json` is expected", path.display())
    })?;
    Ok(report)
}

fn show(file: &Path, task: Option<&str>, json: bool) -> Result<(), Failure> {
    let board = Leaderboard::open_existing(file)?;
    let measures = board.measures()?;
    let wanted = measures.iter().filter(|(name, _)| task.is_none_or(|task| task == name));
    let tables =
        wanted.map(|(task, measure)| board.table(task, measure)).collect::<Result<Vec<_>, _>>()?;
    let compared = !board.pairs(task)?.0.is_empty();
    let ratings =
        if compared { Some(board.ratings(task, &RatingOptions::default())?) } else { None };
    if tables.is_empty() && ratings.is_none() {
        return Err(format!("{} has nothing to show; add results first", file.display()).into());
    }
    if json {
        println!("{}", serde_json::to_string(&Shown { tables, ratings })?);
        return Ok(());
    }
    let ends = |interval: Option<(f64, f64)>, decimals: usize| {
        interval
            .map_or(String::new(), |(low, high)| format!("{low:.decimals$} to {high:.decimals$}"))
    };
    for shown in &tables {
        let row = |row: &nexus_eval::leaderboard::TaskRow| {
            let (model, value) = (row.entry.model.clone(), format!("{:.4}", row.entry.value));
            vec![row.rank.to_string(), model, value, ends(row.interval, 4), row.entry.n.to_string()]
        };
        let rows: Vec<_> = shown.rows.iter().map(row).collect();
        println!("{}, {}\n", shown.task, shown.measure);
        println!("{}", table(&["rank", "model", "value", "95 % interval", "n"], &rows));
    }
    let Some(ratings) = ratings else { return Ok(()) };
    let row = |row: &nexus_eval::leaderboard::RatingRow| {
        let Tally { wins, losses, ties } = row.tally;
        let (rating, tally) = (format!("{:.0}", row.rating), format!("{wins}/{losses}/{ties}"));
        vec![row.rank.to_string(), row.model.clone(), rating, ends(row.interval, 0), tally]
    };
    let rows: Vec<_> = ratings.rows.iter().map(row).collect();
    println!("{}", table(&["rank", "model", "rating", "95 % interval", "won/lost/tied"], &rows));
    if !ratings.unconnected.is_empty() {
        println!("note: there are groups without outcomes between them: {:?}", ratings.unconnected);
    }
    Ok(())
}
