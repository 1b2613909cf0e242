//! Which store, as an operator writes it: the one place where `cloud` and `admin` choose. Another store is another line in each `match`.
#![allow(dead_code, reason = "each example uses its own part of this")]

use std::path::PathBuf;
use std::str::FromStr;

use app_tokens::store::{DynStore, SqliteStore};

/// `sqlite:PATH` or `postgres:URL`. Not printable: a URL may hold a password.
#[derive(Clone)]
pub enum StoreChoice {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Where the store may be named, too. Other users of the machine don't see it there, so its URL may hold a password.
pub const VARIABLE: &str = "APP_TOKENS_STORE";

const NO_POSTGRES: &str = "this build has no PostgreSQL store yet: only sqlite:PATH";

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

    /// Opens it; an SQLite file that isn't there is made.
    pub async fn open(&self) -> Result<DynStore, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            StoreChoice::Sqlite(path) => Ok(DynStore::new(SqliteStore::open(path)?)),
            StoreChoice::Postgres(_) => Err(NO_POSTGRES.into()),
        }
    }

    /// Opens what is there: a mistyped path shall not make an empty store.
    pub async fn open_existing(
        &self,
    ) -> Result<DynStore, Box<dyn std::error::Error + Send + Sync>> {
        match self {
            StoreChoice::Sqlite(path) if !path.try_exists()? => {
                Err(format!("there is no file {}: the host makes it", path.display()).into())
            }
            _ => self.open().await,
        }
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
        "postgres" => Err(NO_POSTGRES.into()),
        _ => Err("there is a schema for sqlite and for postgres".into()),
    }
}

/// In `postgres://user:password@host/`, in `?password=`, or in a list of `key=value`.
fn has_password(url: &str) -> bool {
    let user = url.split_once("//").and_then(|(_, rest)| rest.rsplit_once('@'));
    user.is_some_and(|(user, _)| user.contains(':')) || url.contains("password")
}
