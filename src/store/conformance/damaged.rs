//! Tests clauses 21 and 22: rows in which only the facts that stand apart can be read.
//!
//! `damage` overwrites everything else in a row with junk.

use std::sync::Arc;

use super::rows::*;
use crate::record::{Expires, RecordParts};
use crate::store::{
    DamagedRow, Filter, Insert, Inserted, Page, Purge, PurgeCutoff, Replace, Replaced, Row,
    Superseded, TokenStore,
};
use crate::token::TokenId;

/// Makes rows that differ in each of the facts that stand apart.
fn damageable() -> Vec<RecordParts> {
    vec![
        row(1, "alice"),
        RecordParts { family: id(40), created_at: at(-50), ..row(2, "alice") },
        derived(3, "alice", 40),
        revoked_by(&derived(4, "bob", 7), &revocation(20, "requested")),
        RecordParts { created_at: at(70), ..row(TokenId::MAX.as_u64(), "zoë %_") },
    ]
}

/// Returns what must be left of a row.
fn standing(row: &RecordParts) -> DamagedRow {
    loaded(row).standing_facts()
}

/// Fails the test unless a row is damaged and still has the facts that stand apart.
#[track_caller]
fn is_damaged(clause: u8, method: &str, row: Option<&Row>, right: &DamagedRow) {
    let wrong = format!("{method} gives {row:?} for the damaged row {right:?}");
    hold(clause, row.is_some_and(|row| row.record().is_none()), &wrong);
    let DamagedRow { id, owner, family, derived_from, created_at, is_revoked, revoked_at } = right;
    let held = row.is_some_and(|row| {
        row.id() == *id
            && row.owner() == owner.as_ref()
            && row.family() == *family
            && row.derived_from() == *derived_from
            && row.created_at() == *created_at
            && row.is_revoked() == *is_revoked
            && (row.revoked_at().is_none() || row.revoked_at() == *revoked_at)
    });
    hold(clause, held, &wrong);
}

/// Checks clause 21: `find` and `list` return the facts that stand apart.
pub async fn a_damaged_row_keeps_the_facts_that_stand_apart<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let rows = damageable();
    put_all(&**store, &rows).await;
    for row in &rows {
        damage(Arc::clone(store), row.id).await;
    }
    let found = store.find(rows[0].id).await;
    hold(21, found.is_ok(), format_args!("find gives {found:?} for a damaged row"));
    let listed = store.list(&Filter::every_token(), Page::first(10)).await;
    hold(21, listed.is_ok(), format_args!("list gives {listed:?} for damaged rows"));
    let listed = answered(listed);
    hold(21, listed.len() == rows.len(), format_args!("list gives {listed:?} for {rows:?}"));
    for (right, listed) in rows.iter().zip(&listed) {
        is_damaged(21, "list", Some(listed), &standing(right));
        let found = answered(store.find(right.id).await);
        is_damaged(21, "find", found.as_ref(), &standing(right));
    }
}

/// Checks clause 22: a filter matches by the facts that stand apart, and by no others.
pub async fn a_damaged_row_is_listed_by_the_facts_that_stand_apart<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let rows = damageable();
    put_all(&**store, &rows).await;
    for row in &rows {
        damage(Arc::clone(store), row.id).await;
    }
    let any = Filter::every_token;
    for filter in [
        any(),
        Filter::of_id(id(3)),
        Filter::of_owner(&owner("alice")),
        Filter::of_owner(&owner("zoë %_")),
        Filter::of_family(&owner("alice"), id(40)),
        Filter { except_family: Some(id(40)), ..any() },
        Filter { except_family: Some(id(1)), ..any() },
        Filter { revoked: Some(true), ..any() },
        Filter { revoked: Some(false), ..any() },
        Filter { created_before: Some(at(-50)), ..any() },
        Filter { created_before: Some(at(-49)), ..any() },
        Filter { created_before: Some(at(70)), ..any() },
        Filter { key_id: Some(key(1)), ..any() },
        Filter { except_key_ids: vec![key(1)], ..any() },
    ] {
        let listed: Vec<TokenId> = list(&**store, &filter).await.iter().map(Row::id).collect();
        let damaged = |row: &&RecordParts| filter.matches(&Row::damaged(standing(row)));
        let right: Vec<TokenId> = rows.iter().filter(damaged).map(|row| row.id).collect();
        answers(22, &format!("the list of damaged rows by {filter:?}"), listed, right);
    }
}

