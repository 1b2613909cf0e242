//! Opening a file.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::failure::{is_busy, is_gone};
use super::migrate::Tables;
use super::watch::Watch;
use crate::store::TableName;

const JOURNAL_MODE: &str = "PRAGMA journal_mode = WAL";
/// A commit is answered after it has reached the disk, on macOS through the drive's own cache, too; what is erased is overwritten. Also
/// for those who read: whoever closes the file last writes what is left in the log into it.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA secure_delete = ON;";
const READ_ONLY: &str = "PRAGMA query_only = ON";

/// The first SQLite with STRICT tables.
const OLDEST_SQLITE: i32 = 3_037_000;
/// How long to wait for the lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite doesn't wait by itself where two connections switch a new file to WAL at once.
const WAL_ATTEMPTS: u32 = 250;
const WAL_PAUSE: Duration = Duration::from_millis(10);

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

/// The file's whole path: threads open it later on, when the process may have another working directory.
pub(super) fn whole_path(path: &Path) -> Result<PathBuf, SqliteStoreError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(SqliteStoreError::NoFile(path.into()));
    }
    let failed =
        |error: io::Error| SqliteStoreError::Failed { path: path.into(), source: error.into() };
    absolute(path).map_err(failed)
}

/// Opens or makes the file, with its tables, for the thread that writes.
pub(super) fn open_writer(
    path: &Path,
    table: &TableName,
) -> Result<(Connection, Watch), SqliteStoreError> {
    refuse_schema(table)?;
    refuse_old_sqlite()?;
    make_private(path);
    let failed = |error| SqliteStoreError::new(path, error);
    Watch::over(path, || {
        let connection = open(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
            return Err(SqliteStoreError::ReadOnly(path.into()));
        }
        if !switch_to_wal(&connection).map_err(failed)? {
            return Err(SqliteStoreError::NoWriteAheadLog(path.into()));
        }
        connection.execute_batch(SETTINGS).map_err(failed)?;
        Tables::new(&connection, path, table).make_or_check()?;
        Ok(connection)
    })
}

/// Makes an empty file that only its owner may read, which SQLite takes for a new database, where there is none, also at the end of a
/// symbolic link. What goes wrong here SQLite says better.
fn make_private(path: &Path) {
    if path.exists() {
        return;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _made_or_there = options.open(path);
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::empty())?;
    connection.execute_batch(SETTINGS)?;
    connection.execute_batch(READ_ONLY)?;
    Ok(connection)
}

/// A new database in memory, with its tables.
pub(super) fn open_memory(table: &TableName) -> Result<Connection, SqliteStoreError> {
    refuse_old_sqlite()?;
    let path = Path::new(":memory:");
    let connection =
        Connection::open_in_memory().map_err(|error| SqliteStoreError::new(path, error))?;
    Tables::new(&connection, path, table).make_or_check()?;
    Ok(connection)
}

/// It would be another file's, attached to some connections and not to others.
pub(super) fn refuse_schema(table: &TableName) -> Result<(), SqliteStoreError> {
    if table.as_str().contains('.') {
        return Err(SqliteStoreError::HasSchema(table.clone()));
    }
    Ok(())
}

fn refuse_old_sqlite() -> Result<(), SqliteStoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(SqliteStoreError::OldSqlite(rusqlite::version()));
    }
    Ok(())
}

/// Without SQLITE_OPEN_URI: a path is a path, whatever it begins with.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

pub(super) fn switch_to_wal(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(WAL_PAUSE)?;
    let switch = || connection.query_row(JOURNAL_MODE, [], |row| row.get::<_, String>(0));
    let mut mode = switch();
    for _ in 0..WAL_ATTEMPTS {
        if !mode.as_ref().is_err_and(is_busy) {
            break;
        }
        thread::sleep(WAL_PAUSE);
        mode = switch();
    }
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(mode? == "wal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_synced_and_what_is_deleted_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let (writer, _watch) = open_writer(&path, &TableName::default()).unwrap();
        let reader = open_reader(&path).unwrap();
        let setting = |connection: &Connection, name: &str| -> String {
            let value = connection.pragma_query_value(None, name, |row| row.get(0));
            let value: rusqlite::types::Value = value.unwrap();
            format!("{value:?}")
        };
        for (name, value) in [
            ("journal_mode", r#"Text("wal")"#),
            ("synchronous", "Integer(2)"),
            ("fullfsync", "Integer(1)"),
            ("checkpoint_fullfsync", "Integer(1)"),
            ("secure_delete", "Integer(1)"),
            ("busy_timeout", "Integer(5000)"),
        ] {
            assert_eq!(setting(&writer, name), value, "{name}");
            // The reader may be the last to close the file, and writes the log into it then.
            assert_eq!(setting(&reader, name), value, "{name}");
        }
        assert_eq!(setting(&reader, "query_only"), "Integer(1)");
        assert!(reader.execute_batch("DELETE FROM app_tokens").is_err());
    }
}
