//! Threads that act on two owners' tokens at once, and rules that hold in every order of their
//! calls.
//!
//! The programs are drawn from a seed, but not the order in which threads run. A broken rule prints
//! the seed and the whole history. `HISTORY_SEED` in the environment runs one seed a thousand
//! times.

use std::collections::BTreeMap;

use app_tokens::store::{Filter, MemoryStore, Purge, RuntimeFree, SqliteStore, TokenStore as _};

mod common;
#[path = "common/draw.rs"]
mod draw;
#[path = "history/program.rs"]
mod program;
#[path = "history/refusals.rs"]
mod refusals;
#[path = "history/rules.rs"]
mod rules;
#[path = "history/stores.rs"]
mod stores;
#[path = "history/threads.rs"]
mod threads;

use program::{Event, History};
use rules::{Broken, broken_rules};
use stores::{Shaken, Wrong, WrongStore};
use support::postgres::{Blocked, RUNTIME, Server};
use threads::run;

#[test]
fn histories_on_memory_keep_the_rules() {
    let seen = assert_rules(0..4000, || vec![MemoryStore::new()]);
    if std::env::var_os("HISTORY_SEED").is_some() {
        return;
    }
    // Histories in which nothing happens would prove nothing.
    for kind in [
        "Issue LimitReached",
        "Issue LabelTaken",
        "IssueUnder ok",
        "IssueUnder LabelTaken",
        "IssueUnder LimitReached",
        "IssueUnder ParentChanged",
        "IssueUnder NotUnderThis",
        "Authenticate ok",
        "Authenticate Ended(Unknown)",
        "Authenticate Ended(Revoked)",
        "Authenticate Ended(Superseded)",
        "Authenticate Ended(Superseded), reported",
        "Authenticate Ended(Expired)",
        "Authenticate Ended(Idle)",
        "Authenticate Outside",
        "Rename ok",
        "Rename LabelTaken",
        "Narrow ok",
        "Narrow MoreAccess",
        "Extend ok",
        "Extend NoLife",
        "Extend Rotated",
        "Extend Derived",
        "Rotate ok",
        "Rotate Conflict",
        "Rotate Rotated",
        "Rotate MoreAccess",
        "Rotate NoLife",
        "Rotate Derived",
        "EndOverlap ok",
        "EndOverlap ended some",
        "RevokeOne ok",
        "RevokeFamily ok",
        "RevokeOthers ok",
        "RevokeAll ok",
        "Leak ok",
        "Leak Ended(Revoked)",
        "Leak Ended(Unknown)",
        "ForgetOne ok",
        "ForgetOne Ended(Unknown)",
        "ForgetAll ok",
        "Intrude Ended(Unknown)",
        "Purge ok",
        "Reseal ok",
    ] {
        let times = seen.get(kind).copied().unwrap_or(0);
        assert!(times >= 10, "{kind} was seen {times} times only: {seen:#?}");
    }
}

#[test]
fn histories_of_two_authorities_on_memory_keep_the_rules() {
    assert_rules(10_000..12_000, || {
        let store = MemoryStore::new();
        vec![store.clone(), store]
    });
}

#[test]
fn histories_on_sqlite_in_memory_keep_the_rules() {
    assert_rules(20_000..21_000, || vec![SqliteStore::in_memory().unwrap()]);
}

#[test]
fn histories_of_two_handles_on_one_sqlite_file_keep_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.db");
    let handles = [SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // The file is emptied for each history: a new file would cost more than the calls.
    assert_rules(30_000..31_000, || {
        let all = Purge::Matching(Filter::every_token());
        runtime.block_on(handles[0].purge(&all, 1000)).unwrap();
        handles.to_vec()
    });
}

#[test]
fn histories_of_two_pools_on_postgres_keep_the_rules() {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    let stores = [(); 2].map(|()| RUNTIME.block_on(database.store()));
    assert_rules(0..150, || {
        let every_token = Purge::Matching(Filter::every_token());
        RUNTIME.block_on(stores[0].purge(&every_token, u32::MAX)).unwrap();
        stores.iter().cloned().map(Blocked).collect()
    });
}

