//! Tests clauses 8 to 10.

use std::sync::Arc;

use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::record::{RecordParts, TokenRecord};
use crate::store::{Filter, Insert, Inserted, Supersede, Superseded, TokenStore};

/// Checks clause 8: both rows are written in one step, and the last use stays.
pub async fn supersede_writes_both_rows_in_one_step<S: TokenStore>(store: &S) {
    let bystander = row(9, "alice");
    let old = RecordParts { last_use: Some(used(5)), revision: 3, ..row(1, "alice") };
    put_all(store, &[old.clone(), bystander.clone()]).await;

    // A use may have been written since the engine read the row, so the form lacks it.
    let (new, form, mut rotate) = rotation(&old, 2);
    let stale_use = RecordParts { last_use: Some(used(1)), ..form.clone() };
    rotate.superseded = loaded(&stale_use);
    answers(8, "a rotation", supersede(store, &rotate).await, Superseded::Done);
    let mut rows = vec![written(&form), new.clone(), bystander.clone()];
    has(8, store, &rows).await;

    // If the row has no last use, the form's last use must not be written.
    let (newer, form, mut rotate) = rotation(&new, 3);
    let made_up = RecordParts { last_use: Some(used(400)), ..form.clone() };
    rotate.superseded = loaded(&made_up);
    answers(8, "the next rotation", supersede(store, &rotate).await, Superseded::Done);
    rows[1] = written(&form);
    rows.push(newer);
    has(8, store, &rows).await;
}

/// Checks clause 8: nothing changes if the row has changed since the engine read it.
pub async fn supersede_of_a_changed_row_changes_nothing<S: TokenStore>(store: &S) {
    let changed = RecordParts { revision: 3, ..row(1, "alice") };
    let revoked = revoked_by(&row(2, "alice"), &revocation(1, "x"));
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(3, "alice") };
    let rows = [changed.clone(), revoked.clone(), full.clone()];
    put_all(store, &rows).await;
    let refused = [
        ("a row that isn't there", row(8, "alice")),
        ("an older revision", RecordParts { revision: 2, ..changed.clone() }),
        ("a revision to come", RecordParts { revision: 4, ..changed }),
        ("a revoked row", revoked.clone()),
        ("a revoked row, as it was before", RecordParts { revocation: None, ..revoked }),
        ("a row at the greatest revision", full),
    ];
    for (what, old) in refused {
        let (_, _, mut rotate) = rotation(&old, 9);
        rotate.revokes_derived = true;
        let answer = supersede(store, &rotate).await;
        answers(8, &format!("a rotation of {what}"), answer, Superseded::Stale);
        has(8, store, &rows).await;
    }
}

/// Checks clauses 8 and 9: nothing changes if the request names another owner's row.
pub async fn supersede_of_another_owners_row_changes_nothing<S: TokenStore>(store: &S) {
    let rows = [row(1, "alice"), row(2, "bob")];
    put_all(store, &rows).await;
    let (_, _, mut rotate) = rotation(&rows[0], 9);
    rotate.replaces = Some(loaded(&rows[1]));
    let answer = supersede(store, &rotate).await;
    answers(9, "a rotation that replaces another owner's row", answer, Superseded::Stale);
    has(9, store, &rows).await;

    let (_, _, mut rotate) = rotation(&rows[1], 9);
    rotate.row = loaded(&RecordParts { family: id(2), ..row(9, "alice") });
    let answer = supersede(store, &rotate).await;
    answers(8, "a rotation of another owner's row", answer, Superseded::Stale);
    has(8, store, &rows).await;
}

/// Checks clause 4: `supersede` never overwrites a row.
pub async fn supersede_never_overwrites<S: TokenStore>(store: &S) {
    let rows = [row(1, "alice"), row(2, "alice"), row(3, "bob")];
    put_all(store, &rows).await;
    for taken in [row(2, "alice"), row(3, "alice"), row(1, "alice")] {
        let (_, _, mut rotate) = rotation(&rows[0], 9);
        rotate.row = loaded(&RecordParts { family: id(1), ..taken });
        rotate.revokes_derived = true;
        let answer = supersede(store, &rotate).await;
        answers(4, "a rotation to an id that is taken", answer, Superseded::IdTaken);
        has(4, store, &rows).await;
    }
    // A taken id decides the answer, even if the row is stale, too.
    let (_, _, mut rotate) = rotation(&RecordParts { revision: 7, ..rows[0].clone() }, 9);
    rotate.row = loaded(&rows[1]);
    let answer = supersede(store, &rotate).await;
    answers(4, "a stale rotation to an id that is taken", answer, Superseded::IdTaken);
    has(4, store, &rows).await;
}