/// Checks clause 21: a change that depends on a damaged row is refused as stale.
pub async fn a_damaged_row_is_never_current<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let (old, successor) = (row(1, "alice"), RecordParts { family: id(1), ..row(2, "alice") });
    put_all(&**store, &[old.clone(), successor.clone()]).await;
    damage(Arc::clone(store), old.id).await;
    let under = Insert { under: Some(loaded(&old)), ..insert_of(&derived(3, "alice", 1)) };
    let answer = insert(&**store, &under).await;
    answers(21, "an insert under a damaged row", answer, Inserted::Stale);
    let answer = supersede(&**store, &rotation(&old, 3).2).await;
    answers(21, "a rotation of a damaged row", answer, Superseded::Stale);
    let answer = replace(&**store, &replace_of(&old)).await;
    answers(21, "a replace of a damaged row", answer, Replaced::Stale);
    let mut again = rotation(&successor, 3).2;
    again.replaces = Some(loaded(&old));
    let answer = supersede(&**store, &again).await;
    answers(21, "a rotation that replaces a damaged row", answer, Superseded::Stale);
    is_row(21, "find", Some(&stored(&**store, successor.id).await), &successor);
    let there = list(&**store, &Filter::every_token()).await.len();
    hold(21, there == 2, "a row was inserted by a call that was answered Stale");
}

/// Checks clause 21: a damaged row keeps no other row from being found, listed or changed.
pub async fn a_damaged_row_blocks_no_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let mut rows = vec![row(1, "alice"), row(2, "alice"), row(3, "alice")];
    put_all(&**store, &rows).await;
    damage(Arc::clone(store), id(2)).await;
    let found = store.find(id(2)).await;
    hold(21, found.is_ok(), format_args!("find gives {found:?} for a damaged row"));
    let found = answered(found);
    let damaged = |row: &Row| row.record().is_none() && row.id() == id(2);
    let wrong = format!("find gives {found:?} for a damaged row");
    hold(21, found.as_ref().is_some_and(damaged), wrong);

    let listed = store.list(&Filter::of_owner(&owner("alice")), Page::first(10)).await;
    let wrong = format!("list gives {listed:?} where the second row is damaged");
    hold(21, listed.is_ok(), &wrong);
    let listed = answered(listed);
    hold(21, listed.len() == 3 && damaged(&listed[1]), wrong);
    is_row(21, "list", parts_of(listed.first()).as_ref(), &rows[0]);
    is_row(21, "list", parts_of(listed.last()).as_ref(), &rows[2]);

    let new = row(4, "alice");
    put(&**store, &new).await;
    touch(&**store, &[(id(2), used(5)), (id(1), used(5))]).await;
    rows[0].last_use = Some(used(5));
    let form = RecordParts { label: label("renamed"), ..rows[2].clone() };
    answers(21, "a replace", replace(&**store, &replace_of(&form)).await, Replaced::Done);
    for right in [&rows[0], &written(&form), &new] {
        is_row(21, "find", Some(&stored(&**store, right.id).await), right);
    }
    let purged = Purge::Matching(Filter::of_owner(&owner("alice")));
    let count = purge(&**store, &purged, 10).await;
    answers(21, "the purge of an owner with a damaged row", count, 4);
}

/// Checks clause 22: a damaged row is revoked by the facts that stand apart.
pub async fn a_damaged_row_is_revoked_like_any_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let (one, other) = (row(1, "alice"), row(3, "alice"));
    // It was issued too late to match. It is revoked together with its parent.
    let child = RecordParts { created_at: at(50), ..derived(4, "alice", 2) };
    put_all(&**store, &[one.clone(), row(2, "alice"), other.clone(), child]).await;
    damage(Arc::clone(store), id(2)).await;
    let the_revocation = revocation(9, "x");
    let mine = Filter { created_before: Some(at(50)), ..Filter::of_owner(&owner("alice")) };
    let count = revoke(&**store, &mine, &the_revocation).await;
    answers(22, "the revoke of three rows, one damaged, and one that derives from it", count, 4);
    answers(22, "the same revoke again", revoke(&**store, &mine, &the_revocation).await, 0);
    for right in [revoked_by(&one, &the_revocation), revoked_by(&other, &the_revocation)] {
        is_row(22, "find", Some(&stored(&**store, right.id).await), &right);
    }
    let living = Filter { revoked: Some(false), ..Filter::of_owner(&owner("alice")) };
    let living = list(&**store, &living).await;
    hold(22, living.is_empty(), format_args!("after the revoke of all, {living:?} live"));
}

