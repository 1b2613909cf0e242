//! Rotations: overlaps, replaced successors, lost answers, races.

use std::sync::Barrier;
use std::thread;

use app_tokens::access::Resource;
use app_tokens::error::{ChangeError, DenialReason, IssueError, LifeError};
use app_tokens::record::{Expires, Status};
use app_tokens::store::{CLOCK_TOLERANCE, Filter, Page, RuntimeFree};
use app_tokens::{Access, IssuedToken, NewToken, Reason, Rotation, TokenId};

use super::common::outside::Outside;
use super::common::*;
use support::scopes::Files;

on_both_stores! {
    without_an_overlap_the_old_token_ends_at_once_and_its_successor_works
    with_an_overlap_both_tokens_work_until_its_end_to_the_second
    a_rotation_is_refused_by_no_limit_and_no_unique_label
    a_second_rotation_replaces_a_successor_that_is_unused
    a_use_of_the_successor_that_is_not_written_yet_counts
    a_use_of_the_successor_on_another_host_counts_once_it_is_written
    one_of_many_rotations_at_once_without_overlap_succeeds
}

fn without_an_overlap_the_old_token_ends_at_once_and_its_successor_works(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    let old = bench.issue("alice");
    bench.heard.texts();
    let new = bench.rotate(&old, 0);
    assert_ne!((new.id(), new.expose_secret()), (old.id(), old.expose_secret()));
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    bench.assert_good(new.expose_secret());
    let view = bench.see(&old);
    assert_eq!((view.status(), view.successor()), (Some(Status::Superseded), Some(new.id())));
    assert_eq!(view.expires(), Expires::At(at(0).saturating_sub(CLOCK_TOLERANCE)));
    assert_eq!(bench.heard.kinds()[0], "Rotated");
}

fn with_an_overlap_both_tokens_work_until_its_end_to_the_second(store: impl RuntimeFree) {
    let bench = bench_over(store, policy().with_overlap(secs(100)).unwrap());
    let old = bench.issue("alice");
    bench.clock.set(at(50));
    // The overlap of the policy, as none is asked for.
    let new =
        bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), Rotation::new())).unwrap();
    for (seconds, good) in [(50, true), (149, true), (150, false), (151, false), (9000, false)] {
        bench.clock.set(at(seconds));
        bench.assert_good_for(&old, good, DenialReason::Superseded);
        bench.assert_good(new.expose_secret());
    }
}

#[test]
fn an_overlap_under_a_second_counts_as_none() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let rotation = Rotation::new().overlap(secs(1) / 2);
    drop(bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), rotation)).unwrap());
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
}

#[test]
fn a_successor_keeps_owner_label_access_end_and_issuer() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let new = NewToken::new(
        "alice",
        "Backup",
        Access::scopes(["files:read"]).unwrap().on([Resource::under("photos").unwrap()]).unwrap(),
    )
    .expires_in(secs(5000))
    .issued_by(&operator("support"));
    let first = tokens.block_on(tokens.issue(new)).unwrap();
    let mut old = first;
    for line in 1..4 {
        bench.clock.set(at(line * 1000));
        let new = bench.rotate(&old, 0);
        let (before, after) = (old.view(), bench.see(&new));
        assert_eq!(after.owner(), before.owner());
        assert_eq!(after.label(), before.label());
        assert_eq!(after.access(), before.access());
        assert_eq!(after.expires(), Expires::At(at(5000)), "a rotation doesn't lengthen a life");
        assert_eq!(after.issued_by(), before.issued_by());
        assert_eq!((after.family(), after.derived_from()), (before.family(), None));
        assert_eq!((after.created_at(), after.last_use()), (at(line * 1000), None));
        old = new;
    }
    bench.clock.set(at(5000));
    bench.assert_denied(old.expose_secret(), DenialReason::Expired);
}

