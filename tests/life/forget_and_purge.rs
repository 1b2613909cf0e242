//! `forget` and `purge`: which rows are deleted, and which are kept.

use app_tokens::error::{DenialReason, ManageError};
use app_tokens::store::Filter;
use app_tokens::{Access, NewToken, Reason};

use super::common::*;

#[test]
fn a_forgotten_token_leaves_nothing_behind() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (one, other) = (bench.issue("alice"), bench.issue("alice"));
    assert_eq!(tokens.block_on(tokens.forget(&owner("alice"), one.id())).unwrap(), 1);
    bench.assert_denied(one.expose_secret(), DenialReason::Unknown);
    bench.assert_good(other.expose_secret());
    assert!(matches!(
        tokens.block_on(tokens.forget(&owner("alice"), one.id())),
        Err(ManageError::Unknown)
    ));
    assert_eq!(tokens.block_on(tokens.forget_owner(&owner("alice"), &operator("ops"))).unwrap(), 1);
    assert!(bench.all_of("alice").is_empty());
    assert_eq!(tokens.block_on(tokens.forget_owner(&owner("alice"), &operator("ops"))).unwrap(), 0);
    assert!(bench.heard.kinds().contains(&"Forgotten".to_owned()));
}

#[test]
fn an_owner_with_more_tokens_than_one_batch_is_forgotten_completely() {
    let bench = bench(policy().with_no_limit_per_owner());
    (0..2500).for_each(|_| drop(bench.issue("alice")));
    assert_eq!(
        bench
            .tokens
            .block_on(bench.tokens.forget_owner(&owner("alice"), &operator("ops")))
            .unwrap(),
        2500
    );
}

#[test]
fn a_purge_deletes_what_has_been_dead_for_longer_than_retention_and_nothing_else() {
    let bench = bench(policy().with_retention(secs(100)));
    let tokens = &bench.tokens;
    let living = bench.issue("alice");
    let expiring = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).expires_in(secs(50))))
        .unwrap();
    let revoked = bench.issue("alice");
    bench.clock.set(at(60));
    tokens.block_on(tokens.revoke(&operator("ops"), revoked.id(), Reason::REQUESTED)).unwrap();
    for (seconds, deleted) in [(149, 0), (150, 1), (159, 0), (160, 1), (100_000, 0)] {
        bench.clock.set(at(seconds));
        assert_eq!(tokens.block_on(tokens.purge()).unwrap(), deleted, "at {seconds}");
    }
    bench.assert_denied(expiring.expose_secret(), DenialReason::Unknown);
    bench.assert_denied(revoked.expose_secret(), DenialReason::Unknown);
    bench.assert_good(living.expose_secret());
}

#[test]
fn an_idle_token_is_purged_when_retention_has_passed_since_it_went_idle() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap().with_retention(DAY));
    let _upkeep = bench.tokens.upkeep();
    drop(bench.issue("alice"));
    bench.clock.set(at(2 * 86_400 - 1));
    assert_eq!(bench.tokens.block_on(bench.tokens.purge()).unwrap(), 0);
    bench.clock.set(at(2 * 86_400));
    assert_eq!(bench.tokens.block_on(bench.tokens.purge()).unwrap(), 1);
}

/// Otherwise no revocation of the parent, or of its family, would find what was issued under it.
#[test]
fn an_idle_token_is_kept_while_what_was_issued_under_it_lives() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap().with_retention(DAY));
    let _upkeep = bench.tokens.upkeep();
    let tokens = &bench.tokens;
    let parent = bench.issue("alice");
    let caller = any(tokens.block_on(tokens.authenticate(parent.expose_secret())).unwrap());
    let child = tokens
        .block_on(tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())))
        .unwrap();
    for hour in 1..=60 {
        bench.clock.set(at(hour * 3600));
        bench.assert_good(child.expose_secret());
        assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 0, "after {hour} hours");
    }
    bench.assert_denied(parent.expose_secret(), DenialReason::Idle);
    tokens.block_on(tokens.revoke(&operator("ops"), parent.id(), Reason::REQUESTED)).unwrap();
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
    bench.clock.set(at((60 + 24) * 3600));
    assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 2, "nothing holds it any more");
}

/// A revocation of all others ends the parent and spares the child that asked for it. A second one
/// must still find the child.
#[test]
fn a_revoked_token_is_kept_while_what_was_issued_under_it_was_spared() {
    let bench = bench(policy().with_retention(DAY));
    let (tokens, ops) = (&bench.tokens, &operator("ops"));
    let parent = bench.issue("alice");
    let caller = any(tokens.block_on(tokens.authenticate(parent.expose_secret())).unwrap());
    let child = tokens
        .block_on(tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())))
        .unwrap();
    let others = Filter { except_family: Some(child.id()), ..Filter::of_owner(&owner("alice")) };
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(ops, &others, Reason::REQUESTED)).unwrap(),
        1
    );
    bench.clock.set(at(10 * 86_400));
    assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 0);
    bench.assert_good(child.expose_secret());
    let family = Filter::of_family(&owner("alice"), parent.id());
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(ops, &family, Reason::REQUESTED)).unwrap(),
        1
    );
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
}
