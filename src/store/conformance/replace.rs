//! Tests clauses 13 to 15.

use std::sync::Arc;

use super::population::dead_at_100;
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::access::Access;
use crate::record::{Expires, LastUse, LiveAt, RecordParts, TokenRecord};
use crate::store::{Insert, Inserted, Replace, Replaced, TokenStore};

/// Checks clause 13: a row is replaced only if it has the expected revision.
pub async fn replace_is_a_compare_and_swap<S: TokenStore>(store: &S) {
    let old = RecordParts { revision: 3, ..row(1, "alice") };
    let revoked = revoked_by(&row(2, "alice"), &revocation(1, "x"));
    let full = RecordParts { revision: TokenRecord::MAX_REVISION, ..row(3, "alice") };
    let mut rows = [old.clone(), revoked.clone(), full.clone()];
    put_all(store, &rows).await;
    let refused = [
        ("a row that isn't there", row(8, "alice")),
        ("an older revision", RecordParts { revision: 2, ..old.clone() }),
        ("a revision to come", RecordParts { revision: 4, ..old.clone() }),
        ("a revoked row", revoked.clone()),
        ("a revoked row, as it was before", RecordParts { revocation: None, ..revoked }),
        ("a row at the greatest revision", full),
    ];
    for (what, form) in refused {
        let form = RecordParts { label: label("renamed"), ..form };
        let answer = replace(store, &replace_of(&form)).await;
        answers(13, &format!("a replace of {what}"), answer, Replaced::Stale);
        has(13, store, &rows).await;
    }
    let form = RecordParts {
        label: label("renamed"),
        access: Access::scopes(["files:read"]).unwrap(),
        expires: Expires::Never,
        key_id: key(2),
        seal: seal(77),
        ..old
    };
    answers(13, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    rows[0] = written(&form);
    has(13, store, &rows).await;
    let last = RecordParts { revision: TokenRecord::MAX_REVISION - 1, ..row(4, "alice") };
    put(store, &last).await;
    let answer = replace(store, &replace_of(&last)).await;
    answers(13, "a replace just below the greatest revision", answer, Replaced::Done);
    is_row(13, "find", Some(&stored(store, last.id).await), &written(&last));
}

/// Checks clause 13: each request of a batch is decided on what the requests before it left.
pub async fn replace_answers_each_request_of_a_batch<S: TokenStore>(store: &S) {
    let rows: Vec<_> = (1..=5).map(|number| row(number, "alice")).collect();
    let (bobs, revoked) = (row(6, "bob"), revoked_by(&row(7, "bob"), &revocation(1, "x")));
    put_all(store, &rows).await;
    put_all(store, &[bobs.clone(), revoked.clone()]).await;
    answers(13, "an empty batch", answered(store.replace(&[]).await), vec![]);

    let named = |row: &RecordParts, text: &str| RecordParts { label: label(text), ..row.clone() };
    let unique = |form: &RecordParts| Replace { unique_label: true, ..replace_of(form) };
    let twice = named(&RecordParts { revision: 1, ..rows[0].clone() }, "twice");
    let batch = [
        (replace_of(&bobs), Replaced::Done),
        (unique(&named(&rows[0], "once")), Replaced::Done),
        (replace_of(&RecordParts { revision: 5, ..rows[1].clone() }), Replaced::Stale),
        (replace_of(&row(99, "alice")), Replaced::Stale),
        (unique(&named(&rows[2], "once")), Replaced::LabelTaken),
        (unique(&twice), Replaced::Done),
        (replace_of(&RecordParts { revocation: None, ..revoked.clone() }), Replaced::Stale),
        (unique(&named(&rows[3], "once")), Replaced::Done),
        (replace_of(&rows[0]), Replaced::Stale),
    ];
    let (asked, right): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let given = answered(store.replace(&asked).await);
    answers(13, "a batch of replaces", given, right);
    let left = [
        written(&bobs),
        revoked,
        written(&twice),
        rows[1].clone(),
        rows[2].clone(),
        written(&named(&rows[3], "once")),
        rows[4].clone(),
    ];
    has(13, store, &left).await;
}

/// Checks clause 13: a batch may be as large as the engine's, with rows of many owners.
pub async fn replace_takes_a_batch_of_many_owners<S: TokenStore>(store: &S) {
    let rows: Vec<_> = (0..500).map(|number| row(number, &format!("{}", number % 7))).collect();
    put_all(store, &rows).await;
    let moved = |row: &RecordParts| RecordParts { key_id: key(2), ..row.clone() };
    let batch: Vec<_> = rows.iter().rev().map(|row| replace_of(&moved(row))).collect();
    let given = answered(store.replace(&batch).await);
    answers(13, "a batch of many replaces", given, vec![Replaced::Done; 500]);
    let right: Vec<_> = rows.iter().map(|row| written(&moved(row))).collect();
    has(13, store, &right).await;
}

/// Checks clause 13, on threads: batches with the same rows in another order don't deadlock.
pub async fn of_many_batches_at_once_each_row_is_replaced_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let rows: Vec<_> =
            (0..6).map(|n| row(10 * round + n, &format!("owner {}", n % 2))).collect();
        put_all(&**store, &rows).await;
        let call = |number: u64| -> Call<Vec<Replaced>> {
            let (store, mut batch) = (Arc::clone(store), rows.clone());
            // Every second batch is reversed: a store that locks row by row would deadlock.
            if number.is_multiple_of(2) {
                batch.reverse();
            }
            let batch: Vec<_> = batch.iter().map(replace_of).collect();
            Box::pin(async move { answered(store.replace(&batch).await) })
        };
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let done = given.iter().flatten().filter(|answer| **answer == Replaced::Done).count();
        hold(13, done == rows.len(), format_args!("batches of the same rows answered {given:?}"));
        for row in &rows {
            is_row(13, "find", Some(&stored(&**store, row.id).await), &written(row));
        }
    }
}

