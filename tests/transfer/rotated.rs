//! Tokens that the source rotated, and what only this host issued under their lines.

use std::sync::{Arc, Mutex};

use app_tokens::error::DenialReason;
use app_tokens::store::{RuntimeFree, TokenStore};
use app_tokens::transfer::KeptAsIs;
use app_tokens::{Access, IssuedToken, NewToken, Reason, Rotation};

use super::alone::on_sqlite;
use super::line::{issue_under, leak};
use super::*;

#[track_caller]
pub fn rotate<S: TokenStore + RuntimeFree>(
    host: &Bench<S>,
    issued: &IssuedToken,
    rotation: Rotation,
) -> IssuedToken {
    host.tokens.block_on(host.tokens.rotate(who(), issued.id(), rotation)).unwrap()
}

fn revoke(host: &Bench<outside::Outside>, issued: &IssuedToken) {
    host.tokens.block_on(host.tokens.revoke(who(), issued.id(), Reason::REQUESTED)).unwrap();
}

/// With an overlap of ten minutes.
pub fn overlapping() -> Rotation {
    Rotation::new().overlap(secs(600))
}

/// Without an overlap: the holder no longer trusts the old token.
pub fn at_once() -> Rotation {
    Rotation::new().overlap(secs(0))
}

fn less() -> Access {
    Access::scopes(["files:read"]).unwrap()
}

/// Issues a token that even a narrowed one may issue.
#[track_caller]
fn issue_less_under<S: TokenStore + RuntimeFree>(
    host: &Bench<S>,
    parent: &IssuedToken,
) -> IssuedToken {
    let entered = host.tokens.block_on(host.tokens.authenticate(parent.expose_secret())).unwrap();
    let new = NewToken::new("alice", "Job", less());
    host.tokens.block_on(host.tokens.issue_under(&any(entered), new)).unwrap()
}

/// What a thief and the holder of a token have at the end.
struct Theft<S> {
    from: Bench<S>,
    to: Bench<S>,
    first: IssuedToken,
    /// Issued here under the first token. The source never hears of it.
    of_thief: IssuedToken,
    /// The current token of the line at the source.
    current: IssuedToken,
}

/// Lets a thief issue a token here, and the holder change the line at the source. Then moves again.
///
/// `then` returns the line's current token at the source. What it issues stays good here, too.
fn theft<S: TokenStore + RuntimeFree>(
    host: fn() -> Bench<S>,
    then: impl Fn(&Bench<S>, &IssuedToken) -> IssuedToken,
) -> Theft<S> {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let of_thief = issue_under(&to, &first);
    let current = then(&from, &first);
    let job = issue_less_under(&from, &current);
    to.clock.advance(secs(1200));
    let report = take_in(&to, &out(&from));
    assert_eq!((&report.superseded_now, report.is_complete()), (&vec![first.id()], true));
    for good in [&current, &job] {
        to.assert_good(good.expose_secret());
    }
    Theft { from, to, first, of_thief, current }
}

/// Checks that the thief's token ends by what the source did.
fn assert_thief_ends(then: impl Fn(&Bench<outside::Outside>, &IssuedToken) -> IssuedToken) {
    // Ids are random, and so is the order of the rows in the file.
    for _ in 0..8 {
        let Theft { to, of_thief, .. } = theft(host, &then);
        to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
        let revocation = to.tokens.store().parts(of_thief.id()).revocation.unwrap();
        assert_eq!((revocation.reason, revocation.at), (Reason::ROTATED, at(1200)));
    }
}

#[test]
fn what_only_this_host_issued_ends_with_a_rotation_without_overlap() {
    assert_thief_ends(|from, first| rotate(from, first, at_once()));
    for _ in 0..8 {
        let Theft { to, of_thief, first, .. } =
            theft(on_sqlite, |from, first| rotate(from, first, at_once()));
        to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
        to.assert_denied(first.expose_secret(), DenialReason::Superseded);
    }
}

