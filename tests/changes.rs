//! What becomes of a token after it was issued: rotate, issue under, rename, narrow, extend, reuse,
//! leak, reseal; as properties.

mod common;
#[path = "common/scopes.rs"]
mod scopes;

use std::pin::Pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use app_tokens::error::{DenialReason, LifeError, RetireError};
use app_tokens::record::{Actor, Expires, Status};
use app_tokens::report::{Leak, LeakOutcome, LeakReport, PolicyConflict};
use app_tokens::store::{CLOCK_TOLERANCE, Filter, MemoryStore, Page, RuntimeFree, SqliteStore};
use app_tokens::{
    Access, Caller, ChangeError, IssueError, IssuedToken, KeyId, KeyRing, NewToken, Owner, Policy,
    Reason, Requirement, Resource, Reuse, Rotation, TokenId, TokenView,
};
use common::outside::Outside;
use common::*;
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use scopes::Files;
use support::text::same_id_other_secret;

impl<S: RuntimeFree> Bench<S> {
    #[track_caller]
    fn issue_for(&self, seconds: u64) -> IssuedToken {
        let new = NewToken::new("alice", "My phone", Access::full()).expires_in(secs(seconds));
        self.tokens.block_on(self.tokens.issue(new)).unwrap()
    }

    #[track_caller]
    fn rotate(&self, token: &IssuedToken, overlap: u64) -> IssuedToken {
        let rotation = Rotation::new().overlap(secs(overlap));
        self.tokens.block_on(self.tokens.rotate(&ops(), token.id(), rotation)).unwrap()
    }

    #[track_caller]
    fn refused(&self, token: &IssuedToken, rotation: Rotation) -> ChangeError {
        self.tokens.block_on(self.tokens.rotate(&ops(), token.id(), rotation)).unwrap_err()
    }

    #[track_caller]
    fn caller(&self, token: &IssuedToken) -> Caller {
        any(self.tokens.block_on(self.tokens.authenticate(token.expose_secret())).unwrap())
    }

    #[track_caller]
    fn issue_under(&self, parent: &IssuedToken) -> IssuedToken {
        let caller = self.caller(parent);
        let new = NewToken::new("alice", "child", caller.access().clone());
        self.tokens.block_on(self.tokens.issue_under(&caller, new)).unwrap()
    }

    #[track_caller]
    fn see(&self, token: &IssuedToken) -> TokenView {
        self.tokens.block_on(self.tokens.find(&ops(), token.id())).unwrap()
    }

    #[track_caller]
    fn revoke(&self, token: &IssuedToken) {
        self.tokens.block_on(self.tokens.revoke(&ops(), token.id(), Reason::REQUESTED)).unwrap();
    }

    #[track_caller]
    fn assert_good_for(&self, token: &IssuedToken, good: bool, reason: DenialReason) {
        if good {
            self.assert_good(token.expose_secret());
        } else {
            self.assert_denied(token.expose_secret(), reason);
        }
    }
}

/// Makes two tests of each of these functions, one for each store.
macro_rules! on_both_stores {
    ($($property:ident)*) => {
        mod in_memory {
            $(#[test] fn $property() { super::$property(super::MemoryStore::new()); })*
        }
        mod in_sqlite {
            $(#[test] fn $property() {
                super::$property(super::SqliteStore::in_memory().unwrap());
            })*
        }
    };
}

on_both_stores! {
    without_an_overlap_the_old_token_ends_at_once_and_its_successor_works
    with_an_overlap_both_tokens_work_until_its_end_to_the_second
    a_rotation_is_refused_by_no_limit_and_no_unique_label
    a_second_rotation_replaces_a_successor_that_is_unused
    a_use_of_the_successor_that_is_not_written_yet_counts
    a_use_of_the_successor_on_another_host_counts_once_it_is_written
    one_of_many_rotations_at_once_without_overlap_succeeds
    a_derived_token_is_revoked_with_the_token_it_was_issued_under
    no_derived_token_survives_a_concurrent_rotation_without_overlap
    a_label_is_unique_after_a_rename_too
    a_reseal_moves_every_row_and_nobody_is_denied_meanwhile
}

// -- rotate

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
        let is_refused = matches!(
            refused,
            ChangeError::Rotated { .. } | ChangeError::NotActive(Status::Superseded)
        );
        assert!(is_refused, "{what}: {refused:?}");
        assert_eq!(bench.all_of("alice").len(), rows, "{what}");
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
fn nothing_is_issued_under_a_superseded_token() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let _new = bench.rotate(&old, 100);
    let caller = bench.caller(&old);
    let refused = bench.tokens.block_on(
        bench.tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())),
    );
    assert!(matches!(refused, Err(IssueError::ParentChanged)), "{refused:?}");
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
        assert_eq!(refused.to_string(), "the old token may live on for 100 seconds at most");
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
            let fair =
                matches!(lost, ChangeError::Conflict | ChangeError::NotActive(Status::Superseded));
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
            .block_on(bench.tokens.forget_owner(old.view().owner(), &operator("ops")))
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
            .block_on(bench.tokens.forget_owner(old.view().owner(), &operator("ops")))
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

// -- issue under

#[test]
fn a_derived_token_expires_with_its_parent_if_no_end_is_given() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let new = NewToken::new("alice", "x", Access::full()).expires_in(secs(500));
    let parent = tokens.block_on(tokens.issue(new)).unwrap();
    bench.heard.texts();
    let child = bench.issue_under(&parent);
    let view = bench.see(&child);
    assert_eq!(view.expires(), Expires::At(at(500)));
    assert_eq!(view.derived_from(), Some(parent.id()));
    assert_eq!((view.family(), view.status()), (child.id(), Some(Status::Active)));
    assert_eq!(bench.heard.kinds(), ["FirstUse", "Issued"]);

    let long = tokens.block_on(tokens.issue(NewToken::new("alice", "y", Access::full()))).unwrap();
    bench.clock.set(at(86_400));
    let child = bench.issue_under(&long);
    assert_eq!(bench.see(&child).expires(), long.view().expires(), "cut to the parent's");
}

