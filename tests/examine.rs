//! Looking at tokens without letting anyone in: `examine` and `all_of`.

mod common;

use app_tokens::error::{AuthError, DenialReason};
use app_tokens::record::Status;
use app_tokens::report::OwnerTokens;
use app_tokens::{Access, NewToken, Reason, Rotation};
use common::outside::Outside;
use common::*;

#[test]
fn the_holder_of_a_whole_token_is_told_any_status() {
    let bench = bench_over(Outside::new(), policy());
    let issued = bench.issue("alice");
    let examine = || ready(bench.tokens.examine(issued.expose_secret())).unwrap();
    assert_eq!((examine().id(), examine().status()), (issued.id(), Status::Active));
    bench.clock.advance(366 * DAY);
    assert_eq!(examine().status(), Status::Expired);
    let store = bench.tokens.store();
    store.change(issued.id(), |parts| parts.owner = owner("root"));
    assert_eq!(examine().status(), Status::Tampered);
    store.restore();
    ready(bench.tokens.revoke(ops(), issued.id(), Reason::LEAKED)).unwrap();
    assert_eq!(examine().status(), Status::Revoked);
    assert_eq!(examine().revocation().unwrap().reason, Reason::LEAKED);
}

#[test]
fn the_owner_and_access_of_an_examined_token_are_named_only_while_it_is_active() {
    let bench = bench(policy());
    let access = Access::scopes(["files:read"]).unwrap();
    let new = NewToken::new("alice", "My phone", access.clone()).expires_in(DAY);
    let issued = ready(bench.tokens.issue(new)).unwrap();
    bench.assert_good(issued.expose_secret());
    let examine = || ready(bench.tokens.examine(issued.expose_secret())).unwrap();
    let examined = examine();
    let token = examined.token().unwrap();
    assert_eq!(
        (token.id(), token.owner(), token.access()),
        (issued.id(), &owner("alice"), &access)
    );
    assert!(token.last_use().is_some(), "also a use that is not written yet");
    assert_eq!(Some(token), bench.all_of("alice").first());
    bench.clock.advance(DAY);
    assert_eq!((examine().status(), examine().token()), (Status::Expired, None));
    ready(bench.tokens.revoke(ops(), issued.id(), Reason::LEAKED)).unwrap();
    assert_eq!((examine().status(), examine().token()), (Status::Revoked, None));
}

#[test]
fn a_superseded_token_is_examined_without_a_report_of_reuse() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    drop(ready(bench.tokens.rotate(ops(), issued.id(), Rotation::new())).unwrap());
    bench.heard.kinds();
    let examined = ready(bench.tokens.examine(issued.expose_secret())).unwrap();
    assert_eq!(examined.status(), Status::Superseded);
    assert_eq!(bench.heard.kinds(), ["Examined"]);
}

#[test]
fn examine_tells_nothing_without_the_whole_secret() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let other = bench.issue("alice");
    let (head, body) = (&issued.expose_secret()[..15], &other.expose_secret()[15..]);
    for (text, reason) in [
        (format!("{head}{body}"), DenialReason::Mistyped),
        (
            issued.expose_secret().replace(&issued.id().to_string(), "0000000000"),
            DenialReason::Mistyped,
        ),
    ] {
        match ready(bench.tokens.examine(&text)) {
            Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), reason),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(ready(bench.tokens.examine("hunter2")), Err(AuthError::NotOurs(_))));
    ready(bench.tokens.forget(ops(), other.id())).unwrap();
    match ready(bench.tokens.examine(other.expose_secret())) {
        Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), DenialReason::Unknown),
        other => panic!("{other:?}"),
    }
}

#[test]
fn examine_counts_as_no_use_and_is_reported_once_per_interval() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    bench.heard.kinds();
    for _ in 0..3 {
        ready(bench.tokens.examine(issued.expose_secret())).unwrap();
    }
    assert_eq!(bench.heard.kinds(), ["Examined"]);
    bench.clock.advance(secs(60));
    ready(bench.tokens.examine(issued.expose_secret())).unwrap();
    assert_eq!(bench.heard.kinds(), ["Examined"]);
    assert!(bench.all_of("alice")[0].last_use().is_none());
}

#[test]
fn all_of_lists_newest_first_with_pending_uses() {
    let bench = bench(policy());
    let mut ids = Vec::new();
    for _ in 0..5 {
        let issued = bench.issue("alice");
        ids.insert(0, issued.id());
        bench.assert_good(issued.expose_secret());
        bench.clock.advance(secs(1));
    }
    drop(bench.issue("bob"));
    ready(bench.tokens.revoke(ops(), ids[1], Reason::REQUESTED)).unwrap();
    let all = ready(bench.tokens.all_of(&owner("alice"))).unwrap();
    assert_eq!(all.tokens.iter().map(app_tokens::TokenView::id).collect::<Vec<_>>(), ids);
    assert!(all.tokens.iter().all(|token| token.last_use().is_some()));
    assert!(!all.is_cut && all.damaged.is_empty());
}

#[test]
fn dead_tokens_never_crowd_out_active_ones_and_a_cut_is_reported() {
    let policy = policy().with_no_limit_per_owner().with_never_expiring().unwrap();
    let bench = bench_over(Outside::new(), policy);
    let new = |label: &str| NewToken::new("alice", label, Access::full());
    let forever = ready(bench.tokens.issue(new("forever").never_expires())).unwrap();
    let long = ready(bench.tokens.issue(new("long").expires_in(9 * DAY))).unwrap();
    let damaged = bench.issue("alice");
    bench.tokens.store().damage(damaged.id());
    for _ in 0..OwnerTokens::MAX_TOKENS - 2 {
        bench.clock.advance(secs(1));
        drop(ready(bench.tokens.issue(new("short").expires_in(secs(1)))).unwrap());
    }
    bench.clock.advance(secs(1));
    let all = ready(bench.tokens.all_of(&owner("alice"))).unwrap();
    assert_eq!(all.tokens.len(), OwnerTokens::MAX_TOKENS);
    assert!(!all.is_cut);
    assert_eq!(all.damaged, [damaged.id()]);
    drop(ready(bench.tokens.issue(new("one more").expires_in(secs(1)))).unwrap());
    bench.clock.advance(secs(1));
    let all = ready(bench.tokens.all_of(&owner("alice"))).unwrap();
    assert!(all.is_cut && all.tokens.len() == OwnerTokens::MAX_TOKENS);
    for kept in [&forever, &long] {
        assert!(all.tokens.iter().any(|token| token.id() == kept.id()));
    }
    let is_sorted = all.tokens.is_sorted_by(|one, other| one.created_at() >= other.created_at());
    assert!(is_sorted);
}
