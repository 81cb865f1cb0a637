//! The SQLite file: its form, its versions, and what its errors mean.

use crate::{Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Marks a SQLite file as a leaderboard: "NxLb".
const APPLICATION_ID: i32 = 0x4e78_4c62;

/// What leads from each version of the form to the next; version 0 is an empty file.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        model TEXT NOT NULL,
        task TEXT NOT NULL,
        measure TEXT NOT NULL,
        value REAL NOT NULL,
        stderr REAL,
        n INTEGER NOT NULL,
        higher_is_better INTEGER NOT NULL,
        time INTEGER NOT NULL,
        content_hash TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE INDEX entries_by_task ON entries (task, measure);
    CREATE TABLE matches (
        task TEXT NOT NULL,
        model_a TEXT NOT NULL,
        model_b TEXT NOT NULL,
        source TEXT NOT NULL,
        wins INTEGER NOT NULL,
        losses INTEGER NOT NULL,
        ties INTEGER NOT NULL,
        content_hash TEXT NOT NULL,
        PRIMARY KEY (task, model_a, model_b, source),
        CHECK (model_a < model_b)
    ) STRICT;
"];

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens a leaderboard, and with `create` makes one where there is no file, or an empty one.
pub(super) fn open(path: &Path, create: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else {
        std::fs::metadata(path).map_err(Error::io("open", path))?;
    }
    let translate = |error| translate(path, error);
    let mut connection = Connection::open_with_flags(path, flags).map_err(translate)?;
    connection.busy_timeout(PATIENCE).map_err(translate)?;
    let version = version(&connection).map_err(translate)?;
    if version != current() || application(&connection).map_err(translate)? != APPLICATION_ID {
        migrate(&mut connection, path)?;
    }
    let state: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(translate)?;
    match state == "ok" {
        true => Ok(connection),
        false => Err(damaged(path, &state)),
    }
}

fn current() -> i64 {
    MIGRATIONS.len() as i64
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn application(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Brings a file to the current version, all in one transaction, so that two programs that open it do so once.
fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let translate = |error| translate(path, error);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(translate)?;
    let found = version(&transaction).map_err(translate)?;
    let tables: i64 = transaction
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(translate)?;
    let ours = application(&transaction).map_err(translate)? == APPLICATION_ID;
    if !ours && (tables > 0 || found != 0) {
        return Err(Error::format(path, "a SQLite file, but not a leaderboard; name another file"));
    }
    let Some(missing) = usize::try_from(found).ok().and_then(|from| MIGRATIONS.get(from..)) else {
        let why = format!(
            "has version {found} of the leaderboard's form, this program knows up to {}; use a newer program",
            current()
        );
        return Err(Error::format(path, why));
    };
    for step in missing {
        transaction.execute_batch(step).map_err(translate)?;
    }
    let marks =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", current());
    transaction.execute_batch(&marks).map_err(translate)?;
    transaction.commit().map_err(translate)
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::format(path, format!("is damaged or not a leaderboard ({why}); restore it from a copy"))
}

/// What an error of SQLite means to the user.
pub(super) fn translate(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        // Unknown is SQLite's plain error, such as a table that is not there: all statements here are right for a whole file.
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
            damaged(path, &error.to_string())
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Refused(format!(
            "{} was locked by another program for {} s; try again when it is done",
            path.display(),
            PATIENCE.as_secs()
        )),
        Some(_) => Error::io("use", path)(std::io::Error::other(error)),
        // Not from SQLite itself: a column of another type.
        None => damaged(path, &error.to_string()),
    }
}