#[test]
fn a_derived_token_lives_no_longer_than_its_parent() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let parent = bench.issue_for(500);
    bench.clock.set(at(100));
    let caller = bench.caller(&parent);
    let under = |new| tokens.block_on(tokens.issue_under(&caller, new));
    let new = || NewToken::new("alice", "child", Access::full());
    assert_eq!(under(new().expires_in(secs(400))).unwrap().view().expires(), Expires::At(at(500)));
    assert_eq!(under(new().expires_at(at(499))).unwrap().view().expires(), Expires::At(at(499)));
    for late in [new().expires_in(secs(401)), new().expires_at(at(501)), new().never_expires()] {
        let refused = under(late).unwrap_err();
        let right = matches!(
            refused,
            IssueError::Life(LifeError::TooLong { max }) if max == secs(400)
        );
        assert!(right, "{refused:?}");
    }
    let endless = tokens
        .block_on(tokens.issue(NewToken::new("alice", "y", Access::full()).never_expires()))
        .unwrap();
    let child = tokens
        .block_on(tokens.issue_under(&bench.caller(&endless), new().never_expires()))
        .unwrap();
    assert_eq!(child.view().expires(), Expires::Never);
}

#[test]
fn nothing_is_issued_under_a_derived_token_or_for_another_owner() {
    let bench = bench(policy());
    let parent = bench.issue("alice");
    let child = bench.issue_under(&parent);
    let tokens = &bench.tokens;
    let under = |token, owner| {
        tokens.block_on(
            tokens.issue_under(&bench.caller(token), NewToken::new(owner, "x", Access::full())),
        )
    };
    assert!(matches!(under(&child, "alice"), Err(IssueError::NotUnderThis)));
    let rotated_child = bench.rotate(&child, 0);
    assert!(matches!(under(&rotated_child, "alice"), Err(IssueError::NotUnderThis)));
    assert!(matches!(under(&parent, "mallory"), Err(IssueError::OtherOwner)));
    assert!(matches!(under(&parent, "Alice"), Err(IssueError::OtherOwner)));
    assert_eq!(bench.all_of("alice").len(), 3);
    assert!(bench.all_of("mallory").is_empty());
}

#[test]
fn a_derived_token_counts_for_limit_and_labels() {
    let bench = bench(policy().with_unique_labels().with_max_per_owner(2).unwrap());
    let parent = bench.issue("alice");
    let under = |label| {
        bench.tokens.block_on(
            bench
                .tokens
                .issue_under(&bench.caller(&parent), NewToken::new("alice", label, Access::full())),
        )
    };
    assert!(matches!(under("My phone"), Err(IssueError::LabelTaken)));
    assert!(under("one").is_ok());
    assert!(matches!(under("two"), Err(IssueError::LimitReached { limit: 2 })));
}

#[test]
fn unique_labels_are_compared_byte_for_byte() {
    let bench = bench(policy().with_unique_labels());
    let tokens = &bench.tokens;
    for label in ["Phone", "phone", "Phone\u{200E}", "é", "e\u{301}"] {
        assert_eq!(
            tokens
                .block_on(tokens.issue(NewToken::new("alice", label, Access::full())))
                .unwrap()
                .view()
                .label()
                .as_str(),
            label
        );
        let again = tokens.block_on(tokens.issue(NewToken::new(
            "alice",
            format!(" {label} "),
            Access::full(),
        )));
        assert!(matches!(again, Err(IssueError::LabelTaken)), "{label:?}");
    }
}

#[test]
fn a_token_issued_under_another_by_an_operator_names_the_operator_in_list_and_event() {
    let bench = bench(policy());
    let parent = bench.issue("alice");
    let caller = bench.caller(&parent);
    bench.heard.texts();
    let new = NewToken::new("alice", "child", Access::full()).issued_by(&operator("support"));
    let child = bench.tokens.block_on(bench.tokens.issue_under(&caller, new)).unwrap();
    assert_eq!(child.view().issued_by().unwrap().as_str(), "support");
    let [heard] = &bench.heard.texts()[..] else { panic!("one event") };
    assert!(heard.contains("by: Operator(\"support\")"), "{heard}");
}

#[test]
fn nothing_is_issued_under_a_token_that_has_ended_since_it_authenticated() {
    let idle = policy().with_idle_timeout(DAY).unwrap();
    for what in ["revoked", "rotated", "expired", "idle", "forgotten"] {
        let bench = bench(idle.clone());
        let _upkeep = bench.tokens.upkeep();
        let parent = bench.issue_for(if what == "expired" { 500 } else { 1 << 30 });
        let caller = bench.caller(&parent);
        match what {
            "revoked" => bench.revoke(&parent),
            "rotated" => drop(bench.rotate(&parent, 0)),
            "expired" => bench.clock.set(at(500)),
            "idle" => bench.clock.set(at(86_400)),
            _ => assert!(bench.tokens.block_on(bench.tokens.forget(&ops(), parent.id())).is_ok()),
        }
        let rows = bench.all_of("alice").len();
        let refused = bench.tokens.block_on(
            bench.tokens.issue_under(&caller, NewToken::new("alice", "x", Access::full())),
        );
        assert!(matches!(refused, Err(IssueError::ParentChanged)), "{what}: {refused:?}");
        assert_eq!(bench.all_of("alice").len(), rows, "{what}");
    }
}

#[test]
fn a_token_narrowed_since_it_authenticated_gives_no_more_than_it_has_now() {
    let bench = bench(policy());
    let parent = bench.issue("alice");
    let caller = bench.caller(&parent);
    let read = Access::scopes(["r"]).unwrap();
    let tokens = &bench.tokens;
    tokens.block_on(tokens.narrow(&ops(), parent.id(), read.clone())).unwrap();
    let as_it_was = NewToken::new("alice", "x", caller.access().clone());
    assert!(matches!(
        tokens.block_on(tokens.issue_under(&caller, as_it_was)),
        Err(IssueError::MoreAccess)
    ));
    let child = tokens
        .block_on(tokens.issue_under(&caller, NewToken::new("alice", "x", read.clone())))
        .unwrap();
    assert_eq!(child.view().access(), &read);
}

