//! SQL that means what the reference says.

use std::collections::BTreeMap;

use app_tokens::store::{
    Filter, Insert, MemoryStore, Page, Purge, PurgeCutoff, Replace, Supersede, TokenStore,
};

use support::chance::*;

/// Makes a `#[test]` of each function here. `$empty` makes, for each test, what makes its empty stores; `$rounds` is how often it tries.
macro_rules! tests {
    ($empty:expr, $rounds:expr) => {
        by_reference::tests!(@each $empty, $rounds;
            a_list_by_sql_is_the_list_by_the_reference
            each_fact_of_a_filter_alone_means_what_the_reference_says
            a_revocation_by_sql_ends_what_the_reference_ends
            a_purge_by_sql_deletes_what_the_reference_deletes
            any_sequence_of_changes_ends_as_in_the_reference
        );
    };
    (@each $empty:expr, $rounds:expr; $($test:ident)*) => {
        $(#[test]
        fn $test() {
            by_reference::$test($empty, $rounds);
        })*
    };
}

pub(crate) use tests;

pub fn a_list_by_sql_is_the_list_by_the_reference<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (memory, stored) = (MemoryStore::new(), empty());
    let (mut chance, mut matched) = (Chance(2), 0);
    chance.fill(&memory, &stored, 200);
    for _ in 0..10 * rounds {
        let filter = chance.filter();
        let page = Page { after: chance.maybe(2, Chance::id), limit: chance.below(12) as u32 };
        let rows = listed(&stored, &filter, page);
        assert_eq!(rows, listed(&memory, &filter, page), "{filter:?} {page:?}");
        matched += rows.len();
    }
    assert!(matched as u64 > 10 * rounds, "the filters must not be too narrow: {matched}");
}

pub fn each_fact_of_a_filter_alone_means_what_the_reference_says<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (memory, stored) = (MemoryStore::new(), empty());
    let mut chance = Chance(3);
    chance.fill(&memory, &stored, 200);
    for _ in 0..rounds {
        let any = Filter::every_token;
        for filter in [
            Filter { id: Some(chance.id()), ..any() },
            Filter { owner: Some(chance.owner()), ..any() },
            Filter { family: Some(chance.id()), ..any() },
            Filter { except_id: Some(chance.id()), ..any() },
            Filter { key_id: Some(chance.key_id()), ..any() },
            Filter { except_key_ids: vec![chance.key_id(), chance.key_id()], ..any() },
            Filter { revoked: Some(chance.one_in(2)), ..any() },
            Filter { superseded: Some(chance.one_in(2)), ..any() },
            Filter { expires_before: Some(chance.time()), ..any() },
            Filter { created_before: Some(chance.time()), ..any() },
            Filter { last_used_before: Some(chance.time()), ..any() },
        ] {
            let page = Page::first(99);
            assert_eq!(
                listed(&stored, &filter, page),
                listed(&memory, &filter, page),
                "{filter:?}"
            );
        }
    }
}

pub fn a_revocation_by_sql_ends_what_the_reference_ends<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (mut chance, mut ended) = (Chance(4), 0);
    for _ in 0..rounds {
        let (memory, stored) = (MemoryStore::new(), empty());
        chance.fill(&memory, &stored, 30);
        for _ in 0..3 {
            let (filter, revocation) = (chance.filter(), chance.revocation());
            let count = wait(stored.revoke(&filter, &revocation)).unwrap();
            assert_eq!(count, wait(memory.revoke(&filter, &revocation)).unwrap(), "{filter:?}");
            assert_eq!(all(&stored), all(&memory), "{filter:?}");
            ended += count;
        }
    }
    assert!(ended > 3 * rounds, "the filters must not be too narrow: {ended}");
}

