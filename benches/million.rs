//! An SQLite file with a million tokens: what grows with it and what doesn't. Takes some minutes: `cargo bench --bench million`, or
//! with fewer, `TOKENS=100000 cargo bench --bench million`.

mod harness;

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use app_tokens::error::RetireError;
use app_tokens::store::{Filter, Page, SqliteStore};
use app_tokens::{
    By, KeyId, KeyRing, NewToken, Owner, Policy, Reason, Requirement, TokenAuthority, TokenId,
};
use harness::{Table, ToReach, mix, timed};

const KEYS: [&str; 2] = [
    "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=,1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
];
/// One owner has this many beside the others, who have ten each.
const OF_ONE: usize = 10_000;

type Tokens = TokenAuthority<SqliteStore>;

fn main() {
    // `cargo test --benches` asks for a list; there is nothing to list.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let count = std::env::var("TOKENS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let store = |name: &str| SqliteStore::open(folder.path().join(name)).unwrap();
    let policy = Policy::new("acme").unwrap().with_no_limit_per_owner();
    let over = |store: &SqliteStore, keys| {
        let policy = policy.clone().with_retention(Duration::ZERO);
        TokenAuthority::new(store.clone(), KeyRing::parse(keys).unwrap(), policy)
    };
    let (many, few) = (store("many.db"), store("few.db"));
    let (many, few) = (over(&many, KEYS[0]), over(&few, KEYS[0]));
    let start = Instant::now();
    let texts = fill(&many, count);
    println!("{count} tokens were issued by 64 threads in {:.0} s", start.elapsed().as_secs_f64());
    let texts_of_few = fill(&few, 10_000);
    let of_one = issue(&many, OF_ONE, |_| "rich".into());

    let table = Table::new("an SQLite file with many tokens");
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
    walk("first issue of a process", || {
        let fresh = over(many.store(), KEYS[0]);
        drop(fresh.blocking().issue(NewToken::new("somebody", "First")).unwrap());
        1
    });
    walk("may_retire, refused", || {
        let retired = over(many.store(), KEYS[1]).blocking().may_retire(KeyId::new(1).unwrap());
        let Err(RetireError::InUse { rows }) = retired else { panic!("{retired:?}") };
        rows
    });
    walk("reseal", || over(many.store(), KEYS[1]).blocking().reseal().unwrap().moved);
    walk("revoke_matching of every token", || {
        let every = Filter::every_token();
        many.blocking().revoke_matching(By::Operator("bench"), &every, Reason::REQUESTED).unwrap()
    });
    walk("purge", || many.blocking().purge().unwrap());
}

fn fill(tokens: &Tokens, count: usize) -> Vec<String> {
    issue(tokens, count, |number| format!("user-{}", number / 10))
}

/// By many threads, whose commits go together.
fn issue(tokens: &Tokens, count: usize, owner: impl Fn(usize) -> String + Sync) -> Vec<String> {
    const THREADS: usize = 64;
    let some = |first| -> Vec<String> {
        let one = |number| {
            let new = NewToken::new(owner(number), "My phone").scopes(["files:read"]);
            String::from(tokens.blocking().issue(new).unwrap().expose_secret())
        };
        (first..count).step_by(THREADS).map(one).collect()
    };
    thread::scope(|scope| {
        let some = &some;
        let running: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || some(first))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn lists(tokens: &Tokens, count: usize) -> impl FnMut() -> usize {
    let mut random = 0;
    move || {
        random += 1;
        let owner = format!("user-{}", mix(random) as usize % (count / 10));
        let filter = Filter::of_owner(&Owner::new(owner).unwrap());
        tokens.blocking().list(&filter, Page::first(100)).unwrap().tokens.len()
    }
}

fn authenticates(tokens: &Tokens, texts: &[String]) -> impl FnMut() -> TokenId {
    let mut random = 0;
    move || {
        random += 1;
        let text = &texts[mix(random) as usize % texts.len()];
        let good = tokens.blocking().authenticate(text).unwrap();
        good.require(Requirement::ANY_VALID_TOKEN).unwrap().id()
    }
}

/// Times a long call once, and says how much more memory it took than there was before.
fn walk(what: &str, call: impl FnOnce() -> u64) {
    // Resets the highest mark; where there is no such file, nothing is said of memory.
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

/// In kilobytes.
fn memory(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|found| found.starts_with(line))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
