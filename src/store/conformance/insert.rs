//! Tests clauses 4, 5, 6 and 7.

use std::sync::Arc;

use super::population::dead_at_100;
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::record::{Expires, LiveAt, RecordParts};
use crate::store::{Insert, Inserted, TokenStore};

/// Checks clause 4: `insert` never overwrites a row.
pub async fn insert_never_overwrites<S: TokenStore>(store: &S) {
    let (first, revoked) = (row(1, "alice"), revoked_by(&row(2, "alice"), &revocation(1, "x")));
    let rows = [first, revoked];
    put_all(store, &rows).await;
    for number in [1, 2] {
        let same = rows[number as usize - 1].clone();
        let others = [
            same,
            row(number, "bob"),
            RecordParts { label: label("other"), revision: 7, ..row(number, "alice") },
        ];
        for other in others {
            let answer = insert(store, &insert_of(&other)).await;
            answers(4, "an insert under an id that is taken", answer, Inserted::IdTaken);
            has(4, store, &rows).await;
        }
    }
}

/// Checks clause 4, on threads: of many inserts of one id, one is done.
pub async fn of_many_inserts_of_one_id_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let call = |number: u64| {
            let other =
                RecordParts { label: label(&format!("call {number}")), ..row(round, "alice") };
            insert_call(store, insert_of(&other))
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right = given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::IdTaken));
        hold(
            4,
            right && done(&given) == 1,
            format_args!("inserts of one id were answered {given:?}"),
        );
        let winner = given.iter().position(|answer| *answer == Inserted::Done).unwrap();
        let there = stored(&**store, id(round)).await;
        let wrong = "the row is not the one whose insert was answered Done";
        hold(4, there.label == label(&format!("call {winner}")), wrong);
    }
}

/// Checks clause 5: the parent must be current and have the same owner.
pub async fn insert_under_a_token_needs_it_current_and_of_the_same_owner<S: TokenStore>(store: &S) {
    let parent = row(1, "alice");
    let bobs = row(2, "bob");
    let revoked = revoked_by(&row(3, "alice"), &revocation(1, "x"));
    let changed = RecordParts { revision: 7, ..row(5, "alice") };
    let mut rows = vec![parent.clone(), bobs.clone(), revoked.clone(), changed.clone()];
    put_all(store, &rows).await;
    for (parent, what) in [
        (row(9, "alice"), "a token that isn't there"),
        (bobs, "another owner's"),
        (revoked.clone(), "a revoked one"),
        (
            RecordParts { revocation: None, revision: 0, ..revoked },
            "one that was revoked since it was read",
        ),
        (RecordParts { revision: 6, ..changed }, "one that was changed since it was read"),
    ] {
        let under = Insert { under: Some(loaded(&parent)), ..insert_of(&derived(4, "alice", 1)) };
        answers(
            5,
            &format!("an insert under {what}"),
            insert(store, &under).await,
            Inserted::Stale,
        );
        has(5, store, &rows).await;
    }
    let child = derived(4, "alice", 1);
    let under = Insert { under: Some(loaded(&parent)), ..insert_of(&child) };
    answers(5, "an insert under a live token", insert(store, &under).await, Inserted::Done);
    rows.push(child);
    has(5, store, &rows).await;
}

/// Checks clause 6: the limit counts the owner's live rows of other families, and no others.
pub async fn limit_counts_the_owners_live_rows_of_other_families<S: TokenStore>(store: &S) {
    let limited = |row: &RecordParts, limit| Insert {
        limit: Some(limit),
        live: LiveAt::now(at(100)),
        ..insert_of(row)
    };
    put_all(store, &dead_at_100("alice")).await;
    put_all(store, &[row(20, "bob"), row(21, "Alice")]).await;
    let answer = insert(store, &limited(&row(1, "alice"), 0)).await;
    answers(6, "the first live row where none is allowed", answer, Inserted::LimitReached);
    let ends_next = RecordParts { expires: Expires::At(at(101)), ..row(1, "alice") };
    let answer = insert(store, &limited(&ends_next, 1)).await;
    answers(6, "the first live row beside dead ones", answer, Inserted::Done);
    for limit in [0, 1] {
        let answer = insert(store, &limited(&row(2, "alice"), limit)).await;
        answers(6, "an insert at or past the limit", answer, Inserted::LimitReached);
    }
    let same_family = RecordParts { family: id(1), ..row(2, "alice") };
    let answer = insert(store, &limited(&same_family, 1)).await;
    answers(6, "an insert beside its own family only", answer, Inserted::Done);
    let answer = insert(store, &limited(&row(3, "alice"), u32::MAX)).await;
    answers(6, "an insert under a limit that is far", answer, Inserted::Done);
    let answer = insert(store, &limited(&row(4, "alice"), 3)).await;
    answers(6, "a fourth live row where three are allowed", answer, Inserted::LimitReached);
    let there = rows_of(store, "alice").await.len();
    hold(6, there == dead_at_100("alice").len() + 3, "a row is there that was refused");
}