pub fn a_purge_by_sql_deletes_what_the_reference_deletes<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (mut chance, mut deleted) = (Chance(5), 0);
    for _ in 0..rounds {
        let (memory, stored) = (MemoryStore::new(), empty());
        chance.fill(&memory, &stored, 30);
        let purge = if chance.one_in(3) {
            Purge::Matching(chance.filter())
        } else {
            let unused_since = chance.maybe(2, Chance::time);
            Purge::Dead(PurgeCutoff { ended_by: chance.time(), unused_since, now: chance.time() })
        };
        // In batches of two, so that the limit counts. Which rows go first is free: each batch is one that the reference may take.
        let before = all(&memory);
        let (mut in_batches, mut batch) = (0, 2);
        while batch > 0 {
            batch = wait(stored.purge(&purge, 2)).unwrap();
            in_batches += batch;
            assert_eq!(all(&stored).len() as u64, before.len() as u64 - in_batches);
        }
        while wait(memory.purge(&purge, 99)).unwrap() > 0 {}
        assert_eq!(all(&stored), all(&memory), "{purge:?}");
        deleted += in_batches;
    }
    assert!(deleted > 3 * rounds, "{deleted}");
}

pub fn any_sequence_of_changes_ends_as_in_the_reference<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let mut chance = Chance(6);
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..rounds {
        let (memory, stored) = (MemoryStore::new(), empty());
        for _ in 0..60 {
            let answer = match chance.below(8) {
                0..4 => {
                    let id = chance.id();
                    let insert = Insert {
                        row: row(chance.parts(id)),
                        now: chance.time(),
                        limit: chance.maybe(4, |c| c.below(6) as u32),
                        unique_label: chance.one_in(2),
                        under: chance
                            .maybe(5, |c| c.one_in(2))
                            .and_then(|_| new_form(&mut chance, &memory)),
                        supersede: new_form(&mut chance, &memory).map(|row| Supersede {
                            row,
                            replaces: chance
                                .maybe(3, |c| c.one_in(2))
                                .and_then(|_| new_form(&mut chance, &memory)),
                            revokes_derived: chance.one_in(2),
                            revocation: chance.revocation(),
                        }),
                    };
                    let answer = wait(stored.insert(&insert)).unwrap();
                    assert_eq!(answer, wait(memory.insert(&insert)).unwrap(), "{insert:?}");
                    format!("insert {} {answer:?}", insert.supersede.is_some())
                }
                4 => {
                    let Some(row) = new_form(&mut chance, &memory) else { continue };
                    let replace = Replace {
                        row,
                        now: chance.time(),
                        unique_label: chance.one_in(2),
                        revokes_derived: chance.maybe(3, Chance::revocation),
                    };
                    let answer = wait(stored.replace(&replace)).unwrap();
                    assert_eq!(answer, wait(memory.replace(&replace)).unwrap(), "{replace:?}");
                    format!("replace {answer:?}")
                }
                5 => {
                    let count = chance.below(20);
                    let uses: Vec<_> =
                        (0..count).map(|_| (chance.id(), chance.last_use())).collect();
                    let now = chance.time();
                    wait(stored.touch(&uses, now)).unwrap();
                    wait(memory.touch(&uses, now)).unwrap();
                    "touch".into()
                }
                6 => {
                    let (filter, revocation) = (chance.filter(), chance.revocation());
                    let count = wait(stored.revoke(&filter, &revocation)).unwrap();
                    assert_eq!(count, wait(memory.revoke(&filter, &revocation)).unwrap());
                    "revoke".into()
                }
                _ => {
                    let purge = Purge::Matching(chance.filter());
                    let count = wait(stored.purge(&purge, 99)).unwrap();
                    assert_eq!(count, wait(memory.purge(&purge, 99)).unwrap());
                    "purge".into()
                }
            };
            *answers.entry(answer).or_default() += 1;
            assert_eq!(all(&stored), all(&memory));
        }
    }
    assert_eq!(answers.len(), 10 + 3 + 3, "every answer was seen: {answers:?}");
}
