//! A leaderboard of models that outlives the program: a SQLite file with results and comparisons, tables by task, and
//! Bradley-Terry ratings with intervals.
//!
//! ```text
//! EvalReport, Entry ----------> entries ---> table of a task (newest entry of each model)
//! scores per example, Tally --> matches ---> Ratings with intervals and ranks, of a task or over all
//! ```
//!
//! # Example
//! ```
//! use nexus_eval::leaderboard::{Leaderboard, RatingOptions, Tally};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let mut board = Leaderboard::open(&folder.path().join("board.sqlite"))?;
//! board.record_match("arena", "small", "large", "week 1", Tally { wins: 12, losses: 30, ties: 8 })?;
//! let ratings = board.ratings(None, &RatingOptions::default())?;
//! assert_eq!(ratings.rows[0].model, "large");
//! # Ok::<(), nexus_eval::Error>(())
//! ```

mod bootstrap;
mod bradley_terry;
mod database;
mod entry;
mod graph;
mod matches;
mod pairs;
mod rating;
mod store;
mod table;

pub use bradley_terry::{Prior, fit};
pub use entry::Entry;
pub use pairs::{ExampleScores, Pair, Tally, compare_examples};
pub use rating::{RatingOptions, RatingRow, Ratings, rate};
pub use store::Leaderboard;
pub use table::{TaskRow, TaskTable};
