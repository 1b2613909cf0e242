//! Clause 21.

use std::sync::Arc;

use super::population::{FACTS, filters, population};
use super::race::{Call, at_once};
use super::rows::*;
use super::{CALLS, ROUNDS, Runner};
use crate::record::{RecordParts, TokenRecord};
use crate::store::{Dead, Filter, Purge, TokenStore};

/// Clause 21: against [`Purge::selects`].
pub async fn purge_deletes_what_it_selects<S: TokenStore>(store: &S) {
    let rows = population();
    let mut purges: Vec<Purge> = filters().into_iter().take(FACTS).map(Purge::Matching).collect();
    for ended_by in [-100, 0, 10, 19, 20, 49, 50, 999, 1000, 5000] {
        for (unused_since, now) in
            [(None, 100), (None, 5000), (Some(-10), 100), (Some(0), 60), (Some(30), 100)]
        {
            let unused_since = unused_since.map(at);
            purges.push(Purge::Dead(Dead { ended_by: at(ended_by), unused_since, now: at(now) }));
        }
    }
    put_all(store, &rows).await;
    for asked in purges {
        let selected = |row: &RecordParts| {
            let family_lives = || {
                let Purge::Dead(dead) = &asked else { return false };
                rows.iter().any(|other| {
                    (&other.owner, other.family) == (&row.owner, row.family)
                        && other.id != row.id
                        && other.revocation.is_none()
                        && !other.expires.has_come(dead.now)
                })
            };
            asked.selects(&TokenRecord::from_parts(row.clone()), family_lives)
        };
        let (gone, left): (Vec<RecordParts>, _) = rows.iter().cloned().partition(selected);
        let count = purge(store, &asked, 10_000).await;
        answers(21, &format!("{asked:?}"), count, gone.len() as u64);
        has(21, store, &left).await;
        put_all(store, &gone).await;
    }
}

/// Clause 21.
pub async fn purge_deletes_no_more_than_its_limit<S: TokenStore>(store: &S) {
    let rows: Vec<_> = (0..7).map(|number| row(number, "alice")).collect();
    put_all(store, &rows).await;
    put(store, &row(9, "bob")).await;
    let by_owner = Purge::Matching(Filter::of_owner(&owner("alice")));
    let dead = Purge::Dead(Dead { ended_by: at(0), unused_since: Some(at(0)), now: at(0) });
    for (asked, limit, deleted, left) in [
        (&by_owner, 0, 0, 8),
        (&dead, 0, 0, 8),
        (&dead, 1, 1, 7),
        (&by_owner, 0, 0, 7),
        (&dead, 2, 2, 5),
    ] {
        let count = purge(store, asked, limit).await;
        answers(21, &format!("{asked:?} with a limit of {limit}"), count, deleted);
        let there = list(store, &Filter::every_token()).await.len();
        hold(21, there == left, format_args!("a purge of {deleted} rows left {there}, not {left}"));
    }
    let before = rows_of(store, "alice").await.len() as u64;
    let bobs = rows_of(store, "bob").await.len();
    answers(21, "an owner's erasure", purge(store, &by_owner, u32::MAX).await, before);
    hold(21, rows_of(store, "bob").await.len() == bobs, "another owner's row was deleted");
    hold(21, rows_of(store, "alice").await.is_empty(), "a row is left after an erasure");
}

/// Clause 21, on threads: the counts add up.
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
        hold(21, added_up && counts.iter().all(|count| *count <= 4), wrong);
    }
}