/// Checks clause 8, on threads: of many rotations of one row, one is done.
pub async fn of_many_supersedes_of_one_row_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let old = row(100 * round, &who);
        put(&**store, &old).await;
        let call = |number: u64| supersede_call(store, rotation(&old, 100 * round + 1 + number).2);
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right =
            given.iter().all(|answer| matches!(answer, Superseded::Done | Superseded::Stale));
        hold(
            8,
            right && done(&given) == 1,
            format_args!("rotations of one row were answered {given:?}"),
        );
        let rows = rows_of(&**store, &who).await;
        let successor = rows.iter().find(|row| row.id == old.id).and_then(|row| row.successor);
        let wrong = format!("after many rotations at once these are there: {rows:?}");
        hold(8, rows.len() == 2 && successor == Some(rows[1].id) && rows[0].revision == 1, wrong);
    }
}

/// Checks clause 9: the unused successor that is replaced is revoked.
pub async fn supersede_revokes_the_unused_successor_that_it_replaces<S: TokenStore>(store: &S) {
    let (successor, form, _) = rotation(&row(1, "alice"), 2);
    let old = written(&form);
    put_all(store, &[old.clone(), successor.clone()]).await;
    let (new, form, mut again) = rotation(&old, 3);
    again.replaces = Some(loaded(&successor));
    let replaced = revoked_by(&successor, &again.revocation);
    answers(9, "a rotation that replaces", supersede(store, &again).await, Superseded::Done);
    has(9, store, &[written(&form), new, replaced]).await;
}

/// Checks clause 9: nothing changes if the successor is gone, used, superseded, revoked or changed.
pub async fn supersede_of_a_used_successor_changes_nothing<S: TokenStore>(store: &S) {
    let old = RecordParts { successor: Some(id(2)), revision: 1, ..row(1, "alice") };
    let of_the_family = |number| RecordParts { family: id(1), ..row(number, "alice") };
    let rows = [
        old.clone(),
        RecordParts { last_use: Some(used(1)), ..of_the_family(2) },
        RecordParts { successor: Some(id(4)), ..of_the_family(3) },
        revoked_by(&of_the_family(4), &revocation(1, "x")),
        RecordParts { revision: 7, ..of_the_family(5) },
    ];
    put_all(store, &rows).await;
    let refused = [
        ("is not there", of_the_family(8)),
        ("was used", rows[1].clone()),
        ("was used since it was read", of_the_family(2)),
        ("has a successor", rows[2].clone()),
        ("is revoked", rows[3].clone()),
        ("was revoked since it was read", RecordParts { revision: 1, ..of_the_family(4) }),
        ("was changed since it was read", RecordParts { revision: 6, ..of_the_family(5) }),
    ];
    for (what, successor) in refused {
        let (_, _, mut again) = rotation(&old, 9);
        again.replaces = Some(loaded(&successor));
        let answer = supersede(store, &again).await;
        answers(
            9,
            &format!("the replacement of a successor that {what}"),
            answer,
            Superseded::Stale,
        );
        has(9, store, &rows).await;
    }
}

