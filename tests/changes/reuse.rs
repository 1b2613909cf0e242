//! A superseded token that is presented again.

use app_tokens::error::DenialReason;
use app_tokens::{Reason, Reuse};

use super::common::outside::Outside;
use super::common::*;
use support::text::same_id_other_secret;

#[test]
fn a_superseded_token_that_is_presented_is_denied_and_reported_once_per_interval() {
    let bench = bench(policy().with_usage_interval(secs(60)));
    let old = bench.issue("alice");
    let new = bench.rotate(&old, 0);
    bench.heard.texts();
    let reported = |seconds| {
        bench.clock.set(at(seconds));
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
        bench.heard.kinds().into_iter().filter(|kind| kind == "Reused").count()
    };
    let times = [(0, 1), (0, 0), (59, 0), (60, 1), (61, 0), (119, 0), (120, 1), (100_000, 1)];
    for (seconds, right) in times {
        assert_eq!(reported(seconds), right, "at {seconds}");
    }
    bench.assert_good(new.expose_secret());
}

#[test]
fn no_reuse_is_reported_in_the_overlap_or_without_the_secret() {
    let bench = bench(policy().with_reuse(Reuse::RevokeFamily));
    let old = bench.issue("alice");
    let new = bench.rotate(&old, 100);
    bench.assert_good(old.expose_secret());
    bench.clock.set(at(100));
    let guess = same_id_other_secret(old.expose_secret());
    bench.assert_denied(&guess, DenialReason::WrongSecret);
    assert!(!bench.heard.kinds().contains(&"Reused".to_owned()));
    bench.assert_good(new.expose_secret());
}

#[test]
fn a_clock_slightly_behind_reports_no_reuse_twice() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let _new = bench.rotate(&old, 0);
    bench.heard.texts();
    for seconds in [10, 9, 10] {
        bench.clock.set(at(seconds));
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    }
    assert_eq!(bench.heard.kinds(), ["Reused", "Denied", "Denied", "Denied"]);
}

#[test]
fn a_reuse_revokes_the_whole_family_if_the_policy_says_so() {
    let bench = bench(policy().with_reuse(Reuse::RevokeFamily));
    let first = bench.issue("alice");
    let second = bench.rotate(&first, 0);
    let third = bench.rotate(&second, 0);
    let child = bench.issue_under(&third);
    let (others, bobs) = (bench.issue("alice"), bench.issue("bob"));
    bench.heard.texts();
    bench.assert_denied(first.expose_secret(), DenialReason::Superseded);
    for ended in [&first, &second, &third, &child] {
        bench.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        assert_eq!(bench.see(ended).revocation().unwrap().reason, Reason::REUSED);
    }
    bench.assert_good(others.expose_secret());
    bench.assert_good(bobs.expose_secret());
    let kinds = bench.heard.kinds();
    assert_eq!(&kinds[..3], ["Revoked", "Reused", "Denied"]);
    assert_eq!(kinds.iter().filter(|kind| *kind == "Revoked" || *kind == "Reused").count(), 2);
}

#[test]
fn a_tampered_row_of_a_superseded_token_revokes_no_family() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy().with_reuse(Reuse::RevokeFamily));
    let (hers, mallorys) = (bench.issue("alice"), bench.issue("mallory"));
    drop(bench.rotate(&mallorys, 0));
    store.change(mallorys.id(), |parts| {
        (parts.owner, parts.family) = (owner("alice"), hers.id());
    });
    bench.assert_denied(mallorys.expose_secret(), DenialReason::Tampered);
    bench.assert_good(hers.expose_secret());
}