/// Checks clauses 10 and 22: a rotation also revokes damaged rows that derive from the family.
pub async fn a_damaged_row_is_revoked_by_a_rotation_like_any_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let old = row(1, "alice");
    let child = derived(3, "alice", 1);
    put_all(&**store, &[old.clone(), derived(2, "alice", 1), child.clone()]).await;
    damage(Arc::clone(store), id(2)).await;
    let (new, form, mut rotate) = rotation(&old, 4);
    rotate.revokes_derived = true;
    let revoked_child = revoked_by(&child, &rotate.revocation);
    let answer = supersede(&**store, &rotate).await;
    answers(10, "a rotation that ends derived rows, one of them damaged", answer, Superseded::Done);
    for right in [&written(&form), &revoked_child, &new] {
        is_row(10, "find", Some(&stored(&**store, right.id).await), right);
    }
    let living = Filter { revoked: Some(false), ..Filter::of_owner(&owner("alice")) };
    let living: Vec<TokenId> = list(&**store, &living).await.iter().map(Row::id).collect();
    let wrong = format!("{living:?} live, and rows 1 and 4 should");
    hold(10, living == [old.id, new.id], wrong);
}

/// Checks clauses 15 and 22: a replace also revokes damaged rows that derive from the family.
pub async fn a_damaged_row_is_revoked_by_a_replace_like_any_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let (parent, child) = (row(1, "alice"), derived(2, "alice", 1));
    put_all(&**store, &[parent.clone(), child.clone()]).await;
    damage(Arc::clone(store), child.id).await;
    let end = revocation(7, "narrowed");
    let narrow = Replace { revokes_derived: Some(end.clone()), ..replace_of(&parent) };
    answers(15, "a replace", replace(&**store, &narrow).await, Replaced::Done);
    let found = answered(store.find(child.id).await);
    is_damaged(15, "find", found.as_ref(), &standing(&revoked_by(&child, &end)));
}

/// Checks clause 22: a second revocation of a damaged row changes nothing.
pub async fn the_first_revocation_of_a_damaged_row_stays<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let (one, other) = (row(1, "alice"), row(2, "alice"));
    let first = revocation(20, "first");
    let before = revoked_by(&one, &first);
    put_all(&**store, &[before.clone(), other.clone()]).await;
    damage(Arc::clone(store), id(1)).await;
    damage(Arc::clone(store), id(2)).await;
    let all = Filter::of_owner(&owner("alice"));
    let count = revoke(&**store, &all, &revocation(30, "second")).await;
    answers(22, "the revoke of a damaged row, beside one that is revoked", count, 1);
    let count = revoke(&**store, &all, &revocation(10, "third")).await;
    answers(22, "another revoke of the same rows", count, 0);
    for (row, revocation) in [(one, first), (other, revocation(30, "second"))] {
        let found = answered(store.find(row.id).await);
        let right = standing(&revoked_by(&row, &revocation));
        is_damaged(22, "find", found.as_ref(), &right);
        let revoked_at = found.as_ref().and_then(Row::revoked_at);
        let wrong = format!("the revocation of the damaged row {found:?} lost its instant");
        hold(22, revoked_at == Some(revocation.at), wrong);
    }
}

/// Checks clause 22: if a family is spared, so are the damaged rows with that family.
pub async fn a_damaged_row_is_spared_with_its_family<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let rows = [
        row(1, "alice"),
        RecordParts { family: id(40), ..derived(2, "alice", 1) },
        derived(3, "alice", 40),
        derived(4, "alice", 1),
    ];
    put_all(&**store, &rows).await;
    for row in &rows {
        damage(Arc::clone(store), row.id).await;
    }
    let others = Filter { except_family: Some(id(40)), ..Filter::of_owner(&owner("alice")) };
    let count = revoke(&**store, &others, &revocation(9, "the others")).await;
    answers(22, "the revoke of all damaged rows but a family's", count, 2);
    let spared = Filter { revoked: Some(false), ..Filter::every_token() };
    let spared: Vec<TokenId> = list(&**store, &spared).await.iter().map(Row::id).collect();
    answers(22, "the list of what was spared", spared, vec![id(2), id(3)]);
}

