//! Compares a store's SQL with the contract's rules.

use std::collections::BTreeMap;

use app_tokens::record::RecordParts;
use app_tokens::store::{
    Filter, Insert, Page, Purge, PurgeCutoff, Replace, Row, Supersede, Superseded, TokenStore,
};

use crate::chance::{id as id_of, *};
use crate::reference::Reference;

/// Makes a `#[test]` of each function here. `$empty` returns a function that makes empty stores;
/// `$rounds` is how often a test tries.
#[macro_export]
macro_rules! by_reference_tests {
    ($empty:expr, $rounds:expr) => {
        $crate::by_reference_tests!(@each $empty, $rounds;
            a_list_by_sql_equals_the_list_by_the_reference
            each_fact_of_a_filter_alone_means_what_the_reference_says
            a_revocation_by_sql_revokes_what_the_reference_revokes
            a_purge_by_sql_deletes_what_the_reference_deletes
            a_rotation_by_sql_does_what_the_reference_does
            any_sequence_of_changes_ends_as_in_the_reference
        );
    };
    (@each $empty:expr, $rounds:expr; $($test:ident)*) => {
        $(#[test]
        fn $test() {
            $crate::by_reference::$test($empty, $rounds);
        })*
    };
}

pub use crate::by_reference_tests as tests;

pub fn a_list_by_sql_equals_the_list_by_the_reference<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (right, stored) = (Reference::new(), empty());
    let (mut chance, mut matched) = (Chance(2), 0);
    chance.fill(&right, &stored, 200);
    for _ in 0..10 * rounds {
        let filter = chance.filter();
        let after = chance.maybe(2, Chance::id);
        let page = Page { after, ..Page::first(chance.below(12) as u32) };
        let rows = listed(&stored, &filter, page);
        assert_eq!(rows, listed(&right, &filter, page), "{filter:?} {page:?}");
        matched += rows.len();
    }
    assert!(matched as u64 > 10 * rounds, "the filters must not be too narrow: {matched}");
}

pub fn each_fact_of_a_filter_alone_means_what_the_reference_says<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (right, stored) = (Reference::new(), empty());
    let mut chance = Chance(3);
    chance.fill(&right, &stored, 200);
    for _ in 0..rounds {
        let any = Filter::every_token;
        for filter in [
            Filter { id: Some(chance.id()), ..any() },
            Filter { owner: Some(chance.owner()), ..any() },
            Filter { family: Some(chance.id()), ..any() },
            Filter { except_family: Some(chance.id()), ..any() },
            Filter { key_id: Some(chance.key_id()), ..any() },
            Filter { except_key_ids: vec![chance.key_id(), chance.key_id()], ..any() },
            Filter { revoked: Some(chance.one_in(2)), ..any() },
            Filter { superseded: Some(chance.one_in(2)), ..any() },
            Filter { expires_before: Some(chance.time()), ..any() },
            Filter { expires_from: Some(chance.time()), ..any() },
            Filter { created_before: Some(chance.time()), ..any() },
            Filter { last_used_before: Some(chance.time()), ..any() },
        ] {
            let page = Page::first(99);
            assert_eq!(listed(&stored, &filter, page), listed(&right, &filter, page), "{filter:?}");
        }
    }
}

pub fn a_revocation_by_sql_revokes_what_the_reference_revokes<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (mut chance, mut ended) = (Chance(4), 0);
    for _ in 0..rounds {
        let (right, stored) = (Reference::new(), empty());
        chance.fill(&right, &stored, 30);
        for _ in 0..3 {
            let (filter, revocation) = (chance.filter(), chance.revocation());
            let count = wait(stored.revoke(&filter, &revocation)).unwrap();
            assert_eq!(count, wait(right.revoke(&filter, &revocation)).unwrap(), "{filter:?}");
            assert_eq!(all(&stored), all(&right), "{filter:?}");
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
        let (right, stored) = (Reference::new(), empty());
        chance.fill(&right, &stored, 30);
        let purge = if chance.one_in(3) {
            Purge::Matching(chance.filter())
        } else {
            let unused_since = chance.maybe(2, Chance::time);
            Purge::Dead(PurgeCutoff { ended_by: chance.time(), unused_since, now: chance.time() })
        };
        // In batches of two, so that the limit counts. A store may choose which rows go first, so
        // each batch is compared by its size.
        let before = all(&right);
        let (mut in_batches, mut batch) = (0, 2);
        while batch > 0 {
            batch = wait(stored.purge(&purge, 2)).unwrap();
            in_batches += batch;
            assert_eq!(all(&stored).len() as u64, before.len() as u64 - in_batches);
        }
        while wait(right.purge(&purge, 99)).unwrap() > 0 {}
        assert_eq!(all(&stored), all(&right), "{purge:?}");
        deleted += in_batches;
    }
    assert!(deleted > 3 * rounds, "{deleted}");
}

