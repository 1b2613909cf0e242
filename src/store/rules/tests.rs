use std::collections::BTreeSet;

use super::*;
use crate::record::tests::example;
use crate::record::{Actor, Expires, RecordParts};
use crate::text::Reason;

fn id(number: u64) -> TokenId {
    TokenId::from_u64(number).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_772_366_400 + seconds).unwrap()
}

fn parts(number: u64) -> RecordParts {
    RecordParts {
        id: id(number),
        family: id(number),
        created_at: at(0),
        expires: Expires::At(at(1000)),
        ..example()
    }
}

fn derived(number: u64, from: u64) -> RecordParts {
    RecordParts { derived_from: Some(id(from)), ..parts(number) }
}

fn row(parts: RecordParts) -> Row {
    Row::new(TokenRecord::from_parts(parts))
}

fn damaged(parts: RecordParts) -> Row {
    Row::damaged(row(parts).standing_facts())
}

fn used(seconds: i64) -> LastUse {
    LastUse { at: at(seconds), address: None, client: None }
}

fn revocation() -> Revocation {
    Revocation { at: at(7), reason: Reason::LEAKED, by: Actor::Engine }
}

fn rotation(old: RecordParts, new: u64) -> Supersede {
    Supersede {
        row: row(RecordParts { family: old.family, ..parts(new) }),
        superseded: row(RecordParts { successor: Some(id(new)), ..old }),
        replaces: None,
        revokes_derived: true,
        revocation: revocation(),
    }
}

/// The ids of what is put, each once, and which of them have a revocation.
fn put<A>(decision: &Decision<A>) -> (Vec<u64>, Vec<u64>) {
    let ids = |rows: &[&Row]| {
        let ids: BTreeSet<u64> = rows.iter().map(|row| row.id().as_u64()).collect();
        assert_eq!(ids.len(), rows.len(), "an id is put twice");
        ids.into_iter().collect()
    };
    let all: Vec<&Row> = decision.put.iter().collect();
    let revoked: Vec<&Row> = decision.put.iter().filter(|row| row.is_revoked()).collect();
    (ids(&all), ids(&revoked))
}

#[test]
fn a_refusal_writes_nothing() {
    let rows = [row(parts(1)), row(parts(2))];
    let insert_of = |number| Insert {
        row: row(parts(number)),
        live: LiveAt::now(at(0)),
        limit: Some(2),
        unique_label: false,
        under: None,
    };
    let refused = insert(&insert_of(3), false, &rows);
    assert_eq!((refused.answer, put(&refused)), (Inserted::LimitReached, (vec![], vec![])));
    let taken = insert(&insert_of(1), true, &rows);
    assert_eq!((taken.answer, taken.put.len()), (Inserted::IdTaken, 0));
    let stale = supersede(&rotation(RecordParts { revision: 5, ..parts(1) }, 3), false, &rows);
    assert_eq!((stale.answer, stale.put.len()), (Superseded::Stale, 0));
}

#[test]
fn a_damaged_row_or_form_that_is_handed_in_is_stale() {
    let rows = [row(parts(1))];
    let new = Insert {
        row: damaged(parts(2)),
        live: LiveAt::now(at(0)),
        limit: None,
        unique_label: false,
        under: None,
    };
    assert_eq!(insert(&new, false, &rows).answer, Inserted::Stale);
    let rotate = Supersede { superseded: damaged(parts(1)), ..rotation(parts(1), 2) };
    assert_eq!(supersede(&rotate, false, &rows).answer, Superseded::Stale);
    let form = Replace {
        row: damaged(parts(1)),
        live: LiveAt::now(at(0)),
        unique_label: false,
        revokes_derived: None,
    };
    assert_eq!(replace(&form, &rows).answer, Replaced::Stale);
}

