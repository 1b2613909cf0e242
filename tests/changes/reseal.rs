//! Moving rows to another key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use app_tokens::error::{DenialReason, RetireError};
use app_tokens::record::{Expires, KeyId};
use app_tokens::store::{MemoryStore, RuntimeFree};
use app_tokens::{Access, IssuedToken, KeyRing, NewToken};

use super::common::outside::Outside;
use super::common::*;

on_both_stores! {
    a_reseal_moves_every_row_and_nobody_is_denied_meanwhile
}

fn key(number: u32) -> KeyId {
    KeyId::new(number).unwrap()
}

fn a_reseal_moves_every_row_and_nobody_is_denied_meanwhile(store: impl RuntimeFree + Clone) {
    let policy = policy().with_no_limit_per_owner();
    let before = bench_with_ring(store.clone(), two_keys(), policy.clone());
    // More than one page of the walk.
    let issued: Vec<IssuedToken> = (0..700).map(|_| before.issue("alice")).collect();
    let revoked = before.issue("alice");
    before.revoke(&revoked);
    let after = bench_with_ring(store, two_keys_turned(), policy);
    let tokens = &after.tokens;
    assert_eq!(tokens.block_on(tokens.keys_in_use()).unwrap(), [(key(1), 700)]);
    assert!(matches!(
        tokens.block_on(tokens.may_retire(key(1))),
        Err(RetireError::InUse { rows: 700 })
    ));
    assert!(matches!(tokens.block_on(tokens.may_retire(key(2))), Err(RetireError::Active)));

    let is_done = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut rounds = 0;
            while !is_done.load(Ordering::Relaxed) || rounds == 0 {
                for token in issued.iter().step_by(7) {
                    after.assert_good(token.expose_secret());
                    before.assert_good(token.expose_secret());
                }
                rounds += 1;
            }
        });
        let report = tokens.block_on(tokens.reseal());
        is_done.store(true, Ordering::Relaxed);
        clients.join().unwrap();
        report.unwrap()
    });
    assert_eq!((report.moved, report.left, report.tampered), (700, vec![], vec![]));
    assert!(report.trusted.is_empty());
    assert_eq!(tokens.block_on(tokens.keys_in_use()).unwrap(), [(key(2), 700)]);
    assert!(tokens.block_on(tokens.may_retire(key(1))).is_ok());
    assert_eq!(tokens.block_on(tokens.reseal()).unwrap().moved, 0);
    after.assert_denied(revoked.expose_secret(), DenialReason::Revoked);
    after.assert_good(issued[0].expose_secret());
}

#[test]
fn a_reseal_reports_its_progress_even_if_it_can_move_nothing() {
    let store = MemoryStore::new();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let [_, revoked, _] = ["alice", "bob", "carol"].map(|owner| before.issue(owner));
    before.revoke(&revoked);
    let told_by = |ring, moved| {
        let (after, mut told) = (bench_with_ring(store.clone(), ring, policy()), Vec::new());
        let tell = |at: app_tokens::report::ResealProgress| told.push((at.done, at.total));
        let report = after.tokens.block_on(after.tokens.reseal_with_progress(tell)).unwrap();
        assert_eq!(report.moved, moved);
        told
    };
    let without_the_old_key = KeyRing::parse(OTHER_KEYS).unwrap();
    assert_eq!(told_by(without_the_old_key, 0), [(0, 2), (1, 2), (2, 2)]);
    assert_eq!(told_by(two_keys_turned(), 2), [(0, 2), (1, 2), (2, 2)]);
    assert_eq!(told_by(two_keys_turned(), 0), [(0, 0)]);
}

