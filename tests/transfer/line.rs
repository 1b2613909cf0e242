//! Lines of rotations that were rotated again, or revoked, on one of the hosts.

use app_tokens::error::DenialReason;
use app_tokens::store::{Filter, RuntimeFree, TokenStore};
use app_tokens::transfer::{KeptAsIs, MoveInReport};
use app_tokens::{Access, IssuedToken, NewToken, Reason, Rotation, TokenId};

use super::*;

#[track_caller]
pub fn rotate<S: TokenStore + RuntimeFree>(host: &Bench<S>, id: TokenId) -> IssuedToken {
    let overlap = Rotation::new().overlap(secs(600));
    host.tokens.block_on(host.tokens.rotate(who(), id, overlap)).unwrap()
}

#[track_caller]
pub fn issue_under<S: TokenStore + RuntimeFree>(
    host: &Bench<S>,
    parent: &IssuedToken,
) -> IssuedToken {
    let caller =
        any(host.tokens.block_on(host.tokens.authenticate(parent.expose_secret())).unwrap());
    let new = NewToken::new("alice", "Job", Access::full());
    host.tokens.block_on(host.tokens.issue_under(&caller, new)).unwrap()
}

#[track_caller]
fn revoke<S: TokenStore + RuntimeFree>(host: &Bench<S>, id: TokenId) {
    host.tokens.block_on(host.tokens.revoke(who(), id, Reason::REQUESTED)).unwrap();
}

#[track_caller]
pub fn leak<S: TokenStore + RuntimeFree>(host: &Bench<S>, issued: &IssuedToken) {
    host.tokens.block_on(host.tokens.revoke_leaked(who(), issued.expose_secret())).unwrap();
}

#[test]
fn an_unused_token_that_was_replaced_here_takes_nothing_of_its_line_along() {
    // Ids are random, and so is the order of the rows in the file.
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let job = issue_under(&from, &first);
        let unused = rotate(&from, first.id());
        let sealed = out(&from);
        take_in(&to, &sealed);
        let second = rotate(&to, first.id());
        let report = take_in(&to, &sealed);
        assert_eq!(report, MoveInReport { already_there: 3, ..MoveInReport::default() });
        to.assert_denied(unused.expose_secret(), DenialReason::Revoked);
        for good in [&first, &second, &job] {
            to.assert_good(good.expose_secret());
        }
    }
}

#[test]
fn an_unused_token_that_was_replaced_there_takes_nothing_of_its_line_along() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let job = issue_under(&from, &first);
        let unused = rotate(&from, first.id());
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        let report = take_in(&to, &out(&from));
        assert_eq!(
            (report.revoked_now.as_slice(), report.superseded_now.as_slice(), report.tokens),
            (&[unused.id()][..], &[first.id()][..], 1)
        );
        assert!(report.is_complete(), "{report:?}");
        to.assert_denied(unused.expose_secret(), DenialReason::Revoked);
        for good in [&first, &second, &job] {
            to.assert_good(good.expose_secret());
        }
        assert_eq!(to.tokens.store().parts(first.id()).successor, Some(second.id()));
        assert_eq!(take_in(&to, &out(&from)).already_there, 4);
    }
}

#[test]
fn an_unused_token_that_was_replaced_there_and_rotated_here_takes_only_that_along() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let job = issue_under(&from, &first);
        let unused = rotate(&from, first.id());
        take_in(&to, &out(&from));
        let of_thief = rotate(&to, unused.id());
        let job_of_thief = issue_under(&to, &of_thief);
        let second = rotate(&from, first.id());
        let report = take_in(&to, &out(&from));
        assert_eq!((report.revoked_now, report.kept), (vec![unused.id()], vec![]));
        for ended in [&unused, &of_thief, &job_of_thief] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        for good in [&second, &job] {
            to.assert_good(good.expose_secret());
        }
    }
}

#[test]
fn what_a_token_becomes_there_comes_in_after_all_that_was_rotated_here_has_ended() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let second = rotate(&from, first.id());
        take_in(&to, &out(&from));
        // Replaces the second one here.
        let of_thief = rotate(&to, first.id());
        leak(&from, &first);
        let report = take_in(&to, &out(&from));
        assert_eq!(report.kept, [(second.id(), KeptAsIs::RotatedOnBoth)], "nothing lives here");
        to.assert_denied(of_thief.expose_secret(), DenialReason::Revoked);
        let third = rotate(&from, second.id());
        let report = take_in(&to, &out(&from));
        assert_eq!((report.tokens, report.revoked), (1, 0));
        to.assert_good(third.expose_secret());
    }
}

#[test]
fn a_new_token_of_a_line_that_was_revoked_here_is_never_good() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        revoke(&to, first.id());
        let job = issue_under(&from, &first);
        let second = rotate(&from, first.id());
        let sealed = out(&from);
        to.heard.texts();
        let report = take_in(&to, &sealed);
        assert_eq!((report.tokens, report.revoked, report.already_there), (0, 2, 1));
        // No event says that one came in.
        assert_eq!(to.heard.kinds(), [""; 0]);
        for ended in [&first, &second, &job] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        let revocation = to.tokens.store().parts(second.id()).revocation.unwrap();
        assert_eq!(revocation.reason, Reason::REQUESTED);
    }
}

