//! Tests clause 18.

use std::sync::Arc;

use super::population::population;
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::record::{LastUse, RecordParts};
use crate::store::TokenStore;

/// Checks clause 18: a use never replaces a later one.
pub async fn touch_goes_forwards_only<S: TokenStore>(store: &S) {
    let from = |seconds, address: Option<&str>, client: Option<&str>| LastUse {
        at: at(seconds),
        address: address.map(|address| address.parse().unwrap()),
        client: client.map(Into::into),
    };
    let mut rows = [row(1, "alice"), row(2, "alice")];
    put_all(store, &rows).await;
    let steps = [
        (from(10, Some("192.0.2.1"), Some("curl")), true),
        (from(9, Some("192.0.2.2"), None), false),
        (from(10, Some("192.0.2.3"), Some("rclone")), false),
        (from(11, Some("2001:db8::1"), Some("rclone")), true),
        (from(12, None, None), true),
        (from(-5, None, Some("late")), false),
    ];
    for (last_use, is_later) in steps {
        touch(store, &[(id(9), last_use.clone()), (id(1), last_use.clone())]).await;
        if is_later {
            rows[0].last_use = Some(last_use);
        }
        has(18, store, &rows).await;
    }
    // A batch may name a row twice, with the later use first or last.
    touch(store, &[(id(2), used(30)), (id(2), used(31)), (id(1), used(31)), (id(1), used(30))])
        .await;
    rows.iter_mut().for_each(|row| row.last_use = Some(used(31)));
    has(18, store, &rows).await;
    touch(store, &[]).await;
    has(18, store, &rows).await;
}

/// Checks clause 18: a stored use far in the future, from a broken clock, is replaced.
pub async fn touch_overwrites_a_use_far_in_the_future<S: TokenStore>(store: &S) {
    let mut rows = [row(1, "alice"), row(2, "alice")];
    put_all(store, &rows).await;
    touch(store, &[(id(1), used(1301)), (id(2), used(1300))]).await;
    // 1301 is the first second that is more than five minutes after 1000.
    let uses = [(id(1), used(999)), (id(2), used(999))];
    answered(store.touch(&uses, at(1000)).await);
    rows[0].last_use = Some(used(999));
    rows[1].last_use = Some(used(1300));
    has(18, store, &rows).await;
}

/// Checks clause 18: a touch changes nothing but the last use, in rows of every state.
pub async fn touch_changes_nothing_else<S: TokenStore>(store: &S) {
    let mut rows = population();
    put_all(store, &rows).await;
    let uses: Vec<_> = rows.iter().map(|row| (row.id, used(9_999))).collect();
    touch(store, &uses).await;
    rows.iter_mut().for_each(|row| row.last_use = Some(used(9_999)));
    has(18, store, &rows).await;
}

/// Checks clause 18: a batch may be as large as the engine's.
pub async fn touch_takes_a_thousand_uses<S: TokenStore>(store: &S) {
    let mut rows: Vec<_> = (0..20).map(|number| row(50 * number, "alice")).collect();
    put_all(store, &rows).await;
    let uses: Vec<_> = (0..1000).map(|number| (id(number), used(number as i64))).collect();
    touch(store, &uses).await;
    for row in &mut rows {
        row.last_use = Some(used(row.id.as_u64() as i64));
    }
    has(18, store, &rows).await;
}

/// Checks clause 18, on threads: of many touches at once, the latest use stays.
pub async fn of_many_touches_at_once_the_latest_use_stays<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let rows = [row(2 * round, "alice"), row(2 * round + 1, "alice")];
        put_all(&**store, &rows).await;
        let call = |number: u64| -> Call<()> {
            let (store, mut ids) = (Arc::clone(store), rows.clone().map(|row| row.id));
            // Every second batch is reversed: a store that locks row by row would deadlock.
            if number.is_multiple_of(2) {
                ids.reverse();
            }
            Box::pin(async move {
                touch(&*store, &ids.map(|id| (id, used(number as i64)))).await;
            })
        };
        at_once(runner, (0..CALLS).rev().map(call).collect()).await;
        for row in rows {
            let right = RecordParts { last_use: Some(used(CALLS as i64 - 1)), ..row };
            is_row(18, "find", Some(&stored(&**store, right.id).await), &right);
        }
    }
}
