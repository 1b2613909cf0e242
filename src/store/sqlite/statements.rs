//! [`Statements`]: a connection that changes rows, and its prepared statements.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, Params, Statement};

use super::binding::find_row;
use super::error::panicked;
use super::sql::FIND;
use crate::store::{Row, TableName};
use crate::token::TokenId;

const BEGIN_CHANGE: &str = "SAVEPOINT app_tokens";
const KEEP_CHANGE: &str = "RELEASE app_tokens";
const UNDO_CHANGE: &str = "ROLLBACK TO app_tokens";

/// A connection, and the statements that were prepared on it for one table. They are kept for the
/// next change, as preparing costs more than running most of them.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    table: &'c TableName,
    kept: HashMap<&'static str, Statement<'c>>,
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c Connection, table: &'c TableName) -> Statements<'c> {
        Statements { connection, table, kept: HashMap::new() }
    }

    /// Makes a change within the open transaction, in full or not at all, even if it panics.
    ///
    /// A savepoint does this, so that a change that fails does not undo the others that share the
    /// transaction.
    ///
    /// # Errors
    /// The inner result is the result of the change. The outer error means that SQLite rolled back
    /// the whole transaction.
    pub(super) fn atomically<T>(
        &mut self,
        change: impl FnOnce(&mut Statements<'c>) -> rusqlite::Result<T>,
    ) -> Result<rusqlite::Result<T>, rusqlite::Error> {
        self.execute(BEGIN_CHANGE, [])?;
        let outcome = catch_unwind(AssertUnwindSafe(|| change(self)));
        let outcome = match outcome.unwrap_or_else(|_| Err(panicked("the change"))) {
            // If SQLite can't continue, for instance on a full disk, it rolls back the whole
            // transaction itself. Then the savepoint is gone, and undoing it fails.
            Err(error) if self.execute(UNDO_CHANGE, []).is_err() => return Err(error),
            outcome => outcome,
        };
        self.execute(KEEP_CHANGE, [])?;
        Ok(outcome)
    }

    /// Runs a kept statement, and returns how many rows it changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.kept(sql)?.execute(params)
    }

    /// Runs a kept statement on one row that certainly exists.
    ///
    /// # Errors
    /// An error if not exactly one row was changed: only a trigger can cause that.
    pub(super) fn execute_on_one(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<()> {
        match self.execute(sql, params)? {
            1 => Ok(()),
            other => Err(rusqlite::Error::StatementChangedRows(other)),
        }
    }

    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }

    pub(super) fn table(&self) -> &'c TableName {
        self.table
    }

    /// Looks up a row, damaged or not.
    pub(super) fn find(&mut self, id: TokenId) -> rusqlite::Result<Option<Row>> {
        find_row(self.kept(FIND)?, id)
    }

    /// Returns whether a kept query finds a row.
    pub(super) fn exists(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<bool> {
        self.kept(sql)?.exists(params)
    }

    /// Returns the number that a kept query selects.
    pub(super) fn count(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<i64> {
        self.kept(sql)?.query_row(params, |row| row.get(0))
    }

    /// Runs a statement that was joined for one filter, and returns how many rows it changed.
    ///
    /// It is not kept: each filter has other text, and the map would grow.
    pub(super) fn execute_once(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.connection.execute(&self.table.in_sql(sql), params)
    }

    /// Returns a kept statement, and prepares it at its first use.
    ///
    /// The key is the constant text, so a look-up makes no string. What is prepared is that text
    /// with the store's own table name: a name can't be bound as a parameter.
    fn kept(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        match self.kept.entry(sql) {
            Entry::Occupied(kept) => Ok(kept.into_mut()),
            Entry::Vacant(place) => {
                Ok(place.insert(self.connection.prepare(&self.table.in_sql(sql))?))
            }
        }
    }
}
