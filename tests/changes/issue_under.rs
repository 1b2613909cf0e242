//! Tokens issued under another: what they may be, and what revokes them.

use std::sync::Barrier;
use std::thread;

use app_tokens::error::{ChangeError, DenialReason, IssueError, LifeError};
use app_tokens::record::{Expires, Status};
use app_tokens::store::RuntimeFree;
use app_tokens::{Access, Attributes, NewToken, Reason, Rotation, TokenId, TokenView};

use super::common::outside::Outside;
use super::common::*;

on_both_stores! {
    a_derived_token_is_revoked_with_the_token_it_was_issued_under
    no_derived_token_survives_a_concurrent_rotation_without_overlap
}

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
fn a_derived_token_and_a_successor_have_the_attributes_of_the_token_before() {
    let bench = bench(policy());
    let tokens = &bench.tokens;
    let attributes = Attributes::new().with("device", "NAS").unwrap();
    let new = NewToken::new("alice", "x", Access::full()).attributes(attributes.clone());
    let parent = tokens.block_on(tokens.issue(new)).unwrap();
    let child = bench.issue_under(&parent);
    assert_eq!(bench.see(&child).attributes(), &attributes);
    let new = tokens.block_on(tokens.rotate(&ops(), parent.id(), Rotation::new())).unwrap();
    assert_eq!(bench.see(&new).attributes(), &attributes);
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
            .block_on(bench.tokens.forget_owner(&operator("ops"), parent.view().owner()))
            .unwrap();
    }
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
