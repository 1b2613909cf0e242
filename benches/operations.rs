//! Measures what each operation costs in memory and on SQLite: `cargo bench --bench operations`
//!
//! The figures depend on the machine. Each is the median of many calls on a store with 10,000
//! tokens. On the SQLite file every change waits for the disk.

use std::time::{Duration, Instant};

use app_tokens::record::{Expires, KeyId};
use app_tokens::report::LeakOutcome;
use app_tokens::store::{Filter, MemoryStore, Page, RuntimeFree, SqliteStore};
use app_tokens::{
    Access, KeyRing, NewToken, Operator, Owner, Policy, Reason, Requirement, Rotation, Timestamp,
    TokenAuthority, TokenId,
};

const TOKENS: usize = 10_000;
const KEYS: [&str; 2] = [
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("{:<42}{:>14}{:>14}", "median of one call, in microseconds", "memory", "SQLite file");
    let folder = tempfile::tempdir().unwrap();
    let memory = measure(&MemoryStore::new(), 1000);
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
    let authority = over(KEYS[0]);
    let tokens = &authority;
    let operator = &Operator::new("bench").unwrap();
    let new = |n: usize| NewToken::new(format!("owner {}", n / 10), "Label", Access::full());
    // Ten tokens for each owner, so that the limit of a hundred is never near.
    let texts: Vec<String> = (0..TOKENS)
        .map(|n| String::from(tokens.block_on(tokens.issue(new(n))).unwrap().expose_secret()))
        .collect();
    let ids: Vec<TokenId> = texts.iter().map(|text| text[5..15].parse().unwrap()).collect();
    let owner = |n: usize| Owner::new(format!("owner {n}")).unwrap();
    let caller = |text| {
        let good = tokens.block_on(tokens.authenticate(text)).unwrap();
        good.require(Requirement::ANY_VALID_TOKEN).unwrap()
    };

    // Each operation that ends tokens has a thousand of its own, from the fourth thousand on. The
    // other operations share the first three.
    let mut lines = Vec::new();
    let mut line = |what, calls, call: &mut dyn FnMut(usize)| {
        lines.push((what, median(calls, call)));
    };
    line("issue", calls, &mut |n| {
        drop(tokens.block_on(tokens.issue(new(10 * (TOKENS + n)))).unwrap());
    });
    line("authenticate + require", calls, &mut |n| drop(caller(&texts[n])));
    let parent = caller(&texts[0]);
    line("issue_under", 80, &mut |_| {
        drop(
            tokens
                .block_on(
                    tokens.issue_under(
                        &parent,
                        NewToken::new(parent.owner(), "Derived", Access::full()),
                    ),
                )
                .unwrap(),
        );
    });
    line("find", calls, &mut |n| drop(tokens.block_on(tokens.find(operator, ids[n])).unwrap()));
    line("list one owner's ten", calls, &mut |n| {
        let mine = Filter::of_owner(&owner(1 + n % 900));
        assert_eq!(tokens.block_on(tokens.list(&mine, Page::first(100))).unwrap().tokens.len(), 10);
    });
    line("expiring, a page of 100", 100, &mut |_| {
        let page =
            tokens.block_on(tokens.expiring(Duration::from_secs(400 * 86_400), Page::first(100)));
        assert_eq!(page.unwrap().tokens.len(), 100);
    });
    line("rename", calls, &mut |n| {
        drop(tokens.block_on(tokens.rename(operator, ids[n], "Another")).unwrap());
    });
    let access = Access::scopes(["files:read"]).unwrap();
    line("narrow", calls, &mut |n| {
        drop(tokens.block_on(tokens.narrow(operator, ids[1000 + n], access.clone())).unwrap());
    });
    line("extend", calls, &mut |n| {
        drop(
            tokens.block_on(tokens.extend(operator, ids[n], Expires::At(Timestamp::MAX))).unwrap(),
        );
    });
    line("rotate", calls, &mut |n| {
        drop(tokens.block_on(tokens.rotate(operator, ids[3000 + n], Rotation::new())).unwrap());
    });
    line("revoke", calls, &mut |n| {
        assert_eq!(
            tokens.block_on(tokens.revoke(operator, ids[4000 + n], Reason::REQUESTED)).unwrap(),
            1
        );
    });
    line("revoke_matching, one owner's ten", 100, &mut |n| {
        let mine = Filter::of_owner(&owner(500 + n));
        assert_eq!(
            tokens.block_on(tokens.revoke_matching(operator, &mine, Reason::REQUESTED)).unwrap(),
            10
        );
    });
    line("forget", calls, &mut |n| {
        assert_eq!(tokens.block_on(tokens.forget(operator, ids[6000 + n])).unwrap(), 1);
    });
    line("forget_owner, ten rows", 100, &mut |n| {
        assert_eq!(
            tokens
                .block_on(tokens.forget_owner(&Operator::new("bench").unwrap(), &owner(700 + n)))
                .unwrap(),
            10
        );
    });
    line("revoke_leaked, one token in 1 KB of text", calls, &mut |n| {
        let text = format!("{:.>500} {} {:.>500}", "", texts[8000 + n], "");
        let report = tokens
            .block_on(tokens.revoke_leaked(&Operator::new("scanner").unwrap(), &text))
            .unwrap();
        assert_eq!(report.leaks[0].outcome, LeakOutcome::Revoked);
    });

    // Long calls are timed once, divided by the rows that they changed.
    let mut each = |what, call: &mut dyn FnMut() -> u64| {
        let start = Instant::now();
        let rows = call();
        assert!(rows >= 1000, "{what}: {rows} rows are too few");
        lines.push((what, start.elapsed() / u32::try_from(rows).unwrap()));
    };
    texts[1000..3000].iter().for_each(|text| drop(caller(text)));
    each("flush_usage, each of 2,000", &mut || {
        tokens.block_on(tokens.flush_usage()).unwrap();
        2000
    });
    each("keys_in_use, each row", &mut || tokens.block_on(tokens.keys_in_use()).unwrap()[0].1);
    each("reseal, each row", &mut || {
        let turned = over(KEYS[1]);
        turned.block_on(turned.reseal()).unwrap().moved
    });
    each("danger_reseal_without_proof, each row", &mut || {
        let without = over(KEYS[0].split(',').next().unwrap());
        let lost = KeyId::new(2).unwrap();
        without
            .block_on(without.danger_reseal_without_proof(&Operator::new("bench").unwrap(), lost))
            .unwrap()
            .moved
    });
    tokens
        .block_on(tokens.revoke_matching(operator, &Filter::every_token(), Reason::REQUESTED))
        .unwrap();
    each("purge, each row", &mut || tokens.block_on(tokens.purge()).unwrap());
    lines
}

fn median(calls: usize, call: &mut dyn FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..calls)
        .map(|n| {
            let start = Instant::now();
            call(n);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[calls / 2]
}
