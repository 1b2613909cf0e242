//! [`SqliteStore`]: tokens in an SQLite file. The statements stand in the order of the contract on `TokenStore`.

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
mod transaction;
mod watch;
mod worker;
mod writer;

pub use error::SqliteStoreError;
pub use transaction::SqliteTransaction;

use self::error::Failure;
use self::open::{open_memory, open_writer, whole_path};
use self::reader::Readers;
use self::writer::{Writer, write_file, write_memory};
use crate::store::{StoreError, TableName};

/// Tokens in an SQLite file. Clones are one store; needs no runtime.
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
/// It may be the host's own database: the tables are `app_tokens` and `app_tokens_schema`, or those of
/// [`open_with_table`](SqliteStore::open_with_table), and no other is looked at. They are made where they are missing and migrated
/// where they are older; newer ones are refused. [`SqliteStore::MIGRATIONS`] has the SQL for a host that would rather run it by
/// itself. The file is switched to a write-ahead log (WAL), which stays so; every other setting is one of this store's own
/// connections only. SQLite 3.37 or newer is needed, and a local file system. A new file is for its owner only (mode 0600).
///
/// Several processes may have it open. While one has, neither move, replace nor copy the file, its `-wal` or its `-shm`: `VACUUM INTO`
/// or `sqlite3 app.db ".backup copy.db"` makes a copy. On Unix a file that was nevertheless moved, deleted or replaced is noticed
/// before and after each change, and by look-ups within a second; every call fails until it is back, or the store is opened anew.
///
/// # Durability
/// A change is answered after it was committed and synced (`synchronous = FULL`; on macOS `fullfsync`, too). Changes that come
/// while another is being synced are committed together; one that fails, for instance because it alone is too big for the disk, fails
/// alone. A commit that fails in the middle of writing is [`Unknown`](super::Certainty::Unknown): a crash may yet bring it back.
/// What is deleted is overwritten (`secure_delete`), though not yet in the write-ahead log.
///
/// # Failures
/// A full disk, a lock that is held for longer than 5 seconds, a file that became read-only: each fails the calls that it concerns
/// and says so, and the store goes on by itself when the cause is gone. Behind a lock that is not let go in time, all changes that
/// wait by then fail together: none waits 5 seconds for each that came before it. A damaged file fails whatever reads the damaged
/// part, and denies nobody: [`SqliteStoreError`] says what a start is refused for.
///
/// # Threads
/// Looking up, and listing by id or owner, runs on the caller's thread and never waits for a writer. A look-up takes a few
/// microseconds, so an async host calls it as it is. A thread that looks up again and again gets a connection of its own, at most 32
/// threads do, and closes it when it ends. Other lists, which may walk through the whole table, run one after the other on a thread
/// of the store's that the first of them starts. Changes run on another one. Both end when the last clone is dropped.
///
/// # In the host's own transaction
/// [`SqliteTransaction`] issues and revokes on a connection of the host's, together with what else that writes.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    readers: Readers,
    /// Dropped last: who closes a file last also cleans up its write-ahead log.
    writer: Writer,
    table: TableName,
    /// For error messages.
    name: Arc<str>,
}

impl SqliteStore {
    /// The SQL that makes each version of the tables of the one before, the first of nothing, for a host that runs its migrations
    /// itself. Each notes its version in `app_tokens_schema` and belongs in a transaction. [`SqliteStore::open`] runs what is missing.
    ///
    /// [`TableName::in_sql`] writes them over other tables.
    pub const MIGRATIONS: &'static [&'static str] = migrate::MIGRATIONS;

    /// Opens the file, or makes it, and its tables where they are missing.
    ///
    /// # Errors
    /// [`SqliteStoreError`] says what is wrong with the file.
    pub fn open(path: impl AsRef<Path>) -> Result<SqliteStore, SqliteStoreError> {
        SqliteStore::open_with_table(path, TableName::default())
    }

    /// The same, in other tables: several realms, tenants or applications in one file. Their name has no schema.
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
        let path = whole_path(path.as_ref())?;
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

    /// A new database in memory, which ends with the store: for tests. One connection reads and writes.
    ///
    /// # Errors
    /// [`SqliteStoreError`] if SQLite is too old, or there is no memory or thread.
    pub fn in_memory() -> Result<SqliteStore, SqliteStoreError> {
        let (table, name) = (TableName::default(), Arc::<str>::from(":memory:"));
        let connection = Arc::new(Mutex::new(open_memory(&table)?));
        let readers = Readers::of_memory(connection.clone(), &table);
        let writes = table.clone();
        let write = move |jobs| write_memory(&connection, &writes, &jobs);
        let writer = Writer::start(name.clone(), write).map_err(|error| {
            SqliteStoreError::Failed { path: ":memory:".into(), source: error.into() }
        })?;
        Ok(SqliteStore(Arc::new(Inner { readers, writer, table, name })))
    }

    fn failure(&self, error: rusqlite::Error) -> StoreError {
        StoreError::not_done(Failure::new(self.0.name.clone(), error))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore").field(&self.0.name).finish()
    }
}
