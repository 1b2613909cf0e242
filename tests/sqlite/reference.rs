//! SQL that agrees with the reference.

use app_tokens::record::{Expires, KeyId, RecordParts};
use app_tokens::store::{Filter, MemoryStore, Page, Purge, PurgeCutoff, SqliteStore, TokenStore};

use support::by_reference;
use support::chance::*;

by_reference::tests!(|| SqliteStore::in_memory().unwrap(), 200);

/// Without an owner, a list is built in one way if an index gives few rows, and in another if it
/// gives many.
#[test]
fn a_list_among_many_rows_equals_the_list_by_the_reference() {
    let (memory, sqlite) = (MemoryStore::new(), SqliteStore::in_memory().unwrap());
    let mut chance = Chance(7);
    for number in 0..5000 {
        // The times are spread out, so that some filters match few rows.
        let expires = Expires::At(at(chance.below(5000) as i64));
        let parts = RecordParts { expires, ..chance.parts(id(number * 3)) };
        insert(&memory, parts.clone());
        insert(&sqlite, parts);
    }
    let any = Filter::every_token;
    let unrevoked = || Filter { revoked: Some(false), ..any() };
    for filter in [
        unrevoked(),
        Filter { key_id: Some(KeyId::new(1).unwrap()), ..unrevoked() },
        Filter { key_id: Some(KeyId::new(9).unwrap()), ..unrevoked() },
        Filter { except_key_ids: vec![KeyId::new(1).unwrap()], ..unrevoked() },
        Filter { except_key_ids: vec![chance.key_id(), KeyId::new(2).unwrap()], ..unrevoked() },
        Filter {
            except_key_ids: [1, 2, u32::MAX].map(|key| KeyId::new(key).unwrap()).to_vec(),
            ..unrevoked()
        },
        Filter {
            except_key_ids: (1..=1000).map(|key| KeyId::new(key).unwrap()).collect(),
            ..unrevoked()
        },
        Filter { expires_before: Some(at(100)), ..unrevoked() },
        Filter { expires_before: Some(at(4000)), superseded: Some(false), ..unrevoked() },
        Filter { expires_from: Some(at(10)), expires_before: Some(at(900)), ..any() },
        Filter { expires_from: Some(at(4999)), ..any() },
        Filter { last_used_before: Some(at(-1)), ..any() },
        Filter { last_used_before: Some(at(8)), ..unrevoked() },
    ] {
        let mut page = Page::first(700);
        loop {
            let rows = listed(&sqlite, &filter, page);
            assert_eq!(rows, listed(&memory, &filter, page), "{filter:?} {page:?}");
            page.after = rows.last().and_then(Option::as_ref).map(|row| row.id);
            if rows.is_empty() {
                break;
            }
        }
    }
}

/// To the engine, a batch that is not full means that nothing is left.
#[test]
fn a_row_that_is_dead_for_three_reasons_counts_once_in_a_batch() {
    let store = SqliteStore::in_memory().unwrap();
    insert(&store, RecordParts { revocation: Some(revocation()), ..parts(0) });
    (1..3).for_each(|expired| insert(&store, parts(expired)));
    (3..7).for_each(|idle| insert(&store, RecordParts { expires: Expires::Never, ..parts(idle) }));
    let dead = PurgeCutoff { ended_by: at(5000), unused_since: Some(at(5000)), now: at(5000) };
    let batches = [(); 3].map(|()| wait(store.purge(&Purge::Dead(dead), 4)).unwrap());
    assert_eq!(batches, [4, 3, 0]);
}

/// Each batch goes on where the last one ended. A row that dies behind that place must be found,
/// too.
#[test]
fn a_purge_in_batches_misses_nothing_wherever_it_begins() {
    let store = SqliteStore::in_memory().unwrap();
    for number in 0..9000 {
        let revocation = (number % 3 == 0).then(revocation);
        insert(&store, RecordParts { revocation, ..parts(number) });
    }
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(100), unused_since: None, now: at(100) });
    let batch = || wait(store.purge(&dead, 700)).unwrap();
    assert_eq!([(); 3].map(|()| batch()), [700; 3]);
    for behind in [1, 2, 4] {
        assert_eq!(wait(store.revoke(&Filter::of_id(id(behind)), &revocation())).unwrap(), 1);
    }
    assert_eq!([batch(), batch(), batch()], [700, 203, 0]);
    assert_eq!(listed(&store, &Filter::every_token(), Page::first(9999)).len(), 5997);
}
