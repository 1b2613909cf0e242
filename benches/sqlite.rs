//! What one `authenticate` costs over an SQLite file, beside a bare select of the same row; and what a durable change costs.
//!
//! `cargo bench --bench sqlite`, with a word to pick lines. The file lies in the system's temporary directory (`TMPDIR`).

mod harness;

use std::thread;
use std::time::Instant;

use app_tokens::record::LastUse;
use app_tokens::store::{SqliteStore, StoreError};
use app_tokens::{
    Access, KeyRing, NewToken, Policy, Requirement, Timestamp, TokenAuthority, TokenId, TokenStore,
};
use rusqlite::{Connection, OpenFlags};

use harness::{Table, ToReach, arriving};

const COUNT: usize = 10_000;
const SELECT: &str = "SELECT * FROM app_tokens WHERE id = ?1";

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.db");
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    let store = SqliteStore::open(&path).unwrap();
    let tokens = TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy);
    let texts = issue(&tokens, 64, COUNT / 64);
    let table = Table::new("an SQLite file");

    let bare = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut select = bare.prepare(SELECT).unwrap();
    let columns = select.column_count();
    table.compare(
        "authenticate + require / a bare select of the row, kept statement",
        ToReach::AtMost(1.15),
        arriving(&texts, |text| {
            let authenticated = tokens.block_on(tokens.authenticate(text)).unwrap();
            authenticated.require(Requirement::ANY_VALID_TOKEN).unwrap().id().as_u64()
        }),
        arriving(&texts, |text| {
            let id: TokenId = text["acme_".len()..][..10].parse().unwrap();
            let mut rows = select.query([id.as_u64() as i64]).unwrap();
            let row = rows.next().unwrap().unwrap();
            (0..columns).filter(|column| row.get_ref(*column).is_ok()).count() as u64
        }),
    );
    durable_changes(&table, &tokens, &texts);
}

/// These wait for a disk, so each is done a few times only.
fn durable_changes(table: &Table, tokens: &TokenAuthority<SqliteStore>, texts: &[String]) {
    let what = "durable issue, 64 threads at once / one, each";
    if table.wants(what) {
        let many = per_call(64 * 20, || _ = issue(tokens, 64, 20));
        let one = per_call(200, || _ = issue(tokens, 1, 200));
        table.line(what, many, one, many / one, ToReach::AtMost(0.1));
    }
    let what = "last use written in batches of 1,000 / one by one, each";
    if table.wants(what) {
        let uses = |at: i64| -> Vec<(TokenId, LastUse)> {
            let at = Timestamp::from_unix(at).unwrap();
            let id = |text: &String| text["acme_".len()..][..10].parse().unwrap();
            let last_use = LastUse { at, address: None, client: None };
            texts.iter().map(|text| (id(text), last_use.clone())).take(1000).collect()
        };
        let batch = uses(2_000_000_000);
        let many = per_call(1000, || wait(tokens.store().touch(&batch, Timestamp::MAX)));
        let singles = uses(2_000_000_001);
        let one = per_call(200, || {
            singles[..200]
                .chunks(1)
                .for_each(|one| wait(tokens.store().touch(one, Timestamp::MAX)));
        });
        table.line(what, many, one, many / one, ToReach::AtMost(0.02));
    }
}

/// Waits for a change, which the store's own thread makes.
fn wait(change: impl Future<Output = Result<(), StoreError>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(change).unwrap();
}

fn per_call(calls: u32, all: impl FnOnce()) -> f64 {
    let start = Instant::now();
    all();
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn issue(tokens: &TokenAuthority<SqliteStore>, threads: usize, each: usize) -> Vec<String> {
    let issue_some = |thread: usize| -> Vec<String> {
        let new = || {
            NewToken::new(
                format!("user-{thread}"),
                "My phone",
                Access::scopes(["files:read"]).unwrap(),
            )
        };
        let text = |_| tokens.block_on(tokens.issue(new())).unwrap().expose_secret().to_owned();
        (0..each).map(text).collect()
    };
    thread::scope(|scope| {
        let issue_some = &issue_some;
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || issue_some(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
