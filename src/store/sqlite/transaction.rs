//! [`SqliteTransaction`]: the store within a transaction of the host.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode};

use super::binding::find_row;
use super::diagnose::diagnose;
use super::error::{SqliteCallError, SqliteStoreError};
use super::migrate::Tables;
use super::open::refuse_bad_name;
use super::options::SqliteOptions;
use super::query::{keys_in_use, list_rows};
use super::sql::FIND;
use super::statements::Statements;
use crate::key::KeyId;
use crate::record::{LastUse, Revocation};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const BEGIN_INNER: &str = "SAVEPOINT app_tokens_transaction";
const COMMIT_INNER: &str = "RELEASE app_tokens_transaction";
const ROLLBACK_INNER: &str = "ROLLBACK TO app_tokens_transaction; RELEASE app_tokens_transaction";

/// Issues and revokes tokens within a transaction on the host's own connection.
///
/// So a user and their first token are written together or not at all. The same holds for the end
/// of an account and the revocation of its tokens.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.db");
/// # use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
/// use app_tokens::store::{SqliteStore, SqliteTransaction};
/// # let (ring, policy) = (KeyRing::ephemeral()?, Policy::new("acme")?);
/// let tokens = TokenAuthority::new(SqliteStore::open(&path)?, ring, policy); // makes the tables
/// let mut connection = rusqlite::Connection::open(&path)?;
/// connection.execute_batch("CREATE TABLE users (name TEXT)")?;
///
/// let transaction = SqliteTransaction::begin(&mut connection)?;
/// transaction.with(|connection| connection.execute("INSERT INTO users VALUES ('alice')", []))?;
/// let within = tokens.in_transaction(&transaction);
/// let issued = within.block_on(within.issue(NewToken::new("alice", "My phone", Access::full())))?;
/// let events = within.into_events();
/// transaction.commit()?;
/// events.send();
/// println!("shown once: {}", issued.expose_secret());
/// # Ok(())
/// # }
/// ```
///
/// If it is dropped without [`commit`](SqliteTransaction::commit), it is rolled back. **Before the
/// commit, nothing that it answered is final**: don't show an issued token earlier. Keep it short,
/// since no other connection can write to the file until then. It retries nothing.
///
/// A call that fails leaves the transaction as it was before that call. SQLite itself may roll back
/// everything, for instance on a full disk. Then the transaction is over, and every later call and
/// `commit` fail.
///
/// It needs the tables and does not make them. The connection's settings are the host's choice: how
/// durable a commit is, and how long it waits for a lock. It does not check whether the file was
/// moved.
///
/// It does not take rusqlite's own `Transaction`: that is not `Sync`, and a [`TokenStore`] must be.
///
/// # Threads
/// Every call runs on the caller's thread, one at a time, and blocks it. No runtime is needed.
pub struct SqliteTransaction<'c> {
    connection: Mutex<&'c mut Connection>,
    /// Whether this is a savepoint within a transaction that the host had begun.
    is_inner: bool,
    options: SqliteOptions,
    name: Arc<str>,
}

