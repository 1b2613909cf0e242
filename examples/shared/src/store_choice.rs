//! The choice of a store, as an operator writes it. `cloud` and `admin` choose only here; for
//! another store, add a line to each `match`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use app_tokens::store::{
    DynStore, PostgresStore, SqliteOptions, SqliteStore, SqliteStoreError, SqliteTransaction,
    TableName, postgres_sql,
};
use deadpool_postgres::{Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime};
use rusqlite::{Connection, OpenFlags};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};

/// `sqlite:PATH` or `postgres:URL`.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreChoice {
    /// The SQLite file at this path.
    Sqlite(PathBuf),
    /// The PostgreSQL database that this URL names.
    Postgres(Box<Config>),
}

/// The variable that may name the store, too. Other users of the machine can't read it, so its URL
/// may hold a password.
pub const VARIABLE: &str = "APP_TOKENS_STORE";

type Error = Box<dyn std::error::Error + Send + Sync>;

impl StoreChoice {
    /// Reads the choice from the argument, or else from the environment.
    pub fn told(argument: Option<&str>) -> Result<Option<StoreChoice>, String> {
        if let Some(argument) = argument {
            let choice = argument.parse::<StoreChoice>()?;
            return choice.without_password()?.within_reach().map(Some);
        }
        match std::env::var(VARIABLE) {
            Ok(text) => {
                let choice = text.parse().and_then(StoreChoice::within_reach);
                choice.map(Some).map_err(|error| format!("{VARIABLE}: {error}"))
            }
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(_) => Err(format!("{VARIABLE} is not UTF-8; write it in UTF-8")),
        }
    }

    /// Opens the store. A missing SQLite file, and missing tables, are made.
    pub async fn open(&self) -> Result<DynStore, Error> {
        match self {
            StoreChoice::Sqlite(path) => Ok(DynStore::new(SqliteStore::open(path)?)),
            StoreChoice::Postgres(config) => opened(PostgresStore::new(pool(config)?)).await,
        }
    }

    /// Opens a store that exists already, and makes nothing.
    ///
    /// A mistyped path must not become an empty store, and another program's database must not get
    /// our tables. Only the host migrates: it may be older than this program.
    pub async fn open_existing(&self, table: &TableName) -> Result<DynStore, Error> {
        match self {
            StoreChoice::Sqlite(path) => {
                refuse_file_without_tables(path, table)?;
                Ok(DynStore::new(SqliteStore::open_with(path, &options_of(table))?))
            }
            StoreChoice::Postgres(config) => {
                let pool = pool(config)?;
                if !has_table(&pool, table).await.map_err(explained)? {
                    return Err(format!(
                        "there is no table {table} in this database; start the host, \
                         or run `admin schema postgres --table {table} | psql DATABASE`"
                    )
                    .into());
                }
                opened(PostgresStore::new(pool).with_table(table.clone())).await
            }
        }
    }

    /// Refuses a password in an argument: every user of the machine can read a process's arguments.
    fn without_password(self) -> Result<StoreChoice, String> {
        match &self {
            StoreChoice::Postgres(config) if config.get_password().is_some() => Err(format!(
                "other users can read a password in an argument; put the URL into {VARIABLE}"
            )),
            _ => Ok(self),
        }
    }

    /// Refuses to send anything to another machine, as this example has no TLS. `sslmode=disable`
    /// allows it.
    fn within_reach(self) -> Result<StoreChoice, String> {
        let StoreChoice::Postgres(config) = &self else {
            return Ok(self);
        };
        match config.get_ssl_mode() {
            SslMode::Disable => Ok(self),
            SslMode::Require => {
                Err("this example has no TLS; use a socket or a tunnel, or write a \
                                     connector in place of `NoTls`"
                    .into())
            }
            _ if is_on_this_machine(config) => Ok(self),
            _ => Err("the server is another machine, and this example has no TLS; use a tunnel, \
                      or set sslmode=disable if no one else can listen"
                .into()),
        }
    }
}