type Meanwhile = (&'static str, fn(&app_tokens::TokenAuthority<Outside>, TokenId));

#[test]
fn nothing_is_issued_under_a_token_that_ends_or_changes_between_read_and_write() {
    let meanwhile: &[Meanwhile] = &[
        ("revoked", |host, id| {
            host.block_on(host.revoke(&ops(), id, Reason::REQUESTED)).unwrap();
        }),
        ("rotated", |host, id| {
            drop(host.block_on(host.rotate(&ops(), id, Rotation::new())).unwrap());
        }),
        ("narrowed", |host, id| {
            let none = Access::scopes([""; 0]).unwrap();
            host.block_on(host.narrow(&ops(), id, none)).unwrap();
        }),
        ("shortened", |host, id| {
            host.block_on(host.extend(&ops(), id, Expires::At(at(1)))).unwrap();
        }),
        ("forgotten", |host, id| {
            host.block_on(host.forget(&ops(), id)).unwrap();
        }),
    ];
    for (what, act) in meanwhile {
        let store = Outside::new();
        let bench = bench_over(store.clone(), policy());
        let parent = bench.issue("alice");
        let caller = bench.caller(&parent);
        let (other_host, id, act) = (bench.tokens.clone(), parent.id(), *act);
        store.before_the_next_write(move || act(&other_host, id));
        let refused = bench.tokens.block_on(
            bench.tokens.issue_under(&caller, NewToken::new("alice", "x", Access::full())),
        );
        assert!(matches!(refused, Err(IssueError::ParentChanged)), "{what}: {refused:?}");
        let derived = bench.all_of("alice").into_iter().filter(|row| row.derived_from().is_some());
        assert_eq!(derived.count(), 0, "{what}");
    }
}

fn a_derived_token_is_revoked_with_the_token_it_was_issued_under(store: impl RuntimeFree) {
    let bench = bench_over(store, policy());
    let bystander = bench.issue("alice");
    let kept = bench.issue_under(&bystander);
    let parent = bench.issue("alice");
    let child = bench.issue_under(&parent);

    // A rotation with an overlap spares it: it belongs to the whole line.
    let second = bench.rotate(&parent, 100);
    bench.assert_good(child.expose_secret());
    let other = bench.issue_under(&second);
    bench.clock.set(at(100));
    bench.assert_good(child.expose_secret());

    // A rotation without one revokes all that was issued under the line.
    let third = bench.rotate(&second, 0);
    for ended in [&child, &other] {
        bench.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        assert_eq!(bench.see(ended).revocation().unwrap().reason, Reason::ROTATED);
    }
    let last = bench.issue_under(&third);
    let rotated_last = bench.rotate(&last, 100);
    bench.revoke(&third);
    for ended in [&last, &rotated_last] {
        bench.assert_denied(ended.expose_secret(), DenialReason::Revoked);
    }
    bench.assert_good(kept.expose_secret());
    bench.assert_good(bystander.expose_secret());
}

#[test]
fn a_rotation_to_less_access_or_time_revokes_derived_tokens_despite_its_overlap() {
    let bench = bench(policy());
    let overlap = || Rotation::new().overlap(secs(100));
    let less = [
        (Rotation::new().narrowed_to(Access::scopes(["r"]).unwrap()), false),
        (overlap().expires(Expires::At(at(500))), true),
    ];
    for (rotation, has_overlap) in less {
        let parent = bench.issue("alice");
        let child = bench.issue_under(&parent);
        let _new =
            bench.tokens.block_on(bench.tokens.rotate(&ops(), parent.id(), rotation)).unwrap();
        bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
        bench.assert_good_for(&parent, has_overlap, DenialReason::Superseded);
    }
    // The same access and a later end take nothing away.
    let parent = bench.issue_for(1000);
    let child = bench.issue_under(&parent);
    let same = overlap().narrowed_to(Access::full()).expires(Expires::At(at(2000)));
    let _new = bench.tokens.block_on(bench.tokens.rotate(&ops(), parent.id(), same)).unwrap();
    bench.assert_good(child.expose_secret());
}

#[test]
fn revoking_a_derived_token_spares_its_parent() {
    let bench = bench(policy());
    let parent = bench.issue("alice");
    let (child, sibling) = (bench.issue_under(&parent), bench.issue_under(&parent));
    bench.revoke(&child);
    let rotated = bench.rotate(&sibling, 0);
    bench.assert_good(parent.expose_secret());
    bench.assert_good(rotated.expose_secret());
    assert_eq!(bench.see(&rotated).derived_from(), Some(parent.id()));
}

#[test]
fn a_derived_token_is_never_given_a_later_end() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let parent = bench.issue_for(500);
    let child = bench.issue_under(&parent);
    for end in [Expires::At(at(501)), Expires::Never] {
        let refused = tokens.block_on(tokens.extend(&ops(), child.id(), end)).unwrap_err();
        assert!(matches!(refused, ChangeError::Derived), "{refused:?}");
        let refused = bench.refused(&child, Rotation::new().expires(end));
        assert!(matches!(refused, ChangeError::Derived), "{refused:?}");
    }
    let sooner = Expires::At(at(400));
    assert_eq!(
        tokens.block_on(tokens.extend(&ops(), child.id(), sooner)).unwrap().expires(),
        sooner
    );
    let refused =
        tokens.block_on(tokens.extend(&ops(), child.id(), Expires::At(at(401)))).unwrap_err();
    assert!(matches!(refused, ChangeError::Derived), "once shorter it stays so: {refused:?}");
    let rotated = bench.rotate(&child, 0);
    assert_eq!(bench.see(&rotated).expires(), sooner);
}

#[test]
fn narrowing_or_shortening_a_token_revokes_what_was_issued_under_it() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let parent = bench.issue("alice");
    let (later, sooner) = (bench.issue_under(&parent), Expires::At(at(100)));
    tokens.block_on(tokens.rename(&ops(), parent.id(), "Another")).unwrap();
    tokens.block_on(tokens.extend(&ops(), parent.id(), Expires::At(at(366 * 86_400)))).unwrap();
    bench.assert_good(later.expose_secret());
    tokens.block_on(tokens.extend(&ops(), parent.id(), sooner)).unwrap();
    bench.assert_denied(later.expose_secret(), DenialReason::Revoked);

    let child = bench.issue_under(&parent);
    tokens.block_on(tokens.narrow(&ops(), parent.id(), Access::scopes(["r"]).unwrap())).unwrap();
    bench.assert_denied(child.expose_secret(), DenialReason::Revoked);
    let revocation = bench.see(&child).revocation().cloned().unwrap();
    assert_eq!(revocation.reason, Reason::NARROWED);
    bench.assert_good(parent.expose_secret());
}

