//! Tests clauses 1 to 3, which hold for every method.

use std::sync::Arc;

use super::population::population;
use super::race::{CALLS, Call, ROUNDS, abandoned, at_once};
use super::rows::*;
use super::runner::Runner;
use crate::access::{Access, Network, Resource, Scope, Selection};
use crate::attributes::Attributes;
use crate::digest::Digest;
use crate::key::Seal;
use crate::record::{Actor, Expires, LastUse, RecordParts, Revocation, TokenRecord};
use crate::store::{Filter, Purge, Replaced, Superseded, TokenStore};
use crate::text::Operator;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Checks clause 2: every field comes back as it was given, also at its limits.
pub async fn every_field_comes_back_as_it_was_given<S: TokenStore>(store: &S) {
    let full = RecordParts {
        id: TokenId::MAX,
        // Of a newer program: a store keeps what it can't read.
        digest: Digest::from_bytes(&[0xff; Digest::MAX_BYTES]).unwrap(),
        owner: owner(&"𝕆".repeat(255)),
        label: label(&"é".repeat(128)),
        access: Access::scopes(["files:write", "files:read"])
            .and_then(|access| access.on(["photos", "docs/*", "*", "a, b", "ü'\"\\%_"].map(exact)))
            .and_then(|access| access.from_networks([network("10.0.0.0/8"), network("::/0")]))
            .unwrap(),
        attributes: attributes(Attributes::MAX_PAIRS),
        issued_by: Some(Operator::new("Eve, from support").unwrap()),
        created_at: Timestamp::MAX,
        expires: Expires::At(Timestamp::MAX),
        family: id(0),
        successor: Some(id(0)),
        derived_from: Some(TokenId::MAX),
        revocation: Some(revocation(1, "password changed")),
        last_use: Some(LastUse {
            at: Timestamp::MAX,
            address: Some("2001:db8::ffff:1".parse().unwrap()),
            client: Some("é".repeat(200).into()),
        }),
        revision: TokenRecord::MAX_REVISION,
        key_id: key(u32::MAX),
        seal: Seal::from_bytes(&[0xff; Seal::MAX_BYTES]),
    };
    let bare = RecordParts {
        id: id(0),
        digest: digest(0),
        owner: owner(" O'Hara; \"x\" % _ \\ "),
        label: label("0"),
        access: Access::from_selections(
            Selection::only([]),
            Selection::only([]),
            Selection::only([]),
        )
        .unwrap(),
        created_at: Timestamp::MIN,
        expires: Expires::At(Timestamp::MIN),
        family: TokenId::MAX,
        seal: None,
        ..row(0, "x")
    };
    let never = RecordParts {
        expires: Expires::Never,
        access: Access::full(),
        last_use: Some(LastUse {
            at: Timestamp::MIN,
            address: Some("::ffff:192.0.2.1".parse().unwrap()),
            client: Some("".into()),
        }),
        // From a newer version of this library. An older one must keep it unchanged.
        seal: Seal::from_bytes(&[0xfe; Seal::MAX_BYTES]),
        ..row(1, "NULL")
    };
    let scopes_only = RecordParts {
        access: Access::from_selections(
            Selection::only([Scope::new("*").unwrap()]),
            Selection::All,
            Selection::only([]),
        )
        .unwrap(),
        attributes: attributes(1),
        last_use: Some(LastUse {
            at: at(5),
            address: Some("192.0.2.1".parse().unwrap()),
            client: None,
        }),
        ..row(2, "alice")
    };
    let resources_only = RecordParts {
        access: Access::full()
            .on([Resource::under("/a").unwrap(), Resource::prefix("exact:").unwrap()])
            .unwrap(),
        ..row(3, "Alice")
    };
    let many = RecordParts {
        access: Access::scopes((0..Access::MAX_LISTED).map(|n| format!("{n:0128}")))
            .and_then(|access| {
                access.on((0..Access::MAX_LISTED).map(|n| exact(&format!("𝕆{n:0253}"))))
            })
            .and_then(|access| {
                access
                    .from_networks((0..Access::MAX_LISTED).map(|n| network(&format!("10.0.0.{n}"))))
            })
            .unwrap(),
        ..row(4, "alice")
    };
    let rows = [full, bare, never, scopes_only, resources_only, many];
    put_all(store, &rows).await;
    has(2, store, &rows).await;
    // Owners are compared byte for byte.
    let alices = list(store, &Filter::of_owner(&owner("alice"))).await;
    hold(2, alices.len() == 2, "`alice` and `Alice` are not two owners");
}

/// Checks clause 2: rows come back if they are revoked, superseded, expired or used.
pub async fn rows_of_every_state_come_back<S: TokenStore>(store: &S) {
    let mut rows = population();
    let operator = Operator::new("owner").unwrap();
    for (number, by) in
        [Actor::from(owner(" alice ")), Actor::Engine, operator.into()].into_iter().enumerate()
    {
        let revocation = Revocation { by, ..revocation(9, "x") };
        rows.push(revoked_by(&row(200 + number as u64, "alice"), &revocation));
    }
    put_all(store, &rows).await;
    has(2, store, &rows).await;
}