#[test]
fn a_form_that_derives_from_its_own_family_is_put_once_and_revoked() {
    let own = RecordParts { family: id(9), derived_from: Some(id(9)), ..parts(1) };
    let rows = [row(own.clone()), row(derived(2, 9)), row(parts(3))];
    let rotate = supersede(&rotation(own.clone(), 4), false, &rows);
    assert_eq!(put(&rotate), (vec![1, 2, 4], vec![1, 2]));
    let narrow = Replace {
        row: row(own),
        live: LiveAt::now(at(0)),
        unique_label: false,
        revokes_derived: Some(revocation()),
    };
    assert_eq!(put(&replace(&narrow, &rows)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn a_damaged_row_takes_no_place_and_is_revoked_with_what_it_derives_from() {
    let rows = [row(parts(1)), damaged(derived(2, 1)), damaged(parts(3))];
    let new = Insert {
        row: row(parts(4)),
        live: LiveAt::now(at(0)),
        limit: Some(2),
        unique_label: false,
        under: None,
    };
    assert_eq!(insert(&new, false, &rows).answer, Inserted::Done);
    let revoked = revoke(&Filter::of_id(id(1)), &revocation(), &rows);
    assert_eq!((revoked.answer, put(&revoked)), (2, (vec![1, 2], vec![1, 2])));
    // By a damaged parent, too.
    let rows = [damaged(parts(1)), row(derived(2, 1))];
    assert_eq!(revoke(&Filter::of_id(id(1)), &revocation(), &rows).answer, 2);
}

#[test]
fn a_row_whose_owner_can_not_be_read_is_revoked_by_its_id() {
    let facts = crate::store::DamagedRow { owner: None, ..row(parts(1)).standing_facts() };
    let alone = [Row::damaged(facts)];
    let owner = parts(1).owner;
    assert_eq!(revoke(&Filter::of_owner(&owner), &revocation(), &alone).answer, 0);
    let revoked = revoke(&Filter::of_id(id(1)), &revocation(), &alone);
    assert_eq!(revoked.answer, 1);
    assert_eq!(revoked.put[0].revoked_at(), Some(at(7)));
}

#[test]
fn a_touch_is_decided_in_the_order_of_its_batch() {
    let rows = [row(parts(1)), damaged(parts(2))];
    let stored = |uses: &[(u64, i64)]| {
        let uses: Vec<_> = uses.iter().map(|(of, at)| (id(*of), used(*at))).collect();
        let touched = touch(&uses, at(100), &rows);
        let last_use = |row: &Row| row.record().unwrap().last_use().unwrap().at;
        touched.put.iter().map(last_use).collect::<Vec<_>>()
    };
    assert_eq!(stored(&[(1, 5), (1, 9), (1, 7), (2, 5), (3, 5)]), [at(9)]);
    assert_eq!(stored(&[(2, 5)]), []);
    // A use after 400 is not believed once it is stored.
    assert_eq!(stored(&[(1, 401), (1, 5)]), [at(5)]);
    assert_eq!(stored(&[(1, 5), (1, 401)]), [at(401)]);
}

#[test]
fn an_unrevoked_damaged_row_keeps_what_it_derives_from() {
    let parent = RecordParts { expires: Expires::At(at(10)), ..parts(1) };
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(50), unused_since: None, now: at(60) });
    let deleted = |child: Row| purge(&dead, 9, &[row(parent.clone()), child]).delete;
    assert_eq!(deleted(damaged(derived(2, 1))), []);
    let revoked = RecordParts { revocation: Some(revocation()), ..derived(2, 1) };
    assert_eq!(deleted(damaged(revoked)), [id(1), id(2)]);
    assert_eq!(purge(&dead, 0, &[row(parent.clone())]).answer, 0);
}

#[test]
fn a_damaged_row_that_was_revoked_at_an_unknown_instant_is_purged_by_when_it_was_made() {
    let facts = |created_at| crate::store::DamagedRow {
        is_revoked: true,
        created_at,
        ..row(parts(1)).standing_facts()
    };
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(0), unused_since: None, now: at(60) });
    let count = |created_at| purge(&dead, 9, &[Row::damaged(facts(created_at))]).answer;
    assert_eq!([Some(at(0)), Some(at(1)), None].map(count), [1, 0, 0]);
}