fn no_derived_token_survives_a_concurrent_rotation_without_overlap(store: impl RuntimeFree) {
    let bench = bench_over(store, policy().with_no_limit_per_owner());
    for _ in 0..10 {
        let parent = bench.issue("alice");
        let caller = bench.caller(&parent);
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    let under = || {
                        bench.tokens.block_on(
                            bench
                                .tokens
                                .issue_under(&caller, NewToken::new("alice", "x", Access::full())),
                        )
                    };
                    // Far more than come before the rotation, so that the test ends even if there
                    // is a bug.
                    assert!((0..10_000).any(|_| under().is_err()), "the rotation stopped none");
                });
            }
            start.wait();
            drop(bench.rotate(&parent, 0));
        });
        let all = bench.all_of("alice");
        let derived = |row: &&TokenView| row.derived_from().is_some();
        assert!(all.iter().filter(derived).all(|row| row.status() == Some(Status::Revoked)));
        bench
            .tokens
            .block_on(bench.tokens.forget_owner(parent.view().owner(), &operator("ops")))
            .unwrap();
    }
}

// -- never more access

fn an_access() -> impl Strategy<Value = Access> {
    let scopes = prop::option::weighted(0.8, prop::sample::subsequence(&SCOPES[..], 0..=3));
    let resources = prop::option::weighted(0.7, prop::sample::subsequence(&RESOURCES[..], 0..=3));
    (scopes, resources).prop_map(|(scopes, resources)| {
        let access = scopes.map_or(Access::full(), |names| Access::scopes(names).unwrap());
        match resources {
            Some(resources) => access.on(resources.iter().map(|r| r.parse().unwrap())).unwrap(),
            None => access,
        }
    })
}

const SCOPES: [&str; 3] = ["r", "w", "admin"];
const RESOURCES: [&str; 6] =
    ["exact:a", "prefix:a", "under:a", "exact:a/b", "under:a/b", "prefix:b"];
const NAMES: [&str; 6] = ["a", "a/", "a/b", "ab", "b", "c"];

/// Returns every requirement of this small world.
fn requirements() -> impl Iterator<Item = Requirement<'static>> {
    const EACH: [[&str; 1]; 4] = [["r"], ["w"], ["admin"], ["other"]];
    EACH.iter().flat_map(|scope| {
        let anywhere = Requirement::one_of(scope);
        NAMES.iter().map(move |name| anywhere.on(name)).chain([anywhere])
    })
}

#[track_caller]
fn assert_no_more(new: &Access, old: &Access) {
    for requirement in requirements() {
        let more = new.allows(&requirement) && !old.allows(&requirement);
        assert!(!more, "{new:?} allows {requirement:?} and {old:?} doesn't");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_operation_gives_more_access(had in an_access(), asked in an_access()) {
        let bench = bench(policy());
        let tokens = &bench.tokens;
        let token = NewToken::new("alice", "x", had.clone());
        let token = tokens.block_on(tokens.issue(token)).unwrap();
        let caller = bench.caller(&token);
        let new = NewToken::new("alice", "y", asked.clone());
        let under = tokens.block_on(tokens.issue_under(&caller, new));
        let under = under.map(|child| bench.see(&child));
        let other = NewToken::new("alice", "z", had.clone());
        let other = tokens.block_on(tokens.issue(other)).unwrap();
        let rotation = Rotation::new().narrowed_to(asked.clone());
        let rotated = tokens.block_on(tokens.rotate(&ops(), other.id(), rotation));
        let rotated = rotated.map(|new| bench.see(&new));
        let narrowed = tokens.block_on(tokens.narrow(&ops(), token.id(), asked.clone()));
        let granted = [under.ok(), rotated.ok(), narrowed.ok()];
        for granted in granted.iter().flatten() {
            assert_eq!(granted.access(), &asked);
            assert_no_more(granted.access(), &had);
        }
        // The three agree, and a refusal leaves the token as it was.
        let allowed = granted.iter().flatten().count();
        assert!(allowed == 0 || allowed == 3, "{granted:?}");
        if asked == had {
            assert_eq!(allowed, 3);
        }
        let access = bench.see(&token).access().clone();
        assert_eq!(access, if allowed == 0 { had } else { asked });
    }
}

// -- rename, narrow, extend

#[test]
fn a_renamed_token_has_the_label_and_nothing_else_is_changed() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    bench.heard.texts();
    let tokens = &bench.tokens;
    let view = tokens.block_on(tokens.rename(&owner("alice"), token.id(), "  Tablet ")).unwrap();
    let found = bench.see(&token);
    for view in [&view, &found] {
        assert_eq!(view.label().as_str(), "Tablet");
        assert_eq!(
            (view.access(), view.expires()),
            (token.view().access(), token.view().expires())
        );
        assert_eq!(view.status(), Some(Status::Active));
    }
    bench.assert_good(token.expose_secret());
    assert_eq!(bench.heard.kinds(), ["Changed", "FirstUse"]);
    assert!(matches!(
        tokens.block_on(tokens.rename(&ops(), token.id(), "\n")),
        Err(ChangeError::Invalid(_))
    ));
}