#[test]
fn a_rotation_without_overlap_by_a_source_whose_clock_is_ahead_is_one_here() {
    for is_known in [true, false].repeat(8) {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        if is_known {
            take_in(&to, &out(&from));
        }
        let of_thief = is_known.then(|| issue_under(&to, &first));
        from.clock.set(at(90_000));
        let second = rotate(&from, &first, at_once());
        take_in(&to, &out(&from));
        to.assert_denied(first.expose_secret(), DenialReason::Superseded);
        if let Some(ended) = &of_thief {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        to.assert_good(second.expose_secret());
    }
}

#[test]
fn what_only_this_host_issued_ends_with_a_rotation_to_less() {
    assert_thief_ends(|from, first| rotate(from, first, Rotation::new().narrowed_to(less())));
    assert_thief_ends(|from, first| rotate(from, first, overlapping().expires(secs(3000))));
}

#[test]
fn what_only_this_host_issued_ends_if_less_was_left_before_the_rotation() {
    assert_thief_ends(|from, first| {
        from.tokens.block_on(from.tokens.narrow(who(), first.id(), less())).unwrap();
        rotate(from, first, overlapping())
    });
    assert_thief_ends(|from, first| {
        from.tokens.block_on(from.tokens.extend(who(), first.id(), secs(3000))).unwrap();
        rotate(from, first, overlapping())
    });
}

#[test]
fn what_only_this_host_issued_ends_if_less_was_left_after_the_rotation() {
    assert_thief_ends(|from, first| {
        let second = rotate(from, first, overlapping());
        from.clock.advance(secs(901));
        from.tokens.block_on(from.tokens.narrow(who(), second.id(), less())).unwrap();
        second
    });
    assert_thief_ends(|from, first| {
        let second = rotate(from, first, overlapping());
        from.clock.advance(secs(901));
        rotate(from, &second, at_once())
    });
}

#[test]
fn what_only_this_host_issued_ends_if_the_unused_token_was_replaced_without_overlap() {
    assert_thief_ends(|from, first| {
        drop(rotate(from, first, overlapping()));
        rotate(from, first, at_once())
    });
}

#[test]
fn what_only_this_host_issued_outlives_an_overlap_as_it_would_there() {
    for _ in 0..8 {
        let Theft { from, to, first, of_thief, current } =
            theft(host, |from, first| rotate(from, first, overlapping()));
        to.assert_denied(first.expose_secret(), DenialReason::Superseded);
        to.assert_good(of_thief.expose_secret());
        // Nor does an earlier end of the overlap reach it.
        from.tokens.block_on(from.tokens.end_overlap(who(), current.id())).unwrap();
        assert_eq!(take_in(&to, &out(&from)).superseded_now, [first.id()]);
        to.assert_good(of_thief.expose_secret());
    }
}

#[test]
fn what_only_this_host_issued_ends_if_the_source_lacks_the_new_token() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let of_thief = issue_under(&to, &first);
        let second = rotate(&from, &first, overlapping());
        from.tokens.store().damage(second.id());
        assert_eq!(take_in(&to, &out(&from)).superseded_now, [first.id()]);
        to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
    }
}

#[test]
fn what_was_issued_under_a_tampered_row_is_left_to_the_operator() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let of_thief = issue_under(&to, &first);
    to.tokens.store().change(first.id(), |parts| parts.label = "Forged".parse().unwrap());
    drop(rotate(&from, &first, at_once()));
    assert_eq!(take_in(&to, &out(&from)).kept, [(first.id(), KeptAsIs::Tampered)]);
    to.assert_good(of_thief.expose_secret());
}

#[test]
fn what_a_thief_issues_while_the_token_is_superseded_here_ends_with_it() {
    for write in 0..6 {
        for _ in 0..4 {
            let (from, to) = (host(), host());
            let first = from.issue("alice");
            take_in(&to, &out(&from));
            let early = issue_under(&to, &first);
            drop(rotate(&from, &first, at_once()));
            let late = issue_before(&to, &first, write);
            take_in(&to, &out(&from));
            let late = late.lock().unwrap().take();
            for ended in late.iter().chain([&early]) {
                to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
            }
        }
    }
}

/// Issues a token under another, if it still can, just before one of the next writes, from 0.
pub fn issue_before(
    to: &Bench<outside::Outside>,
    parent: &IssuedToken,
    write: usize,
) -> Arc<Mutex<Option<IssuedToken>>> {
    let (tokens, parent) = (to.tokens.clone(), parent.expose_secret().to_owned());
    let issued = Arc::new(Mutex::new(None));
    let late = Arc::clone(&issued);
    before(to.tokens.store(), write, move || {
        let entered = tokens.block_on(tokens.authenticate(&parent));
        let new = NewToken::new("alice", "Late", Access::full());
        let under = entered.map(|entered| tokens.block_on(tokens.issue_under(&any(entered), new)));
        *issued.lock().unwrap() = under.ok().and_then(Result::ok);
    });
    late
}

