//! Writing and reading the leaderboard.

use super::database::{self, translate};
use super::entry::Entry;
use crate::{Error, Result};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use std::path::{Path, PathBuf};

/// A leaderboard in a SQLite file.
///
/// Several programs may use one file at a time: each change is one transaction, and a writer waits up to 30 seconds for
/// another. On opening, the file's version is checked (an older one is brought up to date, a newer one refused) and
/// its pages; each row that is read is compared with its hash. Damage is an [`Error::Format`].
#[derive(Debug)]
pub struct Leaderboard {
    connection: Connection,
    path: PathBuf,
}

impl Leaderboard {
    /// Opens the leaderboard at `path`; makes an empty one when there is none.
    ///
    /// # Errors
    /// [`Error::Format`] when the file is damaged, something else, or of a newer version; [`Error::Io`];
    /// [`Error::Refused`] when another program holds it too long.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { connection: database::open(path, true)?, path: path.into() })
    }

    /// Opens the leaderboard at `path`, which must be there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_existing(path: &Path) -> Result<Self> {
        Ok(Self { connection: database::open(path, false)?, path: path.into() })
    }

    /// Adds results, all or none, and says how many were new: a result that is there already, equal in everything, is
    /// not added again.
    ///
    /// # Errors
    /// [`Error::Config`] for a result out of range; [`Error::Refused`] when an earlier result says that the measure's
    /// better side is the other one; otherwise as [`open`](Self::open).
    pub fn add(&mut self, entries: &[Entry]) -> Result<usize> {
        entries.iter().try_for_each(Entry::check)?;
        self.write(|transaction, path| {
            let mut added = 0;
            for entry in entries {
                same_direction(transaction, entry, path)?;
                added += insert(transaction, entry).map_err(|error| translate(path, error))?;
            }
            Ok(added)
        })
    }

    /// All results, oldest first; with `task`, those of the task.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn entries(&self, task: Option<&str>) -> Result<Vec<Entry>> {
        let sql = "SELECT model, task, measure, value, stderr, n, higher_is_better, time, content_hash, id
                   FROM entries WHERE ?1 IS NULL OR task = ?1 ORDER BY time, id";
        let rows = self.rows(sql, task, |row| Ok((entry(row)?, row.get(8)?, row.get(9)?)))?;
        let checked = rows.into_iter().map(|(entry, hash, id): (Entry, String, i64)| {
            match entry.content_hash() == hash {
                true => Ok(entry),
                false => Err(self.changed(&format!("result {id}"))),
            }
        });
        checked.collect()
    }

    /// The tasks and measures with results, in ascending order.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn measures(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT DISTINCT task, measure FROM entries
                   WHERE ?1 IS NULL OR task = ?1 ORDER BY task, measure";
        self.rows(sql, None, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn changed(&self, what: &str) -> Error {
        let why = "does not match its hash: the file was changed by something else; restore it from a copy";
        Error::format(&self.path, format!("{what} {why}"))
    }

    /// Runs `change` in a transaction that starts as a writer, so that two writers queue and none fails half-way.
    pub(super) fn write<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &Path) -> Result<T>,
    ) -> Result<T> {
        let path = &self.path;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| translate(path, error))?;
        let result = change(&transaction, path)?;
        transaction.commit().map_err(|error| translate(path, error))?;
        Ok(result)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        task: Option<&str>,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let collect = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([task], read)?.collect()
        };
        collect().map_err(|error| translate(&self.path, error))
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        model: row.get(0)?,
        task: row.get(1)?,
        measure: row.get(2)?,
        value: row.get(3)?,
        stderr: row.get(4)?,
        n: row.get::<_, i64>(5)?.try_into().unwrap_or_default(),
        higher_is_better: row.get(6)?,
        time: row.get(7)?,
    })
}

fn insert(transaction: &Transaction<'_>, entry: &Entry) -> rusqlite::Result<usize> {
    let Entry { model, task, measure, value, stderr, n, higher_is_better, time } = entry;
    transaction.execute(
        "INSERT INTO entries (model, task, measure, value, stderr, n, higher_is_better, time, content_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (content_hash) DO NOTHING",
        params![model, task, measure, value, stderr, *n as i64, higher_is_better, time, entry.content_hash()],
    )
}

fn same_direction(transaction: &Transaction<'_>, entry: &Entry, path: &Path) -> Result<()> {
    let earlier: Option<bool> = transaction
        .query_row(
            "SELECT higher_is_better FROM entries WHERE task = ?1 AND measure = ?2 LIMIT 1",
            [&entry.task, &entry.measure],
            |row| row.get(0),
        )
        .optional()
        .map_err(|error| translate(path, error))?;
    match earlier {
        Some(higher) if higher != entry.higher_is_better => Err(Error::Refused(format!(
            "task '{}', measure '{}': earlier results say that {} is better; use another name for the other measure",
            entry.task,
            entry.measure,
            if higher { "more" } else { "less" }
        ))),
        _ => Ok(()),
    }
}
