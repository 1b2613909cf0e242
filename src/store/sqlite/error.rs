//! [`SqliteStoreError`], and what an error of SQLite means for a call.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

use crate::store::TableName;

/// Says why a database file could not be opened, or why its tables can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteStoreError {
    /// The file does not exist and can't be made, or it can't be opened.
    #[error(
        "can't open {}: {source}; its directory must exist, \
         and this process must be allowed to make files in it",
        path.display()
    )]
    CantOpen {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The path is empty or `:memory:`. For a database in memory, use
    /// [`SqliteStore::in_memory`](super::SqliteStore::in_memory).
    #[error(
        "{:?} is not a file; for a database in memory call `SqliteStore::in_memory()`",
        .0.display()
    )]
    NoFile(PathBuf),
    /// The file is not an SQLite database, or it is encrypted.
    #[error(
        "{} is not an SQLite database, or it is encrypted; choose another path",
        .0.display()
    )]
    NotADatabase(PathBuf),
    /// The file can be read but not written.
    #[error(
        "{} is read-only; let this process write the file and its directory",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// The file was replaced by another while it was being opened.
    #[error("{} was moved or replaced while it was being opened; open it again", .0.display())]
    Replaced(PathBuf),
    /// Another connection, of this process or another, held the file's lock for too long: more than
    /// 5 seconds for the store's own connections.
    #[error(
        "{} is locked by another connection's open transaction; close it and try again",
        .0.display()
    )]
    Locked(PathBuf),
    /// The file is damaged: its pages contradict each other.
    #[error(
        "{} is damaged; keep a copy of it, \
         then repair it with `sqlite3 .recover` or restore a backup",
        .0.display()
    )]
    Damaged(PathBuf),
    /// There is no space left for the tables.
    #[error(
        "{} can't grow: the disk is full or a process limit is reached; free some space",
        .0.display()
    )]
    DiskFull(PathBuf),
    /// The file can't have a write-ahead log, for instance because it lies on a network file
    /// system.
    #[error("{} can't have a write-ahead log; put it on a local file system", .0.display())]
    NoWriteAheadLog(PathBuf),
    /// A newer version of this library made the tables.
    #[error(
        "the tables {table} in {} have version {found}, \
         and this program knows only version {known}; update it",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
        /// The version of its tables.
        found: i64,
        /// The newest version that this library knows.
        known: i64,
    },
    /// A table with that name exists, and this library did not make it, or it was altered.
    #[error(
        "{table} in {}, or a table beside it, was not made by this library or was altered; \
         choose another table name or file",
        path.display()
    )]
    ForeignTable {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
    },
    /// The tables are missing or have an older version.
    /// [`SqliteTransaction`](super::SqliteTransaction) does not make or migrate them.
    #[error(
        "the tables {table} in {} are missing or older; \
         open the file once with `SqliteStore`, or run `SqliteStore::MIGRATIONS`",
        path.display()
    )]
    NotMigrated {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
    },
    /// The table's name has a schema, which in SQLite names another file.
    #[error("{0} has a schema; SQLite needs a table name without one")]
    HasSchema(TableName),
    /// The table's name is a reserved word of SQL, such as `order`, or begins with `sqlite_`.
    /// Which words are reserved depends on the version of SQLite.
    #[error("{0} is reserved in SQLite; choose another table name")]
    ReservedName(TableName),
    /// One of the tables is a view, or has a trigger that the host did not name.
    /// [`SqliteOptions::with_known_trigger`](super::SqliteOptions::with_known_trigger) names one.
    #[error(
        "{} has the {kind} {name:?}, which may undo what is written to {table}; find out who \
         made it, then drop it, or name the trigger with `SqliteOptions::with_known_trigger`",
        path.display()
    )]
    ForeignCode {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
        /// `trigger` or `view`.
        kind: String,
        /// The name of the trigger or view.
        name: String,
    },
    /// This program is linked with an SQLite that is too old for STRICT tables: 3.37 is needed.
    #[error("SQLite {0} is too old; link 3.37 or newer")]
    OldSqlite(&'static str),
    /// Anything else, for instance a failing disk, or no thread left.
    #[error("can't use {}: {source}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SqliteStoreError {
    /// Turns an error of SQLite, when the file is opened, into the one that says what to do.
    pub(super) fn new(path: &Path, error: rusqlite::Error) -> SqliteStoreError {
        let (path, error) = (path.to_path_buf(), without_sql(error));
        match error.sqlite_error_code() {
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                SqliteStoreError::CantOpen { path, source: error.into() }
            }
            Some(ErrorCode::NotADatabase) => SqliteStoreError::NotADatabase(path),
            Some(ErrorCode::DatabaseCorrupt) => SqliteStoreError::Damaged(path),
            Some(ErrorCode::DiskFull) => SqliteStoreError::DiskFull(path),
            Some(ErrorCode::ReadOnly) if is_gone(&error) => SqliteStoreError::Replaced(path),
            Some(ErrorCode::ReadOnly) => SqliteStoreError::ReadOnly(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                SqliteStoreError::Locked(path)
            }
            _ => SqliteStoreError::Failed { path, source: error.into() },
        }
    }
}

