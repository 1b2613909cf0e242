//! What SQLite said, of which file, and what somebody can do about it.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

use crate::store::TableName;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteStoreError {
    /// The file is not there and can't be made, or can't be opened.
    #[error(
        "can't open {}: {source}; its directory must exist, and this process must be able to make files in it",
        path.display()
    )]
    CantOpen {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An empty path, or `:memory:`, for which there is [`SqliteStore::in_memory`](super::SqliteStore::in_memory).
    #[error("{:?} names no file; a database in memory is SqliteStore::in_memory()", .0.display())]
    NoFile(PathBuf),
    /// The file is something else, or encrypted.
    #[error("{} is not an SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The file can be read and not written.
    #[error("{} is read-only: this process must be able to write the file and its directory", .0.display())]
    ReadOnly(PathBuf),
    /// Another file came to its place while it was being opened.
    #[error("{} was moved or replaced while it was being opened: open it again", .0.display())]
    Replaced(PathBuf),
    /// Another process, or another connection of this one, held the file's lock for too long.
    #[error("{} is locked: another process or connection has a transaction open on it", .0.display())]
    Locked(PathBuf),
    /// The file's pages contradict each other.
    #[error(
        "{} is damaged: keep a copy of it, then repair it with `sqlite3 .recover` or restore a backup",
        .0.display()
    )]
    Damaged(PathBuf),
    /// There is no room for the tables.
    #[error("{} has no room to grow: the disk is full, or a limit of this process's is reached", .0.display())]
    DiskFull(PathBuf),
    /// The file's journal can't be a write-ahead log: it lies on a network file system, for instance.
    #[error("{} can't have a write-ahead log: is it on a network file system?", .0.display())]
    NoWriteAheadLog(PathBuf),
    /// A newer version of this library made the tables.
    #[error(
        "the tables {table} in {} have version {found}, and this program knows version {known}: run a newer version of it",
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
    /// There is a table of that name that this library did not make, or not so.
    #[error(
        "{} has a table {table}, or one beside it, that is not this library's: take another name or file",
        path.display()
    )]
    ForeignTable {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
    },
    /// The tables are missing or of an older version, and a [`SqliteTransaction`](super::SqliteTransaction) doesn't make any.
    #[error(
        "{} has no table {table}, or an older one: open it once with SqliteStore, or run SqliteStore::MIGRATIONS",
        path.display()
    )]
    NotMigrated {
        /// The file.
        path: PathBuf,
        /// The table.
        table: TableName,
    },
    /// The table's name has a schema, which in SQLite would be another file.
    #[error("{0} names a schema: in SQLite a table is named without one")]
    HasSchema(TableName),
    /// The SQLite that this program is linked with has no STRICT tables.
    #[error("SQLite {0} is too old: 3.37 or newer is needed")]
    OldSqlite(&'static str),
    /// Anything else: a disk that fails, no more threads.
    #[error("can't use {}: {source}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SqliteStoreError {
    pub(super) fn new(path: &Path, error: rusqlite::Error) -> SqliteStoreError {
        let path = path.to_path_buf();
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

/// What a call answers where SQLite failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {source}{}", Advice(source))]
pub(super) struct Failure {
    name: Arc<str>,
    source: Arc<rusqlite::Error>,
}

impl Failure {
    pub(super) fn new(name: Arc<str>, source: impl Into<Arc<rusqlite::Error>>) -> Failure {
        Failure { name, source: source.into() }
    }
}

/// Whether a lock was held for longer than we wait.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Whether the file is no longer the one that was opened.
pub(super) fn is_gone(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|code| code.extended_code == ffi::SQLITE_READONLY_DBMOVED)
}

/// What a panic is answered by.
pub(super) fn panicked(what: &str) -> rusqlite::Error {
    let code = ffi::Error::new(ffi::SQLITE_ABORT);
    rusqlite::Error::SqliteFailure(code, Some(format!("{what} has panicked")))
}

struct Advice<'e>(&'e rusqlite::Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match advice(self.0) {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

fn advice(error: &rusqlite::Error) -> Option<&'static str> {
    if is_gone(error) {
        return Some("put it back, or open the store anew");
    }
    Some(match error.sqlite_error_code()? {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            "somebody else has been writing to it for longer than this call waits: is there a transaction that was left open?"
        }
        ErrorCode::DiskFull => "free some space: nothing needs to be restarted",
        ErrorCode::ReadOnly => "this process must be able to write the file and its directory",
        ErrorCode::SystemIoFailure => {
            "the disk or its file system failed: look at the system's log"
        }
        ErrorCode::CannotOpen => "is the file still there, and may this process open so many?",
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            "the file is damaged: keep a copy, then repair it with `sqlite3 .recover` or restore a backup"
        }
        _ => return None,
    })
}
