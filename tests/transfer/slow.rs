//! Runs that stop or take long, while the source has rotated a token.

use app_tokens::error::DenialReason;
use app_tokens::{Access, IssuedToken, NewToken};

use super::acting::{Acting, Then};
use super::line::{issue_under, leak};
use super::rotated::{at_once, overlapping, rotate};
use super::*;

#[test]
fn a_run_that_stops_and_is_made_again_later_ends_what_a_source_ahead_no_longer_trusts() {
    // At once; after the tolerance; when the source's instants have come here, too.
    for minutes in [0, 6, 200] {
        // Ids are random, and so is the order of the rows in the file. A call beyond the last of a
        // run stops nothing.
        for call in (0..24).chain(0..24) {
            let (from, to) = (host(), on_acting());
            let first = from.issue("alice");
            take_in(&to, &out(&from));
            let of_thief = issue_under(&to, &first);
            from.clock.advance(secs(2 * 3600));
            let second = rotate(&from, &first, at_once());
            let sealed = out(&from);
            _ = stop_before(&to, call, &sealed);
            to.clock.advance(secs(minutes * 60));
            take_in(&to, &sealed);
            to.assert_denied(first.expose_secret(), DenialReason::Superseded);
            to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
            to.assert_good(second.expose_secret());
        }
    }
}

#[test]
fn a_run_that_takes_long_ends_what_a_source_ahead_no_longer_trusts() {
    for _ in 0..16 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let of_thief = issue_under(&to, &first);
        for _ in 0..100 {
            drop(from.issue("bob"));
        }
        from.clock.advance(secs(2 * 3600));
        let second = rotate(&from, &first, at_once());
        let Sealed { bytes, key, .. } = out(&from);
        let mut file = TransferFile::open(Cursor::new(&bytes), &key).unwrap();
        let later = |_| to.clock.advance(secs(360));
        to.tokens.block_on(to.tokens.move_in(who(), &mut file, later)).unwrap();
        to.assert_denied(first.expose_secret(), DenialReason::Superseded);
        to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
        to.assert_good(second.expose_secret());
    }
}

#[test]
fn what_is_issued_here_after_the_new_token_leaked_here_ends_with_the_rotation() {
    let mut late_ones = 0;
    // In either order of the rows, there is a call before which the new token is here already, and
    // the old one is not superseded yet.
    for call in (0..24).chain(0..24) {
        let (from, to) = (host(), on_acting());
        let new = NewToken::new("alice", "Short", Access::full()).expires_in(secs(1000));
        let first = from.tokens.block_on(from.tokens.issue(new)).unwrap();
        take_in(&to, &out(&from));
        let second = rotate(&from, &first, overlapping());
        from.clock.advance(secs(700));
        to.clock.advance(secs(700));
        let third = rotate(&from, &second, overlapping());
        let sealed = out(&from);
        let is_stopped = stop_before(&to, call, &sealed);
        let enters = |issued: &IssuedToken| {
            to.tokens.block_on(to.tokens.authenticate(issued.expose_secret())).ok()
        };
        if is_stopped && enters(&second).is_some() {
            leak(&to, &second);
            let new = NewToken::new("alice", "Late", Access::full());
            let late = enters(&first).and_then(|entered| {
                to.tokens.block_on(to.tokens.issue_under(&any(entered), new)).ok()
            });
            take_in(&to, &sealed);
            to.assert_good(third.expose_secret());
            if let Some(late) = late {
                to.assert_denied(late.expose_secret(), DenialReason::Revoked);
                late_ones += 1;
            }
        }
    }
    assert!(late_ones > 0);
}

#[test]
fn a_host_that_took_tokens_from_a_source_ahead_tells_others_what_is_no_longer_trusted() {
    for minutes in [0, 6, 200] {
        for call in (0..24).chain(0..24) {
            let (from, between, to) = (host(), on_acting(), host());
            let first = from.issue("alice");
            if call % 2 == 0 {
                take_in(&between, &out(&from));
            }
            take_in(&to, &out(&from));
            let of_thief = issue_under(&to, &first);
            from.clock.advance(secs(2 * 3600));
            let second = rotate(&from, &first, at_once());
            let sealed = out(&from);
            _ = stop_before(&between, call / 2, &sealed);
            for host in [&between.clock, &to.clock] {
                host.advance(secs(minutes * 60));
            }
            take_in(&between, &sealed);
            take_in(&to, &out(&between));
            to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
            to.assert_good(second.expose_secret());
        }
    }
}

fn on_acting() -> Bench<Acting> {
    bench_with_ring(Acting::default(), KeyRing::ephemeral().unwrap(), policy())
}

/// Stops a run before a call, from 0. Returns whether it made that call.
fn stop_before(to: &Bench<Acting>, call: usize, sealed: &Sealed) -> bool {
    to.tokens.store().reset();
    to.tokens.store().before(call, || Then::Fail);
    _ = try_in(to, sealed);
    to.tokens.store().reset()
}
