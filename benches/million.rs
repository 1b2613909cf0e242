//! Measures a million tokens in memory, in an SQLite file, and in a PostgreSQL server on the same
//! machine: what grows with them and what doesn't.
//!
//! `cargo bench --bench million` takes some ten minutes and much memory. It skips PostgreSQL with a
//! message if it is not installed. In the environment, `TOKENS=100000` takes fewer tokens.
//! `STORE=memory`, `STORE=sqlite` or `STORE=postgres` takes one store only, and `WALKS=few` leaves
//! out the walks that change all rows.

mod harness;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use app_tokens::error::RetireError;
use app_tokens::record::KeyId;
use app_tokens::store::{
    Filter, MemoryStore, Page, Row, RowColumns, RuntimeFree, SqliteStore, TokenStore,
};
use app_tokens::{
    Access, KeyRing, NewToken, Operator, Owner, Policy, Reason, Requirement, TokenAuthority,
    TokenId,
};
use harness::{Table, ToReach, mix, timed};
use support::postgres::{Blocked, Database, RUNTIME, Server, copy_new_tokens, pool_to};

const KEYS: [&str; 2] = [
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];
/// How many tokens one owner has; every other owner has ten.
const OF_ONE: usize = 10_000;

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let wanted = std::env::var("STORE").ok();
    let wants = |store: &str| wanted.as_deref().is_none_or(|wanted| wanted == store);
    if wants("memory") {
        measure("memory", &over_memory(), &over_memory());
    }
    if wants("sqlite") {
        let folder = tempfile::tempdir().unwrap();
        let (many, few) = (folder.path().join("many.db"), folder.path().join("few.db"));
        measure("an SQLite file", &over_sqlite(&many), &over_sqlite(&few));
    }
    if wants("postgres")
        && let Some(server) = Server::start_durable()
    {
        let database = || RUNTIME.block_on(server.database());
        let (many, few) = (database(), database());
        measure("a PostgreSQL server", &over_postgres(&many), &over_postgres(&few));
    }
}

/// A store, how it is filled, and its size.
struct Filled<'a, S> {
    store: S,
    fill: Box<Fill<'a>>,
    /// `None` for memory, of which the bench `memory` counts the bytes.
    bytes: Box<dyn Fn() -> Option<u64> + 'a>,
}

/// Fills a store with that many tokens of these owners, and returns the tokens' texts.
type Fill<'a> = dyn Fn(usize, &(dyn Fn(usize) -> String + Sync)) -> Vec<String> + 'a;

fn over_memory() -> Filled<'static, MemoryStore> {
    let store = MemoryStore::new();
    let tokens = over(&store, KEYS[0]);
    Filled {
        store,
        fill: Box::new(move |count, owner| issue(&tokens, count, owner)),
        bytes: Box::new(|| None),
    }
}

/// Inserts what a new token's row has.
const INSERT: &str = "
    INSERT INTO app_tokens (
        id, digest, owner, label, scopes, created_at, expires_at, family, key_id, seal, revision
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

fn over_sqlite(path: &Path) -> Filled<'_, SqliteStore> {
    Filled {
        store: SqliteStore::open(path).unwrap(),
        fill: Box::new(move |count, owner| {
            let (rows, texts) = in_memory(count, owner);
            let mut connection = rusqlite::Connection::open(path).unwrap();
            let copy = connection.transaction().unwrap();
            let mut insert = copy.prepare(INSERT).unwrap();
            for row in pages(&rows).flatten() {
                let row = RowColumns::of(row.record().unwrap());
                let values = rusqlite::params![
                    row.id,
                    row.digest.as_deref(),
                    row.owner.as_deref(),
                    row.label.as_deref(),
                    row.scopes.as_deref(),
                    row.created_at,
                    row.expires_at,
                    row.family,
                    row.key_id,
                    row.seal.as_deref(),
                    row.revision
                ];
                insert.execute(values).unwrap();
            }
            drop(insert);
            copy.execute("INSERT OR IGNORE INTO app_tokens_keys VALUES (1)", []).unwrap();
            copy.commit().unwrap();
            texts
        }),
        bytes: Box::new(move || Some(file_bytes(path))),
    }
}