fn exact(name: &str) -> Resource {
    Resource::exact(name).unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

/// Makes attributes of the greatest length, with characters that a store may handle wrongly.
fn attributes(count: usize) -> Attributes {
    (0..count).fold(Attributes::new(), |attributes, n| {
        attributes.with(format!("{n:0>64}"), format!("a b = '\"\\%_ {}", "𝕆".repeat(240))).unwrap()
    })
}

/// Checks clause 1: a call is done entirely or not at all, even if its future is dropped.
///
/// A host drops the future of a call when its client disconnects. The store must go on working.
pub async fn a_call_that_is_abandoned_happens_wholly_or_not_at_all<S: TokenStore>(store: &S) {
    for polls in 0..12 {
        let who = format!("owner {polls}");
        let old = row(10 * polls, &who);
        let child = derived(10 * polls + 1, &who, 10 * polls);
        put_all(store, &[old.clone(), child.clone()]).await;

        let (new, form, mut rotate) = rotation(&old, 10 * polls + 2);
        rotate.revokes_derived = true;
        let revoked_child = revoked_by(&child, &rotate.revocation);
        abandoned(polls as usize, store.supersede(&rotate)).await;
        let all_or_none =
            [vec![old.clone(), child.clone()], vec![written(&form), revoked_child, new.clone()]];
        let rows = rows_of(store, &who).await;
        hold(
            1,
            all_or_none.contains(&rows),
            format_args!("a part of a rotation is there: {rows:?}"),
        );

        let all = Filter::of_owner(&owner(&who));
        let the_revocation = revocation(9, "abandoned");
        abandoned(polls as usize, store.revoke(&all, &the_revocation)).await;
        let living =
            rows_of(store, &who).await.iter().filter(|row| row.revocation.is_none()).count();
        hold(1, living != 1, "a part of a revoke is done");
        revoke(store, &all, &the_revocation).await;
        let living =
            rows_of(store, &who).await.iter().filter(|row| row.revocation.is_none()).count();
        hold(1, living == 0, "after a call that was abandoned, the next one is not done");
    }
}

/// Checks clause 3: the same call made twice changes nothing more.
///
/// If an answer was lost, the engine makes the call again.
pub async fn a_call_that_is_repeated_changes_nothing_more<S: TokenStore>(store: &S) {
    let (old, other) = (row(1, "alice"), row(2, "alice"));
    put_all(store, &[old.clone(), other.clone()]).await;

    let (new, form, rotate) = rotation(&old, 3);
    answers(8, "a rotation", supersede(store, &rotate).await, Superseded::Done);
    let old = written(&form);
    answers(4, "the same rotation again", supersede(store, &rotate).await, Superseded::IdTaken);
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    let form = RecordParts { label: label("renamed"), ..other.clone() };
    answers(13, "a replace", replace(store, &replace_of(&form)).await, Replaced::Done);
    let again = replace(store, &replace_of(&form)).await;
    answers(13, "the same replace again", again, Replaced::Stale);
    let other = written(&form);
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    touch(store, &[(new.id, used(9))]).await;
    touch(store, &[(new.id, used(9))]).await;
    let new = RecordParts { last_use: Some(used(9)), ..new };
    has(3, store, &[old.clone(), other.clone(), new.clone()]).await;

    let filter = Filter::of_id(other.id);
    let first = revocation(20, "first");
    answers(16, "a revoke", revoke(store, &filter, &first).await, 1);
    let again = revoke(store, &filter, &revocation(30, "again")).await;
    answers(16, "the same revoke again", again, 0);
    has(3, store, &[old.clone(), revoked_by(&other, &first), new.clone()]).await;

    let purged = Purge::Matching(filter);
    answers(19, "a purge", purge(store, &purged, 10).await, 1);
    answers(19, "the same purge again", purge(store, &purged, 10).await, 0);
    has(3, store, &[old, new]).await;
}

/// Checks clauses 1 and 11: every call that begins after an answer sees its effect, on any thread.
pub async fn an_answer_is_seen_by_every_thread_at_once<S: TokenStore + 'static>(
    store: &Arc<S>,
    runner: Runner,
) {
    let read = |row: TokenId| -> Call<Option<RecordParts>> {
        let store = Arc::clone(store);
        Box::pin(async move { parts_of(answered(store.find(row).await).as_ref()) })
    };
    for round in 0..ROUNDS {
        let row = row(round, "alice");
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        hold(11, seen.iter().all(Option::is_none), "a row is there before its insert");
        put(&**store, &row).await;
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        hold(
            1,
            seen.iter().flatten().count() == seen.len(),
            "an insert is not seen by a later find",
        );
        revoke(&**store, &Filter::of_id(row.id), &revocation(9, "x")).await;
        let seen = at_once(runner, (0..CALLS).map(|_| read(row.id)).collect()).await;
        let revoked = |row: &RecordParts| row.revocation.is_some();
        hold(11, seen.iter().flatten().all(revoked), "a find after a revoke gives the old row");
    }
}
