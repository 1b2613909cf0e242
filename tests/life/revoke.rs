//! `revoke` and `revoke_matching`: which tokens end, and when.

use app_tokens::error::{DenialReason, ManageError};
use app_tokens::record::Status;
use app_tokens::store::Filter;
use app_tokens::{Reason, TokenId};

use super::common::*;

#[test]
fn a_revoked_token_is_denied_at_once_and_the_first_instant_and_reason_stay() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let issued = bench.issue("alice");
    let alice = owner("alice");
    bench.clock.set(at(10));
    assert_eq!(tokens.block_on(tokens.revoke(&alice, issued.id(), Reason::REQUESTED)).unwrap(), 1);
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    bench.clock.set(at(20));
    assert_eq!(
        tokens.block_on(tokens.revoke(&operator("ops"), issued.id(), Reason::LEAKED)).unwrap(),
        0
    );
    let view = tokens.block_on(tokens.find(&alice, issued.id())).unwrap();
    let revocation = view.revocation().unwrap();
    assert_eq!((revocation.at, &revocation.reason), (at(10), &Reason::REQUESTED));
    assert_eq!(view.status(), Some(Status::Revoked));
    let unknown = TokenId::from_u64(1).unwrap();
    assert!(matches!(
        tokens.block_on(tokens.revoke(&alice, unknown, Reason::REQUESTED)),
        Err(ManageError::Unknown)
    ));
    assert_eq!(bench.heard.kinds(), ["Issued", "Revoked", "Denied"]);
}

#[test]
fn all_tokens_of_an_owner_end_in_one_act_and_one_event() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let hers: Vec<_> = (0..5).map(|_| bench.issue("alice")).collect();
    let kept = bench.issue("alice");
    let his = bench.issue("bob");
    bench.heard.texts();
    let others = Filter { except_family: Some(kept.id()), ..Filter::of_owner(&owner("alice")) };
    let reason = Reason::new("password changed").unwrap();
    assert_eq!(
        tokens.block_on(tokens.revoke_matching(&owner("alice"), &others, reason)).unwrap(),
        5
    );
    hers.iter().for_each(|token| bench.assert_denied(token.expose_secret(), DenialReason::Revoked));
    bench.assert_good(kept.expose_secret());
    bench.assert_good(his.expose_secret());
    let heard = bench.heard.texts();
    assert_eq!(heard.iter().filter(|text| text.starts_with("Revoked")).count(), 1);
    assert!(
        heard[0].contains("count: 5, is_certain: true") && heard[0].contains("password changed"),
        "{}",
        heard[0]
    );
}

#[test]
fn tokens_unused_since_a_date_exclude_those_with_pending_uses() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (unused, used) = (bench.issue("alice"), bench.issue("alice"));
    bench.clock.set(at(1000));
    bench.assert_good(used.expose_secret()); // noted, not written
    let stale = Filter { last_used_before: Some(at(500)), ..Filter::every_token() };
    assert_eq!(
        tokens
            .block_on(tokens.revoke_matching(&operator("cron"), &stale, Reason::REQUESTED))
            .unwrap(),
        1
    );
    bench.assert_denied(unused.expose_secret(), DenialReason::Revoked);
    bench.assert_good(used.expose_secret());
}