#[test]
fn a_rotation_changes_the_end_only_if_asked_and_allowed() {
    let bench = bench(policy().with_max_life(secs(1000)).unwrap());
    let mut token = bench.issue_for(500);
    bench.clock.set(at(100));
    let asked = |seconds| Rotation::new().expires(Expires::At(at(seconds)));
    let too_long = ChangeError::Life(LifeError::TooLong { max: secs(1000) });
    assert_eq!(bench.refused(&token, asked(1101)).to_string(), too_long.to_string());
    let never = Rotation::new().expires(Expires::Never);
    let refused = bench.refused(&token, never);
    assert!(matches!(refused, ChangeError::Life(LifeError::NeverNotAllowed)), "{refused:?}");
    let refused = bench.refused(&token, asked(100));
    assert!(matches!(refused, ChangeError::Life(LifeError::NoLife)), "{refused:?}");
    // Its life counts from the rotation, as it is a new token.
    for seconds in [1100, 300, 1100] {
        token =
            bench.tokens.block_on(bench.tokens.rotate(&ops(), token.id(), asked(seconds))).unwrap();
        assert_eq!(bench.see(&token).expires(), Expires::At(at(seconds)));
    }
}

#[test]
fn a_refused_rotation_changes_nothing() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let narrow = bench.rotate(&token, 0);
    let read = Access::scopes(["r"]).unwrap();
    bench.tokens.block_on(bench.tokens.narrow(&ops(), narrow.id(), read)).unwrap();
    let refused = bench.refused(&narrow, Rotation::new().narrowed_to(Access::full()));
    assert!(matches!(refused, ChangeError::MoreAccess), "{refused:?}");
    assert_eq!(bench.all_of("alice").len(), 2);
    bench.assert_good(narrow.expose_secret());
}

fn a_rotation_is_refused_by_no_limit_and_no_unique_label(store: impl RuntimeFree) {
    let strict = policy().with_unique_labels().with_max_per_owner(1).unwrap();
    let bench = bench_over(store, strict);
    let mut token = bench.issue("alice");
    for overlap in [0, 100, 0] {
        token = bench.rotate(&token, overlap);
        bench.assert_good(token.expose_secret());
    }
    let another =
        bench.tokens.block_on(bench.tokens.issue(NewToken::new("alice", "Other", Access::full())));
    assert!(matches!(another, Err(IssueError::LimitReached { limit: 1 })), "the line is one token");
}

fn a_second_rotation_replaces_a_successor_that_is_unused(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    let old = bench.issue("alice");
    let mut lost = bench.rotate(&old, 100);
    for second in 1..4 {
        bench.clock.set(at(second));
        let new = bench.rotate(&old, 100);
        bench.assert_denied(lost.expose_secret(), DenialReason::Revoked);
        assert_eq!(bench.see(&lost).revocation().unwrap().reason, Reason::ROTATED);
        assert_eq!(bench.see(&old).successor(), Some(new.id()));
        bench.assert_good(old.expose_secret());
        lost = new;
    }
    bench.assert_good(lost.expose_secret());
    let refused = bench.refused(&old, Rotation::new().overlap(secs(100)));
    assert!(matches!(refused, ChangeError::Rotated { .. }), "its successor was used: {refused:?}");
    bench.assert_good(lost.expose_secret());
    bench.clock.set(at(99));
    bench.assert_good(old.expose_secret());
    bench.clock.set(at(100));
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
}

fn a_use_of_the_successor_that_is_not_written_yet_counts(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    let old = bench.issue("alice");
    let new = bench.rotate(&old, 100);
    bench.assert_good(new.expose_secret());
    let row = bench.tokens.block_on(bench.tokens.find(&ops(), new.id())).unwrap();
    assert!(row.last_use().is_some());
    let refused = bench.refused(&old, Rotation::new());
    assert!(matches!(refused, ChangeError::Rotated { .. }), "{refused:?}");
    bench.assert_good(new.expose_secret());
    bench.assert_good(old.expose_secret());
}