/// Checks clauses 6 and 7: with an idle time-out, a row that was not used for long is not live.
pub async fn a_row_that_was_not_used_for_long_takes_no_place<S: TokenStore>(store: &S) {
    let live = LiveAt { now: at(100), used_after: Some(at(50)) };
    let phone = |number| RecordParts { label: label("Phone"), ..row(number, "alice") };
    let seen = |number, seconds| RecordParts { last_use: Some(used(seconds)), ..phone(number) };
    // Not used; used too early; used so far in the future that it is not believed.
    put_all(store, &[phone(1), seen(2, 50), seen(3, 401)]).await;
    let asked = |number, limit| Insert {
        live,
        limit: Some(limit),
        unique_label: true,
        ..insert_of(&RecordParts { created_at: at(100), ..phone(number) })
    };
    answers(6, "an insert beside idle rows", insert(store, &asked(4, 1)).await, Inserted::Done);
    let answer = insert(store, &asked(5, 1)).await;
    answers(6, "an insert beside a row that was made lately", answer, Inserted::LimitReached);
    let answer = insert(store, &asked(5, 2)).await;
    answers(7, "the label of a row that was made lately", answer, Inserted::LabelTaken);
    for seconds in [51, 400] {
        let who = format!("used at {seconds}");
        let theirs = |row: RecordParts| RecordParts { owner: owner(&who), ..row };
        let number = 10 + seconds as u64;
        put(store, &theirs(seen(number, seconds))).await;
        let mut next = asked(number + 1, 1);
        next.row = loaded(&theirs(phone(number + 1)));
        let answer = insert(store, &next).await;
        answers(6, &format!("an insert beside a row {who}"), answer, Inserted::LimitReached);
    }
}

/// Checks clause 6, on threads: many inserts at once don't exceed the limit.
pub async fn a_limit_holds_against_many_inserts_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let call = |number: u64| {
            let plain = insert_of(&row(100 * round + number, &who));
            insert_call(store, Insert { limit: Some(3), ..plain })
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right =
            given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::LimitReached));
        let there = rows_of(&**store, &who).await.len();
        let wrong = format!("with a limit of 3, {there} rows are there after {given:?}");
        hold(6, right && done(&given) == 3 && there == 3, wrong);
    }
}

/// Checks clause 7: the label must differ from those of the owner's live rows in other families.
pub async fn unique_label_looks_at_the_owners_live_rows_of_other_families<S: TokenStore>(
    store: &S,
) {
    let named =
        |number, who: &str, text: &str| RecordParts { label: label(text), ..row(number, who) };
    let unique = |row: &RecordParts| Insert {
        unique_label: true,
        live: LiveAt::now(at(100)),
        ..insert_of(row)
    };
    let dead = dead_at_100("alice").map(|row| RecordParts { label: label("Phone"), ..row });
    put_all(store, &dead).await;
    put(store, &named(20, "bob", "Phone")).await;
    let answer = insert(store, &unique(&named(1, "alice", "Phone"))).await;
    answers(7, "a label that only dead rows and others have", answer, Inserted::Done);
    let answer = insert(store, &unique(&named(2, "alice", "Phone"))).await;
    answers(7, "a label that a live row has", answer, Inserted::LabelTaken);
    // Labels that are not equal byte for byte: another case, a longer text, wildcards of SQL, a
    // letter that only looks the same.
    for (number, text) in [(3, "phone"), (4, "Phone 2"), (5, "Ph_ne"), (6, "P%"), (7, "Рhone")] {
        let answer = insert(store, &unique(&named(number, "alice", text))).await;
        answers(7, &format!("the other label {text:?}"), answer, Inserted::Done);
    }
    let same_family = RecordParts { family: id(1), ..named(8, "alice", "Phone") };
    let answer = insert(store, &unique(&same_family)).await;
    answers(7, "the label of its own family", answer, Inserted::Done);
    let answer = insert(store, &insert_of(&named(9, "alice", "Phone"))).await;
    answers(7, "a label that need not be unique", answer, Inserted::Done);
}

/// Checks clause 7, on threads: of many inserts with one label, one is done.
pub async fn a_label_is_taken_once_by_many_inserts_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let call = |number: u64| {
            let named = RecordParts { label: label("Phone"), ..row(100 * round + number, &who) };
            insert_call(store, Insert { unique_label: true, ..insert_of(&named) })
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let right =
            given.iter().all(|answer| matches!(answer, Inserted::Done | Inserted::LabelTaken));
        let there = rows_of(&**store, &who).await.len();
        let wrong = format!("{there} rows have one label after {given:?}");
        hold(7, right && done(&given) == 1 && there == 1, wrong);
    }
}

/// Checks clauses 4 to 7: if several refuse, the first in their order decides the answer.
pub async fn the_first_refusal_answers<S: TokenStore>(store: &S) {
    let there = row(1, "alice");
    let revoked = revoked_by(&row(2, "alice"), &revocation(1, "x"));
    put_all(store, &[there.clone(), revoked.clone()]).await;
    let refused = |row: &RecordParts| Insert {
        row: loaded(row),
        limit: Some(0),
        unique_label: true,
        ..insert_of(row)
    };
    let new = RecordParts { label: there.label.clone(), ..row(3, "alice") };
    let taken = Insert { under: Some(loaded(&revoked)), ..refused(&there) };
    answers(4, "an insert that all refuse", insert(store, &taken).await, Inserted::IdTaken);
    let under = Insert { under: Some(loaded(&revoked)), ..refused(&new) };
    answers(
        5,
        "an insert that `under` refuses first",
        insert(store, &under).await,
        Inserted::Stale,
    );
    let answer = insert(store, &refused(&new)).await;
    answers(6, "an insert that the limit refuses first", answer, Inserted::LimitReached);
    let answer = insert(store, &Insert { limit: Some(2), ..refused(&new) }).await;
    answers(7, "an insert that the label refuses", answer, Inserted::LabelTaken);
    has(4, store, &[there, revoked]).await;
}

pub(super) fn insert_call<S: TokenStore + 'static>(
    store: &Arc<S>,
    asked: Insert,
) -> Call<Inserted> {
    let store = Arc::clone(store);
    Box::pin(async move { insert(&*store, &asked).await })
}

pub(super) fn done(given: &[Inserted]) -> usize {
    given.iter().filter(|answer| **answer == Inserted::Done).count()
}