fn a_label_is_unique_after_a_rename_too(store: impl RuntimeFree) {
    let bench = bench_over(store, policy().with_unique_labels());
    let tokens = &bench.tokens;
    let phone = bench.issue("alice");
    let other =
        tokens.block_on(tokens.issue(NewToken::new("alice", "Other", Access::full()))).unwrap();
    let rename = |label| tokens.block_on(tokens.rename(&ops(), other.id(), label));
    assert!(matches!(rename("My phone"), Err(ChangeError::LabelTaken)));
    assert_eq!(bench.see(&other).label().as_str(), "Other");
    assert!(rename("Other").is_ok(), "its own label");
    assert!(rename("my phone").is_ok());
    // All tokens of a line share its label.
    let rotated = bench.rotate(&phone, 100);
    assert!(matches!(rename("My phone"), Err(ChangeError::LabelTaken)));
    assert!(tokens.block_on(tokens.rename(&ops(), rotated.id(), "My phone")).is_ok());
    bench.revoke(&rotated);
    assert!(rename("My phone").is_ok());
}

#[test]
fn labels_need_not_be_unique_by_default() {
    let bench = bench(policy());
    let (_phone, other) = (bench.issue("alice"), bench.issue("alice"));
    assert!(bench.tokens.block_on(bench.tokens.rename(&ops(), other.id(), "My phone")).is_ok());
}

#[test]
fn a_narrowed_token_can_do_less_at_once_and_never_more_again() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let new = NewToken::new("alice", "x", Access::scopes(["r", "w"]).unwrap());
    let token = tokens.block_on(tokens.issue(new)).unwrap();
    let (read, write) = (Access::scopes(["r"]).unwrap(), Access::scopes(["r", "w"]).unwrap());
    assert_eq!(
        tokens.block_on(tokens.narrow(&ops(), token.id(), read.clone())).unwrap().access(),
        &read
    );
    let good = tokens.block_on(tokens.authenticate(token.expose_secret())).unwrap();
    assert!(good.require(Requirement::one_of(&["w"])).is_err());
    for wider in [write, Access::full(), Access::scopes(["w"]).unwrap()] {
        assert!(matches!(
            tokens.block_on(tokens.narrow(&ops(), token.id(), wider)),
            Err(ChangeError::MoreAccess)
        ));
    }
    let on_a = read.clone().on([exact("a")]).unwrap();
    assert!(tokens.block_on(tokens.narrow(&ops(), token.id(), on_a)).is_ok());
    assert!(matches!(
        tokens.block_on(tokens.narrow(&ops(), token.id(), read)),
        Err(ChangeError::MoreAccess)
    ));
}

#[test]
fn an_end_moves_no_further_than_the_longest_life_from_creation() {
    let bench = bench(policy().with_max_life(secs(1000)).unwrap());
    let tokens = &bench.tokens;
    let token = bench.issue_for(200);
    bench.clock.set(at(100));
    let extend = |end| tokens.block_on(tokens.extend(&ops(), token.id(), end));
    let too_long = extend(Expires::At(at(1001))).unwrap_err();
    let right = matches!(
        too_long,
        ChangeError::Life(LifeError::TooLong { max }) if max == secs(1000)
    );
    assert!(right, "{too_long:?}");
    let refused = extend(Expires::Never);
    assert!(matches!(refused, Err(ChangeError::Life(LifeError::NeverNotAllowed))));
    let refused = extend(Expires::At(at(100)));
    assert!(matches!(refused, Err(ChangeError::Life(LifeError::NoLife))), "revoke it for that");
    assert_eq!(extend(Expires::At(at(1000))).unwrap().expires(), Expires::At(at(1000)));
    assert_eq!(extend(Expires::At(at(300))).unwrap().expires(), Expires::At(at(300)));
    for (seconds, good) in [(299, true), (300, false)] {
        bench.clock.set(at(seconds));
        bench.assert_good_for(&token, good, DenialReason::Expired);
    }
}

#[test]
fn an_end_is_removed_only_if_the_policy_allows_never() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let token = bench.issue("alice");
    let view =
        bench.tokens.block_on(bench.tokens.extend(&ops(), token.id(), Expires::Never)).unwrap();
    assert_eq!(view.expires(), Expires::Never);
}

#[test]
fn a_superseded_token_is_not_extended() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    drop(bench.rotate(&old, 100));
    for seconds in [50, 101, 5000] {
        let refused =
            bench.tokens.block_on(bench.tokens.extend(&ops(), old.id(), Expires::At(at(seconds))));
        assert!(matches!(refused, Err(ChangeError::Rotated { .. })), "{refused:?}");
    }
    bench.clock.set(at(100));
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
}

#[test]
fn each_of_several_changes_at_once_is_made_or_says_that_it_is_not() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let none = Access::scopes([""; 0]).unwrap();
    let start = Barrier::new(3);
    thread::scope(|scope| {
        let tokens = &bench.tokens;
        scope.spawn(|| {
            start.wait();
            tokens.block_on(tokens.rename(&ops(), token.id(), "Tablet")).unwrap();
        });
        scope.spawn(|| {
            start.wait();
            tokens.block_on(tokens.narrow(&ops(), token.id(), none.clone())).unwrap();
        });
        start.wait();
        tokens.block_on(tokens.extend(&ops(), token.id(), Expires::At(at(500)))).unwrap();
    });
    let view = bench.see(&token);
    assert_eq!((view.label().as_str(), view.access()), ("Tablet", &none));
    assert_eq!(view.expires(), Expires::At(at(500)));
}

#[test]
fn a_change_keeps_the_last_use_written_or_pending() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    bench.clock.set(at(5));
    bench.assert_good(token.expose_secret());
    let tokens = &bench.tokens;
    assert_eq!(
        tokens.block_on(tokens.rename(&ops(), token.id(), "a")).unwrap().last_use().unwrap().at,
        at(5)
    );
    tokens.block_on(tokens.flush_usage()).unwrap();
    assert_eq!(
        tokens.block_on(tokens.rename(&ops(), token.id(), "b")).unwrap().last_use().unwrap().at,
        at(5)
    );
}

// -- whose act, and on what

