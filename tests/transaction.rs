//! The engine inside a transaction of the host's: what is done, and when the observer hears of it.

mod common;

use app_tokens::error::ManageError;
use app_tokens::store::{Filter, MemoryStore};
use app_tokens::{Access, NewToken, Reason};
use common::*;

#[test]
fn the_observer_hears_of_a_change_only_when_its_events_are_sent() {
    let store = MemoryStore::new();
    let bench = bench_over(store.clone(), policy());
    let old = bench.issue("alice");
    bench.heard.texts();
    let within = bench.tokens.in_transaction(store);
    let issued =
        within.block_on(within.issue(NewToken::new("alice", "New", Access::full()))).unwrap();
    assert_eq!(within.block_on(within.revoke(&ops(), old.id(), Reason::REQUESTED)).unwrap(), 1);
    let all = Filter::of_owner(&owner("alice"));
    assert_eq!(
        within.block_on(within.revoke_matching(&ops(), &all, Reason::REQUESTED)).unwrap(),
        1
    );
    let events = within.into_events();
    assert_eq!(bench.heard.texts(), [""; 0]);
    let shown = format!("{events:?}");
    assert!(shown.starts_with("[Issued") && !shown.contains(issued.expose_secret()), "{shown}");
    events.send();
    assert_eq!(bench.heard.kinds(), ["Issued", "Revoked", "Revoked"]);
}

#[test]
fn the_observer_never_hears_of_what_was_rolled_back() {
    let bench = bench(policy());
    let within = bench.tokens.in_transaction(MemoryStore::new());
    let _issued =
        within.block_on(within.issue(NewToken::new("alice", "New", Access::full()))).unwrap();
    drop(within.into_events());
    let within = bench.tokens.in_transaction(MemoryStore::new());
    let _issued =
        within.block_on(within.issue(NewToken::new("alice", "New", Access::full()))).unwrap();
    drop(within);
    assert_eq!(bench.heard.texts(), [""; 0]);
}

#[test]
fn a_change_outside_an_open_transaction_sends_its_event_at_once() {
    let store = MemoryStore::new();
    let bench = bench_over(store.clone(), policy());
    let within = bench.tokens.in_transaction(store);
    let _inside =
        within.block_on(within.issue(NewToken::new("alice", "Inside", Access::full()))).unwrap();
    let _outside = bench.issue("alice");
    assert_eq!(bench.heard.kinds(), ["Issued"]);
    within.into_events().send();
    assert_eq!(bench.heard.kinds(), ["Issued"]);
}

#[test]
fn a_use_that_only_the_transaction_wrote_is_not_forgotten() {
    let (kept, rolled_back) = (MemoryStore::new(), MemoryStore::new());
    let bench = bench_over(kept, policy());
    let token = bench.issue("alice");
    bench.assert_good(token.expose_secret());
    let within = bench.tokens.in_transaction(rolled_back);
    let unused = Filter { last_used_before: Some(at(1)), ..Filter::of_owner(&owner("alice")) };
    within.block_on(within.revoke_matching(&ops(), &unused, Reason::REQUESTED)).unwrap();
    drop(within);
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    let row = ready(app_tokens::store::TokenStore::find(bench.tokens.store(), token.id())).unwrap();
    assert!(row.unwrap().record().unwrap().last_use().is_some());
}

#[test]
fn limit_and_owner_rules_hold_inside_a_transaction() {
    let store = MemoryStore::new();
    let bench = bench_over(store.clone(), policy().with_max_per_owner(1).unwrap());
    let token = bench.issue("alice");
    let within = bench.tokens.in_transaction(store);
    assert!(
        within.block_on(within.issue(NewToken::new("alice", "One more", Access::full()))).is_err()
    );
    let bob = owner("bob");
    let others = within.block_on(within.revoke(&bob, token.id(), Reason::REQUESTED));
    assert!(matches!(others, Err(ManageError::Unknown)), "{others:?}");
    bench.assert_good(token.expose_secret());
}
