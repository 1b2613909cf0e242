//! Which store, as an operator writes it: the one place where `cloud` and `admin` choose. Another store is another line in each `match`.
#![allow(dead_code, reason = "each example uses its own part of this")]

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use app_tokens::store::{DynStore, PostgresStore, SqliteStore, postgres_sql};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Config, NoTls};

/// `sqlite:PATH` or `postgres:URL`. Not printable: a URL may hold a password.
#[derive(Clone)]
pub enum StoreChoice {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Where the store may be named, too. Other users of the machine don't see it there, so its URL may hold a password.
pub const VARIABLE: &str = "APP_TOKENS_STORE";

type Error = Box<dyn std::error::Error + Send + Sync>;

impl StoreChoice {
    /// What the argument says, or else the environment.
    pub fn told(argument: Option<&str>) -> Result<Option<StoreChoice>, String> {
        if let Some(argument) = argument {
            return argument.parse().and_then(StoreChoice::without_password).map(Some);
        }
        match std::env::var(VARIABLE) {
            Ok(text) => text.parse().map(Some).map_err(|error| format!("{VARIABLE}: {error}")),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(_) => Err(format!("{VARIABLE} is not UTF-8")),
        }
    }

    /// Opens it; an SQLite file, or PostgreSQL's tables, that aren't there are made.
    pub async fn open(&self) -> Result<DynStore, Error> {
        match self {
            StoreChoice::Sqlite(path) => Ok(DynStore::new(SqliteStore::open(path)?)),
            StoreChoice::Postgres(url) => {
                let store = PostgresStore::new(pool(url)?);
                store.migrate().await?;
                Ok(DynStore::new(store))
            }
        }
    }

    /// Opens what is there: a mistyped path or database shall not become an empty store.
    pub async fn open_existing(&self) -> Result<DynStore, Error> {
        match self {
            StoreChoice::Sqlite(path) if !path.try_exists()? => {
                return Err(
                    format!("there is no file {}: the host makes it", path.display()).into()
                );
            }
            StoreChoice::Sqlite(_) => {}
            StoreChoice::Postgres(url) => {
                let client = pool(url)?.get().await?;
                let there = "SELECT to_regclass('app_tokens') IS NOT NULL";
                if !client.query_one(there, &[]).await?.try_get(0)? {
                    return Err("there is no table app_tokens in this database: the host makes it, or `admin schema postgres | psql`".into());
                }
            }
        }
        // Tables that are there are only looked at: this program may be too old for them.
        self.open().await
    }

    /// Everybody on the machine may read a process's arguments.
    fn without_password(self) -> Result<StoreChoice, String> {
        match &self {
            StoreChoice::Postgres(url) if has_password(url) => Err(format!(
                "a password is no argument, as others can read it: put the store into {VARIABLE}"
            )),
            _ => Ok(self),
        }
    }
}

impl FromStr for StoreChoice {
    type Err = String;
    fn from_str(text: &str) -> Result<StoreChoice, String> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(StoreChoice::Sqlite(path.into())),
            // Also the URL alone, which begins in the same way.
            Some(("postgres", rest)) if rest.starts_with("//") => {
                Ok(StoreChoice::Postgres(text.into()))
            }
            Some(("postgres", url)) if !url.is_empty() => Ok(StoreChoice::Postgres(url.into())),
            _ => Err("a store is sqlite:PATH or postgres:URL".into()),
        }
    }
}

/// The SQL that makes a store's tables.
pub fn schema(kind: &str) -> Result<&'static str, String> {
    match kind {
        "sqlite" => Ok(include_str!("../../src/store/sqlite_schema.sql")),
        "postgres" => Ok(postgres_sql::SCHEMA),
        _ => Err("there is a schema for sqlite and for postgres".into()),
    }
}

/// To the primary server, and with an end to every wait.
fn pool(url: &str) -> Result<Pool, Error> {
    let patience = Duration::from_secs(5);
    // What the driver says would quote a part of the URL.
    let config = url.parse::<Config>();
    let mut config = config.map_err(|_| "not a URL that PostgreSQL's driver knows: postgres://user@host/database, or host=... dbname=...")?;
    if config.get_ssl_mode() == SslMode::Require {
        return Err("this example has no TLS: write a connector into it in place of NoTls, or use a socket or a tunnel".into());
    }
    config.target_session_attrs(TargetSessionAttrs::ReadWrite).tcp_user_timeout(patience);
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(patience);
    }
    if config.get_options().is_none() {
        config.options("-c lock_timeout=5s -c statement_timeout=10s");
    }
    let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    // Where the server is another machine: a connector of tokio-postgres-rustls or postgres-native-tls here.
    Ok(Pool::builder(Manager::from_config(config, NoTls, fast))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(patience))
        // All hosts that the URL names, one after the other.
        .create_timeout(Some(3 * patience))
        .build()?)
}

/// In `postgres://user:password@host/`, in `?password=`, or in a list of `key=value`.
fn has_password(url: &str) -> bool {
    let user = url.split_once("//").and_then(|(_, rest)| rest.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':')) || url.contains("password")
}