fn a_use_of_the_successor_on_another_host_counts_once_it_is_written(
    store: impl RuntimeFree + Clone,
) {
    let (here, there) = (bench_over(store.clone(), policy()), bench_over(store, policy()));
    let old = here.issue("alice");
    let new = here.rotate(&old, 100);
    there.assert_good(new.expose_secret());
    there.tokens.block_on(there.tokens.flush_usage()).unwrap();
    assert!(matches!(here.refused(&old, Rotation::new()), ChangeError::Rotated { .. }));
    here.assert_good(new.expose_secret());
}

#[test]
fn a_successor_that_was_rotated_or_revoked_is_not_replaced() {
    for what in ["rotated", "revoked"] {
        let bench = bench(policy());
        let old = bench.issue("alice");
        let new = bench.rotate(&old, 100);
        match what {
            "rotated" => drop(bench.rotate(&new, 100)),
            _ => {
                let filter = Filter::of_id(new.id());
                let tokens = &bench.tokens;
                let reason = Reason::REQUESTED;
                tokens.block_on(tokens.revoke_matching(ops(), &filter, reason)).unwrap();
            }
        }
        let rows = bench.all_of("alice").len();
        let refused = bench.refused(&old, Rotation::new().overlap(secs(100)));
        assert!(matches!(refused, ChangeError::Rotated { .. }), "{what}: {refused:?}");
        assert_eq!(bench.all_of("alice").len(), rows, "{what}");
    }
}

/// A second click on "rotate", or a second window.
#[test]
fn a_second_rotation_without_overlap_names_the_current_token_as_a_rename_does() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let old = bench.issue("alice");
    let second = bench.rotate(&old, 0);
    let third = bench.rotate(&second, 0);
    bench.heard.texts();
    for ended in [&old, &second] {
        let again = tokens.block_on(tokens.rotate(&ops(), ended.id(), Rotation::new()));
        assert_eq!(current_in(again.map(drop)), third.id());
        let renamed = tokens.block_on(tokens.rename(&ops(), ended.id(), "Laptop"));
        assert_eq!(current_in(renamed.map(drop)), third.id());
    }
    assert_eq!((bench.all_of("alice").len(), bench.heard.texts().len()), (3, 0), "nothing changed");
    bench.assert_good(third.expose_secret());
    // A revoked row proves nothing, so its successor is not named.
    tokens.block_on(tokens.revoke(&ops(), third.id(), Reason::REQUESTED)).unwrap();
    let refused = bench.refused(&old, Rotation::new());
    assert!(matches!(refused, ChangeError::NotActive(Status::Revoked)), "{refused:?}");
}

/// Returns the current token that a refusal of a rotated one names.
fn current_in(refused: Result<(), ChangeError>) -> TokenId {
    match refused {
        Err(ChangeError::Rotated { current }) => current,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_overlap_never_prolongs_the_old_one() {
    let bench = bench(policy());
    let old = bench.issue_for(60);
    drop(bench.rotate(&old, 1000));
    assert_eq!(bench.see(&old).expires(), Expires::At(at(60)), "its own end is sooner");
    drop(bench.rotate(&old, 50));
    assert_eq!(bench.see(&old).expires(), Expires::At(at(50)));
    bench.clock.set(at(49));
    drop(bench.rotate(&old, 1000));
    assert_eq!(bench.see(&old).expires(), Expires::At(at(50)), "nor does a second rotation");
    drop(bench.rotate(&old, 0));
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
}

#[test]
fn an_overlap_ends_a_token_that_never_expires() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let old = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).never_expires()))
        .unwrap();
    let new = bench.rotate(&old, 100);
    assert_eq!(bench.see(&old).expires(), Expires::At(at(100)));
    assert_eq!(bench.see(&new).expires(), Expires::Never);
}

#[test]
fn an_end_that_a_rotation_shortened_stays_short_if_its_answer_was_lost() {
    let bench = bench(policy());
    let read = Access::scopes(["r"]).unwrap();
    let wish = NewToken::new("alice", "My phone", read.clone());
    let old = bench.tokens.block_on(bench.tokens.issue(wish)).unwrap();
    let shortened = Rotation::new().overlap(secs(100)).expires(Expires::At(at(500)));
    let lost = bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), shortened)).unwrap();
    let wider = bench.refused(&old, Rotation::new().narrowed_to(Access::full()));
    assert!(matches!(wider, ChangeError::MoreAccess), "{wider:?}");
    bench.tokens.block_on(bench.tokens.rename(&ops(), lost.id(), "Renamed")).unwrap();
    let new = bench.rotate(&old, 100);
    let view = bench.see(&new);
    assert_eq!((view.access(), view.expires()), (&read, Expires::At(at(500))));
    assert_eq!(view.label().as_str(), "Renamed");
}

