//! `authenticate`: which texts are good, denied or not ours.

use app_tokens::error::{AuthError, DenialReason};
use app_tokens::store::MemoryStore;
use app_tokens::{Access, NewToken, Origin, Reason};
use support::text::same_id_other_secret;

use super::common::*;

#[test]
fn a_token_ends_at_its_expiry_to_the_second_and_no_purge_is_needed() {
    let bench = bench(policy());
    let new = NewToken::new("alice", "x", Access::full()).expires_in(secs(100));
    let issued = bench.tokens.block_on(bench.tokens.issue(new)).unwrap();
    for (seconds, good) in [(0, true), (99, true), (100, false), (101, false), (1 << 32, false)] {
        bench.clock.set(at(seconds));
        if good {
            bench.assert_good(issued.expose_secret());
        } else {
            bench.assert_denied(issued.expose_secret(), DenialReason::Expired);
        }
    }
}

#[test]
fn a_clock_that_runs_far_backwards_is_a_failure_and_not_a_denial() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    bench.clock.set(at(-300));
    bench.assert_good(issued.expose_secret());
    bench.clock.set(at(-301));
    bench.assert_failed(issued.expose_secret());
    assert_eq!(bench.all_of("alice")[0].status(), None, "a list doesn't fail for it");
}

#[test]
fn a_text_without_our_form_is_not_ours_and_one_with_it_is_denied() {
    let bench = bench(policy());
    let not_ours = |text: &str| {
        matches!(bench.tokens.block_on(bench.tokens.authenticate(text)), Err(AuthError::NotOurs(_)))
    };
    for password in [
        "",
        " ",
        "hunter2",
        "acme_",
        "acme_hunter2",
        "other_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92",
    ] {
        assert!(not_ours(password), "{password:?}");
    }
    assert!(not_ours(&"x".repeat(1_000_000)));
    bench
        .assert_denied("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", DenialReason::Unknown);
    bench.assert_denied(
        "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93",
        DenialReason::Mistyped,
    );
    assert_eq!(bench.heard.kinds(), ["Denied", "Denied"]);
}

#[test]
fn every_denial_looks_the_same() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let expired = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).expires_in(secs(1))))
        .unwrap();
    let revoked = bench.issue("alice");
    tokens.block_on(tokens.revoke(&operator("ops"), revoked.id(), Reason::REQUESTED)).unwrap();
    let good = bench.issue("alice");
    let wrong_secret = same_id_other_secret(good.expose_secret());
    bench.clock.advance(secs(5));
    let texts = [
        (expired.expose_secret(), DenialReason::Expired),
        (revoked.expose_secret(), DenialReason::Revoked),
        (&*wrong_secret, DenialReason::WrongSecret),
        ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", DenialReason::Unknown),
        ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93", DenialReason::Mistyped),
    ];
    for (text, reason) in texts {
        bench.assert_denied(text, reason);
        let error = tokens.block_on(tokens.authenticate(text)).unwrap_err();
        assert_eq!(error.to_string(), "the token is not valid");
    }
    let other_owner = tokens
        .block_on(tokens.authenticate_as(&owner("bob"), good.expose_secret(), Origin::unknown()))
        .unwrap_err();
    assert_eq!(other_owner.to_string(), "the token is not valid");
    assert!(
        tokens
            .block_on(tokens.authenticate_as(
                &owner("alice"),
                good.expose_secret(),
                Origin::unknown()
            ))
            .is_ok()
    );
}

#[test]
fn a_token_typed_by_hand_authenticates() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let text = issued.expose_secret();
    let grouped: Vec<&str> =
        text.as_bytes()[5..].chunks(5).map(|g| std::str::from_utf8(g).unwrap()).collect();
    bench.assert_good(&format!(" ACME_{} ", grouped.join("-").to_uppercase()));
    bench.assert_good(&format!("acme_{}", grouped.join(" ").replace('0', "O").replace('1', "l")));
}

#[test]
fn a_former_prefix_is_accepted_and_not_issued() {
    let store = MemoryStore::new();
    let old = bench_over(store.clone(), policy().with_realm("files").unwrap());
    let issued = old.issue("alice");
    let renamed = app_tokens::Policy::new("newbrand").unwrap().with_realm("files").unwrap();
    let new = bench_over(store, renamed.with_former_prefix("acme").unwrap());
    new.assert_good(issued.expose_secret());
    assert!(new.issue("alice").expose_secret().starts_with("newbrand_"));
}

/// So that a host can log which token lacked a scope: that is no event.
#[test]
fn the_id_of_a_token_is_known_before_a_scope_is_required() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let read = Access::scopes(["files:read"]).unwrap();
    let issued = tokens.block_on(tokens.issue(NewToken::new("alice", "x", read))).unwrap();
    bench.heard.texts();
    let authenticated = tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap();
    assert_eq!(authenticated.id(), issued.id());
    assert!(authenticated.require("files:write").is_err());
    assert_eq!(bench.heard.kinds(), ["FirstUse"]);
}