fn assert_rules<S: RuntimeFree + Clone>(
    seeds: std::ops::Range<u64>,
    stores: impl Fn() -> Vec<S>,
) -> BTreeMap<String, u64> {
    let mut seen = BTreeMap::new();
    let seeds: Vec<u64> = match std::env::var("HISTORY_SEED") {
        Ok(seed) => vec![seed.parse().expect("a seed is a number"); 1000],
        Err(_) => seeds.collect(),
    };
    for seed in seeds {
        let history = run_shaken(seed, stores());
        let broken = broken_rules(&history);
        if let Some(Broken { rule, how }) = broken.first() {
            panic!("{}\nIt is broken that {rule}: {how}", written_out(&history));
        }
        let kinds = history.events.iter().map(Event::kind);
        kinds.for_each(|kind| *seen.entry(kind).or_default() += 1);
    }
    seen
}

fn run_shaken<S: RuntimeFree + Clone>(seed: u64, stores: Vec<S>) -> History {
    let shaken = stores.into_iter().enumerate();
    run(seed, shaken.map(|(number, store)| Shaken::new(store, seed + number as u64)).collect())
}

fn written_out(history: &History) -> String {
    let mut text = format!("HISTORY_SEED={}, {:?}\n", history.seed, history.setting);
    for event in &history.events {
        let Event { span, thread, on, deed, answer, reports } = event;
        text += &format!(
            "{}-{} at {}-{}, thread {thread} on {on}: {deed:?}: {answer:?}, {reports} reports\n",
            span.start, span.end, span.before, span.after
        );
    }
    text
}

// -- a store that is wrong breaks a rule

/// Runs histories on a wrong store until one breaks this rule.
#[track_caller]
fn assert_caught(wrong: Wrong, rule: &str) {
    for seed in 0..20_000 {
        let store = WrongStore::new(wrong);
        let history = run_shaken(seed, vec![store.clone(), store]);
        if broken_rules(&history).iter().any(|broken| broken.rule == rule) {
            return;
        }
    }
    panic!("no history broke the rule that {rule}");
}

macro_rules! caught {
    ($($wrong:ident: $rule:ident;)*) => {
        mod caught {
            $(
                #[test]
                #[expect(non_snake_case, reason = "named after the wrong store")]
                fn $wrong() {
                    super::assert_caught(super::Wrong::$wrong, super::rules::$rule);
                }
            )*
        }
    };
}

caught! {
    AnswersARevokeBeforeItIsDone: DENIED_AFTER_ITS_END;
    ForgetsTheDerivedOnRevoke: DENIED_AFTER_ITS_END;
    FindsAnOldCopy: DENIED_AFTER_ITS_END;
    SupersedesAnyRevision: ONE_WINNER;
    ReplacesAnyRevision: CHANGES_STAY;
    ForgetsToEndTheReplaced: ONE_WAY_IN;
    InsertsUnderAnEndedToken: DENIED_AFTER_ITS_END;
    CountsThenInserts: LIMIT;
    CountsEveryOwner: LIMIT;
    LooksAtLabelsThenRenames: LABELS;
    TouchesBackwards: USES_GO_FORWARDS;
    TouchesNothing: USED_STAYS;
    ForgetsTheDerivedOnRotate: WITHIN_ANOTHER;
    ForgetsTheDerivedOnReplace: WITHIN_ANOTHER;
    RevokesTheExceptedToo: GOOD_BEFORE_ITS_END;
    RevokesWhoeverOwnsIt: STRANGERS;
    ListsWhoeverOwnsIt: STRANGERS;
    ListsAllButTheLast: LISTS_ARE_WHOLE;
    AnswersStaleAtTimes: REFUSALS;
    EndsNoOverlap: DENIED_AFTER_ITS_END;
    IsToldOfEndsOnly: NETWORKS;
    RevokesWhatItSawFirst: LINE_STAYS_SHUT;
    SupersedesARevokedToken: LINE_STAYS_SHUT;
}
