//! [`Tables`]: makes the tables, and checks those that exist.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::error::SqliteStoreError;
use super::options::SqliteOptions;
use super::sql::FIND;

/// The steps of the schema. Each makes one version from the version before, and writes its number.
/// The first begins with no tables.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// Counts the objects with our names, and how many of them are ordinary tables. A view has another
/// type, and a virtual table has no root page.
const COUNT_OF_OURS: &str = "
    SELECT count(*), total(type = 'table' AND rootpage > 0) FROM sqlite_master
    WHERE lower(name) IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')";
/// Selects triggers on our tables, and views in their place. In SQLite, names that differ only in
/// ASCII case are equal; `lower` compares in the same way.
const CODE: &str = "
    SELECT type, name FROM sqlite_master
    WHERE type = 'trigger'
            AND lower(tbl_name) IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')
        OR type = 'view' AND lower(name) IN ('app_tokens', 'app_tokens_schema', 'app_tokens_keys')
    ORDER BY name";
const FOUND_VERSION: &str = "SELECT max(version) FROM app_tokens_schema";
const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
/// How many tables a store has.
const TABLES: i64 = 3;

/// The tables with one name, in an open database.
pub(super) struct Tables<'t> {
    connection: &'t Connection,
    /// For errors.
    path: &'t Path,
    options: &'t SqliteOptions,
    migrations: &'t [&'t str],
}

impl<'t> Tables<'t> {
    pub(super) fn new(
        connection: &'t Connection,
        path: &'t Path,
        options: &'t SqliteOptions,
    ) -> Tables<'t> {
        Tables { connection, path, options, migrations: MIGRATIONS }
    }

    /// Brings the tables to the newest version, in one transaction.
    ///
    /// If they already have it, nothing is written and no lock is taken. Otherwise a process could
    /// not start while another one holds the lock.
    pub(super) fn make_or_check(&self) -> Result<(), SqliteStoreError> {
        self.refuse_code()?;
        if self.found_version()? < self.migrations.len() {
            self.migrate()?;
        }
        // To prepare the statement checks that all columns exist, and reads no row.
        let probe = self.connection.prepare(&self.options.table.in_sql(FIND));
        probe.map(drop).map_err(|error| self.foreign_or_failed(error))
    }

    /// Refuses tables that are missing or have an older or newer version.
    pub(super) fn check(&self) -> Result<(), SqliteStoreError> {
        self.refuse_code()?;
        if self.found_version()? < self.migrations.len() {
            let (path, table) = (self.path.into(), self.options.table.clone());
            return Err(SqliteStoreError::NotMigrated { path, table });
        }
        Ok(())
    }

    /// Runs the migrations that are missing.
    fn migrate(&self) -> Result<(), SqliteStoreError> {
        let run = |sql: &str| {
            let done = self.connection.execute_batch(&self.options.table.in_sql(sql));
            done.map_err(|error| SqliteStoreError::new(self.path, error))
        };
        let run_steps = || {
            // The version is read again, under the lock: another process may have migrated after
            // the first look.
            let found = self.found_version()?;
            self.migrations[found..].iter().chain([&COMMIT]).try_for_each(|step| run(step))
        };
        run(BEGIN)?;
        run_steps().inspect_err(|_| {
            _ = run(ROLLBACK); // ignored: SQLite may have rolled it back already
        })
    }

    /// Refuses triggers and views that the host did not name. Such code runs at each write, and
    /// could restore what each revocation removes.
    fn refuse_code(&self) -> Result<(), SqliteStoreError> {
        let unknown = unknown_code(self.connection, self.options);
        match unknown.map_err(|error| SqliteStoreError::new(self.path, error))?.pop() {
            Some((kind, name)) => {
                let (path, table) = (self.path.into(), self.options.table.clone());
                Err(SqliteStoreError::ForeignCode { path, table, kind, name })
            }
            None => Ok(()),
        }
    }

    /// Returns the version of the tables; 0 if there are none.
    fn found_version(&self) -> Result<usize, SqliteStoreError> {
        let table = &self.options.table;
        let counts = self.connection.query_row(&table.in_sql(COUNT_OF_OURS), [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, f64>(1)? as i64))
        });
        match counts.map_err(|error| SqliteStoreError::new(self.path, error))? {
            // All or none. If only some exist, or one of them is a view, they are not ours.
            (0, _) => return Ok(0),
            (TABLES, TABLES) => {}
            _ => return Err(self.foreign()),
        }
        let found = self.connection.query_row(&table.in_sql(FOUND_VERSION), [], |row| row.get(0));
        let found: i64 = found.map_err(|error| self.foreign_or_failed(error))?;
        let known = self.migrations.len().cast_signed() as i64;
        if found > known {
            let (path, table) = (self.path.into(), self.options.table.clone());
            return Err(SqliteStoreError::NewerSchema { path, table, found, known });
        }
        usize::try_from(found).ok().filter(|found| *found > 0).ok_or_else(|| self.foreign())
    }

    /// Returns the error for a statement that can't be prepared, or a version that is no number.
    ///
    /// In both cases the table is not ours. Any other failure of SQLite is passed on.
    fn foreign_or_failed(&self, error: rusqlite::Error) -> SqliteStoreError {
        match error.sqlite_error_code() {
            None | Some(ErrorCode::Unknown) => self.foreign(),
            Some(_) => SqliteStoreError::new(self.path, error),
        }
    }

    /// Returns the error for a table that this library did not make.
    fn foreign(&self) -> SqliteStoreError {
        let (path, table) = (self.path.into(), self.options.table.clone());
        SqliteStoreError::ForeignTable { path, table }
    }
}

/// Returns the kind and name of each trigger and view that must not be there.
///
/// These are triggers on the tables, unless the host named them, and views in place of a table.
pub(super) fn unknown_code(
    connection: &Connection,
    options: &SqliteOptions,
) -> rusqlite::Result<Vec<(String, String)>> {
    let is_known = |(kind, name): &(String, String)| {
        let known = &options.known_triggers;
        kind == "trigger" && known.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let mut statement = connection.prepare(&options.table.in_sql(CODE))?;
    let code = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    code.filter(|found| !found.as_ref().is_ok_and(is_known)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::thread;

    use rusqlite::OpenFlags;

    use super::*;
    use crate::store::sqlite::open::{open, switch_to_wal};

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

    fn tables<'t>(connection: &'t Connection, migrations: &'t [&'t str]) -> Tables<'t> {
        static OPTIONS: LazyLock<SqliteOptions> = LazyLock::new(SqliteOptions::new);
        Tables { migrations, ..Tables::new(connection, Path::new("app.db"), &OPTIONS) }
    }

    fn with_migrations(
        connection: &Connection,
        more: &[&'static str],
    ) -> Result<(), SqliteStoreError> {
        tables(connection, &steps(more)).make_or_check()
    }

    fn version(connection: &Connection) -> usize {
        tables(connection, &[""; 9]).found_version().unwrap()
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
    fn each_step_notes_its_own_version() {
        let connection = Connection::open_in_memory().unwrap();
        for (version, step) in (1..).zip(MIGRATIONS) {
            connection.execute_batch(step).unwrap();
            assert_eq!(self::version(&connection), version);
        }
        with_migrations(&connection, &[]).unwrap();
    }
}
