//! [`SqliteStore`]: tokens in an SQLite file.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

mod binding;
mod calls;
mod error;
mod migrate;
mod open;
#[cfg(test)]
mod plans;
mod query;
mod reader;
mod sql;
mod statements;
mod thread_reader;
mod transaction;
mod watch;
mod worker;
mod writer;

pub use error::SqliteStoreError;
pub use transaction::SqliteTransaction;

use self::error::SqliteCallError;
use self::open::{absolute_path, open_memory, open_writer};
use self::reader::Readers;
use self::writer::{Writer, write_file, write_memory};
use crate::store::{StoreError, TableName};

/// Tokens in an SQLite file. Clones are one store; it needs no runtime.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("app.db");
/// use app_tokens::store::SqliteStore;
/// let store = SqliteStore::open(path)?;
/// # Ok(())
/// # }
/// ```
///
/// # The file
/// It may be the host's own database. The tables are `app_tokens` and `app_tokens_schema`, or those
/// that [`open_with_table`](SqliteStore::open_with_table) names; no other table is read. Missing
/// tables are made and older ones migrated; newer ones are refused. A host that runs its own
/// migrations finds the SQL in [`SqliteStore::MIGRATIONS`].
///
/// It needs SQLite 3.37 or newer, and a local file system. A new file is for its owner only (mode
/// 0600). The file is switched to a write-ahead log (WAL) for good. Every other setting is one of
/// this store's own connections.
///
/// Several processes may have the file open. While one has, don't move, replace or copy the file,
/// its `-wal` or its `-shm`. Copy it by `VACUUM INTO` or `sqlite3 app.db ".backup copy.db"`.
///
/// On Unix the store notices that the file was moved, deleted or replaced: before and after each
/// change, and within a second at look-ups. Every call fails until the file is back or the store is
/// opened anew.
///
/// # Durability
/// A change is answered after it was committed and synced: `synchronous = FULL`, and on macOS
/// `fullfsync`. Changes that arrive during a sync are committed together. One that fails, for
/// instance because it is too big for the disk, fails alone.
///
/// If a commit fails in the middle of writing, the answer is
/// [`Unknown`](super::Certainty::Unknown): a crash may still bring the change back. Deleted rows
/// are overwritten (`secure_delete`), but stay in the write-ahead log until it is written back.
///
/// # Failures
/// A full disk, a file that became read-only, a lock held for more than 5 seconds: each fails the
/// calls that it concerns, and the store goes on when the cause is gone. Changes that wait behind
/// one such lock fail together, so none waits 5 seconds for each change before it.
///
/// A damaged file fails what reads the damaged part, and denies nobody. [`SqliteStoreError`] lists
/// what a start is refused for.
///
/// # Threads
/// Looking up, and listing by id or owner, runs on the caller's thread and never waits for a
/// writer. A look-up takes a few microseconds, so an async host can call it as it is. A thread that
/// looks up repeatedly gets a connection of its own, which it closes when it ends. At most 32
/// threads get one.
///
/// Other lists may walk through the whole table. They run one after the other on a thread that the
/// first of them starts. Changes run on another thread. Both end when the last clone is dropped.
///
/// # In the host's own transaction
/// [`SqliteTransaction`] issues and revokes on the host's connection, together with the host's own
/// writes.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: Readers,
    /// Declared after the readers, and so dropped after them: the last connection to close writes
    /// the log back, which a reader can't.
    writer: Writer,
    table: TableName,
    /// For error messages.
    name: Arc<str>,
}

impl SqliteStore {
    /// The migrations, for a host that runs its own: each makes a version of the tables from the
    /// one before.
    ///
    /// Run each in a transaction; it writes its version to `app_tokens_schema`.
    /// [`SqliteStore::open`] runs those that are missing. [`TableName::in_sql`] writes them over
    /// other tables.
    pub const MIGRATIONS: &'static [&'static str] = migrate::MIGRATIONS;

    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// [`SqliteStoreError`] says what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        SqliteStore::open_with_table(path, TableName::default())
    }

    /// Opens the file with tables of another name: for several realms, tenants or applications in
    /// one file.
    ///
    /// The name has no schema.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("app.db");
    /// use app_tokens::store::SqliteStore;
    /// let (web, api) = ("web_tokens".parse()?, "api_tokens".parse()?);
    /// let web = SqliteStore::open_with_table(&path, web)?;
    /// let api = SqliteStore::open_with_table(&path, api)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`open`](SqliteStore::open), and [`SqliteStoreError::HasSchema`].
    pub fn open_with_table(
        path: impl AsRef<Path>,
        table: TableName,
    ) -> Result<SqliteStore, SqliteStoreError> {
        let path = absolute_path(path.as_ref())?;
        let (connection, watch) = open_writer(&path, &table)?;
        let readers = Readers::open(&path, &table, watch.clone())
            .map_err(|error| SqliteStoreError::new(&path, error))?;
        let name = Arc::<str>::from(path.to_string_lossy());
        let writes = table.clone();
        let write = move |jobs| write_file(&connection, &writes, &watch, &jobs);
        let writer = Writer::start(name.clone(), write)
            .map_err(|error| SqliteStoreError::Failed { path, source: error.into() })?;
        Ok(SqliteStore(Arc::new(Inner { readers, writer, table, name })))
    }

    /// Makes a database in memory, which ends with the store: for tests. One connection reads and
    /// writes.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if SQLite is too old, or if memory or threads run out.
    pub fn in_memory() -> Result<SqliteStore, SqliteStoreError> {
        let (table, name) = (TableName::default(), Arc::<str>::from(":memory:"));
        let connection = Arc::new(Mutex::new(open_memory(&table)?));
        let readers = Readers::in_memory(connection.clone(), &table);
        let writes = table.clone();
        let write = move |jobs| write_memory(&connection, &writes, &jobs);
        let writer = Writer::start(name.clone(), write).map_err(|error| {
            SqliteStoreError::Failed { path: ":memory:".into(), source: error.into() }
        })?;
        Ok(SqliteStore(Arc::new(Inner { readers, writer, table, name })))
    }

    fn failure(&self, error: rusqlite::Error) -> StoreError {
        StoreError::not_done(SqliteCallError::new(self.0.name.clone(), error))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.0.name).finish()
    }
}
