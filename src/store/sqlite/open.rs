//! Opening a file, and its schema.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// What makes each version of the schema of the one before, the first of nothing. Each step notes its version itself.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("../sqlite_schema.sql")];

const OUR_TABLES: &str = "SELECT lower(name) FROM sqlite_master WHERE lower(name) IN ('app_tokens', 'app_tokens_schema') ORDER BY 1";
const FOUND_VERSION: &str = "SELECT max(version) FROM app_tokens_schema";
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";

const JOURNAL_MODE: &str = "PRAGMA journal_mode = WAL";
/// A commit is answered after it has reached the disk, on macOS through the drive's own cache, too; what is erased is overwritten.
const WRITER_SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA secure_delete = ON;";
const READER_SETTINGS: &str = "PRAGMA query_only = ON;";

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
        "the tables in {} have version {found}, and this program knows version {known}: run a newer version of it",
        path.display()
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
        /// The newest version that this library knows.
        known: i64,
    },
    /// There is a table `app_tokens` that this library did not make, or not so.
    #[error("{} has a table named app_tokens that is not this library's: take another file", .0.display())]
    ForeignTable(PathBuf),
    /// The tables are missing or of an older version, and a [`SqliteTransaction`](super::SqliteTransaction) doesn't make any.
    #[error(
        "{} has no table app_tokens, or an older one: open it once with SqliteStore, or run SqliteStore::MIGRATIONS",
        .0.display()
    )]
    NotMigrated(PathBuf),
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
            Some(ErrorCode::ReadOnly) => SqliteStoreError::ReadOnly(path),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                SqliteStoreError::Locked(path)
            }
            _ => SqliteStoreError::Failed { path, source: error.into() },
        }
    }
}

/// Opens or makes the file, with its tables, for the thread that writes.
pub(super) fn open_writer(path: &Path, probe: &str) -> Result<Connection, SqliteStoreError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(SqliteStoreError::NoFile(path.into()));
    }
    refuse_old_sqlite()?;
    let failed = |error| SqliteStoreError::new(path, error);
    make_private(path);
    let connection = open(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(failed)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        return Err(SqliteStoreError::ReadOnly(path.into()));
    }
    if !switch_to_wal(&connection).map_err(failed)? {
        return Err(SqliteStoreError::NoWriteAheadLog(path.into()));
    }
    connection.execute_batch(WRITER_SETTINGS).map_err(failed)?;
    make_or_check_tables(&connection, path, MIGRATIONS, probe)?;
    Ok(connection)
}

/// Makes an empty file that only its owner may read, which SQLite takes for a new database, where there is none. What goes wrong
/// here SQLite says better.
fn make_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _made_or_there = options.open(path);
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::empty())?;
    connection.execute_batch(READER_SETTINGS)?;
    Ok(connection)
}

/// A new database in memory, with its tables.
pub(super) fn open_memory(probe: &str) -> Result<Connection, SqliteStoreError> {
    refuse_old_sqlite()?;
    let path = Path::new(":memory:");
    let connection =
        Connection::open_in_memory().map_err(|error| SqliteStoreError::new(path, error))?;
    make_or_check_tables(&connection, path, MIGRATIONS, probe)?;
    Ok(connection)
}

fn refuse_old_sqlite() -> Result<(), SqliteStoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(SqliteStoreError::OldSqlite(rusqlite::version()));
    }
    Ok(())
}

/// Without SQLITE_OPEN_URI: a path is a path, whatever it begins with.
fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

