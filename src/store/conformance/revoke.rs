//! Tests clauses 16 and 17.

use std::sync::Arc;

use super::population::{FACTS, filters, matching, population};
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::record::{Expires, RecordParts, Revocation, TokenRecord};
use crate::store::{Filter, Insert, Inserted, Purge, Superseded, TokenStore};

/// Checks clause 16: a revocation covers what [`Filter::matches`], and what derives from it.
///
/// It also checks the count, with each fact of a filter alone and with others.
pub async fn revoke_covers_what_the_filter_matches_and_what_derives_from_it<S: TokenStore>(
    store: &S,
) {
    let rows = population();
    for filter in filters().into_iter().take(FACTS) {
        put_all(store, &rows).await;
        let the_revocation = revocation(99, "the end");
        let after: Vec<RecordParts> = rows
            .iter()
            .map(|row| {
                let derives = matching(&rows, &filter).any(|parent| {
                    let is_over = parent.successor.is_some() && parent.expires.has_come(at(99));
                    let is_its =
                        parent.owner == row.owner && Some(parent.family) == row.derived_from;
                    is_its && (!is_over || filter.id.or(filter.family).is_some())
                });
                let spared = filter
                    .except_family
                    .is_some_and(|family| row.family == family || row.derived_from == Some(family));
                let meant = derives && !spared || filter.matches(&loaded(row));
                if meant && row.revocation.is_none() {
                    revoked_by(row, &the_revocation)
                } else {
                    row.clone()
                }
            })
            .collect();
        let right = rows.iter().zip(&after).filter(|(before, after)| before != after).count();
        let count = revoke(store, &filter, &the_revocation).await;
        answers(16, &format!("the revoke by {filter:?}"), count, right as u64);
        has(16, store, &after).await;
        purge(store, &Purge::Matching(Filter::every_token()), 10_000).await;
    }
}

/// Checks clause 16: a family that the filter excepts is spared, with what was issued under it.
pub async fn revoke_spares_the_family_that_it_excepts<S: TokenStore>(store: &S) {
    let of_family_2 = |row| RecordParts { family: id(2), ..row };
    let mut rows = [
        row(1, "alice"),
        derived(2, "alice", 1),
        derived(3, "alice", 1),
        of_family_2(derived(4, "alice", 1)),
        derived(5, "alice", 2),
        of_family_2(row(6, "alice")),
        derived(7, "alice", 3),
    ];
    put_all(store, &rows).await;
    let all_but_2 = Filter { except_family: Some(id(2)), ..Filter::of_owner(&owner("alice")) };
    let end = revocation(7, "the others");
    answers(16, "the revoke of all but a family", revoke(store, &all_but_2, &end).await, 3);
    for meant in [0, 2, 6] {
        rows[meant] = revoked_by(&rows[meant], &end);
    }
    has(16, store, &rows).await;
}

/// Checks clauses 16 and 17: a revocation decides as the rows stood before the call.
pub async fn revoke_decides_by_the_rows_as_they_stood_before<S: TokenStore>(store: &S) {
    // Each row derives from the row before. The filter matches only the first, and no longer
    // matches it once it is revoked.
    let mut rows = [row(1, "alice"), derived(2, "alice", 1), derived(3, "alice", 2)];
    rows[1].created_at = at(50);
    rows[2].created_at = at(50);
    put_all(store, &rows).await;
    let first = Filter {
        revoked: Some(false),
        created_before: Some(at(50)),
        ..Filter::of_owner(&owner("alice"))
    };
    let end = revocation(7, "the first");
    answers(16, "the revoke of a row", revoke(store, &first, &end).await, 2);
    rows[0] = revoked_by(&rows[0], &end);
    rows[1] = revoked_by(&rows[1], &end);
    has(16, store, &rows).await;
}

/// Checks clause 16: a superseded row whose end had come reaches nothing through its family.
///
/// It stays while its line is in use, and its old facts match long after.
pub async fn what_was_issued_under_a_line_in_use_survives_a_revocation_of_what_was_unused<
    S: TokenStore,
