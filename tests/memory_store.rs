//! `MemoryStore` with many rows of one owner answers as the reference does. A purge doesn't walk
//! all rows for each row.

use app_tokens::record::{Expires, LastUse, RecordParts, TokenRecord};
use app_tokens::store::{Filter, MemoryStore, Purge, PurgeCutoff, TokenStore};

use support::chance::*;

#[test]
fn a_purge_among_many_rows_of_one_owner_deletes_what_the_reference_selects() {
    const ROWS: u64 = 3000;
    let (store, mut chance) = (MemoryStore::new(), Chance(1));
    let mut records = Vec::new();
    for number in 0..ROWS {
        let parts = RecordParts {
            owner: owner("alice"),
            created_at: at(0),
            expires: Expires::At(at(chance.below(200) as i64)),
            family: id(chance.below(ROWS / 2)),
            derived_from: chance.maybe(3, |c| id(c.below(ROWS / 2))),
            last_use: chance.maybe(2, |c| LastUse {
                at: at(c.below(200) as i64),
                address: None,
                client: None,
            }),
            ..chance.parts(id(number))
        };
        insert(&store, parts.clone());
        records.push(TokenRecord::from_parts(parts));
    }
    let dead = PurgeCutoff { ended_by: at(100), unused_since: Some(at(50)), now: at(150) };
    let purge = Purge::Dead(dead);
    let has_ended = |record: &&TokenRecord| {
        record.revocation().is_some_and(|revocation| revocation.at <= dead.ended_by)
            || record.expires().has_come(dead.ended_by)
            || record.last_seen(dead.now) <= dead.unused_since.unwrap()
    };
    let is_needed = |record: &TokenRecord| {
        records.iter().any(|other| {
            let is_of_its_line = record.successor().is_some() && other.family() == record.family();
            (is_of_its_line || other.derived_from() == Some(record.family()))
                && other.id() != record.id()
                && other.revocation().is_none()
                && !other.expires().has_come(dead.now)
        })
    };
    let is_kept = |record: &&TokenRecord| !has_ended(record) || is_needed(record);
    let kept: Vec<_> =
        records.iter().filter(is_kept).cloned().map(TokenRecord::into_parts).collect();
    let spared = kept.len() - (records.len() - records.iter().filter(has_ended).count());
    assert!(kept.len() > 600 && spared > 300, "{} kept, {spared} for another's sake", kept.len());
    let deleted = wait(store.purge(&purge, u32::MAX)).unwrap();
    assert_eq!(deleted, ROWS - kept.len() as u64);
    assert_eq!(all(&store).into_iter().flatten().collect::<Vec<_>>(), kept);
    assert_eq!(listed_of_alice(&store), kept, "the owner's own list, too");
}

fn listed_of_alice(store: &MemoryStore) -> Vec<RecordParts> {
    let page = app_tokens::store::Page::first(u32::MAX);
    listed(store, &Filter::of_owner(&owner("alice")), page).into_iter().flatten().collect()
}

/// Walking the whole line for each of its rows would be 900 million steps.
#[test]
fn a_line_of_30000_rotations_is_kept_while_its_last_token_lives_and_then_purged() {
    const ROWS: u64 = 30_000;
    let store = MemoryStore::new();
    for number in 1..ROWS {
        insert(
            &store,
            RecordParts { family: id(1), successor: Some(id(number + 1)), ..parts(number) },
        );
    }
    insert(&store, RecordParts { family: id(1), expires: Expires::Never, ..parts(ROWS) });
    let dead = |now| Purge::Dead(PurgeCutoff { ended_by: at(5000), unused_since: None, now });
    assert_eq!(wait(store.purge(&dead(at(6000)), u32::MAX)).unwrap(), 0);
    assert_eq!(wait(store.revoke(&Filter::of_id(id(ROWS)), &revocation())).unwrap(), 1);
    assert_eq!(wait(store.purge(&dead(at(6000)), 10_000)).unwrap(), 10_000);
    assert_eq!(wait(store.purge(&dead(at(6000)), u32::MAX)).unwrap(), ROWS - 10_000);
    assert_eq!(all(&store), []);
}
