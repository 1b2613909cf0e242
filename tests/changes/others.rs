//! Revoking all tokens of an owner but one.

use app_tokens::error::ChangeError;
use app_tokens::record::{Actor, Status};
use app_tokens::store::RuntimeFree;
use app_tokens::{Access, NewToken, Reason, Requirement, Rotation};

use super::common::*;

on_both_stores! {
    all_others_end_and_the_line_that_stays_goes_on_with_what_was_issued_under_it
    nothing_is_revoked_if_the_one_that_stays_is_no_active_token_of_the_actor
}

fn all_others_end_and_the_line_that_stays_goes_on_with_what_was_issued_under_it(
    store: impl RuntimeFree,
) {
    let bench = bench_over(store, policy());
    let tokens = &bench.tokens;
    let (old, lost, bobs) = (bench.issue("alice"), bench.issue("alice"), bench.issue("bob"));
    let overlap = Rotation::new().overlap(DAY);
    let kept = tokens.block_on(tokens.rotate(&owner("alice"), old.id(), overlap)).unwrap();
    let under = |text: &str| {
        let caller = tokens.block_on(tokens.authenticate(text)).unwrap();
        let caller = caller.require(Requirement::ANY_VALID_TOKEN).unwrap();
        let new = NewToken::new("alice", "child", Access::full());
        tokens.block_on(tokens.issue_under(&caller, new)).unwrap()
    };
    let (child, lost_child) = (under(kept.expose_secret()), under(lost.expose_secret()));
    let others = |by: Actor, kept| tokens.block_on(tokens.revoke_others(by, kept, Reason::LEAKED));
    assert_eq!(others(owner("alice").into(), kept.id()).unwrap(), 2);
    for good in [&old, &kept, &child, &bobs] {
        bench.assert_good(good.expose_secret());
    }
    for ended in [&lost, &lost_child] {
        assert_eq!(bench.see(ended).status(), Some(Status::Revoked));
    }
    // A child stays alone if it is named itself.
    assert_eq!(others(ops().into(), child.id()).unwrap(), 2);
    bench.assert_good(child.expose_secret());
}

fn nothing_is_revoked_if_the_one_that_stays_is_no_active_token_of_the_actor(
    store: impl RuntimeFree,
) {
    let bench = bench_over(store, policy());
    let tokens = &bench.tokens;
    let (stays, old, revoked) = (bench.issue("alice"), bench.issue("alice"), bench.issue("alice"));
    let new = NewToken::new("alice", "short", Access::full()).expires_in(secs(9));
    let expired = tokens.block_on(tokens.issue(new)).unwrap();
    bench.clock.advance(secs(9));
    tokens.block_on(tokens.revoke(ops(), revoked.id(), Reason::LEAKED)).unwrap();
    let overlap = Rotation::new().overlap(DAY);
    let next = tokens.block_on(tokens.rotate(&ops(), old.id(), overlap)).unwrap();
    let bobs = bench.issue("bob");
    let gone = bench.issue("alice").id();
    tokens.block_on(tokens.forget(ops(), gone)).unwrap();
    let refused = |id| {
        let alice = owner("alice");
        tokens.block_on(tokens.revoke_others(alice, id, Reason::REQUESTED)).unwrap_err()
    };
    assert!(matches!(refused(revoked.id()), ChangeError::NotActive(Status::Revoked)));
    assert!(matches!(refused(expired.id()), ChangeError::NotActive(Status::Expired)));
    assert!(matches!(refused(old.id()), ChangeError::Rotated { current } if current == next.id()));
    for unknown in [gone, bobs.id()] {
        assert!(matches!(refused(unknown), ChangeError::Unknown));
    }
    for good in [&stays, &old, &next, &bobs] {
        bench.assert_good(good.expose_secret());
    }
}
