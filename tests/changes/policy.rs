//! What another policy would do to a token.

use app_tokens::error::DenialReason;
use app_tokens::record::Expires;
use app_tokens::report::PolicyConflict;
use app_tokens::store::MemoryStore;
use app_tokens::{IssuedToken, Policy};

use super::common::*;

#[test]
fn a_policy_says_what_it_would_do_to_a_token() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let day = |days: i64| at(days * 86_400);
    let token = bench.issue("alice");
    let view = || bench.see(&token);
    assert_eq!(policy().conflicts_with(&view()), []);

    let idle = policy().with_idle_timeout(3 * DAY).unwrap();
    assert_eq!(idle.conflicts_with(&view()), [PolicyConflict::GoesIdle { at: day(3) }]);
    bench.clock.set(day(2));
    bench.assert_good(token.expose_secret());
    assert_eq!(idle.conflicts_with(&view()), [PolicyConflict::GoesIdle { at: day(5) }]);
    let beyond_its_end = policy().with_idle_timeout(363 * DAY).unwrap();
    assert_eq!(beyond_its_end.conflicts_with(&view()), [], "it expires then anyway");
    let just_before = policy().with_idle_timeout(363 * DAY - secs(1)).unwrap();
    let at_last = PolicyConflict::GoesIdle { at: at(365 * 86_400 - 1) };
    assert_eq!(just_before.conflicts_with(&view()), [at_last]);

    let year = |days| policy().with_max_life(days * DAY).unwrap();
    assert_eq!(year(365).conflicts_with(&view()), []);
    let too_late = PolicyConflict::EndsTooLate { latest: day(364) };
    assert_eq!(year(364).conflicts_with(&view()), [too_late]);

    tokens.block_on(tokens.extend(&ops(), token.id(), Expires::Never)).unwrap();
    let allows = policy().with_never_expiring().unwrap();
    assert_eq!(allows.conflicts_with(&view()), []);
    assert_eq!(policy().conflicts_with(&view()), [PolicyConflict::NeverExpires]);
    let both = [PolicyConflict::EndsTooLate { latest: day(364) }, PolicyConflict::NeverExpires];
    assert_eq!(year(364).conflicts_with(&view()), both);
    bench.revoke(&token);
    assert_eq!(year(1).conflicts_with(&view()), [], "a dead token has no conflicts");
}

#[test]
fn what_a_policy_predicts_comes_true() {
    let foretold = |policy: &Policy, bench: &Bench<MemoryStore>, token: &IssuedToken| match policy
        .conflicts_with(&bench.see(token))[..]
    {
        [PolicyConflict::GoesIdle { at }] => at,
        ref other => panic!("{other:?}"),
    };
    let stricter = policy().with_idle_timeout(2 * DAY).unwrap();
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let token = before.issue("alice");
    before.clock.set(at(1000));
    drop(any(before.tokens.block_on(before.tokens.authenticate(token.expose_secret())).unwrap()));
    before.tokens.block_on(before.tokens.flush_usage()).unwrap();
    let goes_idle = foretold(&stricter, &before, &token);
    let after = bench_over(store, stricter);
    let _upkeep = after.tokens.upkeep();
    after.clock.set(goes_idle);
    after.assert_denied(token.expose_secret(), DenialReason::Idle);
    after.clock.set(goes_idle.saturating_sub(secs(1)));
    after.assert_good(token.expose_secret());
}