>(
    store: &S,
) {
    let end = revocation(200, "unused");
    let old = RecordParts { last_use: Some(used(10)), ..row(1, "alice") };
    let current = RecordParts {
        family: id(1),
        created_at: at(50),
        last_use: Some(used(190)),
        ..row(2, "alice")
    };
    let child = RecordParts { created_at: at(200), ..derived(3, "alice", 1) };
    // Whether it has a successor, its end, and whether it reaches the child.
    let cases = [
        (true, Expires::At(at(60)), false),
        (true, Expires::At(at(200)), false),
        (true, Expires::At(at(201)), true),
        (true, Expires::Never, true),
        (false, Expires::At(at(60)), true),
    ];
    let unrevoked = Filter { revoked: Some(false), ..Filter::of_owner(&owner("alice")) };
    for filter in [
        Filter { last_used_before: Some(at(20)), ..Filter::every_token() },
        Filter { created_before: Some(at(20)), ..Filter::every_token() },
        Filter { last_used_before: Some(at(20)), ..unrevoked },
        // Who names the token means what a thief may have issued under it.
        Filter::of_id(id(1)),
        // Who names the line means all of it, even if its current row does not match, or is gone.
        Filter { created_before: Some(at(20)), ..Filter::of_family(&owner("alice"), id(1)) },
    ] {
        for (is_superseded, expires, reaches) in cases {
            let reaches = reaches || filter.id.or(filter.family).is_some();
            let successor = is_superseded.then_some(id(2));
            let old = RecordParts { successor, expires, ..old.clone() };
            put_all(store, &[old.clone(), current.clone(), child.clone()]).await;
            let what = format!("the revoke by {filter:?} of a row with {successor:?}, {expires}");
            answers(16, &what, revoke(store, &filter, &end).await, 1 + u64::from(reaches));
            let child = if reaches { revoked_by(&child, &end) } else { child.clone() };
            has(16, store, &[revoked_by(&old, &end), current.clone(), child]).await;
            purge(store, &Purge::Matching(Filter::every_token()), 10).await;
        }
    }
}

/// Checks clause 16: a row at the greatest revision is revoked, and keeps its revision.
pub async fn revoke_saturates_the_revision<S: TokenStore>(store: &S) {
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(1, "alice") };
    let below = RecordParts { revision: TokenRecord::MAX_REVISION - 1, ..row(2, "alice") };
    put_all(store, &[full.clone(), below.clone()]).await;
    let the_revocation = revocation(9, "x");
    let count = revoke(store, &Filter::of_owner(&owner("alice")), &the_revocation).await;
    answers(16, "the revoke of rows at the greatest revision", count, 2);
    has(16, store, &[revoked_by(&full, &the_revocation), revoked_by(&below, &the_revocation)])
        .await;
}

/// Checks clause 16: the first revocation of a row stays.
pub async fn the_first_revocation_stays<S: TokenStore>(store: &S) {
    let (old, other) = (row(1, "alice"), row(2, "alice"));
    put_all(store, &[old.clone(), other.clone()]).await;
    let first = revocation(50, "first");
    answers(16, "a revoke", revoke(store, &Filter::of_id(old.id), &first).await, 1);
    // A second revocation does not overwrite it, even with an earlier instant.
    for (seconds, count) in [(60, 1), (40, 0)] {
        let second = revocation(seconds, "second");
        let filter = Filter::of_owner(&owner("alice"));
        let answer = revoke(store, &filter, &second).await;
        answers(16, "a revoke of what is revoked already, and perhaps another", answer, count);
        has(16, store, &[revoked_by(&old, &first), revoked_by(&other, &revocation(60, "second"))])
            .await;
    }
}

/// Checks clause 16, on threads: many revocations at once count each row once.
pub async fn of_many_revokes_each_row_is_counted_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..10).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |number: u64| {
            let the_revocation = revocation(9, &format!("call {number}"));
            revoke_call(store, Filter::of_owner(&owner(&who)), the_revocation)
        };
        let counts = at_once(runner, (0..CALLS).map(call).collect()).await;
        let wrong = format!("revokes of the same 10 rows answered {counts:?}");
        hold(16, counts.iter().sum::<u64>() == 10, wrong);
        let there = rows_of(&**store, &who).await;
        let once = there.iter().all(|row| row.revocation.is_some() && row.revision == 1);
        hold(16, once, format_args!("a row was revoked twice: {there:?}"));
    }
}

