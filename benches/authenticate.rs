//! Measures `authenticate` in memory beside the primitives that it needs.
//!
//! `cargo bench --bench authenticate [WORD…]` prints the lines that hold one of the words, or all.
//! `TEN_MILLION=1` also measures among ten million tokens, which takes 5 GB of memory.

mod harness;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use app_tokens::access::Selection;
use app_tokens::error::{AuthError, DenialReason};
use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError, Supersede,
    Superseded, TokenStore,
};
use app_tokens::{Access, NewToken, Requirement, Timestamp, TokenAuthority, TokenId};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use harness::fixture::{SCOPE, Tokens};
use harness::{Table, ToReach, arriving, median, ready, timed};

fn main() {
    let table = Table::new("authenticate + require, in memory");
    beside_the_primitives(&table);
    beside_the_primitives_with_a_seal_to_check(&table);
    what_is_refused_early(&table);
    wrong_tokens(&table);
    among_many(&table);
    two_threads(&table);
    beside_a_thread_that_issues(&table);
}

/// Hands out the texts in order, and begins again after the last.
struct Round<'a> {
    texts: &'a [String],
    next: usize,
}

impl<'a> Round<'a> {
    fn over(texts: &'a [String]) -> Round<'a> {
        Round { texts, next: 0 }
    }

    fn next(&mut self) -> &'a str {
        self.next = if self.next + 1 < self.texts.len() { self.next + 1 } else { 0 };
        black_box(&self.texts[self.next])
    }
}

fn authenticate(authority: &TokenAuthority<impl TokenStore>, text: &str) -> TokenId {
    let authenticated = ready(authority.authenticate(text)).unwrap();
    authenticated.require(Requirement::one_of(&[SCOPE])).unwrap().id()
}

fn reason(authority: &TokenAuthority<impl TokenStore>, text: &str) -> Option<DenialReason> {
    match ready(authority.authenticate(text)) {
        Ok(_) => panic!("it was let in"),
        Err(AuthError::NotOurs(_)) => None,
        Err(AuthError::Denied(denied)) => Some(denied.reason()),
        Err(AuthError::Failed(failed)) => panic!("{failed}"),
    }
}

/// The least that any check of a token does: one digest of the text, one look-up in a map, one look
/// at the clock.
struct Primitives<'a> {
    round: Round<'a>,
    /// By the text's first word, so that nothing is parsed.
    map: HashMap<u64, u64>,
}