fn before(store: &outside::Outside, write: usize, act: impl FnOnce() + Send + 'static) {
    let again = store.clone();
    store.before_the_next_write(move || match write {
        0 => act(),
        _ => before(&again, write - 1, act),
    });
}

#[test]
fn a_token_that_is_in_use_there_and_was_replaced_here_is_reported() {
    let uses: [fn(&Bench<outside::Outside>, &IssuedToken); 2] = [
        |from, second| from.assert_good(second.expose_secret()),
        |from, second| drop(rotate(from, second, overlapping())),
    ];
    for uses in uses {
        for _ in 0..8 {
            let (from, to) = (host(), host());
            let first = from.issue("alice");
            let second = rotate(&from, &first, overlapping());
            take_in(&to, &out(&from));
            let of_thief = rotate(&to, &first, overlapping());
            uses(&from, &second);
            for _ in 0..2 {
                let report = take_in(&to, &out(&from));
                assert!(
                    report.kept.contains(&(second.id(), KeptAsIs::RotatedOnBoth)),
                    "{report:?}"
                );
            }
            to.assert_denied(second.expose_secret(), DenialReason::Revoked);
            to.assert_good(of_thief.expose_secret());
        }
    }
}

#[test]
fn an_overlap_that_was_ended_there_and_runs_on_here_by_another_rotation_is_reported() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    let second = rotate(&from, &first, overlapping());
    take_in(&to, &out(&from));
    drop(rotate(&to, &first, overlapping()));
    from.tokens.block_on(from.tokens.end_overlap(who(), second.id())).unwrap();
    let kept = vec![(first.id(), KeptAsIs::MayDoMore)];
    assert_eq!(take_in(&to, &out(&from)).kept, kept);
    to.clock.advance(secs(600));
    assert_eq!(take_in(&to, &out(&from)).kept, []);
}

#[test]
fn what_was_rotated_here_before_the_old_token_leaked_here_is_reported() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let of_thief = rotate(&to, &first, overlapping());
        leak(&to, &first);
        let second = rotate(&from, &first, overlapping());
        for _ in 0..2 {
            let report = take_in(&to, &out(&from));
            assert_eq!(report.kept, [(first.id(), KeptAsIs::RotatedOnBoth)]);
        }
        for good in [&of_thief, &second] {
            to.assert_good(good.expose_secret());
        }
        revoke(&to, &first);
        assert_eq!(take_in(&to, &out(&from)).kept, []);
    }
}

#[test]
fn what_was_replaced_on_one_host_before_the_old_token_leaked_here_is_not_reported() {
    for _ in 0..16 {
        for is_there in [true, false] {
            let (from, to) = (host(), host());
            let first = from.issue("alice");
            drop(rotate(&from, &first, overlapping()));
            take_in(&to, &out(&from));
            drop(rotate(if is_there { &from } else { &to }, &first, overlapping()));
            leak(&to, &first);
            assert_eq!(take_in(&to, &out(&from)).kept, []);
        }
    }
}

#[test]
fn what_was_replaced_here_before_the_line_was_revoked_here_is_not_reported() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    drop(rotate(&from, &first, overlapping()));
    take_in(&to, &out(&from));
    drop(rotate(&to, &first, overlapping()));
    revoke(&to, &first);
    assert_eq!(take_in(&to, &out(&from)).kept, []);
}

#[test]
fn what_only_this_host_issued_outlives_two_overlaps_as_it_would_there() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let new = NewToken::new("alice", "Short", Access::full()).expires_in(secs(1000));
        let first = from.tokens.block_on(from.tokens.issue(new)).unwrap();
        let there = issue_under(&from, &first);
        take_in(&to, &out(&from));
        let here = issue_under(&to, &first);
        let second = rotate(&from, &first, overlapping());
        // The second overlap would end after the token does, and so ends with it.
        from.clock.advance(secs(700));
        let third = rotate(&from, &second, overlapping());
        to.clock.advance(secs(700));
        assert_eq!(take_in(&to, &out(&from)).superseded_now, [first.id()]);
        from.assert_good(there.expose_secret());
        for good in [&here, &there, &second, &third] {
            to.assert_good(good.expose_secret());
        }
    }
}