type Operation = (&'static str, fn(&Bench<Outside>, &Actor, TokenId) -> Option<ChangeError>);

const OPERATIONS: &[Operation] = &[
    ("rename", |bench, by, id| bench.tokens.block_on(bench.tokens.rename(by, id, "x")).err()),
    ("narrow", |bench, by, id| {
        bench.tokens.block_on(bench.tokens.narrow(by, id, Access::full())).err()
    }),
    ("extend", |bench, by, id| {
        bench.tokens.block_on(bench.tokens.extend(by, id, Expires::At(at(1 << 20)))).err()
    }),
    ("rotate", |bench, by, id| {
        bench.tokens.block_on(bench.tokens.rotate(by, id, Rotation::new())).err()
    }),
];

#[test]
fn another_owners_token_is_as_unknown_as_a_missing_one() {
    for (name, operation) in OPERATIONS {
        let bench = bench_over(Outside::new(), policy());
        let hers = bench.issue("alice");
        let before = bench.tokens.store().rows();
        for mallory in ["mallory", "Alice", "alice "] {
            let Ok(mallory) = Owner::new(mallory) else { continue };
            if mallory == owner("alice") {
                continue;
            }
            for id in [hers.id(), TokenId::from_u64(1).unwrap()] {
                let refused = operation(&bench, &Actor::from(&mallory), id);
                assert!(matches!(refused, Some(ChangeError::Unknown)), "{name}: {refused:?}");
            }
        }
        assert_eq!(bench.tokens.store().rows(), before, "{name}");
        let done = operation(&bench, &owner("alice").into(), hers.id());
        assert!(done.is_none(), "{name}: {done:?}");
    }
}

type End = (Status, fn(&Bench<Outside>, &IssuedToken));

#[test]
fn a_token_that_has_ended_is_not_changed() {
    let ends: [End; 5] = [
        (Status::Revoked, |bench, token| bench.revoke(token)),
        (Status::Superseded, |bench, token| drop(bench.rotate(token, 0))),
        (Status::Expired, |bench, _| bench.clock.set(at(365 * 86_400))),
        (Status::Idle, |bench, _| bench.clock.set(at(86_400))),
        (Status::Tampered, |bench, token| {
            bench.tokens.store().change(token.id(), |parts| parts.expires = Expires::Never);
        }),
    ];
    for (name, operation) in OPERATIONS {
        for (status, end) in ends {
            let bench = bench_over(Outside::new(), policy().with_idle_timeout(DAY).unwrap());
            let _upkeep = bench.tokens.upkeep();
            let token = bench.issue("alice");
            end(&bench, &token);
            let before = bench.tokens.store().rows();
            match operation(&bench, &ops().into(), token.id()) {
                Some(ChangeError::NotActive(ended)) => assert_eq!(ended, status, "{name}"),
                Some(ChangeError::Rotated { .. }) => assert_eq!(status, Status::Superseded),
                other => panic!("{name} of a token that is {status}: {other:?}"),
            }
            assert_eq!(bench.tokens.store().rows(), before, "{name}, {status}");
        }
    }
}

// -- reuse

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

// -- expiring

#[test]
fn what_expires_within_a_period_is_listed_and_what_has_ended_is_not() {
    let bench = bench(policy().with_never_expiring().unwrap());
    let tokens = &bench.tokens;
    let [gone, first, last, late] = [10, 100, 1000, 1001].map(|seconds| bench.issue_for(seconds));
    let revoked = bench.issue_for(100);
    bench.revoke(&revoked);
    let never = tokens
        .block_on(tokens.issue(NewToken::new("alice", "x", Access::full()).never_expires()))
        .unwrap();
    let old = bench.issue_for(100);
    let successor = bench.rotate(&old, 50);
    bench.clock.set(at(10));
    let page = tokens.block_on(tokens.expiring(secs(990), Page::first(100))).unwrap();
    let mut right = [first.id(), last.id(), successor.id()];
    right.sort_unstable();
    let listed: Vec<TokenId> = page.tokens.iter().map(TokenView::id).collect();
    assert_eq!(listed, right, "not {:?}", [gone.id(), late.id(), never.id(), old.id()]);
    assert!(page.next.is_none());
}

#[test]
fn pages_of_expiring_tokens_lead_to_the_end_even_if_one_is_empty() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let mut living = Vec::new();
    for number in 0..30 {
        let token = bench.issue_for(if number % 2 == 0 { 5 } else { 100 });
        living.extend((number % 2 == 1).then_some(token.id()));
    }
    living.sort_unstable();
    bench.clock.set(at(5));
    let (mut page, mut listed) = (Page::first(3), Vec::new());
    loop {
        let found = tokens.block_on(tokens.expiring(secs(1000), page)).unwrap();
        listed.extend(found.tokens.iter().map(TokenView::id));
        page.after = found.next;
        if found.next.is_none() {
            break;
        }
    }
    assert_eq!(listed, living);
    assert!(
        tokens
            .block_on(tokens.expiring(std::time::Duration::MAX, Page::first(100)))
            .unwrap()
            .next
            .is_none()
    );
}

// -- leaks

fn outcomes(leaks: &[Leak]) -> Vec<(TokenId, LeakOutcome)> {
    leaks.iter().map(|leak| (leak.id, leak.outcome)).collect()
}

#[test]
fn leaked_tokens_are_revoked_with_their_derived_and_a_wrong_secret_revokes_nothing() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let (live, guessed) = (bench.issue("alice"), bench.issue("bob"));
    let child = bench.issue_under(&live);
    let (revoked, rotated, expired) = (bench.issue("a"), bench.issue("b"), bench.issue_for(5));
    bench.revoke(&revoked);
    let successor = bench.rotate(&rotated, 0);
    bench.clock.set(at(5));
    let unknown = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    let guess = same_id_other_secret(guessed.expose_secret());
    let (one, two, three) =
        (revoked.expose_secret(), rotated.expose_secret(), expired.expose_secret());
    let text = format!(
        "x={} y={guess} z={one}, {two}; {three} {unknown} and again {}",
        live.expose_secret(),
        live.expose_secret().to_uppercase(),
    );
    bench.heard.texts();
    let report = tokens.block_on(tokens.revoke_leaked(&text, &operator("scanner"))).unwrap();
    let right = [
        (live.id(), LeakOutcome::Revoked),
        (guessed.id(), LeakOutcome::NoToken),
        (revoked.id(), LeakOutcome::Ended(Status::Revoked)),
        (rotated.id(), LeakOutcome::Ended(Status::Superseded)),
        (expired.id(), LeakOutcome::Ended(Status::Expired)),
    ];
    assert_eq!(outcomes(&report.leaks)[..5], right);
    assert_eq!(report.leaks.len(), 6);
    assert_eq!(report.leaks[5].outcome, LeakOutcome::NoToken);
    assert_eq!(&text[report.leaks[0].position.clone()], live.expose_secret());
    for ended in [&live, &child] {
        bench.assert_denied(ended.expose_secret(), DenialReason::Revoked);
        let view = bench.see(ended);
        let revocation = view.revocation().unwrap();
        assert_eq!(revocation.reason, Reason::LEAKED);
        assert_eq!(revocation.by.to_string(), "operator scanner");
    }
    bench.assert_good(guessed.expose_secret());
    bench.assert_good(successor.expose_secret());
    let again = tokens.block_on(tokens.revoke_leaked(&text, &operator("scanner"))).unwrap();
    assert_eq!(again.leaks[0].outcome, LeakOutcome::Ended(Status::Revoked));
    assert_eq!(bench.heard.kinds().iter().filter(|kind| *kind == "Revoked").count(), 1);
    for secret in [live.expose_secret(), &guess] {
        assert!(!format!("{report:?}").contains(&secret[20..40]));
    }
}

