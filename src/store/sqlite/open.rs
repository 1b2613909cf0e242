//! Opens a file: its settings, and why it is refused.

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::thread;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{SqliteStoreError, is_busy};
use super::migrate::Tables;
use super::options::SqliteOptions;
use super::watch::Watch;
use crate::store::TableName;

const JOURNAL_MODE: &str = "PRAGMA journal_mode = WAL";
/// A commit reaches the disk before the change returns, on macOS also through the drive's cache.
/// Deleted rows are overwritten.
///
/// Readers need these settings, too. The connection that closes last writes the rest of the log
/// into the file, and that may be a reader's, of this process or another.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA secure_delete = ON;";
const READ_ONLY: &str = "PRAGMA query_only = ON";

/// The first SQLite with STRICT tables.
const OLDEST_SQLITE: i32 = 3_037_000;
/// How long to wait for the lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// SQLite does not wait if two connections switch a new file to WAL at once: one fails. So the
/// switch is tried again, for about as long as [`BUSY_TIMEOUT`].
const WAL_ATTEMPTS: u32 = 250;
const WAL_PAUSE: Duration = Duration::from_millis(10);

/// Makes a path absolute. Threads open it again later, and the process may have changed its working
/// directory by then.
pub(super) fn absolute_path(path: &Path) -> Result<PathBuf, SqliteStoreError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(SqliteStoreError::NoFile(path.into()));
    }
    let failed =
        |error: io::Error| SqliteStoreError::Failed { path: path.into(), source: error.into() };
    absolute(path).map_err(failed)
}

/// Opens the file for the thread that writes. Makes the file and its tables if they are missing.
pub(super) fn open_writer(
    path: &Path,
    options: &SqliteOptions,
) -> Result<(Connection, Watch), SqliteStoreError> {
    refuse_bad_name(&options.table)?;
    refuse_old_sqlite()?;
    create_private(path);
    let failed = |error| SqliteStoreError::new(path, error);
    Watch::open(path, || {
        let connection = open(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
            return Err(SqliteStoreError::ReadOnly(path.into()));
        }
        if !switch_to_wal(&connection).map_err(failed)? {
            return Err(SqliteStoreError::NoWriteAheadLog(path.into()));
        }
        connection.execute_batch(SETTINGS).map_err(failed)?;
        Settings::of(options).apply(&connection).map_err(failed)?;
        Tables::new(&connection, path, options).make_or_check()?;
        Ok(connection)
    })
}

/// Says whether a store's own connections run code that is stored in the file.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    runs_triggers: bool,
}

impl Settings {
    pub(super) fn of(options: &SqliteOptions) -> Settings {
        Settings { runs_triggers: !options.known_triggers.is_empty() }
    }

    /// Turns triggers and views off on a connection, unless the host has triggers of its own.
    ///
    /// Anyone who can write the file can leave a trigger in it that undoes revocations. The check
    /// when the store is opened is not enough: a trigger can be made later.
    fn apply(self, connection: &Connection) -> rusqlite::Result<()> {
        for (setting, is_on) in [
            (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, self.runs_triggers),
            (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, self.runs_triggers),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        ] {
            connection.set_db_config(setting, is_on)?;
        }
        Ok(())
    }
}

/// Makes an empty file that only its owner can read, unless the file exists.
///
/// SQLite uses an empty file as a new database. If SQLite made the file itself, other users could
/// read it, depending on the umask.
fn create_private(path: &Path) {
    if path.exists() {
        return;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    _ = options.open(path); // ignored: SQLite reports what is wrong with the path
}

/// Opens a connection that only reads.
///
/// `query_only` refuses every statement that writes. The file itself is open for writing: the
/// connection that closes last must write the log back into it.
///
/// `cache_kib` is how much of the file the connection keeps in memory, at most.
pub(super) fn open_reader(
    path: &Path,
    settings: Settings,
    cache_kib: usize,
) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::empty())?;
    connection.execute_batch(SETTINGS)?;
    connection.execute_batch(READ_ONLY)?;
    // A positive number would be one of pages, whose size the host may have chosen.
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib}"))?;
    settings.apply(&connection)?;
    Ok(connection)
}

/// Opens a new database in memory, and makes its tables.
pub(super) fn open_memory(options: &SqliteOptions) -> Result<Connection, SqliteStoreError> {
    refuse_old_sqlite()?;
    let path = Path::new(":memory:");
    let connection =
        Connection::open_in_memory().map_err(|error| SqliteStoreError::new(path, error))?;
    Tables::new(&connection, path, options).make_or_check()?;
    Ok(connection)
}

/// Refuses a table name that SQLite can't take.
///
/// A schema names another file in SQLite, and that file is attached to some connections only. A
/// reserved word is no name.
pub(super) fn refuse_bad_name(table: &TableName) -> Result<(), SqliteStoreError> {
    if table.as_str().contains('.') {
        return Err(SqliteStoreError::HasSchema(table.clone()));
    }
    // Which words are reserved depends on the version of SQLite, so SQLite itself is asked. A
    // scratch database is used, as the name may be taken in the file.
    let is_name = || {
        let scratch = Connection::open_in_memory()?;
        scratch
            .execute_batch(&table.in_sql("CREATE TABLE app_tokens (id); SELECT id FROM app_tokens"))
    };
    is_name().map_err(|_| SqliteStoreError::ReservedName(table.clone()))
}

/// Refuses an SQLite without STRICT tables.
fn refuse_old_sqlite() -> Result<(), SqliteStoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(SqliteStoreError::OldSqlite(rusqlite::version()));
    }
    Ok(())
}

/// Opens a connection to a file.
///
/// `SQLITE_OPEN_URI` is not set, so a path that begins with `file:` is an ordinary path.
/// `SQLITE_OPEN_NO_MUTEX` is safe: every connection is used by one thread at a time.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Switches the file to a write-ahead log. Returns whether the file has one now.
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
        let (path, options) = (directory.path().join("app.db"), SqliteOptions::new());
        let (writer, _watch) = open_writer(&path, &options).unwrap();
        let reader = open_reader(&path, Settings::of(&options), 4096).unwrap();
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
            // The reader may be the last to close the file, and then writes the log into it.
            assert_eq!(setting(&reader, name), value, "{name}");
        }
        assert_eq!(setting(&reader, "query_only"), "Integer(1)");
        assert_eq!(setting(&reader, "cache_size"), "Integer(-4096)");
        assert!(reader.execute_batch("DELETE FROM app_tokens").is_err());
    }
}
