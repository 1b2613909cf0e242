//! Superseded tokens that the source revoked alone, and what was issued under their lines.

use app_tokens::error::DenialReason;
use app_tokens::record::{RecordParts, Seal, TokenRecord};
use app_tokens::store::{Filter, RuntimeFree, SqliteStore, TokenStore};
use app_tokens::{IssuedToken, Reason};

use super::line::{issue_under, leak, rotate};
use super::rotated::issue_before;
use super::*;

/// A line whose first token was rotated and has ended, and a token that was issued under it. Both
/// hosts have them.
fn ended_first<S: TokenStore + RuntimeFree>(from: &Bench<S>) -> [IssuedToken; 3] {
    let first = from.issue("alice");
    let second = rotate(from, first.id());
    from.clock.advance(secs(601));
    let job = issue_under(from, &second);
    [first, second, job]
}

/// Revokes the superseded tokens of the owner, as a clean-up does. Nothing else ends by it.
fn revoke_superseded<S: TokenStore + RuntimeFree>(host: &Bench<S>) {
    let superseded = Filter { superseded: Some(true), ..Filter::of_owner(&owner("alice")) };
    let revoking = host.tokens.revoke_matching(who(), &superseded, Reason::REQUESTED);
    assert_eq!(host.tokens.block_on(revoking).unwrap(), 1);
}

pub fn on_sqlite() -> Bench<SqliteStore> {
    let ring = KeyRing::ephemeral().unwrap();
    bench_with_ring(SqliteStore::in_memory().unwrap(), ring, policy())
}

#[test]
fn what_was_issued_under_a_line_outlives_a_superseded_token_there_and_here() {
    outlives_a_superseded_token(host);
    outlives_a_superseded_token(on_sqlite);
}

fn outlives_a_superseded_token<S: TokenStore + RuntimeFree>(host: fn() -> Bench<S>) {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let [first, second, job] = ended_first(&from);
        take_in(&to, &out(&from));
        to.clock.advance(secs(601));
        revoke_superseded(&from);
        from.assert_good(job.expose_secret());
        let report = take_in(&to, &out(&from));
        assert_eq!((report.revoked_now, report.kept), (vec![first.id()], vec![]));
        to.assert_denied(first.expose_secret(), DenialReason::Revoked);
        for good in [&second, &job] {
            to.assert_good(good.expose_secret());
        }
        assert_eq!(take_in(&to, &out(&from)).already_there, 3);
    }
}

#[test]
fn what_was_issued_after_a_leak_comes_in_beside_the_leaked_token() {
    comes_in_beside_the_leaked_token(host);
    comes_in_beside_the_leaked_token(on_sqlite);
}

fn comes_in_beside_the_leaked_token<S: TokenStore + RuntimeFree>(host: fn() -> Bench<S>) {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        let before = issue_under(&from, &first);
        let second = rotate(&from, first.id());
        take_in(&to, &out(&from));
        leak(&from, &first);
        let after = issue_under(&from, &second);
        take_in(&to, &out(&from));
        for ended in [&first, &before] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        for good in [&second, &after] {
            to.assert_good(good.expose_secret());
        }
    }
}

#[test]
fn what_only_this_host_knows_of_ends_with_the_leaked_token_under_whose_line_it_was_issued() {
    for _ in 0..8 {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let of_thief = issue_under(&to, &first);
        let second = rotate(&from, first.id());
        leak(&from, &first);
        let after = issue_under(&from, &second);
        take_in(&to, &out(&from));
        for ended in [&first, &of_thief] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        for good in [&second, &after] {
            to.assert_good(good.expose_secret());
        }
    }
}

#[test]
fn what_only_this_host_rotated_from_a_leaked_token_ends_with_it() {
    rotated_from_a_leaked_token_ends(host);
    rotated_from_a_leaked_token_ends(on_sqlite);
}

fn rotated_from_a_leaked_token_ends<S: TokenStore + RuntimeFree>(host: fn() -> Bench<S>) {
    for number in 0..8 {
        let (from, to) = (host(), host());
        let parent = from.issue("alice");
        let is_derived = number % 2 == 0;
        let first = if is_derived { issue_under(&from, &parent) } else { from.issue("alice") };
        take_in(&to, &out(&from));
        let of_thief = rotate(&to, first.id());
        let again = rotate(&to, of_thief.id());
        let second = rotate(&from, first.id());
        leak(&from, &first);
        // Nothing is issued under a token that was issued under another.
        let job = (!is_derived).then(|| issue_under(&from, &second));
        assert_eq!(take_in(&to, &out(&from)).revoked_now, [first.id()]);
        for ended in [&first, &of_thief, &again] {
            to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        }
        // Nor does it count as a revocation of the whole line here.
        let third = rotate(&from, second.id());
        take_in(&to, &out(&from));
        for good in [&second, &third].into_iter().chain(&job) {
            to.assert_good(good.expose_secret());
        }
    }
}

#[test]
fn what_a_thief_issues_while_the_leaked_token_is_revoked_here_ends_with_it() {
    for write in 0..6 {
        for _ in 0..4 {
            let (from, to) = (host(), host());
            let first = from.issue("alice");
            take_in(&to, &out(&from));
            let early = issue_under(&to, &first);
            drop(rotate(&from, first.id()));
            leak(&from, &first);
            let late = issue_before(&to, &first, write);
            take_in(&to, &out(&from));
            let late = late.lock().unwrap().take();
            for ended in late.iter().chain([&early]) {
                to.assert_denied(ended.expose_secret(), DenialReason::Revoked);
            }
        }
    }
}

#[test]
fn a_token_that_another_run_brought_back_meanwhile_is_revoked_as_at_the_source() {
    let (from, to) = (host(), host());
    let [first, ..] = ended_first(&from);
    take_in(&to, &out(&from));
    // So that its overlap has ended here, too, on every host.
    to.clock.advance(secs(901));
    let id = first.id();
    let old = to.tokens.store().parts(id);
    revoke_superseded(&from);
    // It tries twice to insert the row, then deletes the row here, and inserts its own.
    let (one, two, three) =
        (to.tokens.store().clone(), to.tokens.store().clone(), to.tokens.store().clone());
    one.clone().before_the_next_write(move || {
        one.before_the_next_write(move || {
            // A run with an older file.
            two.before_the_next_write(move || support::rows::insert(&three.kept, old));
        });
    });
    take_in(&to, &out(&from));
    assert!(to.tokens.store().parts(id).revocation.is_some());
}

#[test]
fn a_row_here_that_no_call_can_change_is_revoked_as_at_the_source() {
    let changes: [fn(&mut RecordParts); 3] = [
        |parts| parts.label = "Forged".parse().unwrap(),
        |parts| parts.revision = TokenRecord::MAX_REVISION,
        // Of a version that this build does not know.
        |parts| parts.seal = Seal::from_bytes(&[99; 33]),
    ];
    for change in changes {
        let (from, to) = (host(), host());
        let first = from.issue("alice");
        take_in(&to, &out(&from));
        let second = rotate(&from, first.id());
        leak(&from, &first);
        to.tokens.store().change(first.id(), change);
        let report = take_in(&to, &out(&from));
        assert_eq!((report.revoked_now, report.kept), (vec![first.id()], vec![]));
        to.assert_denied(first.expose_secret(), DenialReason::Revoked);
        to.assert_good(second.expose_secret());
    }
}