fn switch_to_wal(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(WAL_PAUSE)?;
    let switch = || connection.query_row(JOURNAL_MODE, [], |row| row.get::<_, String>(0));
    let is_busy =
        |error: &rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
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

/// Brings the tables to the newest version, in one transaction. Where they have it, nothing is written, so that nobody who has the
/// file's lock for long keeps a process from starting. `probe` is a query that can be prepared on our table only.
fn make_or_check_tables(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
    probe: &str,
) -> Result<(), SqliteStoreError> {
    if found_version(connection, path, migrations.len())? < migrations.len() {
        migrate(connection, path, migrations)?;
    }
    connection.prepare(probe).map(drop).map_err(|error| foreign_or_failed(path, error))
}

fn migrate(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), SqliteStoreError> {
    let failed = |error| SqliteStoreError::new(path, error);
    let run_steps = || {
        // Another process may have run some meanwhile.
        let found = found_version(connection, path, migrations.len())?;
        let mut steps = migrations[found..].iter().chain([&COMMIT]);
        steps.try_for_each(|step| connection.execute_batch(step)).map_err(failed)
    };
    connection.execute_batch(BEGIN).map_err(failed)?;
    run_steps().inspect_err(|_| {
        let _gone_already = connection.execute_batch(ROLLBACK);
    })
}

/// Which version the tables have, of those that are known; 0 where there are none.
pub(super) fn found_version(
    connection: &Connection,
    path: &Path,
    newest: usize,
) -> Result<usize, SqliteStoreError> {
    let foreign = || SqliteStoreError::ForeignTable(path.into());
    let tables = our_tables(connection).map_err(|error| SqliteStoreError::new(path, error))?;
    if tables.is_empty() {
        return Ok(0);
    }
    if tables.len() != 2 {
        return Err(foreign());
    }
    let found = connection.query_row(FOUND_VERSION, [], |row| row.get(0));
    let found: i64 = found.map_err(|error| foreign_or_failed(path, error))?;
    let known = newest.cast_signed() as i64;
    if found > known {
        return Err(SqliteStoreError::NewerSchema { path: path.into(), found, known });
    }
    usize::try_from(found).ok().filter(|found| *found > 0).ok_or_else(foreign)
}

/// A statement that can't be prepared on a table, or a version that is no number, means that the table is not ours.
fn foreign_or_failed(path: &Path, error: rusqlite::Error) -> SqliteStoreError {
    match error.sqlite_error_code() {
        None | Some(ErrorCode::Unknown) => SqliteStoreError::ForeignTable(path.into()),
        Some(_) => SqliteStoreError::new(path, error),
    }
}

fn our_tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare(OUR_TABLES)?.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: &str = "SELECT id FROM app_tokens";
    const NEXT: &str = "
        ALTER TABLE app_tokens ADD COLUMN note TEXT NOT NULL DEFAULT 'none';
        UPDATE app_tokens_schema SET version = 2;";
    const AFTER_NEXT: &str = "
        CREATE TABLE app_tokens_notes (note TEXT); UPDATE app_tokens_schema SET version = 3;";
    const BROKEN: &str = "CREATE TABLE half (way TEXT); CREATE TABLE half (way TEXT);";
    const ROW: &str = "
        INSERT INTO app_tokens (id, digest, owner, label, created_at, family, revision, key_id)
        VALUES (1, x'01', 'alice', 'phone', 1, 1, 0, 1)";

    fn steps(more: &[&'static str]) -> Vec<&'static str> {
        MIGRATIONS.iter().chain(more).copied().collect()
    }

    fn with_migrations(
        connection: &Connection,
        more: &[&'static str],
    ) -> Result<(), SqliteStoreError> {
        make_or_check_tables(connection, Path::new("app.db"), &steps(more), PROBE)
    }

    fn version(connection: &Connection) -> usize {
        found_version(connection, Path::new("app.db"), 9).unwrap()
    }

    #[test]
    fn an_older_schema_is_brought_to_the_newest_and_keeps_its_rows() {
        let connection = Connection::open_in_memory().unwrap();
        with_migrations(&connection, &[]).unwrap();
        assert_eq!(version(&connection), MIGRATIONS.len());
        connection.execute_batch(ROW).unwrap();
        with_migrations(&connection, &[NEXT, AFTER_NEXT]).unwrap();
        assert_eq!(version(&connection), 3);
        let note = "SELECT note FROM app_tokens WHERE id = 1";
        let note: String = connection.query_row(note, [], |row| row.get(0)).unwrap();
        assert_eq!(note, "none");
        with_migrations(&connection, &[NEXT, AFTER_NEXT]).unwrap();
        let error = with_migrations(&connection, &[NEXT]).unwrap_err();
        assert!(matches!(error, SqliteStoreError::NewerSchema { found: 3, known: 2, .. }));
    }

    #[test]
    fn a_migration_that_fails_leaves_everything_as_it_was() {
        let connection = Connection::open_in_memory().unwrap();
        with_migrations(&connection, &[]).unwrap();
        let error = with_migrations(&connection, &[NEXT, BROKEN]).unwrap_err();
        assert!(error.to_string().contains("half"), "{error}");
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT note FROM app_tokens").is_err());
        with_migrations(&connection, &[NEXT]).unwrap();
        assert_eq!(version(&connection), 2);
    }

    #[test]
    fn of_many_that_migrate_one_file_at_once_each_step_is_run_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let connect = || {
            let connection = open(&path, OpenFlags::SQLITE_OPEN_CREATE).unwrap();
            assert!(switch_to_wal(&connection).unwrap());
            connection
        };
        with_migrations(&connect(), &[]).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| with_migrations(&connect(), &[NEXT, AFTER_NEXT]).unwrap());
            }
        });
        assert_eq!(version(&connect()), 3);
    }

    #[test]
    fn what_is_written_is_synced_and_what_is_deleted_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let (writer, reader) = (open_writer(&path, PROBE).unwrap(), open_reader(&path).unwrap());
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
        }
        assert_eq!(setting(&reader, "query_only"), "Integer(1)");
        assert!(reader.execute_batch("DELETE FROM app_tokens").is_err());
    }

    #[test]
    fn each_step_notes_its_own_version() {
        let connection = Connection::open_in_memory().unwrap();
        for (version, step) in (1..).zip(MIGRATIONS) {
            connection.execute_batch(step).unwrap();
            assert_eq!(self::version(&connection), version);
        }
        with_migrations(&connection, &[]).unwrap();
    }
}
