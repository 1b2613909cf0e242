//! What each operation costs, on both stores: `cargo bench --bench operations`
//!
//! Absolute figures, and so of this machine: each is the median of many calls on a store with 10,000 tokens. On the SQLite file every
//! change waits for the disk.

use std::time::{Duration, Instant};

use app_tokens::record::Expires;
use app_tokens::store::{Filter, Page, RuntimeFree, SqliteStore};
use app_tokens::{
    Access, By, KeyRing, LeakOutcome, MemoryStore, NewToken, Owner, Policy, Reason, Requirement,
    Rotation, Timestamp, TokenAuthority, TokenId,
};

const TOKENS: usize = 10_000;
const KEYS: [&str; 2] = [
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

fn main() {
    // `cargo test --benches` asks for a list; there is nothing to list.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("{:<42}{:>14}{:>14}", "median of one call, in microseconds", "memory", "SQLite file");
    let folder = tempfile::tempdir().unwrap();
    let memory = measure(&MemoryStore::new(), 2000);
    let file = measure(&SqliteStore::open(folder.path().join("bench.db")).unwrap(), 200);
    for ((what, memory), (_, file)) in memory.iter().zip(&file) {
        println!("{what:<42}{:>14.2}{:>14.2}", micros(*memory), micros(*file));
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn measure<S: RuntimeFree + Clone>(store: &S, calls: usize) -> Vec<(&'static str, Duration)> {
    let policy = Policy::new("acme")
        .and_then(|policy| policy.with_overlap(Duration::from_secs(3600)))
        .unwrap()
        .with_retention(Duration::ZERO);
    let over =
        |keys| TokenAuthority::new(store.clone(), KeyRing::parse(keys).unwrap(), policy.clone());
    let (tokens, under_new_key) = (over(KEYS[0]), over(KEYS[1]));
    let tokens = tokens.blocking();
    let issue =
        |n: usize| tokens.issue(NewToken::new(format!("owner {}", n / 10), "Label")).unwrap();
    // One owner has ten: the limit of a hundred is never near.
    let filled: Vec<String> = (0..TOKENS).map(|n| issue(n).expose_secret().to_owned()).collect();
    let ids: Vec<TokenId> = filled.iter().map(|text| text[5..15].parse().unwrap()).collect();
    let owners: Vec<Owner> =
        (0..TOKENS).map(|n| Owner::new(format!("owner {}", n / 10)).unwrap()).collect();

    let mut next = TOKENS;
    let mut at = 0;
    let mut one_more = || {
        at += 1;
        at % TOKENS
    };
    let mut lines = Vec::new();
    lines.push((
        "issue",
        median(calls, || {
            next += 1;
            drop(issue(next * 10));
        }),
    ));
    lines.push((
        "authenticate + require",
        median(calls, || {
            let good = tokens.authenticate(&filled[one_more()]).unwrap();
            drop(good.require(Requirement::ANY_VALID_TOKEN).unwrap());
        }),
    ));
    let caller = tokens.authenticate(&filled[0]).unwrap();
    let caller = caller.require(Requirement::ANY_VALID_TOKEN).unwrap();
    lines.push((
        "issue_under",
        median(calls.min(80), || {
            drop(tokens.issue_under(&caller, NewToken::new(caller.owner(), "Derived")).unwrap());
        }),
    ));
    lines.push((
        "expiring, a page of 100",
        median(calls.min(100), || {
            let page = tokens.expiring(Duration::from_secs(400 * 86_400), Page::first(100));
            assert_eq!(page.unwrap().tokens.len(), 100);
        }),
    ));
    lines.push(("reseal, each row", each(|| under_new_key.blocking().reseal().unwrap().moved)));
    let operator = By::Operator("bench");
    lines.push(("find", median(calls, || drop(tokens.find(operator, ids[one_more()]).unwrap()))));
    lines.push((
        "list one owner's ten",
        median(calls, || {
            let mine = Filter::of_owner(&owners[one_more()]);
            drop(tokens.list(&mine, Page::first(100)).unwrap());
        }),
    ));
    lines.push((
        "rename",
        median(calls, || {
            drop(tokens.rename(operator, ids[one_more()], "Another").unwrap());
        }),
    ));
    let narrow = Access::scopes(["files:read"]).unwrap();
    lines.push((
        "narrow",
        median(calls, || {
            drop(tokens.narrow(operator, ids[one_more()], narrow.clone()).unwrap());
        }),
    ));
    lines.push((
        "extend",
        median(calls, || {
            let end = Expires::At(Timestamp::MAX);
            drop(tokens.extend(operator, ids[one_more()], end).unwrap());
        }),
    ));
    lines.push((
        "rotate",
        median(calls, || {
            drop(tokens.rotate(operator, ids[one_more()], Rotation::new()).unwrap());
        }),
    ));
    lines.push((
        "revoke",
        median(calls, || {
            tokens.revoke(operator, ids[one_more()], Reason::REQUESTED).unwrap();
        }),
    ));
    lines.push((
        "revoke_matching, one owner's",
        median(calls, || {
            let mine = Filter::of_owner(&owners[one_more()]);
            tokens.revoke_matching(operator, &mine, Reason::REQUESTED).unwrap();
        }),
    ));
    lines.push((
        "forget",
        median(calls, || {
            tokens.forget(operator, ids[one_more()]).unwrap();
        }),
    ));
    // These are still good; the very first was forgotten last.
    let mut leaked = filled[1..=1000].iter();
    lines.push((
        "revoke_leaked, one token in 1 KB of text",
        median(calls.min(1000), || {
            let text = format!("{:.>500} {} {:.>500}", "", leaked.next().unwrap(), "");
            let report = tokens.revoke_leaked(&text, "scanner").unwrap();
            assert_eq!(report.leaks[0].outcome, LeakOutcome::Revoked);
        }),
    ));
    tokens.revoke_matching(operator, &Filter::every_token(), Reason::REQUESTED).unwrap();
    lines.push(("purge, each row", each(|| tokens.purge().unwrap())));
    lines
}

/// What a long call took for each of the rows that it counts.
fn each(call: impl FnOnce() -> u64) -> Duration {
    let start = Instant::now();
    let rows = call();
    assert!(rows > TOKENS as u64 / 2, "{rows} rows are too few");
    start.elapsed() / u32::try_from(rows).unwrap()
}

fn median(calls: usize, mut call: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..calls)
        .map(|_| {
            let start = Instant::now();
            call();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[calls / 2]
}