fn over_postgres<'a>(database: &'a Database<'_>) -> Filled<'a, impl Store> {
    Filled {
        store: Blocked(RUNTIME.block_on(database.store())),
        fill: Box::new(|count, owner| {
            let (rows, texts) = in_memory(count, owner);
            RUNTIME.block_on(copy_new_tokens(rows.store(), database));
            texts
        }),
        bytes: Box::new(|| Some(table_bytes(database))),
    }
}

/// Issues into memory. To copy the rows of a million tokens takes seconds, to insert them minutes.
fn in_memory(
    count: usize,
    owner: &(dyn Fn(usize) -> String + Sync),
) -> (TokenAuthority<MemoryStore>, Vec<String>) {
    let tokens = over(&MemoryStore::new(), KEYS[0]);
    let texts = issue(&tokens, count, owner);
    (tokens, texts)
}

/// Returns the pages of all rows, in order of id. There are few, as each is a walk through memory.
fn pages(tokens: &TokenAuthority<MemoryStore>) -> impl Iterator<Item = Vec<Row>> {
    let mut page = Page::first(1_000_000);
    std::iter::from_fn(move || {
        let every = Filter::every_token();
        let part = tokens.block_on(tokens.store().list(&every, page)).unwrap();
        page = page.after(part.last()?.id());
        Some(part)
    })
}

/// Returns the size of a database file, after its log was written back.
fn file_bytes(path: &Path) -> u64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
    fs::metadata(path).unwrap().len()
}

/// Returns the size of the table of tokens, with its indexes.
fn table_bytes(database: &Database<'_>) -> u64 {
    let bytes: i64 = RUNTIME.block_on(async {
        let client = pool_to(database.config()).get().await.unwrap();
        client.query_one(SIZE, &[]).await.unwrap().get(0)
    });
    bytes as u64
}

const SIZE: &str = "SELECT pg_total_relation_size('app_tokens')";

/// What is measured over a store.
trait Store: TokenStore + RuntimeFree + Clone {}

impl<S: TokenStore + RuntimeFree + Clone> Store for S {}

/// Returns an authority that deletes a row as soon as it is dead.
fn over<S: Store>(store: &S, keys: &str) -> TokenAuthority<S> {
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    let policy = policy.with_retention(Duration::ZERO);
    TokenAuthority::new(store.clone(), KeyRing::parse(keys).unwrap(), policy)
}

