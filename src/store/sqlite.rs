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
use self::writer::{WriterThread, write_file, write_memory};
use crate::store::StoreError;

/// Keeps tokens in an SQLite file.
///
/// Clones share one store. It needs no async runtime: it works on threads of its own.
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
/// It may be the host's own database. The store reads and writes the tables `app_tokens`,
/// `app_tokens_keys` and `app_tokens_schema`, or those that [`SqliteOptions`] name, and no others.
///
/// It makes missing tables, migrates older ones and refuses newer ones. If the host runs its own
/// migrations, [`SqliteStore::MIGRATIONS`] has the SQL.
///
/// A trigger on these tables, or a view in their place, is refused when the store is opened: it
/// could undo each revocation. The store's own connections run no triggers, unless the host names
/// its own in [`SqliteOptions`].
///
/// It needs SQLite 3.37 or newer, and a local file system. On Unix only the file's owner can read a
/// new file (mode 0600). The file is switched to a write-ahead log (WAL) permanently. All other
/// settings apply to the store's own connections only.
///
/// Several processes may have the file open. **While one has, don't move, replace or copy the file,
/// its `-wal` or its `-shm`.** Copy it with `VACUUM INTO` or with
/// `sqlite3 app.db ".backup copy.db"`.
///
/// On Unix the store notices if the file was moved, deleted or replaced: before and after each
/// change, and within a second at look-ups. Then every call fails until the file is back or the
/// store is opened again.
///
/// # Durability
/// A change returns after it was committed and synced: `synchronous = FULL`, and on macOS
/// `fullfsync`. Changes that arrive during a sync are committed together, at most 256 at a time. If
/// one of them fails, it fails alone.
///
/// If a commit fails in the middle of writing, the error is
/// [`Unknown`](super::Certainty::Unknown): a crash may still bring the change back. Deleted rows
/// are overwritten (`secure_delete`). Until the write-ahead log is written back, they remain in it.
///
/// # Failures
/// These fail the calls they affect: a full disk, a file that became read-only, a lock that another
/// connection holds for more than 5 seconds. The store works again as soon as the cause is gone.
/// Changes that wait behind the same lock fail together, so none of them waits several times 5
/// seconds.
///
/// If the file is damaged, calls that read the damaged part fail with 503. No token is denied
/// because of it. [`SqliteStoreError`] lists why a file is refused when it is opened.
///
/// # Threads
/// - Look-ups, and lists by id, owner or family, run on the caller's thread. They never wait for a
///   writer. A look-up takes a few microseconds, so an async host can call it directly. The callers
///   share connections: two for each core, at most 32.
/// - Other lists, and most purges, may scan the whole table. They share one thread, which the first
///   of them starts. It reads about 4,000 rows of one call, then of the next. So a long list is no
///   snapshot: each step sees the rows as they are then.
/// - Changes run on a thread of their own, one after the other.
///
/// When the last clone is dropped, both threads end and the file is closed. The drop waits for the
/// changes that were already sent.
///
/// # In the host's own transaction
/// [`SqliteTransaction`] issues and revokes tokens on the host's connection, in one transaction
/// with the host's own writes.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: Readers,
    /// Declared after the readers, and so dropped after them: the writer's connection closes last,
    /// and writes the log back into the file.
    writer: WriterThread,
    options: SqliteOptions,
    /// The id after which the next purge continues. Only a hint: wherever a purge begins, it goes
    /// once around the table before it reports that nothing is left.
    purged_to: Mutex<Option<i64>>,
    /// For error messages.
    name: Arc<str>,
}

impl SqliteStore {
    /// The SQL of each migration in order, for a host that runs its own migrations.
    ///
    /// Each makes one version of the tables from the version before, and writes its number to
    /// `app_tokens_schema`. Run each in a transaction of its own. [`SqliteStore::open`] runs those
    /// that are missing. For tables of another name, use
    /// [`TableName::in_sql`](crate::store::TableName::in_sql).
    pub const MIGRATIONS: &'static [&'static str] = migrate::MIGRATIONS;

    /// Opens the file. Makes the file and its tables if they are missing.
    ///
    /// It blocks the thread, up to 5 seconds for a lock that another process holds.
    ///
    /// # Errors
    /// [`SqliteStoreError`] says what is wrong with the file and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        SqliteStore::open_with(path, &SqliteOptions::new())
    }

    /// Opens the file with tables of another name, or with the host's own triggers on them.
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
    /// The errors of [`open`](SqliteStore::open). Also [`SqliteStoreError::HasSchema`] and
    /// [`SqliteStoreError::ReservedName`] for a table name that SQLite can't take.
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
        let writer = WriterThread::start(name.clone(), write)
            .map_err(|error| SqliteStoreError::Failed { path, source: error.into() })?;
        let (options, purged_to) = (options.clone(), Mutex::default());
        Ok(SqliteStore(Arc::new(Inner { readers, writer, options, purged_to, name })))
    }

    /// Makes a database in memory, for tests. It is gone when the last clone is dropped.
    ///
    /// One connection reads and writes, so look-ups wait for changes.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if SQLite is too old, or if there is no memory or thread left.
    pub fn in_memory() -> Result<SqliteStore, SqliteStoreError> {
        let (options, name) = (SqliteOptions::new(), Arc::<str>::from(":memory:"));
        let connection = Arc::new(Mutex::new(open_memory(&options)?));
        let readers = Readers::in_memory(connection.clone(), &options.table);
        let table = options.table.clone();
        let write = move |jobs| write_memory(&connection, &table, &jobs);
        let writer = WriterThread::start(name.clone(), write).map_err(|error| {
            SqliteStoreError::Failed { path: ":memory:".into(), source: error.into() }
        })?;
        let purged_to = Mutex::default();
        Ok(SqliteStore(Arc::new(Inner { readers, writer, options, purged_to, name })))
    }

    /// Returns the error of a read that failed: nothing was changed.
    fn failure(&self, error: rusqlite::Error) -> StoreError {
        StoreError::not_done(SqliteCallError::new(self.0.name.clone(), error))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.0.name).finish()
    }
}