/// An error of SQLite during a call, with the file's name and what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {source}{}", Advice(source))]
pub(super) struct SqliteCallError {
    name: Arc<str>,
    source: Arc<rusqlite::Error>,
}

impl SqliteCallError {
    pub(super) fn new(name: Arc<str>, source: impl Into<Arc<rusqlite::Error>>) -> SqliteCallError {
        SqliteCallError { name, source: source.into() }
    }
}

/// Removes the statement's text from an error. That text may be the whole schema.
///
/// The variant with the statement exists only if some crate of the host enables rusqlite's feature
/// `modern_sqlite`, so it can't be named here. It is recognized by its behaviour instead: it has an
/// SQLite code as its source and none of its own. Its text is cut where the statement begins.
fn without_sql(error: rusqlite::Error) -> rusqlite::Error {
    let source = Error::source(&error).and_then(|source| source.downcast_ref());
    match source {
        Some(code @ ffi::Error { .. }) if error.sqlite_error().is_none() => {
            // The text is the message, " in ", and the statement.
            let text = error.to_string();
            let message = text.split_once(" in ").map_or(&*text, |(message, _)| message);
            rusqlite::Error::SqliteFailure(*code, Some(message.into()))
        }
        _ => error,
    }
}

/// Returns whether another connection held a lock for longer than this one waits.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Returns whether the file is no longer the one that was opened.
pub(super) fn is_gone(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|code| code.extended_code == ffi::SQLITE_READONLY_DBMOVED)
}

/// Makes the error of a call that panicked.
pub(super) fn panicked(what: &str) -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_ABORT);
    rusqlite::Error::SqliteFailure(
        code,
        Some(format!("{what} panicked; see the panic's own message")),
    )
}

/// Makes the error of a set of keys that holds another number.
pub(super) fn no_key(number: i64) -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_MISMATCH);
    let text = format!("the table of keys holds {number}, which is not a key id; remove it");
    rusqlite::Error::SqliteFailure(code, Some(text))
}

/// Shows what to do about an error, in parentheses; nothing if there is no advice.
struct Advice<'e>(&'e rusqlite::Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match advice(self.0) {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

/// Returns what to do about an error.
fn advice(error: &rusqlite::Error) -> Option<&'static str> {
    if is_gone(error) {
        return Some("put the file back, or open the store again");
    }
    if matches!(error, rusqlite::Error::StatementChangedRows(_)) {
        return Some("an existing row was not changed; look for a trigger on the table");
    }
    Some(match error.sqlite_error_code()? {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "another connection held the lock for longer than this call waits; \
             look for a transaction that was left open"
        }
        ErrorCode::DiskFull => "free some space; nothing needs to be restarted",
        ErrorCode::ReadOnly => "let this process write the file and its directory",
        ErrorCode::SystemIoFailure => {
            "the disk or its file system failed; look at the system's log"
        }
        ErrorCode::CannotOpen => {
            "check that the file exists and that this process may open more files"
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            "the file is damaged; keep a copy, \
             then repair it with `sqlite3 .recover` or restore a backup"
        }
        _ => return None,
    })
}
