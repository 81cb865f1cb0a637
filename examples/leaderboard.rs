//! Keeps a leaderboard in a SQLite file: adds results and comparisons, shows tables and ratings.

use clap::{Parser, Subcommand};
use nexus_core::report::{EvalReport, table};
use nexus_eval::leaderboard::{Entry, Leaderboard, RatingOptions, RatingRow, Tally, TaskRow};
use nexus_examples::{Failure, run};
use std::io::Write;
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
            Ok(writeln!(std::io::stdout(), "added {added} of {} results", entries.len())?)
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
    serde_json::from_str(&text).map_err(|why| {
        format!("{}: {why}; a report of `evaluate --json` is expected", path.display()).into()
    })
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
        let text = serde_json::json!({ "tables": tables, "ratings": ratings }).to_string() + "\n";
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    let ends = |interval: Option<(f64, f64)>, digits: usize| {
        interval.map_or(String::new(), |(low, high)| format!("{low:.digits$} to {high:.digits$}"))
    };
    let mut text = String::new();
    for shown in &tables {
        let row = |row: &TaskRow| {
            let (model, value) = (row.entry.model.clone(), format!("{:.4}", row.entry.value));
            vec![row.rank.to_string(), model, value, ends(row.interval, 4), row.entry.n.to_string()]
        };
        let rows: Vec<_> = shown.rows.iter().map(row).collect();
        let header = ["rank", "model", "value", "95 % interval", "n"];
        text += &format!("{}, {}\n\n{}\n", shown.task, shown.measure, table(&header, &rows));
    }
    if let Some(ratings) = ratings {
        let row = |row: &RatingRow| {
            let Tally { wins, losses, ties } = row.tally;
            let (rating, tally) = (format!("{:.0}", row.rating), format!("{wins}/{losses}/{ties}"));
            vec![row.rank.to_string(), row.model.clone(), rating, ends(row.interval, 0), tally]
        };
        let rows: Vec<_> = ratings.rows.iter().map(row).collect();
        text += &table(&["rank", "model", "rating", "95 % interval", "won/lost/tied"], &rows);
        if !ratings.unconnected.is_empty() {
            text += &format!("\nnote: no outcomes between the groups {:?}\n", ratings.unconnected);
        }
    }
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