/// Checks clauses 8 and 9, on threads: a successor is not both replaced and superseded.
///
/// One rotation of the old token replaces the successor while another rotates the successor.
pub async fn a_successor_is_not_both_replaced_and_superseded<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let first = 100 * round;
        let (successor, form, _) = rotation(&row(first, &who), first + 1);
        let old = written(&form);
        put_all(&**store, &[old.clone(), successor.clone()]).await;
        let call = |number: u64| {
            let new = first + 2 + number;
            if number.is_multiple_of(2) {
                return supersede_call(store, rotation(&successor, new).2);
            }
            let mut again = rotation(&old, new).2;
            again.replaces = Some(loaded(&successor));
            supersede_call(store, again)
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        hold(9, done(&given) == 1, format_args!("of many rotations not one was done: {given:?}"));
        let rows = rows_of(&**store, &who).await;
        let live = rows.iter().filter(|row| row.successor.is_none() && row.revocation.is_none());
        hold(
            9,
            live.count() == 1,
            format_args!("there is not one living end of the line: {rows:?}"),
        );
    }
}

/// Checks clause 10: a rotation can revoke what was issued under the family.
pub async fn supersede_revokes_what_was_issued_under_the_family<S: TokenStore>(store: &S) {
    let old = RecordParts { family: id(50), ..row(1, "alice") };
    let children = [derived(2, "alice", 50), derived(3, "alice", 50)];
    let others = [
        revoked_by(&derived(4, "alice", 50), &revocation(1, "first")),
        derived(5, "alice", 1),
        derived(6, "bob", 50),
        RecordParts { family: id(50), ..row(7, "alice") },
        row(50, "carol"),
    ];
    put(store, &old).await;
    put_all(store, &children).await;
    put_all(store, &others).await;

    let (new, form, with_overlap) = rotation(&old, 8);
    answers(8, "a rotation", supersede(store, &with_overlap).await, Superseded::Done);
    let old = written(&form);
    let mut rows: Vec<RecordParts> = others.to_vec();
    rows.extend([old, new.clone()]);
    has(10, store, &[&rows[..], &children].concat()).await;

    let (newer, form, mut at_once) = rotation(&new, 9);
    at_once.revokes_derived = true;
    let revoked_children = children.map(|child| revoked_by(&child, &at_once.revocation));
    answers(8, "a rotation that ends derived", supersede(store, &at_once).await, Superseded::Done);
    rows.pop();
    rows.extend([written(&form), newer]);
    has(10, store, &[&rows[..], &revoked_children].concat()).await;
}

/// Checks clauses 5 and 10, on threads: no derived token escapes a rotation that revokes them.
///
/// Tokens are issued under a token while it is rotated without overlap.
pub async fn no_derived_token_escapes_a_rotation_that_revokes_them<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..2 * ROUNDS {
        let who = format!("owner {round}");
        let first = 1000 * round;
        let parent = row(first, &who);
        put(&**store, &parent).await;
        let issue = |thread: u64| -> Call<()> {
            let (store, who, parent) = (Arc::clone(store), who.clone(), parent.clone());
            Box::pin(async move {
                for step in 1..50 {
                    let child = derived(first + 100 * thread + step, &who, first);
                    let under = Insert { under: Some(loaded(&parent)), ..insert_of(&child) };
                    if insert(&*store, &under).await != Inserted::Done {
                        return;
                    }
                }
            })
        };
        let mut rotate = rotation(&parent, first + 1).2;
        rotate.revokes_derived = true;
        let rotating = Arc::clone(store);
        let waits = round % 4;
        let line: Call<()> = Box::pin(async move {
            // Lets some of the inserts happen first, so that the rotation meets them midway.
            for _ in 0..waits {
                list(&*rotating, &Filter::of_id(rotate.row.id())).await;
            }
            let answer = supersede(&*rotating, &rotate).await;
            answers(8, "a rotation beside inserts under its token", answer, Superseded::Done);
        });
        at_once(runner, vec![issue(1), issue(2), issue(3), line]).await;
        let rows = rows_of(&**store, &who).await;
        let escaped =
            rows.iter().find(|row| row.derived_from.is_some() && row.revocation.is_none());
        hold(10, escaped.is_none(), format_args!("a derived row outlives a rotation: {escaped:?}"));
    }
}

fn supersede_call<S: TokenStore + 'static>(store: &Arc<S>, asked: Supersede) -> Call<Superseded> {
    let store = Arc::clone(store);
    Box::pin(async move { supersede(&*store, &asked).await })
}

fn done(given: &[Superseded]) -> usize {
    given.iter().filter(|answer| **answer == Superseded::Done).count()
}
