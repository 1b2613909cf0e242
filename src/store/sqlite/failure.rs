//! What SQLite said, of which file, and what somebody can do about it.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Error, ErrorCode, ffi};

/// What a call answers where SQLite failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{name}: {source}{}", Advice(source))]
pub(super) struct Failure {
    name: Arc<str>,
    source: Arc<Error>,
}

impl Failure {
    pub(super) fn new(name: Arc<str>, source: impl Into<Arc<Error>>) -> Failure {
        Failure { name, source: source.into() }
    }
}

/// Whether a lock was held for longer than we wait.
pub(super) fn is_busy(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Whether the file is no longer the one that was opened.
pub(super) fn is_gone(error: &Error) -> bool {
    error.sqlite_error().is_some_and(|code| code.extended_code == ffi::SQLITE_READONLY_DBMOVED)
}

/// What a panic is answered by.
pub(super) fn panicked(what: &str) -> Error {
    let code = ffi::Error::new(ffi::SQLITE_ABORT);
    Error::SqliteFailure(code, Some(format!("{what} has panicked")))
}

struct Advice<'e>(&'e Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match advice(self.0) {
            Some(advice) => write!(f, " ({advice})"),
            None => Ok(()),
        }
    }
}

fn advice(error: &Error) -> Option<&'static str> {
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