/// Checks clauses 13, 14, 16 and 18, on threads: nothing that runs beside a revocation undoes it.
///
/// Beside it run replaces, rotations and uses.
pub async fn a_revocation_is_never_undone_by_what_runs_beside_it<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let first = 100 * round;
        let old = row(first, &who);
        put(&**store, &old).await;
        let the_revocation = revocation(9, "the end");
        let mut calls: Vec<Call<()>> = Vec::new();
        for number in 0..CALLS {
            let (store, old, the_revocation) =
                (Arc::clone(store), old.clone(), the_revocation.clone());
            calls.push(Box::pin(async move {
                for step in 0..4 {
                    match number % 4 {
                        0 => {
                            revoke(&*store, &Filter::of_id(old.id), &the_revocation).await;
                        }
                        1 => {
                            let form = RecordParts { revision: step, ..old.clone() };
                            replace(&*store, &replace_of(&form)).await;
                        }
                        2 => {
                            let form = RecordParts { revision: step, ..old.clone() };
                            let new = first + 1 + 4 * number + step;
                            supersede(&*store, &rotation(&form, new).2).await;
                        }
                        _ => touch(&*store, &[(old.id, used(step as i64))]).await,
                    }
                }
            }));
        }
        at_once(runner, calls).await;
        let there = stored(&**store, old.id).await;
        let stands = there.revocation == Some(the_revocation) && there.seal.is_none();
        hold(16, stands, format_args!("a revocation was written over: {there:?}"));
        let latest = there.last_use.as_ref().map(|last_use| last_use.at);
        hold(18, latest == Some(at(3)), format_args!("a use was written over: {there:?}"));
    }
}

/// Checks clause 17, on threads: no successor escapes while a line is revoked and rotated at once.
pub async fn no_successor_escapes_a_revoke<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..2 * ROUNDS {
        let who = format!("owner {round}");
        let first = row(1000 * round, &who);
        put(&**store, &first).await;
        let filter = match round % 2 {
            0 => Filter::of_owner(&first.owner),
            _ => Filter::of_family(&first.owner, first.family),
        };
        let (rotating, revoking) = (Arc::clone(store), Arc::clone(store));
        let line: Call<()> = Box::pin(async move {
            let mut newest = first;
            for step in 1..200 {
                let (new, _, rotate) = rotation(&newest, newest.id.as_u64() + 1);
                match supersede(&*rotating, &rotate).await {
                    Superseded::Done => newest = new,
                    Superseded::Stale => return,
                    other => panic!("rotation {step} of a line was answered {other:?}"),
                }
            }
        });
        let the_revocation: Call<()> = Box::pin(async move {
            // Lets a few rotations happen first, so that the revocation meets the line midway.
            for _ in 0..round % 4 {
                list(&*revoking, &filter).await;
            }
            revoke(&*revoking, &filter, &revocation(9, "the end")).await;
            let living = list(&*revoking, &Filter { revoked: Some(false), ..filter }).await;
            hold(17, living.is_empty(), format_args!("a successor escaped a revoke: {living:?}"));
        });
        at_once(runner, vec![line, the_revocation]).await;
    }
}

/// Checks clauses 5 and 17, on threads: no derived token escapes while its parent is revoked.
///
/// The revocation is by id, by family or by owner.
pub async fn no_derived_token_escapes_a_revoke<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..2 * ROUNDS {
        let who = format!("owner {round}");
        let first = 1000 * round;
        let parent = RecordParts { family: id(first + 900), ..row(first, &who) };
        put(&**store, &parent).await;
        let filter = match round % 4 {
            0 => Filter::of_owner(&parent.owner),
            1 => Filter::of_family(&parent.owner, parent.family),
            2 => Filter { revoked: Some(false), ..Filter::of_id(parent.id) },
            _ => Filter::of_id(parent.id),
        };
        let issue = |thread: u64| -> Call<()> {
            let (store, who, parent) = (Arc::clone(store), who.clone(), parent.clone());
            Box::pin(async move {
                for step in 1..50 {
                    let child = derived(first + 100 * thread + step, &who, first + 900);
                    let under = Insert { under: Some(loaded(&parent)), ..insert_of(&child) };
                    if insert(&*store, &under).await != Inserted::Done {
                        return;
                    }
                }
            })
        };
        let revoking = Arc::clone(store);
        let all = Filter { revoked: Some(false), ..Filter::of_owner(&parent.owner) };
        let the_revocation: Call<()> = Box::pin(async move {
            for _ in 0..round % 4 {
                list(&*revoking, &filter).await;
            }
            revoke(&*revoking, &filter, &revocation(9, "the end")).await;
            let living = list(&*revoking, &all).await;
            hold(17, living.is_empty(), format_args!("a derived row escaped a revoke: {living:?}"));
        });
        at_once(runner, vec![issue(1), issue(2), issue(3), the_revocation]).await;
        let all = Filter { revoked: Some(false), ..Filter::of_owner(&owner(&who)) };
        let living = list(&**store, &all).await;
        hold(17, living.is_empty(), format_args!("a derived row came after a revoke: {living:?}"));
    }
}

fn revoke_call<S: TokenStore + 'static>(
    store: &Arc<S>,
    filter: Filter,
    revocation: Revocation,
) -> Call<u64> {
    let store = Arc::clone(store);
    Box::pin(async move { revoke(&*store, &filter, &revocation).await })
}