#[test]
fn access_that_includes_more_by_the_policys_scopes_is_not_less() {
    let bench = bench(policy().with_scopes(&[Files::Read, Files::Write]).unwrap());
    let write = Access::scopes([Files::Write]).unwrap();
    let parent = NewToken::new("alice", "x", write);
    let parent = bench.tokens.block_on(bench.tokens.issue(parent)).unwrap();
    let child = bench.issue_under(&parent);
    let both = Access::scopes([Files::Read, Files::Write]).unwrap();
    let same = Rotation::new().overlap(secs(100)).narrowed_to(both);
    let _new = bench.tokens.block_on(bench.tokens.rotate(&ops(), parent.id(), same)).unwrap();
    bench.assert_good(child.expose_secret());
    bench.assert_good(parent.expose_secret());
}

#[test]
fn a_rotation_to_a_sooner_end_ends_the_old_token_by_then() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let sooner = Rotation::new().overlap(secs(1000)).expires(Expires::At(at(50)));
    let new = bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), sooner)).unwrap();
    bench.clock.set(at(49));
    bench.assert_good(old.expose_secret());
    bench.clock.set(at(50));
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    bench.assert_denied(new.expose_secret(), DenialReason::Expired);
}

#[test]
fn a_second_rotation_to_a_sooner_end_revokes_derived_tokens() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let child = bench.issue_under(&old);
    let _lost = bench.rotate(&old, 100);
    let sooner = Rotation::new().overlap(secs(100)).expires(Expires::At(at(500)));
    let _new = bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), sooner)).unwrap();
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
}

#[test]
fn tokens_revoked_by_a_change_are_in_its_event() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let lost = bench.rotate(&old, 100);
    bench.heard.texts();
    let new = bench.rotate(&old, 100);
    let heard = bench.heard.texts();
    assert!(heard[0].contains(&format!("replaced: Some({:?})", lost.id())), "{heard:?}");
    for (scopes, ends) in [(["r", "w"], true), (["r", "w"], false)] {
        let access = Access::scopes(scopes).unwrap();
        bench.tokens.block_on(bench.tokens.end_overlap(&ops(), new.id())).unwrap();
        bench.heard.texts();
        bench.tokens.block_on(bench.tokens.narrow(&ops(), new.id(), access)).unwrap();
        let heard = bench.heard.texts();
        assert!(heard[0].contains(&format!("revoked_derived: {ends}")), "{heard:?}");
    }
}

#[test]
fn narrowing_to_the_same_access_ends_nothing() {
    let bench = bench(policy());
    let parent = bench.issue("alice");
    let child = bench.issue_under(&parent);
    bench.tokens.block_on(bench.tokens.narrow(&ops(), parent.id(), Access::full())).unwrap();
    bench.assert_good(child.expose_secret());
}

#[test]
fn no_overlap_is_longer_than_the_policy_allows() {
    let bench = bench(policy().with_max_overlap(secs(100)));
    let old = bench.issue("alice");
    for overlap in [secs(100) + secs(1) / 2, secs(101), secs(u64::MAX)] {
        let refused = bench.refused(&old, Rotation::new().overlap(overlap));
        assert_eq!(
            refused.to_string(),
            "the old token may stay valid for at most 1 minute; choose a shorter overlap"
        );
    }
    let _new = bench.rotate(&old, 100);
    assert_eq!(bench.see(&old).expires(), Expires::At(at(100)));
}