/// Checks clause 14: a replace leaves last use and revocation as they are.
pub async fn replace_leaves_last_use_and_revocation<S: TokenStore>(store: &S) {
    let there = LastUse {
        at: at(50),
        address: Some("192.0.2.1".parse().unwrap()),
        client: Some("curl".into()),
    };
    let mut old = RecordParts { last_use: Some(there.clone()), ..row(1, "alice") };
    put(store, &old).await;
    for last_use in [None, Some(used(1)), Some(used(50)), Some(used(99))] {
        let form = RecordParts { last_use, ..old.clone() };
        answers(13, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
        old = RecordParts { last_use: Some(there.clone()), ..written(&form) };
        has(14, store, std::slice::from_ref(&old)).await;
    }
    let unused = row(2, "alice");
    put(store, &unused).await;
    let form = RecordParts {
        last_use: Some(used(99)),
        revocation: Some(revocation(1, "slipped in")),
        ..unused.clone()
    };
    answers(13, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    has(14, store, &[old, written(&unused)]).await;
}

/// Checks clause 15: a replace can revoke what was issued under the family.
pub async fn replace_revokes_what_was_issued_under_the_family<S: TokenStore>(store: &S) {
    let old = row(1, "alice");
    let mut rows = [
        old.clone(),
        derived(2, "alice", 1),
        revoked_by(&derived(3, "alice", 1), &revocation(1, "before")),
        derived(4, "alice", 9),
        derived(5, "bob", 1),
    ];
    put_all(store, &rows).await;
    let end = revocation(7, "narrowed");
    let stale = RecordParts { revision: 5, ..old.clone() };
    let stale = Replace { revokes_derived: Some(end.clone()), ..replace_of(&stale) };
    answers(15, "a stale replace", replace(store, &stale).await, Replaced::Stale);
    has(15, store, &rows).await;
    let form = RecordParts { access: Access::scopes(["r"]).unwrap(), ..old };
    let narrow = Replace { revokes_derived: Some(end.clone()), ..replace_of(&form) };
    answers(15, "a replace", replace(store, &narrow).await, Replaced::Done);
    rows[0] = written(&form);
    rows[1] = revoked_by(&rows[1], &end);
    has(15, store, &rows).await;
}

/// Checks clause 15: a replace can keep labels unique.
pub async fn replace_keeps_labels_unique<S: TokenStore>(store: &S) {
    let phone = |row: RecordParts| RecordParts { label: label("Phone"), ..row };
    let dead = dead_at_100("alice").map(phone);
    put_all(store, &dead).await;
    let mut old = row(1, "alice");
    put_all(store, &[old.clone(), phone(row(20, "bob"))]).await;
    let unique = |form: &RecordParts| Replace {
        unique_label: true,
        live: LiveAt::now(at(100)),
        ..replace_of(form)
    };

    let mut form = phone(old.clone());
    let answer = replace(store, &unique(&form)).await;
    answers(15, "a label that only dead rows and others have", answer, Replaced::Done);
    form.revision += 1;
    let answer = replace(store, &unique(&form)).await;
    answers(15, "the label that the row has itself", answer, Replaced::Done);
    old = written(&form);
    let other = row(2, "alice");
    put(store, &other).await;
    let answer = replace(store, &unique(&phone(other.clone()))).await;
    answers(15, "a label that a live row has", answer, Replaced::LabelTaken);
    is_row(15, "find", Some(&stored(store, other.id).await), &other);
    is_row(15, "find", Some(&stored(store, old.id).await), &old);
    let family = RecordParts { family: id(1), ..row(3, "alice") };
    put(store, &family).await;
    let answer = replace(store, &unique(&phone(family))).await;
    answers(15, "the label of its own family", answer, Replaced::Done);
    let answer = replace(store, &replace_of(&phone(other))).await;
    answers(15, "a label that need not be unique", answer, Replaced::Done);
}

/// Checks clause 13, on threads: of many replaces of one revision, one is done.
pub async fn of_many_replaces_of_one_revision_one_is_done<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let old = row(round, "alice");
        put(&**store, &old).await;
        let form =
            |number: usize| RecordParts { label: label(&format!("call {number}")), ..old.clone() };
        let call = |number: u64| replace_call(store, replace_of(&form(number as usize)));
        let given = at_once(runner, (0..CALLS).map(call).collect()).await;
        let winners: Vec<usize> =
            (0..given.len()).filter(|n| given[*n] == Replaced::Done).collect();
        let wrong = format!("replaces of one revision were answered {given:?}");
        hold(13, winners.len() == 1, wrong);
        let there = stored(&**store, old.id).await;
        is_row(13, "find", Some(&there), &written(&form(winners[0])));
    }
}

