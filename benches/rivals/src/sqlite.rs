//! Measures what a host would write by hand over the same SQLite file: a digest of the text, and
//! one select of the row by it, through a pool or a thread.

use std::path::Path;
use std::str::FromStr;

use app_tokens::store::SqliteStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority};
use deadpool_sqlite::{Config, Runtime as PoolRuntime};
use rusqlite::{Connection, OpenFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::harness::fixture::SCOPE;
use crate::harness::{Table, ToReach, arriving, ready};
use crate::sha256;

const COUNT: usize = 10_000;
const BY_DIGEST: &str = "SELECT owner, scopes, expires_at FROM by_hand WHERE digest = ?1";

pub(crate) fn compare() {
    let runtime = Runtime::new().unwrap();
    let _inside = runtime.enter(); // deadpool's pool closes its connections there
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    let store = SqliteStore::open(&path).unwrap();
    let tokens = TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy);
    let issue = async |number: usize| {
        let access = Access::scopes([SCOPE]).unwrap();
        let new = NewToken::new(format!("user-{}", number / 10), "My phone", access);
        tokens.issue(new).await.unwrap().expose_secret().to_owned()
    };
    let issued = async || {
        let mut texts = Vec::new();
        for number in 0..COUNT {
            texts.push(issue(number).await);
        }
        texts
    };
    let texts = runtime.block_on(issued());
    fill_by_hand(&path, &texts);

    let table = Table::new("authenticate + require on a file / a select by digest there");
    let ours = || {
        arriving(&texts, |text| {
            let authenticated = ready(tokens.authenticate(text)).unwrap();
            authenticated.require(Requirement::one_of(&[SCOPE])).unwrap().id().as_u64()
        })
    };
    let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display())).unwrap();
    let sqlx = runtime.block_on(SqlitePool::connect_with(options)).unwrap();
    table.compare(
        "ours / sqlx's pool",
        ToReach::AtMost(0.1),
        ours(),
        arriving(&texts, |text| {
            let row = runtime.block_on(async {
                let query = sqlx::query_as(BY_DIGEST).bind(sha256(text).to_vec());
                query.fetch_one(&sqlx).await
            });
            length(row.unwrap())
        }),
    );

    let pool = Config::new(&path).create_pool(PoolRuntime::Tokio1).unwrap();
    table.compare(
        "ours / deadpool-sqlite",
        ToReach::AtMost(0.1),
        ours(),
        arriving(&texts, |text| {
            let digest = sha256(text);
            let row = runtime.block_on(async {
                let connection = pool.get().await.unwrap();
                connection.interact(move |connection| select(connection, digest)).await.unwrap()
            });
            length(row)
        }),
    );

    let connection = runtime.block_on(tokio_rusqlite::Connection::open(&path)).unwrap();
    table.compare(
        "ours / tokio-rusqlite",
        ToReach::AtMost(0.1),
        ours(),
        arriving(&texts, |text| {
            let digest = sha256(text);
            let row = runtime.block_on(
                connection
                    .call(move |connection| Ok::<_, rusqlite::Error>(select(connection, digest))),
            );
            length(row.unwrap())
        }),
    );

    let bare = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut kept = bare.prepare("SELECT * FROM app_tokens WHERE id = ?1").unwrap();
    let columns = kept.column_count();
    table.compare(
        "ours / a kept select of our row, bare",
        ToReach::AtMost(1.2),
        ours(),
        arriving(&texts, |text| {
            let id: app_tokens::TokenId = text["acme_".len()..][..10].parse().unwrap();
            let mut rows = kept.query([id.as_u64() as i64]).unwrap();
            let row = rows.next().unwrap().unwrap();
            (0..columns).filter(|column| row.get_ref(*column).is_ok()).count() as u64
        }),
    );
}

type ByHand = (String, String, i64);

fn fill_by_hand(path: &Path, texts: &[String]) {
    let mut connection = Connection::open(path).unwrap();
    let transaction = connection.transaction().unwrap();
    let table = "CREATE TABLE by_hand (
        digest BLOB PRIMARY KEY, owner TEXT, scopes TEXT, expires_at INTEGER
    ) WITHOUT ROWID";
    transaction.execute_batch(table).unwrap();
    for (number, text) in texts.iter().enumerate() {
        let row = (sha256(text), format!("user-{}", number / 10), SCOPE, i64::MAX);
        transaction.execute("INSERT INTO by_hand VALUES (?1, ?2, ?3, ?4)", row).unwrap();
    }
    transaction.commit().unwrap();
}

fn select(connection: &Connection, digest: [u8; 32]) -> ByHand {
    let mut statement = connection.prepare_cached(BY_DIGEST).unwrap();
    statement.query_row([digest], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

fn length((owner, scopes, _): ByHand) -> u64 {
    (owner.len() + scopes.len()) as u64
}