#[test]
fn a_line_that_was_revoked_here_before_its_new_token_came_stays_revoked() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        let sealed = out(&from);
        take_in(&to, &sealed);
        // As a run leaves it that was stopped after the first token was superseded.
        let store = to.tokens.store().clone();
        ready(store.purge(&app_tokens::store::Purge::Matching(Filter::of_id(second.id())), 1))
            .unwrap();
        revoke(&to, first.id());
        take_in(&to, &sealed);
        for ended in [&first, &second] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn a_line_that_was_rotated_on_both_hosts_and_revoked_here_stays_revoked() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let (there, here) = (rotate(&from, first.id()), rotate(&to, first.id()));
        revoke(&to, first.id());
        take_in(&to, &out(&from));
        for ended in [&first, &there, &here] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn a_line_that_was_rotated_on_both_hosts_and_revoked_there_ends_here() {
    line_revoked_there_ends_here(host);
    line_revoked_there_ends_here(alone::on_sqlite);
}

fn line_revoked_there_ends_here<S: TokenStore + RuntimeFree>(host: fn() -> Bench<S>) {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let (there, here) = (rotate(&from, first.id()), rotate(&to, first.id()));
        let job = issue_under(&to, &here);
        revoke(&from, first.id());
        take_in(&to, &out(&from));
        for ended in [&first, &there, &here, &job] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn a_token_that_was_revoked_alone_there_does_not_keep_its_successor_out() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        leak(&from, &first);
        take_in(&to, &out(&from));
        to.assert_denied(first.expose_secret(), DenialReason::Revoked);
        to.assert_good(second.expose_secret());
    }
}

#[test]
fn a_line_that_is_revoked_while_its_new_token_comes_in_takes_it_along() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let second = rotate(&from, first.id());
        let sealed = out(&from);
        take_in(&to, &sealed);
        let store = to.tokens.store().clone();
        let purge = app_tokens::store::Purge::Matching(Filter::of_id(second.id()));
        ready(store.purge(&purge, 1)).unwrap();
        let line = Filter::of_family(&owner("alice"), first.id());
        let revocation = app_tokens::record::Revocation {
            at: at(0),
            reason: Reason::REQUESTED,
            by: app_tokens::record::Actor::from(ops()),
        };
        let other = store.clone();
        store.before_the_next_write(move || {
            assert_eq!(ready(other.revoke(&line, &revocation)).unwrap(), 1);
        });
        to.heard.texts();
        take_in(&to, &sealed);
        // It never was good: a run that is stopped right there leaves nothing open.
        assert!(!to.heard.kinds().contains(&"MovedIn".to_owned()));
        for ended in [&first, &second] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn a_token_that_is_revoked_alone_beside_the_insert_of_its_successor_does_not_end_it() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        leak(&from, &first);
        let sealed = out(&from);
        // As the run itself does between the look at the line and the insert: it writes several
        // rows at once.
        let (store, alone) = (to.tokens.store().clone(), Filter::of_id(first.id()));
        let revocation = from.tokens.store().parts(first.id()).revocation.unwrap();
        to.tokens.store().before_the_next_write(move || {
            ready(store.revoke(&alone, &revocation)).unwrap();
        });
        take_in(&to, &sealed);
        to.assert_denied(first.expose_secret(), DenialReason::Revoked);
        to.assert_good(second.expose_secret());
    }
}

#[test]
fn a_token_whose_line_comes_in_revoked_beside_it_is_counted_as_revoked() {
    // The file has its rows by their ids, and the second token must come first.
    let (from, first, second) = std::iter::repeat_with(|| {
        let from = host();
        let first = from.issue("alice");
        let second = rotate(&from, first.id());
        (from, first, second)
    })
    .find(|(_, first, second)| second.id() < first.id())
    .unwrap();
    let sealed = out(&from);
    revoke(&from, first.id());
    let (to, revoked) = (host(), from.tokens.store().parts(first.id()));
    let store = to.tokens.store().clone();
    to.tokens.store().before_the_next_write(move || support::rows::insert(&store.kept, revoked));
    let report = take_in(&to, &sealed);
    assert_eq!((report.tokens, report.revoked, report.already_there), (0, 1, 1));
    for ended in [&first, &second] {
        to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
    }
}

#[test]
fn what_a_stopped_run_left_of_a_line_that_was_revoked_here_is_revoked_by_the_next() {
    let (from, to) = (host(), host());
    let first = from.issue("alice");
    take_in(&to, &out(&from));
    let second = rotate(&from, first.id());
    let sealed = out(&from);
    take_in(&to, &sealed);
    // The line was revoked while the second token came in, and the run stopped right then.
    let store = to.tokens.store();
    revoke(&from, first.id());
    let revocation = from.tokens.store().parts(first.id()).revocation;
    store.change(first.id(), |parts| {
        (parts.successor, parts.seal, parts.revocation) = (None, None, revocation);
    });
    to.assert_good(second.expose_secret());
    take_in(&to, &sealed);
    to.assert_denied(second.expose_secret(), DenialReason::Revoked);
}

#[test]
fn an_old_token_that_leaked_here_does_not_end_what_its_line_becomes_there() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let second = rotate(&from, first.id());
        take_in(&to, &out(&from));
        leak(&to, &first);
        let third = rotate(&from, second.id());
        take_in(&to, &out(&from));
        to.assert_denied(first.expose_secret(), DenialReason::Revoked);
        to.assert_good(third.expose_secret());
    }
}

#[test]
fn a_current_token_that_leaked_here_ends_what_its_line_becomes_there() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let second = rotate(&from, first.id());
        take_in(&to, &out(&from));
        leak(&to, &second);
        let third = rotate(&from, second.id());
        let report = take_in(&to, &out(&from));
        assert_eq!((report.tokens, report.revoked), (0, 1), "never good in between");
        for ended in [&second, &third] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
    }
}

#[test]
fn a_damaged_row_of_a_line_that_was_revoked_here_keeps_its_new_token_out() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        revoke(&to, first.id());
        to.tokens.store().damage(first.id());
        let second = rotate(&from, first.id());
        take_in(&to, &out(&from));
        to.assert_denied(second.expose_secret(), DenialReason::Revoked);
    }
}
