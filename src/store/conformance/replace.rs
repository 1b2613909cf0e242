//! Clauses 14 to 16.

use std::sync::Arc;

use super::population::dead_at_100;
use super::race::{CALLS, Call, ROUNDS, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::access::Access;
use crate::record::{Expires, LastUse, LiveAt, RecordParts, TokenRecord};
use crate::store::{Insert, Inserted, Replace, Replaced, TokenStore};

/// Checks clause 14.
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
        answers(14, &format!("a replace of {what}"), answer, Replaced::Stale);
        has(14, store, &rows).await;
    }
    let form = RecordParts {
        label: label("renamed"),
        access: Access::scopes(["files:read"]).unwrap(),
        expires: Expires::Never,
        key_id: key(2),
        seal: seal(77),
        ..old
    };
    answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    rows[0] = written(&form);
    has(14, store, &rows).await;
    let last = RecordParts { revision: TokenRecord::MAX_REVISION - 1, ..row(4, "alice") };
    put(store, &last).await;
    let answer = replace(store, &replace_of(&last)).await;
    answers(14, "a replace just below the greatest revision", answer, Replaced::Done);
    is_row(14, "find", Some(&stored(store, last.id).await), &written(&last));
}

/// Checks clause 15.
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
        answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
        old = RecordParts { last_use: Some(there.clone()), ..written(&form) };
        has(15, store, std::slice::from_ref(&old)).await;
    }
    let unused = row(2, "alice");
    put(store, &unused).await;
    let form = RecordParts {
        last_use: Some(used(99)),
        revocation: Some(revocation(1, "slipped in")),
        ..unused.clone()
    };
    answers(14, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    has(15, store, &[old, written(&unused)]).await;
}

/// Checks clause 16.
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
    answers(16, "a stale replace", replace(store, &stale).await, Replaced::Stale);
    has(16, store, &rows).await;
    let form = RecordParts { access: Access::scopes(["r"]).unwrap(), ..old };
    let narrow = Replace { revokes_derived: Some(end.clone()), ..replace_of(&form) };
    answers(16, "a replace", replace(store, &narrow).await, Replaced::Done);
    rows[0] = written(&form);
    rows[1] = revoked_by(&rows[1], &end);
    has(16, store, &rows).await;
}

/// Checks clause 16.
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
    answers(16, "a label that only dead rows and others have", answer, Replaced::Done);
    form.revision += 1;
    let answer = replace(store, &unique(&form)).await;
    answers(16, "the label that the row has itself", answer, Replaced::Done);
    old = written(&form);
    let other = row(2, "alice");
    put(store, &other).await;
    let answer = replace(store, &unique(&phone(other.clone()))).await;
    answers(16, "a label that a live row has", answer, Replaced::LabelTaken);
    is_row(16, "find", Some(&stored(store, other.id).await), &other);
    is_row(16, "find", Some(&stored(store, old.id).await), &old);
    let family = RecordParts { family: id(1), ..row(3, "alice") };
    put(store, &family).await;
    let answer = replace(store, &unique(&phone(family))).await;
    answers(16, "the label of its own family", answer, Replaced::Done);
    let answer = replace(store, &replace_of(&phone(other))).await;
    answers(16, "a label that need not be unique", answer, Replaced::Done);
}

/// Checks clause 14, on threads.
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
        hold(14, winners.len() == 1, wrong);
        let there = stored(&**store, old.id).await;
        is_row(14, "find", Some(&there), &written(&form(winners[0])));
    }
}

/// Checks clause 16, on threads.
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
        hold(16, done == 1 && named == 1, wrong);
    }
}

/// Checks clauses 10 and 16, on threads: some rows are inserted with a label, and others take it.
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
        hold(16, done == 1 && named == 1, wrong);
    }
}

fn replace_call<S: TokenStore + 'static>(store: &Arc<S>, asked: Replace) -> Call<Replaced> {
    let store = Arc::clone(store);
    Box::pin(async move { replace(&*store, &asked).await })
}