#[test]
fn a_leak_is_no_use() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    bench.heard.texts();
    let tokens = &bench.tokens;
    tokens.block_on(tokens.revoke_leaked(token.expose_secret(), &operator("scanner"))).unwrap();
    tokens.block_on(tokens.flush_usage()).unwrap();
    assert_eq!(bench.see(&token).last_use(), None);
    assert_eq!(bench.heard.kinds(), ["Revoked"]);
}

#[test]
fn a_leaked_token_is_revoked_even_in_its_overlap_idle_or_without_its_key() {
    let bench = bench(policy());
    let old = bench.issue("alice");
    let new = bench.rotate(&old, 100);
    let leaked = |text: &str| {
        bench.tokens.block_on(bench.tokens.revoke_leaked(text, &operator("x"))).unwrap().leaks
    };
    assert_eq!(outcomes(&leaked(old.expose_secret())), [(old.id(), LeakOutcome::Revoked)]);
    bench.assert_denied(old.expose_secret(), DenialReason::Revoked);
    bench.assert_good(new.expose_secret());

    let store = MemoryStore::new();
    let here = bench_over(store.clone(), policy());
    let token = here.issue("alice");
    let elsewhere = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let report = elsewhere
        .tokens
        .block_on(elsewhere.tokens.revoke_leaked(token.expose_secret(), &operator("x")))
        .unwrap();
    assert_eq!(outcomes(&report.leaks), [(token.id(), LeakOutcome::Revoked)]);
    here.assert_denied(token.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_token_leaked_in_a_basic_header_is_found_by_either_prefix() {
    use base64::Engine as _;
    let policy = policy().with_realm("acme").unwrap().with_former_prefix("oldname").unwrap();
    let bench = bench(policy);
    let token = bench.issue("alice");
    let former = token.expose_secret().replace("acme_", "oldname_");
    let userpass = format!("alice:{}", token.expose_secret());
    let encoded = base64::engine::general_purpose::STANDARD.encode(userpass);
    let text = format!("> Authorization: Basic {encoded}\n{former}");
    let report =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&text, &operator("scanner"))).unwrap();
    assert_eq!(report.leaks[0].outcome, LeakOutcome::Revoked);
    // The six characters before it take eight digits of base64.
    assert_eq!(&text[report.leaks[0].position.clone()], encoded[8..].trim_end_matches('='));
    bench.assert_denied(token.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_leaked_text_need_not_be_utf_8() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let text = [b"caf\xe9 ", token.expose_secret().as_bytes(), b"\xff"].concat();
    let report =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&text, &operator("scanner"))).unwrap();
    assert_eq!(outcomes(&report.leaks), [(token.id(), LeakOutcome::Revoked)]);
}

#[test]
fn leaked_tokens_beyond_one_calls_limit_are_revoked_by_calling_again_even_in_base64() {
    use base64::Engine as _;
    let bench = bench(policy().with_no_limit_per_owner());
    let issued: Vec<_> = (0..=LeakReport::MAX_LEAKS).map(|_| bench.issue("alice")).collect();
    let texts: Vec<_> = issued.iter().map(IssuedToken::expose_secret).collect();
    let text = base64::engine::general_purpose::STANDARD.encode(texts.join(":"));
    let first =
        bench.tokens.block_on(bench.tokens.revoke_leaked(&text, &operator("scanner"))).unwrap();
    assert_eq!(first.leaks.len(), LeakReport::MAX_LEAKS);
    let last = &issued[LeakReport::MAX_LEAKS];
    bench.assert_good(last.expose_secret());
    let rest = &text[first.rest.unwrap()..];
    let second =
        bench.tokens.block_on(bench.tokens.revoke_leaked(rest, &operator("scanner"))).unwrap();
    assert_eq!(outcomes(&second.leaks), [(last.id(), LeakOutcome::Revoked)]);
    assert_eq!(second.rest, None);
}

#[test]
fn other_tasks_run_while_a_long_text_is_searched() {
    let bench = bench(policy());
    let token = bench.issue("alice");
    let scanner = operator("scanner");
    let yields = |text: &str| {
        let mut call: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(bench.tokens.revoke_leaked(text, &scanner));
        let mut context = Context::from_waker(Waker::noop());
        let mut yields = 0;
        loop {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(report) => return (yields, report.unwrap().leaks.len()),
                Poll::Pending => yields += 1,
            }
        }
    };
    assert_eq!(yields(token.expose_secret()), (0, 1));
    let (count, found) = yields(&("_".repeat(1 << 20) + token.expose_secret()));
    assert!(count >= 16 && found == 1, "{count}");
}

// -- reseal

fn key(number: u32) -> KeyId {
    KeyId::new(number).unwrap()
}

