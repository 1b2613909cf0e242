//! The statements of a connection that writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, Params, Statement};

use super::error::panicked;
use crate::store::TableName;

const BEGIN_ONE: &str = "SAVEPOINT app_tokens";
const KEEP_ONE: &str = "RELEASE app_tokens";
const UNDO_ONE: &str = "ROLLBACK TO app_tokens";

/// A connection and the statements that were prepared on it, over one table, kept for the next change.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    table: &'c TableName,
    kept: HashMap<&'static str, Statement<'c>>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection, table: &'c TableName) -> Statements<'c> {
        Statements { connection, table, kept: HashMap::new() }
    }

    /// Runs a kept statement; says how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.kept(sql)?.execute(params)
    }

    /// Whether a kept query has a row.
    pub(super) fn exists(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        self.kept(sql)?.exists(params)
    }

    /// The number that a kept query answers.
    pub(super) fn count(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<i64> {
        self.kept(sql)?.query_row(params, |row| row.get(0))
    }

    /// Runs a statement that was put together for this once.
    pub(super) fn execute_once(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.execute(&self.table.in_sql(sql), params)
    }

    /// Makes a change within the open transaction, or none of it, also where it panics.
    ///
    /// # Errors
    /// The change's own, in the inner result; in the outer one what spoils the whole transaction.
    pub(super) fn wholly<T>(
        &mut self,
        change: impl FnOnce(&mut Statements<'c>) -> rusqlite::Result<T>,
    ) -> Result<rusqlite::Result<T>, rusqlite::Error> {
        self.execute(BEGIN_ONE, [])?;
        let outcome = catch_unwind(AssertUnwindSafe(|| change(self)));
        let outcome = match outcome.unwrap_or_else(|_| Err(panicked("the change"))) {
            // SQLite takes everything back by itself where it can't go on, for instance on a full disk.
            Err(error) if self.execute(UNDO_ONE, []).is_err() => return Err(error),
            outcome => outcome,
        };
        self.execute(KEEP_ONE, [])?;
        Ok(outcome)
    }

    fn kept(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        match self.kept.entry(sql) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(place) => {
                Ok(place.insert(self.connection.prepare(&self.table.in_sql(sql))?))
            }
        }
    }
}
