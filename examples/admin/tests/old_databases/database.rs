//! A database of an old system, and the programs that its guide runs over it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use support::mariadb::{self, MariaDb};
use support::postgres::Server;
use support::program::has;

use super::common::{Host, Ran};

/// A database that old systems keep their tables in.
#[derive(Clone, Copy)]
pub enum Database {
    Sqlite,
    Postgres(&'static Server),
    MariaDb(&'static MariaDb),
}

/// What a column's type is called, in the order of [`Database`].
const TYPES: [(&str, [&str; 3]); 8] = [
    ("ID", ["INTEGER PRIMARY KEY", "bigserial PRIMARY KEY", "bigint AUTO_INCREMENT PRIMARY KEY"]),
    ("BIG", ["BIGINT", "bigint", "bigint(20)"]),
    ("UNSIGNED", ["INTEGER UNSIGNED", "integer", "int(10) unsigned"]),
    ("STRING", ["VARCHAR(255)", "varchar(255)", "varchar(255)"]),
    ("LONG", ["CLOB", "text", "longtext"]),
    ("FLAG", ["BOOLEAN", "boolean", "tinyint(1)"]),
    ("TIME", ["DATETIME", "timestamp(0) without time zone", "timestamp NULL"]),
    ("BYTES", ["BLOB", "bytea", "varbinary(64)"]),
];

impl Database {
    /// Returns the databases that are installed.
    pub fn all() -> Vec<Database> {
        let sqlite = has("sqlite3").then_some(Database::Sqlite);
        let postgres = Server::shared().filter(|_| has("psql")).map(Database::Postgres);
        let mariadb = MariaDb::shared().map(Database::MariaDb);
        [sqlite, postgres, mariadb].into_iter().flatten().collect()
    }

    fn number(self) -> usize {
        match self {
            Database::Sqlite => 0,
            Database::Postgres(_) => 1,
            Database::MariaDb(_) => 2,
        }
    }

    /// Returns the program of its client.
    fn client(self) -> &'static str {
        ["sqlite3 ", "psql ", "mysql "][self.number()]
    }

    /// Writes a text by its bytes, so that no rule of quoting stands between it and the table.
    pub fn text(self, text: &str) -> String {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Database::Sqlite => format!("CAST(x'{hex}' AS TEXT)"),
            Database::Postgres(_) => format!("convert_from('\\x{hex}', 'UTF8')"),
            Database::MariaDb(_) => format!("CONVERT(x'{hex}' USING utf8mb4)"),
        }
    }

    pub fn bytes(self, hex: &str) -> String {
        match self {
            Database::Postgres(_) => format!("'\\x{hex}'"),
            _ => format!("x'{hex}'"),
        }
    }

    pub fn flag(self, is_set: bool) -> &'static str {
        match (self, is_set) {
            (Database::Postgres(_), true) => "true",
            (Database::Postgres(_), false) => "false",
            (_, true) => "1",
            (_, false) => "0",
        }
    }
}

/// The database of an old system, beside a host that takes its tokens over.
pub struct Old<'a> {
    pub host: &'a Host,
    pub database: Database,
    name: String,
}

impl<'a> Old<'a> {
    /// Makes a database with these tables. A word of [`TYPES`] stands for a type.
    pub fn new(host: &'a Host, database: Database, tables: &str) -> Old<'a> {
        static OLD: AtomicU32 = AtomicU32::new(0);
        let name = format!("old_{}", OLD.fetch_add(1, Ordering::Relaxed));
        let old = Old { host, database, name };
        old.lay_traps();
        let made = match database {
            Database::Sqlite => String::new(),
            Database::Postgres(_) => {
                format!("psql -qX postgres -c 'CREATE DATABASE {}'", old.name)
            }
            Database::MariaDb(_) => {
                format!("echo 'CREATE DATABASE {} CHARACTER SET utf8mb4' | mysql", old.name)
            }
        };
        old.shell(&made).done();
        let mut tables = tables.to_owned();
        for (word, types) in TYPES {
            tables = tables.replace(&format!(" {word}"), &format!(" {}", types[database.number()]));
        }
        old.sql(&tables);
        old
    }

    /// Puts settings into the operator's home that no guide may depend on, and a tool `admin` that
    /// knows the host's store, policy and keys.
    fn lay_traps(&self) {
        let path = |name| self.host.path(name);
        // Where newer versions look. All look below the home that the system knows, too.
        fs::create_dir(path("sqlite3")).unwrap();
        fs::write(path("sqlite3/sqliterc"), ".mode box\n.headers on\n").unwrap();
        fs::write(path(".psqlrc"), "\\timing on\n\\x on\n").unwrap();
        if let Database::MariaDb(server) = self.database {
            let socket = server.socket();
            let settings = format!("default-character-set=latin1\nsocket={}\n", socket.display());
            fs::write(path(".my.cnf"), format!("[client]\n{settings}")).unwrap();
        }
        fs::create_dir(path("bin")).unwrap();
        let tool = format!(
            "#!/bin/sh\nexec {} --store {} --policy policy.toml --key-file keys \"$@\"\n",
            env!("CARGO_BIN_EXE_admin"),
            self.host.store()
        );
        fs::write(path("bin/admin"), tool).unwrap();
        fs::set_permissions(path("bin/admin"), fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(client) = mariadb::client() {
            symlink(client, path("bin/mysql")).unwrap();
        }
    }

    /// Runs a line as an operator does, in the host's folder.
    #[track_caller]
    pub fn shell(&self, line: &str) -> Ran {
        let mut shell = Command::new("sh");
        let folders = format!("bin:{}", std::env::var("PATH").unwrap());
        shell.args(["-c", &line.replace(" old ", &format!(" {} ", self.name))]);
        shell.current_dir(self.host.folder.path()).env("PATH", folders);
        // No locale, as a service or `ssh` may have it.
        let home = self.host.folder.path();
        shell.env("LC_ALL", "C").env("HOME", home).env("XDG_CONFIG_HOME", home).env("USER", "olga");
        if let Database::Postgres(server) = self.database {
            shell.env("PGHOST", "127.0.0.1").env("PGUSER", "postgres");
            shell.env("PGPORT", server.port().to_string());
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.host.run(shell, b"")
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) {
        // Its zone is not UTC.
        let zone = match self.database {
            Database::MariaDb(_) => "SET time_zone = '+00:00';\n",
            _ => "",
        };
        fs::write(self.host.path("fill.sql"), zone.to_owned() + sql).unwrap();
        let line = match self.database {
            Database::Sqlite => "sqlite3 -init /dev/null -bail old.db < fill.sql",
            Database::Postgres(_) => "psql -qX -v ON_ERROR_STOP=1 old < fill.sql",
            Database::MariaDb(_) => "mysql old < fill.sql",
        };
        self.shell(line).done();
    }

    /// Inserts rows, each with an expression for every column.
    #[track_caller]
    pub fn insert(&self, table: &str, columns: &str, rows: &[Vec<String>]) {
        let rows: Vec<_> = rows.iter().map(|row| format!("({})", row.join(", "))).collect();
        self.sql(&format!("INSERT INTO {table} ({columns}) VALUES {};", rows.join(",\n")));
    }

    /// Runs the command of this database's client, out of those for all.
    #[track_caller]
    pub fn client(&self, clients: &[String], query: &str) -> Ran {
        fs::write(self.host.path("query.sql"), query).unwrap();
        let client = self.database.client();
        self.shell(clients.iter().find(|line| line.contains(client)).unwrap())
    }
}