pub fn a_rotation_by_sql_does_what_the_reference_does<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let (mut chance, mut replaced, mut derived) = (Chance(7), 0, 0);
    for _ in 0..rounds {
        let (right, stored) = (Reference::new(), empty());
        for _ in 0..30 {
            // Few owners and families, so that most rows have something under their line. Most rows
            // are current and unused.
            let id = chance.id();
            let families = [1, 2].map(id_of);
            let insert = creation(RecordParts {
                owner: owner(chance.of(&["alice", "alice", "Alice"])),
                family: chance.of(&families),
                derived_from: chance.maybe(2, |c| c.of(&families)),
                successor: chance.maybe(6, Chance::id),
                revocation: chance.maybe(6, Chance::revocation),
                last_use: chance.maybe(4, Chance::last_use),
                revision: 0,
                ..chance.parts(id)
            });
            assert_eq!(wait(stored.insert(&insert)).unwrap(), wait(right.insert(&insert)).unwrap());
        }
        for _ in 0..10 {
            let Some(supersede) = supersede(&mut chance, 1, &right) else { continue };
            let before = revoked(&right);
            let answer = wait(stored.supersede(&supersede)).unwrap();
            assert_eq!(answer, wait(right.supersede(&supersede)).unwrap(), "{supersede:?}");
            assert_eq!(all(&stored), all(&right), "{supersede:?}");
            if answer == Superseded::Done {
                let one = usize::from(supersede.replaces.is_some());
                replaced += one;
                derived += revoked(&right) - before - one;
            }
        }
    }
    let least = rounds as usize / 8;
    assert!(replaced > least && derived > least, "{replaced} replaced, {derived} derived");
}

pub fn any_sequence_of_changes_ends_as_in_the_reference<S: TokenStore>(
    empty: impl Fn() -> S,
    rounds: u64,
) {
    let mut chance = Chance(6);
    let mut answers = BTreeMap::<String, u32>::new();
    for _ in 0..rounds {
        let (right, stored) = (Reference::new(), empty());
        for _ in 0..60 {
            let answer = match chance.below(8) {
                0 | 1 => {
                    let id = chance.id();
                    let insert = Insert {
                        row: row(chance.parts(id)),
                        live: chance.live(),
                        limit: chance.maybe(4, |c| c.below(6) as u32),
                        unique_label: chance.one_in(2),
                        under: maybe_form(&mut chance, 5, &right),
                    };
                    let answer = wait(stored.insert(&insert)).unwrap();
                    assert_eq!(answer, wait(right.insert(&insert)).unwrap(), "{insert:?}");
                    format!("insert {answer:?}")
                }
                2 | 3 => {
                    let Some(supersede) = supersede(&mut chance, 3, &right) else { continue };
                    let answer = wait(stored.supersede(&supersede)).unwrap();
                    assert_eq!(answer, wait(right.supersede(&supersede)).unwrap(), "{supersede:?}");
                    format!("supersede {answer:?}")
                }
                4 => {
                    let mut replaces = Vec::new();
                    for _ in 0..chance.below(4) {
                        replaces.extend(new_form(&mut chance, &right).map(|row| Replace {
                            row,
                            live: chance.live(),
                            unique_label: chance.one_in(2),
                            revokes_derived: chance.maybe(3, Chance::revocation),
                        }));
                    }
                    let answers = wait(stored.replace(&replaces)).unwrap();
                    assert_eq!(answers, wait(right.replace(&replaces)).unwrap(), "{replaces:?}");
                    format!("replace {:?}", answers.first())
                }
                5 => {
                    let count = chance.below(20);
                    let uses: Vec<_> =
                        (0..count).map(|_| (chance.id(), chance.last_use())).collect();
                    let now = chance.time();
                    wait(stored.touch(&uses, now)).unwrap();
                    wait(right.touch(&uses, now)).unwrap();
                    "touch".into()
                }
                6 => {
                    let (filter, revocation) = (chance.filter(), chance.revocation());
                    let count = wait(stored.revoke(&filter, &revocation)).unwrap();
                    assert_eq!(count, wait(right.revoke(&filter, &revocation)).unwrap());
                    "revoke".into()
                }
                _ => {
                    let purge = Purge::Matching(chance.filter());
                    let count = wait(stored.purge(&purge, 99)).unwrap();
                    assert_eq!(count, wait(right.purge(&purge, 99)).unwrap());
                    "purge".into()
                }
            };
            *answers.entry(answer).or_default() += 1;
            assert_eq!(all(&stored), all(&right));
            let id = chance.id();
            assert_eq!(found(&stored, id), found(&right, id));
        }
        // A key too many is allowed.
        let keys = wait(stored.keys_in_use()).unwrap();
        let used = wait(right.keys_in_use()).unwrap();
        assert!(used.iter().all(|key| keys.contains(key)), "{used:?} are in use, not {keys:?}");
    }
    assert_eq!(answers.len(), 5 + 3 + 4 + 3, "every answer was seen: {answers:?}");
}

/// Draws a rotation of a stored row; `None` if the drawn id has none. One time in `n` it is to
/// replace another row.
fn supersede(chance: &mut Chance, n: u64, right: &Reference) -> Option<Supersede> {
    let superseded = new_form(chance, right)?;
    let id = chance.id();
    let old = superseded.record().unwrap().clone().into_parts();
    let new = RecordParts { owner: old.owner, family: old.family, ..chance.parts(id) };
    // A change touches the rows of one owner, so the engine never names another's.
    let replaces = maybe_form(chance, n, right).filter(|row| row.owner() == superseded.owner());
    Some(Supersede {
        row: row(new),
        superseded,
        replaces,
        revokes_derived: chance.one_in(2),
        revocation: chance.revocation(),
    })
}

/// Counts the revoked rows.
fn revoked(store: &Reference) -> usize {
    listed(store, &Filter { revoked: Some(true), ..Filter::every_token() }, Page::first(999)).len()
}

/// Draws a form by [`new_form`], one time in `n`.
fn maybe_form(chance: &mut Chance, n: u64, right: &Reference) -> Option<Row> {
    if chance.one_in(n) { new_form(chance, right) } else { None }
}
