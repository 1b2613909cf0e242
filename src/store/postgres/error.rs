//! [`PostgresStoreError`], and what an error of the driver or the pool means for a call.

use std::borrow::Cow;
use std::error::Error;
use std::{fmt, io};

use deadpool_postgres::{PoolError, TimeoutType};
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::store::{StoreError, TableName};

/// Says why the tables can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresStoreError {
    /// The pool has no connection to give, or can't connect.
    #[error("{0}")]
    NoConnection(Box<dyn Error + Send + Sync>),
    /// The database is not encoded in UTF-8, so it can't hold every name.
    #[error("the database is encoded in {0}; use a database encoded in UTF8")]
    NotUtf8(String),
    /// The schema in the table's name does not exist.
    #[error("the schema of the table {0} does not exist; create it first")]
    NoSchema(TableName),
    /// The role is not allowed to make tables.
    #[error(
        "the role is not allowed to create the table {0}; migrate with another role, \
         or run `PostgresStore::schema` in your own migrations"
    )]
    NotAllowed(TableName),
    /// A newer version of this library made the tables.
    #[error(
        "the tables of {table} have version {found}, and this program knows only version {known}; \
         update it"
    )]
    NewerSchema {
        /// The table.
        table: TableName,
        /// The version of its tables.
        found: i64,
        /// The newest version that this library knows.
        known: i64,
    },
    /// A table with that name exists, and this library did not make it, or it was altered.
    #[error(
        "{0}, or a table beside it, was not made by this library or was altered; \
         choose another table name"
    )]
    ForeignTable(TableName),
    /// A trigger, a rule or row-level security on the tables could keep changes out, and the host
    /// did not name it by [`with_known_objects`](super::PostgresStore::with_known_objects).
    #[error("{0}")]
    Unexpected(String),
    /// Anything else.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

/// An error of PostgreSQL or the pool during a call, with what to do about it.
///
/// It keeps only the message: an error's detail may quote a row.
#[derive(Debug)]
pub(super) struct PostgresCallError {
    said: String,
    advice: Option<String>,
}

impl PostgresCallError {
    /// Takes an error of the driver or the server.
    pub(super) fn new(table: &TableName, error: &tokio_postgres::Error) -> PostgresCallError {
        PostgresCallError {
            said: said(error),
            advice: error.code().and_then(|code| advice_on(code, table)),
        }
    }

    /// Takes an error of the pool.
    pub(super) fn of_pool(error: &PoolError) -> PostgresCallError {
        match error {
            PoolError::Timeout(TimeoutType::Wait) => PostgresCallError {
                said: "all connections of the pool are in use, and none was returned in time"
                    .into(),
                advice: Some("enlarge the pool, or find the call that holds one".into()),
            },
            PoolError::Backend(error) => {
                PostgresCallError { said: format!("can't connect: {}", said(error)), advice: None }
            }
            error => PostgresCallError { said: error.to_string(), advice: None },
        }
    }
}

impl fmt::Display for PostgresCallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgreSQL: ")?;
        f.write_str(&self.said)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

impl Error for PostgresCallError {}

/// Returns what to do about an error of the server.
fn advice_on(code: &SqlState, table: &TableName) -> Option<String> {
    if *code == SqlState::UNDEFINED_TABLE {
        return Some(format!("call `PostgresStore::migrate`, or run its schema, for {table}"));
    }
    if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        let advice = "connect the pool to the primary server, with the right to write";
        return Some(advice.into());
    }
    if *code == SqlState::QUERY_CANCELED {
        return Some("raise `statement_timeout` if the call needs more time".into());
    }
    (*code == SqlState::INSUFFICIENT_PRIVILEGE).then(|| {
        format!(
            "grant the role SELECT, INSERT, UPDATE and DELETE on {table}, {table}_owners and \
             {table}_keys, and SELECT on {table}_schema"
        )
    })
}

/// Returns the server's message and SQLSTATE. If the server did not answer, returns the error and
/// its causes.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    // The driver's own text is only "error connecting to server" or the like. The reason is in its
    // sources, and some texts already end with the text of their source.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let behind = error.to_string();
        if !text.ends_with(&behind) {
            text = format!("{text}: {behind}");
        }
        source = error.source();
    }
    text
}

/// Says why a call failed before COMMIT was sent.
#[derive(Debug)]
pub(super) enum Problem {
    Postgres(tokio_postgres::Error),
    /// Found by this library.
    Local(Cow<'static, str>),
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Problem {
        Problem::Postgres(error)
    }
}

impl Problem {
    /// Makes the error for a change that the server reports as done and that is not there.
    pub(super) fn obstructed() -> Problem {
        Problem::Local(
            "PostgreSQL did not change rows as it was told; \
             look for a trigger, a rule or row-level security on the table"
                .into(),
        )
    }

    /// Returns the error of a call that changed nothing.
    pub(super) fn not_done(self, table: &TableName) -> StoreError {
        match self {
            Problem::Postgres(error) => StoreError::not_done(PostgresCallError::new(table, &error)),
            Problem::Local(why) => StoreError::not_done(why),
        }
    }

    /// Returns whether the connection is closed or about to close.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Problem::Postgres(error) if is_lost(error))
    }

    /// Returns whether the server reported it, or can no longer be reached.
    pub(super) fn is_from_server(&self) -> bool {
        matches!(self, Problem::Postgres(error) if error.as_db_error().is_some() || is_lost(error))
    }

    /// Returns whether the call may succeed if it is made again.
    pub(super) fn is_worth_another_try(&self) -> bool {
        matches!(self, Problem::Postgres(error) if is_worth_another_try(error))
    }
}

/// Returns whether the connection is closed or about to close. After a FATAL error the server
/// closes it.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    let is_fatal = |error: &DbError| {
        matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
    };
    // The driver reports the same lost connection in three ways, depending on when it notices.
    error.is_closed()
        || error.as_db_error().is_some_and(is_fatal)
        || error.source().is_some_and(<dyn Error>::is::<io::Error>)
}

/// Returns whether the connection was lost, or the transaction was ended in favour of another.
pub(super) fn is_worth_another_try(error: &tokio_postgres::Error) -> bool {
    let gave_way = [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE];
    is_lost(error) || error.code().is_some_and(|code| gave_way.contains(code))
}

/// Returns whether the server itself says that it rolled back, and keeps the connection.
pub(super) fn is_refused(error: &tokio_postgres::Error) -> bool {
    // A FATAL error at COMMIT is no refusal: the server may have committed before it gave up, for
    // instance while it waited for a standby.
    error.as_db_error().is_some() && !is_lost(error)
}
