//! [`SqliteStore`]: tokens in an SQLite file.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};

mod binding;
mod calls;
mod diagnose;
mod error;
mod migrate;
mod open;
mod options;
#[cfg(test)]
mod plans;
mod query;
mod reader;
mod sql;
mod statements;
mod transaction;
mod walk;
mod watch;
mod worker;
mod writer;

pub use error::SqliteStoreError;
pub use options::SqliteOptions;
pub use transaction::SqliteTransaction;

use self::error::SqliteCallError;
use self::open::{Settings, absolute_path, open_memory, open_writer};
use self::reader::Readers;
use self::writer::{Writer, write_file, write_memory};
use crate::store::StoreError;

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
/// It may be the host's own database. The tables are `app_tokens`, `app_tokens_keys` and
/// `app_tokens_schema`, or others that [`SqliteOptions`] name; no other table is read. Missing
/// tables are made and older ones migrated; newer ones are refused. A host that runs its own
/// migrations finds the SQL in [`SqliteStore::MIGRATIONS`].
///
/// Triggers on these tables, and views in their place, are refused when the store is opened: one
/// could undo each revocation. The store's own connections run none, unless the host names its
/// triggers in [`SqliteOptions`].
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
/// writer. A look-up takes a few microseconds, so an async host can call it as it is. The threads
/// share connections, two for each core and at most 32.
///
/// Other lists may walk through the whole table, as purges do. They take turns on a thread that the
/// first of them starts, a few thousand rows each time, and each turn sees the rows as they are
/// then. Changes run on another thread. Both threads end when the last clone is dropped, and then
/// the file is closed.
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
    options: SqliteOptions,
    /// After which id the next purge goes on. It is a hint: a purge that finds nothing more has
    /// walked the whole circle, wherever it began.
    purged_to: Mutex<Option<i64>>,
    /// For error messages.
    name: Arc<str>,
}

impl SqliteStore {
    /// The migrations, for a host that runs its own: each makes a version of the tables from the
    /// one before.
    ///
    /// Run each in a transaction; it writes its version to `app_tokens_schema`.
    /// [`SqliteStore::open`] runs those that are missing.
    /// [`TableName::in_sql`](crate::store::TableName::in_sql) writes them over
    /// other tables.
    pub const MIGRATIONS: &'static [&'static str] = migrate::MIGRATIONS;

    /// Opens the file, and makes it and its tables if they are missing.
    ///
    /// # Errors
    /// [`SqliteStoreError`] says what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        SqliteStore::open_with(path, &SqliteOptions::new())
    }

    /// Opens the file with tables of another name, or with triggers of the host's on them.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("app.db");
    /// use app_tokens::store::{SqliteOptions, SqliteStore};
    /// let of_table = |name: &str| Ok::<_, Box<dyn std::error::Error>>(
    ///     SqliteOptions::new().with_table(name.parse()?)
    /// );
    /// let web = SqliteStore::open_with(&path, &of_table("web_tokens")?)?;
    /// let api = SqliteStore::open_with(&path, &of_table("api_tokens")?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`open`](SqliteStore::open), [`SqliteStoreError::HasSchema`] and
    /// [`SqliteStoreError::ReservedName`].
    pub fn open_with(
        path: impl AsRef<Path>,
        options: &SqliteOptions,
    ) -> Result<SqliteStore, SqliteStoreError> {
        let path = absolute_path(path.as_ref())?;
        let (connection, watch) = open_writer(&path, options)?;
        let table = options.table.clone();
        let readers = Readers::open(&path, &table, Settings::of(options), watch.clone())
            .map_err(|error| SqliteStoreError::new(&path, error))?;
        let name = Arc::<str>::from(path.to_string_lossy());
        let write = move |jobs| write_file(&connection, &table, &watch, &jobs);
        let writer = Writer::start(name.clone(), write)
            .map_err(|error| SqliteStoreError::Failed { path, source: error.into() })?;
        let (options, purged_to) = (options.clone(), Mutex::default());
        Ok(SqliteStore(Arc::new(Inner { readers, writer, options, purged_to, name })))
    }

    /// Makes a database in memory, which ends with the store: for tests. One connection reads and
    /// writes.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if SQLite is too old, or if memory or threads run out.
    pub fn in_memory() -> Result<SqliteStore, SqliteStoreError> {
        let (options, name) = (SqliteOptions::new(), Arc::<str>::from(":memory:"));
        let connection = Arc::new(Mutex::new(open_memory(&options)?));
        let readers = Readers::in_memory(connection.clone(), &options.table);
        let table = options.table.clone();
        let write = move |jobs| write_memory(&connection, &table, &jobs);
        let writer = Writer::start(name.clone(), write).map_err(|error| {
            SqliteStoreError::Failed { path: ":memory:".into(), source: error.into() }
        })?;
        let purged_to = Mutex::default();
        Ok(SqliteStore(Arc::new(Inner { readers, writer, options, purged_to, name })))
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