fn a_reseal_moves_every_row_and_nobody_is_denied_meanwhile(store: impl RuntimeFree + Clone) {
    let policy = policy().with_no_limit_per_owner();
    let before = bench_with_ring(store.clone(), two_keys(), policy.clone());
    // More than one page of the walk.
    let issued: Vec<IssuedToken> = (0..700).map(|_| before.issue("alice")).collect();
    let revoked = before.issue("alice");
    before.revoke(&revoked);
    let after = bench_with_ring(store, two_keys_turned(), policy);
    let tokens = &after.tokens;
    assert_eq!(tokens.block_on(tokens.keys_in_use()).unwrap(), [(key(1), 700)]);
    assert!(matches!(
        tokens.block_on(tokens.may_retire(key(1))),
        Err(RetireError::InUse { rows: 700 })
    ));
    assert!(matches!(tokens.block_on(tokens.may_retire(key(2))), Err(RetireError::Active)));

    let is_done = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let clients = scope.spawn(|| {
            let mut rounds = 0;
            while !is_done.load(Ordering::Relaxed) || rounds == 0 {
                for token in issued.iter().step_by(7) {
                    after.assert_good(token.expose_secret());
                    before.assert_good(token.expose_secret());
                }
                rounds += 1;
            }
        });
        let report = tokens.block_on(tokens.reseal());
        is_done.store(true, Ordering::Relaxed);
        clients.join().unwrap();
        report.unwrap()
    });
    assert_eq!((report.moved, report.left, report.tampered), (700, vec![], vec![]));
    assert!(report.trusted.is_empty());
    assert_eq!(tokens.block_on(tokens.keys_in_use()).unwrap(), [(key(2), 700)]);
    assert!(tokens.block_on(tokens.may_retire(key(1))).is_ok());
    assert_eq!(tokens.block_on(tokens.reseal()).unwrap().moved, 0);
    after.assert_denied(revoked.expose_secret(), DenialReason::Revoked);
    after.assert_good(issued[0].expose_secret());
}

#[test]
fn a_reseal_reports_its_progress_even_if_it_can_move_nothing() {
    let store = MemoryStore::new();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let [_, revoked, _] = ["alice", "bob", "carol"].map(|owner| before.issue(owner));
    before.revoke(&revoked);
    let told_by = |ring, moved| {
        let (after, mut told) = (bench_with_ring(store.clone(), ring, policy()), Vec::new());
        let tell = |at: app_tokens::report::ResealProgress| told.push((at.done, at.total));
        let report = after.tokens.block_on(after.tokens.reseal_with_progress(tell)).unwrap();
        assert_eq!(report.moved, moved);
        told
    };
    let without_the_old_key = KeyRing::parse(OTHER_KEYS).unwrap();
    assert_eq!(told_by(without_the_old_key, 0), [(0, 2), (1, 2), (2, 2)]);
    assert_eq!(told_by(two_keys_turned(), 2), [(0, 2), (1, 2), (2, 2)]);
    assert_eq!(told_by(two_keys_turned(), 0), [(0, 0)]);
}

#[test]
fn after_a_reseal_the_old_key_is_not_needed() {
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let parent = before.issue("alice");
    let child = before.issue_under(&parent);
    let old = before.issue("alice");
    let new = before.rotate(&old, 100);
    let turned = bench_with_ring(store.clone(), two_keys_turned(), policy());
    turned.heard.texts();
    assert_eq!(turned.tokens.block_on(turned.tokens.reseal()).unwrap().moved, 4);
    assert_eq!(turned.heard.kinds(), ["Resealed"]);
    let after = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    for token in [&parent, &child, &old, &new] {
        after.assert_good(token.expose_secret());
    }
    let view = after.see(&old);
    assert_eq!((view.successor(), view.expires()), (Some(new.id()), Expires::At(at(100))));
    assert_eq!(after.see(&child).derived_from(), Some(parent.id()));
}

#[test]
fn a_row_under_a_key_that_the_ring_lacks_is_left_and_counted() {
    let store = MemoryStore::new();
    let first = bench_over(store.clone(), policy());
    let token = first.issue("alice");
    let other = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let report = other.tokens.block_on(other.tokens.reseal()).unwrap();
    assert_eq!((report.moved, &report.left[..]), (0, &[(key(1), 1)][..]));
    assert!(report.tampered.is_empty(), "a missing key says nothing about a row");
    first.assert_good(token.expose_secret());
    assert!(matches!(
        other.tokens.block_on(other.tokens.may_retire(key(1))),
        Err(RetireError::InUse { rows: 1 })
    ));
}

#[test]
fn a_row_changed_during_a_reseal_is_left_for_the_next_one() {
    let store = Outside::new();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let token = before.issue("alice");
    let after = bench_with_ring(store.clone(), two_keys_turned(), policy());
    let (other_host, id) = (before.tokens.clone(), token.id());
    store.before_the_next_write(move || {
        other_host.block_on(other_host.rename(&ops(), id, "Tablet")).unwrap();
    });
    let report = after.tokens.block_on(after.tokens.reseal()).unwrap();
    assert_eq!((report.moved, &report.left[..]), (0, &[(key(1), 1)][..]));
    assert_eq!(after.tokens.block_on(after.tokens.reseal()).unwrap().moved, 1);
    assert_eq!(after.see(&token).label().as_str(), "Tablet");
}

#[test]
fn a_lost_key_is_named_in_the_event_and_report_of_trusted_rows() {
    let store = MemoryStore::new();
    let before = bench_over(store.clone(), policy());
    let token = before.issue("alice");
    let after = bench_with_ring(store, KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    after.assert_failed(token.expose_secret());
    let report = after
        .tokens
        .block_on(after.tokens.danger_reseal_without_proof(key(1), &operator("ops")))
        .unwrap();
    assert_eq!((report.moved, &report.trusted[..]), (1, &[token.id()][..]));
    let [heard] = &after.heard.texts()[..] else { panic!("one event") };
    assert!(heard.contains("trusted_by: Some(Operator(\"ops\"))"), "{heard}");
    after.assert_good(token.expose_secret());
    assert!(
        after
            .tokens
            .block_on(after.tokens.issue(NewToken::new("bob", "x", Access::full())))
            .is_ok()
    );
}

// -- what another policy would do

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
        assert!(
            matches!(again, Err(ChangeError::NotActive(Status::Superseded))),
            "{behind}: {again:?}"
        );
    }
    here.assert_good(new.expose_secret());
}