#[test]
fn access_taken_from_a_successor_during_its_replacement_stays_taken() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let old = bench.issue("alice");
    let lost = bench.rotate(&old, 100);
    let (other_host, id) = (bench.tokens.clone(), lost.id());
    let none = Access::scopes([""; 0]).unwrap();
    let taken = none.clone();
    store.before_the_next_write(move || {
        other_host.block_on(other_host.end_overlap(&ops(), id)).unwrap();
        other_host.block_on(other_host.narrow(&ops(), id, taken)).unwrap();
    });
    let refused = bench.refused(&old, Rotation::new().overlap(secs(100)));
    assert!(matches!(refused, ChangeError::Conflict), "{refused:?}");
    assert_eq!(bench.see(&lost).access(), &none);
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    bench.assert_good(lost.expose_secret());
}

fn one_of_many_rotations_at_once_without_overlap_succeeds(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    for _ in 0..20 {
        let old = bench.issue("alice");
        let start = Barrier::new(8);
        let rotate = || {
            start.wait();
            bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), Rotation::new()))
        };
        let answers: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> = (0..8).map(|_| scope.spawn(rotate)).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for lost in lost.into_iter().map(Result::unwrap_err) {
            let fair = matches!(lost, ChangeError::Conflict | ChangeError::Rotated { .. });
            assert!(fair, "{lost:?}");
        }
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
        bench.assert_good(won.into_iter().next().unwrap().unwrap().expose_secret());
        let family = Filter::of_family(old.view().owner(), old.view().family());
        let line =
            bench.tokens.block_on(bench.tokens.list(&family, Page::first(10))).unwrap().tokens;
        assert_eq!(line.len(), 2);
        bench
            .tokens
            .block_on(bench.tokens.forget_owner(&operator("ops"), old.view().owner()))
            .unwrap();
    }
}

#[test]
fn one_successor_lives_of_many_rotations_at_once_with_an_overlap() {
    let bench = bench(policy());
    for _ in 0..20 {
        let old = bench.issue("alice");
        let start = Barrier::new(8);
        let rotate = || {
            start.wait();
            let rotation = Rotation::new().overlap(secs(100));
            bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), rotation)).ok()
        };
        let won: Vec<IssuedToken> = thread::scope(|scope| {
            let running: Vec<_> = (0..8).map(|_| scope.spawn(rotate)).collect();
            running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(!won.is_empty());
        let authenticates = |token: &&IssuedToken| {
            bench.tokens.block_on(bench.tokens.authenticate(token.expose_secret())).is_ok()
        };
        assert_eq!(won.iter().filter(authenticates).count(), 1);
        bench
            .tokens
            .block_on(bench.tokens.forget_owner(&operator("ops"), old.view().owner()))
            .unwrap();
    }
}

#[test]
fn a_rotation_that_lost_to_a_revocation_makes_no_successor() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let old = bench.issue("alice");
    let (other_host, id) = (bench.tokens.clone(), old.id());
    store.before_the_next_write(move || {
        other_host.block_on(other_host.revoke(&ops(), id, Reason::REQUESTED)).unwrap();
    });
    let refused = bench.refused(&old, Rotation::new());
    assert!(matches!(refused, ChangeError::Conflict), "{refused:?}");
    bench.assert_denied(old.expose_secret(), DenialReason::Revoked);
    assert_eq!(bench.all_of("alice").len(), 1, "no successor came after the revocation");
}

/// The clocks of one deployment may differ.
#[test]
fn a_rotation_without_overlap_ends_the_old_token_on_hosts_whose_clocks_are_behind() {
    let here = bench(policy());
    let old = here.issue("alice");
    here.clock.set(at(1000));
    let new = here.rotate(&old, 0);
    for behind in [0, 1, 290, 300] {
        let there = bench_over(here.tokens.store().clone(), policy());
        there.clock.set(at(1000 - behind));
        there.assert_denied(old.expose_secret(), DenialReason::Superseded);
        let again = there.tokens.block_on(there.tokens.rotate(&ops(), old.id(), Rotation::new()));
        assert_eq!(current_in(again.map(drop)), new.id(), "{behind}");
    }
    here.assert_good(new.expose_secret());
}
