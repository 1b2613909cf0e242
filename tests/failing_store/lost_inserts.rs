//! Answers of inserts that are lost: a token is stored once or not at all, and shown only if it is
//! stored.

use app_tokens::error::{ChangeError, DenialReason, IssueError};
use app_tokens::store::Certainty;
use app_tokens::{Access, NewToken, Reason};

use super::common::*;
use super::{Fault, assert_bound, bound, certainty, faulty, issue_bound, rotate, ways_in};

#[test]
fn an_insert_that_was_not_done_issues_nothing() {
    let (store, bench) = faulty();
    store.script(&[Fault::NotDone]);
    let error = bench
        .tokens
        .block_on(bench.tokens.issue(NewToken::new("alice", "x", Access::full())))
        .unwrap_err();
    let IssueError::Failed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(certainty(failed), Certainty::NotDone);
    assert_eq!(error.to_string(), "the token store failed: the disk is full");
    assert_eq!(store.rows(), 1);
}

#[test]
fn a_lost_answer_is_looked_up_and_there_is_never_a_second_token() {
    for lost in [
        &[Fault::DoneUnknown][..], // done: found by its id
        &[Fault::LostUnknown],     // not done: asked once more
        &[Fault::Late],            // done while it is looked up
        &[Fault::LostUnknown, Fault::None, Fault::DoneUnknown], // asked once more, and lost again
    ] {
        let (store, bench) = faulty();
        store.script(lost);
        match bench.tokens.block_on(bench.tokens.issue(bound())) {
            Ok(issued) => assert_bound(&bench, &issued),
            Err(IssueError::Failed(failed)) => assert_eq!(certainty(&failed), Certainty::Unknown),
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
        assert_eq!(store.rows(), 2, "{lost:?}");
        assert_eq!(bench.all_of("alice").len(), 1, "{lost:?}");
    }
}

#[test]
fn a_token_that_may_not_be_stored_is_never_shown() {
    let (store, bench) = faulty();
    for lost in [
        &[Fault::LostUnknown, Fault::None, Fault::NotDone][..],
        &[Fault::LostUnknown, Fault::NotDone, Fault::NotDone],
        &[Fault::LostUnknown, Fault::NotDone, Fault::LostUnknown],
    ] {
        store.script(lost);
        let error = bench
            .tokens
            .block_on(bench.tokens.issue(NewToken::new("alice", "x", Access::full())))
            .unwrap_err();
        let IssueError::Failed(failed) = &error else { panic!("{error:?}") };
        assert_eq!(certainty(failed), Certainty::Unknown, "the first insert may still come");
    }
    assert_eq!(store.rows(), 1);
}

/// Faults of the store's insert, and of the look-ups and the second insert that follow.
const LOST_INSERTS: &[&[Fault]] = &[
    &[Fault::DoneUnknown],
    &[Fault::Late],
    &[Fault::LostUnknown],
    &[Fault::NotDone],
    &[Fault::DoneUnknown, Fault::NotDone],
    &[Fault::DoneUnknown, Fault::NotDone, Fault::NotDone],
    &[Fault::DoneUnknown, Fault::NotDone, Fault::None, Fault::NotDone],
    &[Fault::LostUnknown, Fault::NotDone],
    &[Fault::LostUnknown, Fault::NotDone, Fault::NotDone],
    &[Fault::LostUnknown, Fault::None, Fault::DoneUnknown],
    &[Fault::LostUnknown, Fault::None, Fault::LostUnknown],
    &[Fault::LostUnknown, Fault::None, Fault::Late],
    &[Fault::Late, Fault::NotDone, Fault::NotDone],
];

#[test]
fn a_rotation_with_a_lost_answer_leaves_one_good_token_and_shows_none_that_is_not_stored() {
    for lost in LOST_INSERTS {
        let (store, bench) = faulty();
        let old = issue_bound(&bench);
        // The look-up of the old token succeeds.
        store.script(&[&[Fault::None], *lost].concat());
        let answer = rotate(&bench, &old, 0);
        store.script(&[]);
        let ways = ways_in(&bench);
        assert_eq!(ways.len(), 1, "{lost:?}");
        match answer {
            Ok(new) => {
                assert_bound(&bench, &new);
                bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
            }
            Err(ChangeError::Failed(failed)) => {
                let not_done = **lost == [Fault::NotDone];
                assert_eq!(certainty(&failed) == Certainty::NotDone, not_done, "{lost:?}");
                if not_done {
                    assert_bound(&bench, &old);
                }
            }
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
    }
}

#[test]
fn a_rotation_with_an_overlap_can_be_repeated_after_a_lost_answer() {
    for lost in LOST_INSERTS {
        for again in [false, true] {
            let (store, bench) = faulty();
            let old = bench.issue("alice");
            let first = again.then(|| rotate(&bench, &old, 100).unwrap());
            // The look-ups of the old token and of its successor succeed.
            let looks = vec![Fault::None; if again { 2 } else { 1 }];
            store.script(&[&looks, *lost].concat());
            let shown = rotate(&bench, &old, 100);
            store.script(&[]);
            assert!(ways_in(&bench).len() <= 2, "{lost:?}");
            let new = rotate(&bench, &old, 100).unwrap();
            let mut right = [old.id(), new.id()];
            right.sort_unstable();
            assert_eq!(ways_in(&bench), right, "{lost:?}");
            for replaced in [first, shown.ok()].into_iter().flatten() {
                bench.assert_denied(replaced.expose_secret(), DenialReason::Revoked);
            }
            bench.assert_good(new.expose_secret());
        }
    }
}

#[test]
fn issuing_under_a_token_with_a_lost_answer_stores_one_token_or_none() {
    for lost in LOST_INSERTS {
        let (store, bench) = faulty();
        let parent = bench.issue("alice");
        let tokens = &bench.tokens;
        let caller = any(tokens.block_on(tokens.authenticate(parent.expose_secret())).unwrap());
        store.script(&[&[Fault::None], *lost].concat());
        let answer = tokens
            .block_on(tokens.issue_under(&caller, NewToken::new("alice", "x", Access::full())));
        store.script(&[]);
        assert!(ways_in(&bench).len() <= 2, "{lost:?}");
        match answer {
            Ok(child) => bench.assert_good(child.expose_secret()),
            Err(IssueError::Failed(_)) => {}
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
        tokens.block_on(tokens.revoke(&ops(), parent.id(), Reason::REQUESTED)).unwrap();
        assert_eq!(ways_in(&bench), [], "{lost:?}");
    }
}