/// Checks clause 15, on threads: of many replaces with one label, one is done.
pub async fn a_label_is_taken_once_by_many_replaces_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..CALLS).map(|number| row(100 * round + number, &who)).collect();
        put_all(&**store, &rows).await;
        let call = |row: &RecordParts| {
            let form = RecordParts { label: label("Phone"), ..row.clone() };
            replace_call(store, Replace { unique_label: true, ..replace_of(&form) })
        };
        let given = at_once(runner, rows.iter().map(call).collect()).await;
        let there = rows_of(&**store, &who).await;
        let named = there.iter().filter(|row| row.label == label("Phone")).count();
        let done = given.iter().filter(|answer| **answer == Replaced::Done).count();
        let wrong = format!("{named} rows have one label after {given:?}");
        hold(15, done == 1 && named == 1, wrong);
    }
}

/// Checks clauses 7 and 15, on threads: of many inserts and replaces with one label, one is done.
pub async fn a_label_is_taken_once_by_inserts_and_replaces_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    for round in 0..ROUNDS {
        let who = format!("owner {round}");
        let rows: Vec<_> = (0..CALLS).map(|number| row(100 * round + number, &who)).collect();
        let call = |(number, row): (usize, &RecordParts)| -> Call<bool> {
            let form = RecordParts { label: label("Phone"), ..row.clone() };
            let store = Arc::clone(store);
            if number % 2 == 0 {
                let plain = insert_of(&form);
                let unique = Insert { unique_label: true, ..plain };
                return Box::pin(async move { insert(&*store, &unique).await == Inserted::Done });
            }
            let unique = Replace { unique_label: true, ..replace_of(&form) };
            Box::pin(async move { replace(&*store, &unique).await == Replaced::Done })
        };
        for row in rows.iter().skip(1).step_by(2) {
            put(&**store, row).await;
        }
        let given = at_once(runner, rows.iter().enumerate().map(call).collect()).await;
        let there = rows_of(&**store, &who).await;
        let named = there.iter().filter(|row| row.label == label("Phone")).count();
        let done = given.iter().filter(|done| **done).count();
        let wrong = format!("{named} rows have one label, and {done} were told so");
        hold(15, done == 1 && named == 1, wrong);
    }
}

fn replace_call<S: TokenStore + 'static>(store: &Arc<S>, asked: Replace) -> Call<Replaced> {
    let store = Arc::clone(store);
    Box::pin(async move { replace(&*store, &asked).await })
}