#[test]
fn after_a_reseal_the_old_key_is_not_needed() {
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let parent = before.issue("alice");
    let child = before.issue_under(&parent);
    let old = before.issue("alice");
    let new = before.rotate(&old, 100);
    let turned = bench_with_ring(store.clone(), two_keys_turned(), policy());
    turned.heard.texts();
    assert_eq!(turned.tokens.block_on(turned.tokens.reseal()).unwrap().moved, 4);
    assert_eq!(turned.heard.kinds(), ["Resealed"]);
    let after = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    for token in [&parent, &child, &old, &new] {
        after.assert_good(token.expose_secret());
    }
    let view = after.see(&old);
    assert_eq!((view.successor(), view.expires()), (Some(new.id()), Expires::At(at(100))));
    assert_eq!(after.see(&child).derived_from(), Some(parent.id()));
}

#[test]
fn a_row_under_a_key_that_the_ring_lacks_is_left_and_counted() {
    let store = MemoryStore::new();
    let first = bench_over(store.clone(), policy());
    let token = first.issue("alice");
    let other = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let report = other.tokens.block_on(other.tokens.reseal()).unwrap();
    assert_eq!((report.moved, &report.left[..]), (0, &[(key(1), 1)][..]));
    assert!(report.tampered.is_empty(), "a missing key says nothing about a row");
    first.assert_good(token.expose_secret());
    assert!(matches!(
        other.tokens.block_on(other.tokens.may_retire(key(1))),
        Err(RetireError::InUse { rows: 1 })
    ));
}

#[test]
fn a_damaged_row_under_a_key_keeps_it_in_the_ring() {
    let file = super::file::File::new();
    let before = bench_with_ring(file.open(), two_keys(), policy());
    let [damaged, _] = ["alice", "bob"].map(|owner| before.issue(owner));
    let id = damaged.id().as_u64().cast_signed();
    let write = |label| {
        let raw = file.raw();
        raw.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
        raw.execute("UPDATE app_tokens SET label = ?2 WHERE id = ?1", (id, label)).unwrap();
    };
    write("");
    let after = bench_with_ring(file.open(), two_keys_turned(), policy());
    let tokens = &after.tokens;
    assert_eq!(tokens.block_on(tokens.reseal()).unwrap().moved, 1);
    let may_retire = || tokens.block_on(tokens.may_retire(key(1)));
    assert!(matches!(may_retire(), Err(RetireError::InUse { rows: 1 })));
    // Its label can be repaired, and it is good again, as its key is still there.
    write("My phone");
    after.assert_good(damaged.expose_secret());
    write("");
    after.revoke(&damaged);
    assert!(may_retire().is_ok());
}

#[test]
fn a_row_changed_during_a_reseal_is_left_for_the_next_one() {
    let store = Outside::new();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let token = before.issue("alice");
    let after = bench_with_ring(store.clone(), two_keys_turned(), policy());
    let (other_host, id) = (before.tokens.clone(), token.id());
    store.before_the_next_write(move || {
        other_host.block_on(other_host.rename(&ops(), id, "Tablet")).unwrap();
    });
    let report = after.tokens.block_on(after.tokens.reseal()).unwrap();
    assert_eq!((report.moved, &report.left[..]), (0, &[(key(1), 1)][..]));
    assert_eq!(after.tokens.block_on(after.tokens.reseal()).unwrap().moved, 1);
    assert_eq!(after.see(&token).label().as_str(), "Tablet");
}

#[test]
fn a_lost_key_is_named_in_the_event_and_report_of_trusted_rows() {
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let token = before.issue("alice");
    let after = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    after.assert_failed(token.expose_secret());
    let report = after
        .tokens
        .block_on(after.tokens.danger_reseal_without_proof(key(1), &operator("ops")))
        .unwrap();
    assert_eq!((report.moved, &report.trusted[..]), (1, &[token.id()][..]));
    let [heard] = &after.heard.texts()[..] else { panic!("one event") };
    assert!(heard.contains("trusted_by: Some(Operator(\"ops\"))"), "{heard}");
    after.assert_good(token.expose_secret());
    assert!(
        after
            .tokens
            .block_on(after.tokens.issue(NewToken::new("bob", "x", Access::full())))
            .is_ok()
    );
}