impl FromStr for StoreChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<StoreChoice, String> {
        let url = match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                return Ok(StoreChoice::Sqlite(path.into()));
            }
            // A URL without our `postgres:` before it is accepted, too; it begins alike.
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => text,
            Some(("postgres", url)) if !url.is_empty() => url,
            _ => return Err("not a store; write sqlite:PATH or postgres:URL".into()),
        };
        // The driver's error is dropped, as it quotes a part of the URL. The driver would notice a
        // missing host only when it connects.
        let config = url
            .parse::<Config>()
            .ok()
            .filter(|config| !config.get_hosts().is_empty() || !config.get_hostaddrs().is_empty());
        let config = config.ok_or(
            "not a URL that PostgreSQL's driver knows; write postgres://user@host/database, \
             or host=... dbname=...",
        )?;
        Ok(StoreChoice::Postgres(Box::new(config)))
    }
}

/// Whether the server is on this machine. If there is an address beside the name, connections go to
/// the address.
fn is_on_this_machine(config: &Config) -> bool {
    let is_loopback = |address: &IpAddr| address.to_canonical().is_loopback();
    if !config.get_hostaddrs().is_empty() {
        return config.get_hostaddrs().iter().all(is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) if name.eq_ignore_ascii_case("localhost") => true,
        Host::Tcp(name) => name.parse().is_ok_and(|address| is_loopback(&address)),
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

fn options_of(table: &TableName) -> SqliteOptions {
    SqliteOptions::new().with_table(table.clone())
}

/// Refuses a file that lacks our tables.
///
/// It looks on a connection of its own, which makes no file and no write-ahead log. The transaction
/// waits for nobody and writes nothing.
fn refuse_file_without_tables(path: &Path, table: &TableName) -> Result<(), Error> {
    if !path.try_exists()? {
        return Err(format!("there is no file {}; start the host first", path.display()).into());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.execute_batch("BEGIN DEFERRED")?;
    match SqliteTransaction::begin_with(&mut connection, &options_of(table)) {
        Err(SqliteStoreError::NotMigrated { .. }) => Err(format!(
            "the tables {table} in {0} are missing or older; start the host, or if they are \
             missing run `admin schema sqlite --table {table} | sqlite3 {0}`",
            path.display()
        )
        .into()),
        looked_at => Ok(looked_at.map(drop)?),
    }
}

async fn has_table(pool: &Pool, table: &TableName) -> Result<bool, PoolError> {
    let there = table.in_sql("SELECT to_regclass('app_tokens') IS NOT NULL");
    Ok(pool.get().await?.query_one(&*there, &[]).await?.try_get(0)?)
}

/// Adds what the driver keeps as the error's source: why there is no connection, or what the server
/// said.
fn explained(error: PoolError) -> String {
    let PoolError::Backend(error) = error else {
        return format!("PostgreSQL: {error}");
    };
    match std::error::Error::source(&error) {
        Some(why) => format!("PostgreSQL: {error}: {why}"),
        None => format!("PostgreSQL: {error}"),
    }
}

/// Returns the SQL that makes a store's tables, from the first version to the newest.
pub fn schema(kind: &str, table: &TableName) -> Result<String, String> {
    match kind {
        "sqlite" if table.as_str().contains('.') => {
            Err("SQLite needs a table name without a schema".into())
        }
        "sqlite" => Ok(table.in_sql(&SqliteStore::MIGRATIONS.join("\n")).into_owned()),
        "postgres" => Ok(table.in_sql(postgres_sql::SCHEMA).into_owned()),
        _ => Err("not a kind of store; write sqlite or postgres".into()),
    }
}

/// Makes the tables if they are missing; if they are there, only checks them.
async fn opened(store: PostgresStore) -> Result<DynStore, Error> {
    store.migrate().await?;
    Ok(DynStore::new(store))
}

/// Makes a pool to the primary server. Every wait has an end.
fn pool(config: &Config) -> Result<Pool, Error> {
    let patience = Duration::from_secs(5);
    let mut config = config.clone();
    config.target_session_attrs(TargetSessionAttrs::ReadWrite).tcp_user_timeout(patience);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(patience);
    }
    if config.get_options().is_none() {
        config.options("-c lock_timeout=5s -c statement_timeout=10s");
    }
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    // For a server on another machine, put a connector of tokio-postgres-rustls or
    // postgres-native-tls here.
    Ok(Pool::builder(Manager::from_config(config, NoTls, fast))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(patience))
        // The driver tries all hosts of the URL, in order.
        .create_timeout(Some(3 * patience))
        .build()?)
}