/// Checks clause 22: a damaged row is deleted once it has been revoked for long enough.
pub async fn a_damaged_row_is_purged_like_any_other<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let rows = [
        row(1, "alice"),
        revoked_by(&row(2, "alice"), &revocation(20, "x")),
        revoked_by(&row(3, "alice"), &revocation(21, "x")),
    ];
    put_all(&**store, &rows).await;
    for row in &rows {
        damage(Arc::clone(store), row.id).await;
    }
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(20), unused_since: None, now: at(30) });
    answers(22, "a purge of dead rows", purge(&**store, &dead, 10).await, 1);
    let left: Vec<TokenId> =
        list(&**store, &Filter::every_token()).await.iter().map(Row::id).collect();
    answers(22, "the list of what a purge left", left, vec![id(1), id(3)]);
    let one = Purge::Matching(Filter::of_id(id(1)));
    answers(22, "the purge of a damaged row by its id", purge(&**store, &one, 10).await, 1);
    let alices = Purge::Matching(Filter::of_owner(&owner("alice")));
    answers(22, "the purge of an owner's rows", purge(&**store, &alices, 10).await, 1);
}

/// Checks clause 22: a damaged row is not deleted by an end or a last use, which may be junk.
pub async fn a_damaged_row_with_a_past_end_is_not_purged<S, D>(
    store: &Arc<S>,
    damage: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    for number in 1..=3 {
        put(&**store, &row(number, "alice")).await;
        damage(Arc::clone(store), id(number)).await;
    }
    // A dead row behind damaged ones is still found, whatever the limit.
    put(&**store, &RecordParts { expires: Expires::At(at(10)), ..row(4, "alice") }).await;
    let (ended_by, unused_since) = (at(20), Some(at(20)));
    let dead = Purge::Dead(PurgeCutoff { ended_by, unused_since, now: at(30) });
    answers(22, "a purge of dead rows", purge(&**store, &dead, 1).await, 1);
    answers(22, "a purge beside damaged rows", purge(&**store, &dead, 10).await, 0);
    let left: Vec<TokenId> =
        list(&**store, &Filter::every_token()).await.iter().map(Row::id).collect();
    answers(22, "the list of what a purge left", left, [1, 2, 3].map(id).to_vec());
}

/// Checks clause 22: rows whose owners can't be read don't derive from each other's families.
pub async fn damaged_rows_without_an_owner_are_not_related<S, D>(
    store: &Arc<S>,
    damage_owner: impl Fn(Arc<S>, TokenId) -> D,
) where
    S: TokenStore,
    D: Future<Output = ()>,
{
    let rows = [
        row(1, "alice"),
        derived(2, "bob", 1),
        revoked_by(&row(3, "carol"), &revocation(20, "x")),
        derived(4, "dave", 3),
    ];
    put_all(&**store, &rows).await;
    for row in &rows {
        damage_owner(Arc::clone(store), row.id).await;
    }
    for row in &rows {
        let found = answered(store.find(row.id).await);
        is_damaged(21, "find", found.as_ref(), &DamagedRow { owner: None, ..standing(row) });
    }
    let count = revoke(&**store, &Filter::of_id(id(1)), &revocation(30, "y")).await;
    answers(22, "the revoke of a row of unknown owner, by its id", count, 1);
    let unrevoked = Filter { revoked: Some(false), ..Filter::every_token() };
    let left: Vec<TokenId> = list(&**store, &unrevoked).await.iter().map(Row::id).collect();
    answers(22, "the list of what that revoke left", left, vec![id(2), id(4)]);
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(20), unused_since: None, now: at(40) });
    let count = purge(&**store, &dead, 10).await;
    answers(22, "the purge of a dead row beside others of unknown owner", count, 1);
    let count = revoke(&**store, &Filter::every_token(), &revocation(30, "y")).await;
    answers(22, "the revoke of all rows of unknown owner", count, 2);
}