impl<'a> Primitives<'a> {
    fn over(texts: &'a [String]) -> Primitives<'a> {
        let map = texts.iter().map(|text| (Primitives::key(text), 1)).collect();
        Primitives { round: Round::over(texts), map }
    }

    fn key(text: &str) -> u64 {
        u64::from_le_bytes(*text.as_bytes()[5..].first_chunk().unwrap())
    }

    fn once(&mut self) -> (u64, SystemTime) {
        let text = self.round.next();
        black_box(Sha256::digest(text.as_bytes()));
        #[expect(clippy::disallowed_methods, reason = "the floor of the engine's own look")]
        let now = SystemTime::now();
        (self.map[&Primitives::key(text)], now)
    }
}

fn beside_the_primitives(table: &Table) {
    let tokens = Tokens::new(100, 10);
    let mut round = Round::over(&tokens.texts);
    let mut floor = Primitives::over(&tokens.texts);
    table.compare(
        "hot / digest + map + clock",
        ToReach::AtMost(1.6),
        timed(|| authenticate(&tokens.authority, round.next())),
        timed(|| floor.once()),
    );
}

fn beside_the_primitives_with_a_seal_to_check(table: &Table) {
    let tokens = Tokens::new(100, 10);
    let policy = tokens.authority.policy().clone();
    let sealed = vec![0_u8; Outside::of(&tokens).sealed_bytes(policy.realm())];
    let outside = TokenAuthority::new(Outside::of(&tokens), tokens.ring.clone(), policy);
    let keyed: Hmac<Sha256> = Hmac::new_from_slice(&[7; 32]).unwrap();
    let mut round = Round::over(&tokens.texts);
    let mut floor = Primitives::over(&tokens.texts);
    table.compare(
        "row from outside, its seal checked / digest + map + clock + HMAC",
        ToReach::AtMost(1.4),
        timed(|| authenticate(&outside, round.next())),
        timed(|| {
            let mut mac = keyed.clone();
            mac.update(black_box(&sealed));
            (floor.once(), mac.finalize().into_bytes())
        }),
    );
}

fn what_is_refused_early(table: &Table) {
    let tokens = Tokens::new(100, 10);
    let mistyped: Vec<String> = tokens.texts.iter().map(|text| text.replace('5', "6")).collect();
    let mistyped: Vec<String> =
        mistyped.into_iter().filter(|text| !tokens.texts.contains(text)).collect();
    let malformed: Vec<String> = tokens.texts.iter().map(|text| text.replace('5', "u")).collect();
    let malformed: Vec<String> = malformed.into_iter().filter(|t| t.contains('u')).collect();
    let passwords: Vec<String> = (0..100).map(|n| format!("correct horse {n} battery")).collect();
    for (what, texts, expected) in [
        ("mistyped / good", &mistyped, Some(DenialReason::Mistyped)),
        ("malformed / good", &malformed, None),
        ("a password / good", &passwords, None),
    ] {
        let mut bad = Round::over(texts);
        let mut good = Round::over(&tokens.texts);
        table.compare(
            what,
            ToReach::AtMost(0.15),
            timed(|| assert_eq!(reason(&tokens.authority, bad.next()), expected)),
            timed(|| authenticate(&tokens.authority, good.next())),
        );
    }
}

fn wrong_tokens(table: &Table) {
    if !table.wants("wrong") {
        return;
    }
    let many = Tokens::new(10_000, 10_000);
    let many_wrong = Tokens::with_secrets(100, 100, 1).texts;
    let one = Tokens::new(100, 1);
    let wrong = Some(DenialReason::WrongSecret);
    let mut of_many = Round::over(&many_wrong);
    let mut of_one = Round::over(&many_wrong);
    table.compare(
        "wrong token of a user with 10,000 tokens / with one",
        ToReach::AtMost(1.05),
        timed(|| assert_eq!(reason(&many.authority, of_many.next()), wrong)),
        timed(|| assert_eq!(reason(&one.authority, of_one.next()), wrong)),
    );
}

fn among_many(table: &Table) {
    if !table.wants("among") {
        return;
    }
    let few = Tokens::new(10_000, 10);
    let mut counts = vec![100_000, 1_000_000];
    if std::env::var_os("TEN_MILLION").is_some() {
        counts.push(10_000_000);
    }
    for count in counts {
        let many = Tokens::new(count, 10);
        table.compare(
            &format!("among {count} tokens / among 10,000"),
            ToReach::AtMost(4.0),
            arriving(&many.texts, |text| authenticate(&many.authority, text).as_u64()),
            arriving(&few.texts, |text| authenticate(&few.authority, text).as_u64()),
        );
    }
}

fn two_threads(table: &Table) {
    if !table.wants("two threads") {
        return;
    }
    let Tokens { authority, texts, .. } = &Tokens::new(10_000, 10);
    // Each thread has one half of the texts, as two clients have tokens of their own.
    let half = |thread: usize| &texts[thread * texts.len() / 2..][..texts.len() / 2];
    let engine = |thread| {
        let mut round = Round::over(half(thread));
        move || _ = black_box(authenticate(authority, round.next()))
    };
    let primitives = |thread| {
        let mut floor = Primitives::over(half(thread));
        move || _ = black_box(floor.once())
    };
    let mut gains = Vec::new();
    for _ in 0..101 {
        gains.push((gain(engine), gain(primitives)));
    }
    for (what, gains) in [
        ("two threads / one, calls per second, 10,000 tokens", median(gains.iter().map(|g| g.0))),
        (
            "two threads / one: the primitives alone, which share nothing",
            median(gains.iter().map(|g| g.1)),
        ),
    ] {
        let goal = if what.contains("alone") { ToReach::Told } else { ToReach::AtLeast(1.9) };
        table.line(what, 0.0, 0.0, gains, goal);
    }
}

/// Measures what is left of a reader's speed while another thread issues tokens without a pause.
fn beside_a_thread_that_issues(table: &Table) {
    let what = "one reader beside a thread that issues without a pause / alone";
    if !table.wants(what) {
        return;
    }
    let Tokens { authority, texts, .. } = &Tokens::new(10_000, 10);
    let mut round = Round::over(texts);
    let mut calls_per_second = || {
        const CALLS: u32 = 5_000;
        let start = Instant::now();
        (0..CALLS).for_each(|_| _ = black_box(authenticate(authority, round.next())));
        f64::from(CALLS) / start.elapsed().as_secs_f64()
    };
    let mut ratios = Vec::new();
    for turn in 0..101 {
        let alone = calls_per_second();
        let (goes_on, has_begun) = (&AtomicBool::new(true), &Barrier::new(2));
        let beside = thread::scope(|scope| {
            scope.spawn(move || {
                has_begun.wait();
                for number in 0.. {
                    let owner = format!("writer-{turn}-{}", number / 10);
                    let new = NewToken::new(owner, "My phone", Access::full());
                    drop(ready(authority.issue(new)).unwrap());
                    if !goes_on.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            has_begun.wait();
            let beside = calls_per_second();
            goes_on.store(false, Ordering::Relaxed);
            beside
        });
        ratios.push(beside / alone);
    }
    table.line(what, 0.0, 0.0, median(ratios.into_iter()), ToReach::AtLeast(0.5));
}

/// Returns how many times as many calls two threads make as one.
fn gain<F: FnMut()>(side: impl Fn(usize) -> F + Sync) -> f64 {
    let calls_per_second = |threads: usize| -> f64 {
        let all_are_there = Barrier::new(threads);
        let (side, all_are_there) = (&side, &all_are_there);
        let run = |thread| {
            const CALLS: u32 = 10_000;
            let mut once = side(thread);
            all_are_there.wait();
            let start = Instant::now();
            (0..CALLS).for_each(|_| once());
            f64::from(CALLS) / start.elapsed().as_secs_f64()
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|n| scope.spawn(move || run(n))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).sum()
        })
    };
    let one = calls_per_second(1);
    calls_per_second(2) / one
}

/// A store whose rows come from outside the process: each look-up checks the seal.
struct Outside(HashMap<TokenId, Row>);

impl Outside {
    fn of(tokens: &Tokens) -> Outside {
        let rows = ready(tokens.authority.store().list(&Filter::every_token(), Page::first(100)));
        let records = rows.unwrap().into_iter().filter_map(|row| row.record().cloned());
        Outside(records.map(|record| (record.id(), Row::new(record))).collect())
    }

    /// Returns how many bytes the seal of a row covers, realm included.
    fn sealed_bytes(&self, realm: &str) -> usize {
        let record = self.0.values().find_map(Row::record).unwrap();
        let scopes = match record.access().granted_scopes() {
            Selection::All => 1,
            Selection::Only(scopes) => {
                5 + scopes.iter().map(|scope| 4 + scope.as_str().len()).sum::<usize>()
            }
        };
        let texts = [realm, record.owner().as_str(), record.label().as_str()];
        let texts: usize = texts.iter().map(|text| 4 + text.len()).sum();
        // Version, key id, id, digest; then resources, networks, attributes, issued by.
        let before_times = (4 + 4 + 8 + 37) + (1 + 1 + 4 + 1);
        // Created at, expires, family; then successor, derived from.
        texts + scopes + before_times + (8 + 9 + 8) + (1 + 1)
    }
}

impl TokenStore for Outside {
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.0.get(&id).cloned())
    }
    async fn insert(&self, _: &Insert) -> Result<Inserted, StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
    async fn list(&self, _: &Filter, _: Page) -> Result<Vec<Row>, StoreError> {
        Err(StoreError::not_done("it only finds"))
    }
    async fn supersede(&self, _: &Supersede) -> Result<Superseded, StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
    async fn replace(&self, _: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
    async fn revoke(&self, _: &Filter, _: &Revocation) -> Result<u64, StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
    async fn touch(&self, _: &[(TokenId, LastUse)], _: Timestamp) -> Result<(), StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
    async fn purge(&self, _: &Purge, _: u32) -> Result<u64, StoreError> {
        Err(StoreError::not_done("it is read only"))
    }
}