impl<'c> SqliteTransaction<'c> {
    /// Begins a transaction that writes. If the host has one open, it begins a savepoint in that.
    ///
    /// It takes the file's write lock at once (BEGIN IMMEDIATE), so that no later call fails
    /// because another connection wrote first. A savepoint takes no lock: there the host's own
    /// BEGIN decides, so use BEGIN IMMEDIATE.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if the file is locked, or if the tables are missing or have another
    /// version. Also if they have a trigger that the host did not name.
    pub fn begin(
        connection: &'c mut Connection,
    ) -> Result<SqliteTransaction<'c>, SqliteStoreError> {
        SqliteTransaction::begin_with(connection, &SqliteOptions::new())
    }

    /// Begins a transaction over the tables that the options name.
    ///
    /// Give the options of [`SqliteStore::open_with`](super::SqliteStore::open_with). A trigger or
    /// view that they don't name is refused here, too. But the connection is the host's: it still
    /// runs a trigger that is made later.
    ///
    /// # Errors
    /// The errors of [`begin`](SqliteTransaction::begin). Also [`SqliteStoreError::HasSchema`] and
    /// [`SqliteStoreError::ReservedName`] for a table name that SQLite can't take.
    pub fn begin_with(
        connection: &'c mut Connection,
        options: &SqliteOptions,
    ) -> Result<SqliteTransaction<'c>, SqliteStoreError> {
        refuse_bad_name(&options.table)?;
        let path = connection.path().filter(|path| !path.is_empty()).unwrap_or(":memory:");
        let (path, name) = (PathBuf::from(path), Arc::<str>::from(path));
        let failed = |error| SqliteStoreError::new(&path, error);
        // SQLite can't nest BEGIN. A savepoint is the transaction within a transaction.
        let is_inner = !connection.is_autocommit();
        let begin = if is_inner { BEGIN_INNER } else { BEGIN };
        connection.execute_batch(begin).map_err(failed)?;
        let (connection, options) = (Mutex::new(connection), options.clone());
        let transaction = SqliteTransaction { connection, is_inner, options, name };
        Tables::new(&transaction.lock(), &path, &transaction.options).check()?;
        Ok(transaction)
    }

    /// Runs the host's own statements in the transaction. They must not commit it or roll it back.
    pub fn with<T>(&self, run: impl FnOnce(&Connection) -> T) -> T {
        run(&self.lock())
    }

    /// Commits the transaction. A savepoint becomes part of the transaction around it.
    ///
    /// # Errors
    /// - [`StoreError::not_done`] if SQLite refuses, for instance because of a lock or a foreign
    ///   key. The transaction is rolled back.
    /// - [`StoreError::unknown`] if it is not known whether it was committed.
    pub fn commit(self) -> Result<(), StoreError> {
        let connection = self.open()?;
        let commit = if self.is_inner { COMMIT_INNER } else { COMMIT };
        let done = connection.execute_batch(commit).map_err(|error| {
            match error.sqlite_error_code() {
                // A lock, or a deferred foreign key of the host's tables, makes SQLite refuse
                // before it writes anything.
                Some(ErrorCode::DatabaseBusy | ErrorCode::ConstraintViolation) => {
                    StoreError::not_done(self.failure(error))
                }
                _ => StoreError::unknown(self.failure(error)),
            }
        });
        drop(connection);
        // If the commit failed, `self` is rolled back when it is dropped at the end of this call.
        done
    }

    fn lock(&self) -> MutexGuard<'_, &'c mut Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the connection if the transaction is still open.
    ///
    /// Without this check, statements after its end would each commit alone.
    fn open(&self) -> Result<MutexGuard<'_, &'c mut Connection>, StoreError> {
        let connection = self.lock();
        if connection.is_autocommit() { Err(StoreError::not_done(Over)) } else { Ok(connection) }
    }

    /// Runs a read in the transaction.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        read(*self.open()?).map_err(|error| StoreError::not_done(self.failure(error)))
    }

    /// Makes a change in the transaction, in full or not at all.
    fn write<T>(
        &self,
        change: impl FnOnce(&mut Statements<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.read(|connection| {
            Statements::new(connection, &self.options.table).atomically(change)?
        })
    }

    fn failure(&self, error: rusqlite::Error) -> SqliteCallError {
        SqliteCallError::new(self.name.clone(), error)
    }
}

impl Drop for SqliteTransaction<'_> {
    fn drop(&mut self) {
        let connection = self.lock();
        let rollback = if self.is_inner { ROLLBACK_INNER } else { ROLLBACK };
        _ = connection.execute_batch(rollback); // ignored: it is over already
    }
}

impl fmt::Debug for SqliteTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteTransaction").field(&self.name).finish()
    }
}

impl TokenStore for SqliteTransaction<'_> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.write(|statements| statements.insert(insert))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.write(|statements| statements.supersede(supersede))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.read(|connection| {
            find_row(&mut connection.prepare(&self.options.table.in_sql(FIND))?, id)
        })
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.read(|connection| list_rows(connection, &self.options.table, filter, page))
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.write(|statements| statements.replace(replaces))
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.write(|statements| statements.revoke(filter, revocation))
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.write(|statements| statements.touch(uses, now))
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.write(|statements| statements.purge(purge, limit))
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.read(|connection| keys_in_use(connection, &self.options.table))
    }

    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| diagnose(connection, &self.options))
    }
}

impl RuntimeFree for SqliteTransaction<'_> {}

#[derive(Debug, thiserror::Error)]
#[error("the transaction is over: SQLite rolled it back, or the host ended it; begin another")]
struct Over;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Certainty;
    use crate::store::sqlite::open::open_memory;

    #[test]
    fn a_change_that_panics_leaves_the_transaction_as_it_was_before() {
        let mut host = open_memory(&SqliteOptions::new()).unwrap();
        host.execute_batch("CREATE TABLE numbers (n INTEGER)").unwrap();
        let transaction = SqliteTransaction::begin(&mut host).unwrap();
        let add = |number: i64, panics: bool| {
            transaction.write(|statements| {
                statements.execute("INSERT INTO numbers VALUES (?1)", [number])?;
                assert!(!panics, "on purpose");
                Ok(())
            })
        };
        add(1, false).unwrap();
        assert_eq!(add(2, true).unwrap_err().certainty(), Certainty::NotDone);
        add(3, false).unwrap();
        transaction.commit().unwrap();
        let sum = host.query_row("SELECT sum(n) FROM numbers", [], |row| row.get::<_, i64>(0));
        assert_eq!(sum.unwrap(), 4);
    }
}
