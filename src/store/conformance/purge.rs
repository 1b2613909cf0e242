//! Tests clause 19.

use std::sync::Arc;

use super::population::{FACTS, filters, population};
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::record::{RecordParts, TokenRecord};
use crate::store::{Filter, Purge, PurgeCutoff, TokenStore};

/// Checks clause 19: a purge deletes exactly what [`Purge`] says.
pub async fn purge_deletes_what_it_selects<S: TokenStore>(store: &S) {
    let rows = population();
    let mut purges: Vec<Purge> = filters().into_iter().take(FACTS).map(Purge::Matching).collect();
    for ended_by in [-100, 0, 10, 19, 20, 49, 50, 999, 1000, 5000] {
        for (unused_since, now) in [
            (None, 100),
            (None, 5000),
            (Some(-10), 100),
            (Some(0), 60),
            (Some(30), 999),
            (Some(30), 1000),
        ] {
            let unused_since = unused_since.map(at);
            purges.push(Purge::Dead(PurgeCutoff {
                ended_by: at(ended_by),
                unused_since,
                now: at(now),
            }));
        }
    }
    put_all(store, &rows).await;
    for asked in purges {
        let selected = |row: &RecordParts| match &asked {
            Purge::Matching(filter) => filter.matches(&loaded(row)),
            Purge::Dead(cutoff) => is_dead(row, &rows, cutoff),
        };
        let (gone, left): (Vec<RecordParts>, _) = rows.iter().cloned().partition(selected);
        let count = purge(store, &asked, 10_000).await;
        answers(19, &format!("{asked:?}"), count, gone.len() as u64);
        has(19, store, &left).await;
        put_all(store, &gone).await;
    }
}

/// Returns whether a cutoff selects a row, written as directly as its documentation says.
fn is_dead(row: &RecordParts, rows: &[RecordParts], cutoff: &PurgeCutoff) -> bool {
    let PurgeCutoff { ended_by, unused_since, now } = *cutoff;
    let last_seen = TokenRecord::from_parts(row.clone()).last_seen(now);
    let has_ended = row.revocation.as_ref().is_some_and(|revocation| revocation.at <= ended_by)
        || row.expires.has_come(ended_by)
        || unused_since.is_some_and(|since| last_seen <= since);
    let is_needed_by = |other: &RecordParts| {
        let derives = other.derived_from == Some(row.family);
        let is_of_the_line = row.successor.is_some() && other.family == row.family;
        (derives || is_of_the_line)
            && other.id != row.id
            && other.owner == row.owner
            && other.revocation.is_none()
            && !other.expires.has_come(now)
    };
    has_ended && !rows.iter().any(is_needed_by)
}

/// Checks clause 19: a dead row stays while a live row derives from its family.
///
/// A revocation reaches the derived row through it.
pub async fn purge_spares_a_family_from_which_a_living_row_derives<S: TokenStore>(store: &S) {
    let in_use = |row| RecordParts { last_use: Some(used(900)), ..row };
    let child = in_use(derived(3, "alice", 1));
    // Family 1 has two rows without a successor. Family 4 has a derived row of another owner.
    let (first, second) = (row(1, "alice"), RecordParts { family: id(1), ..row(2, "alice") });
    let (alone, not_its) = (row(4, "alice"), in_use(derived(5, "bob", 4)));
    put_all(store, &[first.clone(), second.clone(), child.clone(), not_its.clone(), alone]).await;
    let idle = |now| {
        Purge::Dead(PurgeCutoff { ended_by: at(0), unused_since: Some(at(800)), now: at(now) })
    };
    answers(19, "a purge beside a living derived row", purge(store, &idle(999), 9).await, 1);
    has(19, store, &[first, second, child, not_its]).await;
    let by_family = Filter::of_family(&owner("alice"), id(1));
    let count = revoke(store, &by_family, &revocation(950, "requested")).await;
    answers(16, "the revocation of an idle family with a derived row", count, 3);
    answers(19, "a purge beside a revoked derived row", purge(store, &idle(999), 9).await, 2);
}

/// Checks clause 19: a purge deletes no more rows than its limit.
pub async fn purge_deletes_no_more_than_its_limit<S: TokenStore>(store: &S) {
    let rows: Vec<_> = (0..7).map(|number| row(number, "alice")).collect();
    put_all(store, &rows).await;
    put(store, &row(9, "bob")).await;
    let by_owner = Purge::Matching(Filter::of_owner(&owner("alice")));
    let dead = Purge::Dead(PurgeCutoff { ended_by: at(0), unused_since: Some(at(0)), now: at(0) });
    for (asked, limit, deleted, left) in [
        (&by_owner, 0, 0, 8),
        (&dead, 0, 0, 8),
        (&dead, 1, 1, 7),
        (&by_owner, 0, 0, 7),
        (&dead, 2, 2, 5),
    ] {
        let count = purge(store, asked, limit).await;
        answers(19, &format!("{asked:?} with a limit of {limit}"), count, deleted);
        let there = list(store, &Filter::every_token()).await.len();
        hold(19, there == left, format_args!("a purge of {deleted} rows left {there}, not {left}"));
    }
    let before = rows_of(store, "alice").await.len() as u64;
    let bobs = rows_of(store, "bob").await.len();
    answers(19, "the purge of an owner", purge(store, &by_owner, u32::MAX).await, before);
    hold(19, rows_of(store, "bob").await.len() == bobs, "another owner's row was deleted");
    hold(19, rows_of(store, "alice").await.is_empty(), "a row is left after a purge");
}

/// Checks clause 19: a last use far in the future, from a broken clock, keeps no row.
pub async fn purge_does_not_believe_a_use_far_in_the_future<S: TokenStore>(store: &S) {
    let seen = |number, seconds| RecordParts { last_use: Some(used(seconds)), ..row(number, "a") };
    let rows = [seen(1, 1000), seen(2, 1301), seen(3, 1300)];
    put_all(store, &rows).await;
    let idle = PurgeCutoff { ended_by: at(-5), unused_since: Some(at(999)), now: at(1000) };
    answers(19, "a purge of idle rows", purge(store, &Purge::Dead(idle), 9).await, 1);
    has(19, store, &[rows[0].clone(), rows[2].clone()]).await;
}

/// Checks clause 19, on threads: many purges at once count each row once.
pub async fn of_many_purges_each_row_is_counted_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..20).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |_| -> Call<u64> {
            let (store, owner) = (Arc::clone(store), owner(&who));
            Box::pin(
                async move { purge(&*store, &Purge::Matching(Filter::of_owner(&owner)), 4).await },
            )
        };
        let counts = at_once(runner, (0..CALLS).map(call).collect()).await;
        let left = rows_of(&**store, &who).await.len() as u64;
        let wrong = format!("purges by 4 of 20 rows answered {counts:?}, and {left} are left");
        let added_up = counts.iter().sum::<u64>() + left == 20;
        hold(19, added_up && counts.iter().all(|count| *count <= 4), wrong);
    }
}
