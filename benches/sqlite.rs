//! Measures `authenticate` over an SQLite file beside a bare select of the same row, and what a
//! durable change costs.
//!
//! `cargo bench --bench sqlite [WORD…]` prints the lines that hold one of the words, or all. The
//! file lies in the system's temporary directory (`TMPDIR`).

mod harness;

use std::thread;
use std::time::Instant;

use app_tokens::record::{LastUse, LiveAt};
use app_tokens::store::{Filter, Page, Replace, Replaced, Row, SqliteStore, TokenStore};
use app_tokens::{
    Access, KeyRing, NewToken, Owner, Policy, Requirement, Timestamp, TokenAuthority, TokenId,
};
use rusqlite::{Connection, OpenFlags};
use tokio::runtime::Builder;

use harness::{Table, ToReach, arriving, mix, ready, timed};

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
        ToReach::AtMost(1.2),
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
    let mut random = 0;
    table.compare(
        "list of an owner with 156 / authenticate",
        ToReach::Told,
        timed(|| {
            random += 1;
            let owner = Owner::new(format!("user-{}", mix(random) % 64)).unwrap();
            ready(tokens.store().list(&Filter::of_owner(&owner), Page::first(100))).unwrap().len()
        }),
        arriving(&texts, |text| u64::from(ready(tokens.authenticate(text)).is_ok())),
    );
    durable_changes(&table, &tokens, &texts);
}

/// Measures durable changes. Each waits for a disk, so it is done a few times only.
fn durable_changes(table: &Table, tokens: &TokenAuthority<SqliteStore>, texts: &[String]) {
    for (threads, goal) in
        [(4, ToReach::Told), (16, ToReach::Told), (64, ToReach::AtMost(0.15)), (256, ToReach::Told)]
    {
        let what = format!("durable issue, {threads} threads at once / one, each");
        if table.wants(&what) {
            let each = 1280 / threads;
            let many = per_call(1280, || _ = issue(tokens, threads, each));
            let one = per_call(200, || _ = issue(tokens, 1, 200));
            table.line(&what, many, one, many / one, goal);
        }
    }
    let what = "replace in batches of 500 / one by one, each";
    if table.wants(what) {
        let store = tokens.store();
        let batch = replacements(store);
        let many = per_call(batch.len() as u32, || {
            for batch in batch.chunks(500) {
                let answers = wait(store.replace(batch)).unwrap();
                assert!(answers.iter().all(|answer| *answer == Replaced::Done));
            }
        });
        let singles = replacements(store);
        let one = per_call(200, || {
            singles[..200].chunks(1).for_each(|one| drop(wait(store.replace(one)).unwrap()));
        });
        table.line(what, many, one, many / one, ToReach::Told);
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
        let many = per_call(1000, || wait(tokens.store().touch(&batch, Timestamp::MAX)).unwrap());
        let singles = uses(2_000_000_001);
        let one = per_call(200, || {
            singles[..200]
                .chunks(1)
                .for_each(|one| wait(tokens.store().touch(one, Timestamp::MAX)).unwrap());
        });
        table.line(what, many, one, many / one, ToReach::AtMost(0.02));
    }
}

/// Makes one replacement for each row, as a reseal would send it.
fn replacements(store: &SqliteStore) -> Vec<Replace> {
    let mut page = Page::first(1000);
    let mut rows: Vec<Row> = Vec::new();
    while let more = wait(store.list(&Filter::every_token(), page)).unwrap()
        && let Some(last) = more.last()
    {
        page = page.after(last.id());
        rows.extend(more);
    }
    let live = LiveAt { now: Timestamp::MIN, used_after: None };
    let replace = |row| Replace { row, live, unique_label: false, revokes_derived: None };
    rows.into_iter().map(replace).collect()
}

/// Waits for a change, which a thread of the store makes.
fn wait<F: Future>(change: F) -> F::Output {
    Builder::new_current_thread().build().unwrap().block_on(change)
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
