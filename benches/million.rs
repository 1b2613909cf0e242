//! Measures a million tokens in an SQLite file, and in a PostgreSQL server on the same machine:
//! what grows with them and what doesn't.
//!
//! `cargo bench --bench million` takes some ten minutes, and skips PostgreSQL with a message if it
//! is not installed. In the environment, `TOKENS=100000` takes fewer tokens, `STORE=postgres` or
//! `STORE=sqlite` takes one store only, and `WALKS=few` leaves out the walks that change all rows.

mod harness;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use app_tokens::error::RetireError;
use app_tokens::record::KeyId;
use app_tokens::store::{Filter, Page, PostgresStore, RuntimeFree, SqliteStore, TokenStore};
use app_tokens::{
    Access, KeyRing, NewToken, Operator, Owner, Policy, Reason, Requirement, TokenAuthority,
    TokenId,
};
use harness::{Table, ToReach, mix, timed};
use support::postgres::{Blocked, Database, RUNTIME, Server, pool_to};

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
    if wants("sqlite") {
        let folder = tempfile::tempdir().unwrap();
        let store = |name| {
            let path = folder.path().join(name);
            let store = SqliteStore::open(&path).unwrap();
            Filled { filler: store.clone(), store, bytes: Box::new(move || file_bytes(&path)) }
        };
        measure("an SQLite file", &store("many.db"), &store("few.db"));
    }
    if wants("postgres")
        && let Some(server) = Server::start_durable()
    {
        let database = || RUNTIME.block_on(server.database());
        let (many, few) = (database(), database());
        measure("a PostgreSQL server", &over_postgres(&many), &over_postgres(&few));
    }
}

/// A store, a second handle to fill it by, which need not wait for the disk, and its size.
struct Filled<'a, S> {
    store: S,
    filler: S,
    bytes: Box<dyn Fn() -> u64 + 'a>,
}

fn over_postgres<'a>(database: &'a Database<'_>) -> Filled<'a, Blocked<PostgresStore>> {
    let mut hurried = database.config();
    hurried.options("-c synchronous_commit=off");
    RUNTIME.block_on(async {
        let store = Blocked(database.store().await);
        let filler = Blocked(PostgresStore::new(pool_to(hurried)));
        Filled { store, filler, bytes: Box::new(|| table_bytes(database)) }
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

fn measure<S: TokenStore + RuntimeFree + Clone>(
    name: &str,
    many: &Filled<'_, S>,
    few: &Filled<'_, S>,
) {
    let count = std::env::var("TOKENS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(1_000_000);
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    let over = |store: &S, keys| {
        let policy = policy.clone().with_retention(Duration::ZERO);
        TokenAuthority::new(store.clone(), KeyRing::parse(keys).unwrap(), policy)
    };
    let start = Instant::now();
    let texts = fill(&over(&many.filler, KEYS[0]), count);
    let spent = start.elapsed().as_secs_f64();
    println!("\n{name}: {count} tokens were issued by 64 threads in {spent:.0} s");
    println!("{} bytes a token, indexes included", (many.bytes)() / count as u64);
    let of_one = issue(&over(&many.filler, KEYS[0]), OF_ONE, |_| "rich".into());
    let texts_of_few = fill(&over(&few.filler, KEYS[0]), 10_000);
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
        ToReach::AtMost(1.1),
        timed(|| first_issue(many.store())),
        timed(|| first_issue(few.store())),
    );
    walk("purge on a day when nothing died, each row", || {
        let kept = over(many.store(), KEYS[0]);
        assert_eq!(kept.block_on(kept.purge()).unwrap(), 0);
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

fn fill<S: TokenStore + RuntimeFree>(tokens: &TokenAuthority<S>, count: usize) -> Vec<String> {
    issue(tokens, count, |number| format!("user-{}", number / 10))
}

/// Issues by many threads, so that the store commits many at once.
fn issue<S: TokenStore + RuntimeFree>(
    tokens: &TokenAuthority<S>,
    count: usize,
    owner: impl Fn(usize) -> String + Sync,
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

fn lists<S: TokenStore + RuntimeFree>(
    tokens: &TokenAuthority<S>,
    count: usize,
) -> impl FnMut() -> usize {
    let mut random = 0;
    move || {
        random += 1;
        let owner = format!("user-{}", mix(random) as usize % (count / 10));
        let filter = Filter::of_owner(&Owner::new(owner).unwrap());
        tokens.block_on(tokens.list(&filter, Page::first(100))).unwrap().tokens.len()
    }
}

fn authenticates<S: TokenStore + RuntimeFree>(
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