fn measure<S: Store>(name: &str, many: &Filled<'_, S>, few: &Filled<'_, S>) {
    let count = std::env::var("TOKENS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(1_000_000);
    let ten_each = |number| format!("user-{}", number / 10);
    let start = Instant::now();
    let texts = (many.fill)(count, &ten_each);
    let spent = start.elapsed().as_secs_f64();
    println!("\n{name}: {count} tokens were filled in within {spent:.0} s");
    if let Some(bytes) = (many.bytes)() {
        println!("{} bytes a token, indexes included", bytes / count as u64);
    }
    let of_one = (many.fill)(OF_ONE, &|_| "rich".into());
    let texts_of_few = (few.fill)(10_000, &ten_each);
    let (many, few) = (over(&many.store, KEYS[0]), over(&few.store, KEYS[0]));

    let table = Table::new(name);
    table.compare(
        &format!("list of one owner's ten, among {count} / among 10,000"),
        ToReach::Told,
        timed(lists(&many, count)),
        timed(lists(&few, 10_000)),
    );
    table.compare(
        &format!("authenticate, among {count} / among 10,000"),
        ToReach::AtMost(4.0),
        timed(authenticates(&many, &texts)),
        timed(authenticates(&few, &texts_of_few)),
    );
    table.compare(
        "authenticate, of an owner with 10,000 tokens / with ten",
        ToReach::AtMost(1.05),
        timed(authenticates(&many, &of_one)),
        timed(authenticates(&many, &texts[..OF_ONE])),
    );
    // A commit before it, as the first one may have to wait until what was filled is on the disk.
    let first_issue = |store: &S| {
        let fresh = over(store, KEYS[0]);
        let new = NewToken::new("somebody", "First", Access::full());
        fresh.block_on(fresh.issue(new)).unwrap().view().id()
    };
    let _not_measured = (first_issue(many.store()), first_issue(few.store()));
    table.compare(
        &format!("first issue of a process, among {count} / among 10,000"),
        // A process's own memory is empty at its first issue. Only here is it not, and then all its
        // rows are read once.
        if name == "memory" { ToReach::Told } else { ToReach::AtMost(1.1) },
        timed(|| first_issue(many.store())),
        timed(|| first_issue(few.store())),
    );
    walk("purge on a day when nothing died, each row", || {
        assert_eq!(many.block_on(many.purge()).unwrap(), 0);
        count as u64
    });
    if std::env::var("WALKS").is_ok_and(|walks| walks == "few") {
        return;
    }
    walk("may_retire, refused", || {
        let turned = over(many.store(), KEYS[1]);
        let retired = turned.block_on(turned.may_retire(KeyId::new(1).unwrap()));
        let Err(RetireError::InUse { rows }) = retired else { panic!("{retired:?}") };
        rows
    });
    walk("reseal", || {
        let turned = over(many.store(), KEYS[1]);
        turned.block_on(turned.reseal()).unwrap().moved
    });
    walk("revoke_matching of every token", || {
        let every = Filter::every_token();
        many.block_on(many.revoke_matching(
            &Operator::new("bench").unwrap(),
            &every,
            Reason::REQUESTED,
        ))
        .unwrap()
    });
    walk("purge", || many.block_on(many.purge()).unwrap());
}

/// Issues by many threads, so that the store commits many at once.
fn issue<S: Store>(
    tokens: &TokenAuthority<S>,
    count: usize,
    owner: &(dyn Fn(usize) -> String + Sync),
) -> Vec<String> {
    const THREADS: usize = 64;
    let some = |first| -> Vec<String> {
        let one = |number| {
            let new =
                NewToken::new(owner(number), "My phone", Access::scopes(["files:read"]).unwrap());
            String::from(tokens.block_on(tokens.issue(new)).unwrap().expose_secret())
        };
        (first..count).step_by(THREADS).map(one).collect()
    };
    thread::scope(|scope| {
        let some = &some;
        let running: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || some(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn lists<S: Store>(tokens: &TokenAuthority<S>, count: usize) -> impl FnMut() -> usize {
    let mut random = 0;
    move || {
        random += 1;
        let owner = format!("user-{}", mix(random) as usize % (count / 10));
        let filter = Filter::of_owner(&Owner::new(owner).unwrap());
        tokens.block_on(tokens.list(&filter, Page::first(100))).unwrap().tokens.len()
    }
}

fn authenticates<S: Store>(
    tokens: &TokenAuthority<S>,
    texts: &[String],
) -> impl FnMut() -> TokenId {
    let mut random = 0;
    move || {
        random += 1;
        let text = &texts[mix(random) as usize % texts.len()];
        let good = tokens.block_on(tokens.authenticate(text)).unwrap();
        good.require(Requirement::ANY_VALID_TOKEN).unwrap().id()
    }
}

/// Times a long call once, and prints how much the process's memory grew at most.
fn walk(what: &str, call: impl FnOnce() -> u64) {
    // Resets the peak of resident memory. Other systems have no such file; there, no memory is
    // printed.
    let _not_linux = fs::write("/proc/self/clear_refs", "5");
    let (before, start) = (memory("VmRSS"), Instant::now());
    let rows = call();
    let (spent, after) = (start.elapsed(), memory("VmHWM"));
    let each = spent.as_secs_f64() * 1e6 / rows.max(1) as f64;
    let grown = before.zip(after).map_or(String::new(), |(before, after)| {
        format!(", {:.1} MB more memory", after.saturating_sub(before) as f64 / 1024.0)
    });
    println!("{what}: {rows} in {:.2} s, {each:.2} us each{grown}", spent.as_secs_f64());
}

/// Reads a line of `/proc/self/status`, in kilobytes.
fn memory(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|found| found.starts_with(line))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
