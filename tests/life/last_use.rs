//! Last uses: when they are recorded, listed and written, and tokens that go idle.

use std::net::IpAddr;

use app_tokens::error::{DenialReason, Failed, IssueError};
use app_tokens::{Access, NewToken, Origin, Reason};

use super::common::*;

#[test]
fn a_use_is_listed_before_it_is_written_and_written_when_flushed() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let stored = || {
        let row = ready(app_tokens::store::TokenStore::find(bench.tokens.store(), issued.id()));
        row.unwrap().unwrap().record().unwrap().last_use().map(|last_use| last_use.at)
    };
    bench.clock.set(at(5));
    bench.assert_good(issued.expose_secret());
    assert_eq!(bench.all_of("alice")[0].last_use().unwrap().at, at(5));
    assert_eq!(stored(), None, "nothing is written on the way of a login");
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    assert_eq!(stored(), Some(at(5)));
}

#[test]
fn a_use_is_recorded_once_per_interval_even_by_clones_and_after_a_flush() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    let clone = bench.tokens.clone();
    let last = || bench.all_of("alice")[0].last_use().unwrap().at;
    for (seconds, expected) in [(0, 0), (59, 0), (60, 60), (61, 60), (119, 60), (120, 120)] {
        bench.clock.set(at(seconds));
        any(clone.block_on(clone.authenticate(issued.expose_secret())).unwrap());
        bench.assert_good(issued.expose_secret());
        assert_eq!(last(), at(expected));
        if seconds == 61 {
            bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
        }
    }
}

#[test]
fn a_denied_token_records_no_use() {
    let bench = bench(policy());
    let issued = bench.issue("alice");
    bench
        .tokens
        .block_on(bench.tokens.revoke(&operator("ops"), issued.id(), Reason::REQUESTED))
        .unwrap();
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
    assert_eq!(bench.all_of("alice")[0].last_use(), None);
}

#[test]
fn an_idle_time_out_is_refused_while_no_upkeep_is_attached() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let tokens = &bench.tokens;
    let refused =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap_err();
    assert!(matches!(refused, IssueError::Failed(Failed::NoUpkeep)), "{refused}");
    let upkeep = bench.tokens.upkeep();
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    bench.assert_good(issued.expose_secret());
    drop(upkeep);
    assert!(matches!(bench.assert_failed(issued.expose_secret()), Failed::NoUpkeep));
}

#[test]
fn an_idle_token_is_denied_and_a_used_one_is_not() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let _upkeep = bench.tokens.upkeep();
    let (used, unused) = (bench.issue("alice"), bench.issue("alice"));
    bench.clock.set(at(86_399));
    bench.assert_good(used.expose_secret());
    bench.clock.set(at(86_400));
    bench.assert_denied(unused.expose_secret(), DenialReason::Idle);
    bench.assert_good(used.expose_secret());
    bench.clock.set(at(2 * 86_400 - 1));
    bench.assert_denied(used.expose_secret(), DenialReason::Idle);
}

#[test]
fn addresses_and_clients_are_kept_only_if_the_policy_says_so() {
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    for (policy, kept) in [(policy(), None), (policy().with_recorded_origin(), Some(address))] {
        let bench = bench(policy);
        let issued = bench.issue("alice");
        let origin = Origin::unknown().address(address).client("rclone\n/1");
        let text = issued.expose_secret();
        any(bench.tokens.block_on(bench.tokens.authenticate_from(text, origin)).unwrap());
        let view = &bench.all_of("alice")[0];
        let last_use = view.last_use().unwrap();
        assert_eq!(last_use.address, kept);
        assert_eq!(last_use.client.as_deref(), kept.map(|_| "rclone/1"));
    }
}
