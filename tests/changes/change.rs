//! Rename, narrow, extend: what changes, who may change it, and when it is refused.

use std::sync::Barrier;
use std::thread;

use app_tokens::error::{ChangeError, DenialReason, LifeError};
use app_tokens::record::{Actor, Expires, Status};
use app_tokens::store::RuntimeFree;
use app_tokens::{Access, IssuedToken, NewToken, Owner, Requirement, Rotation, TokenId};

use super::common::outside::Outside;
use super::common::*;

on_both_stores! {
    a_label_is_unique_after_a_rename_too
}

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
fn an_extension_by_a_duration_goes_by_the_authoritys_clock() {
    let bench = bench(policy().with_max_life(secs(1000)).unwrap());
    let tokens = &bench.tokens;
    let token = bench.issue_for(200);
    bench.clock.set(at(100));
    let extended = tokens.block_on(tokens.extend(&ops(), token.id(), secs(900))).unwrap();
    assert_eq!(extended.expires(), Expires::At(at(1000)));
    let refused = |life| tokens.block_on(tokens.extend(&ops(), token.id(), life)).unwrap_err();
    assert!(matches!(refused(secs(901)), ChangeError::Life(LifeError::TooLong { .. })));
    assert!(matches!(refused(secs(0)), ChangeError::Life(LifeError::NoLife)));
    assert!(matches!(refused(secs(u64::MAX)), ChangeError::Life(LifeError::PastCalendar)));
    let rotation = Rotation::new().expires(secs(50));
    let new = tokens.block_on(tokens.rotate(&ops(), token.id(), rotation)).unwrap();
    assert_eq!(new.view().expires(), Expires::At(at(150)));
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
