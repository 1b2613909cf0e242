//! Orders of calls that concurrent histories found, now fixed: another caller acts just before, or
//! just after, the store reads.

mod common;

use std::sync::{Arc, Mutex};

use app_tokens::error::{ChangeError, DenialReason, IssueError};
use app_tokens::record::Status;
use app_tokens::{Access, NewToken, Rotation};
use common::outside::Outside;
use common::*;

#[test]
fn a_list_shows_a_use_that_is_written_while_the_rows_are_read() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    bench.assert_good(issued.expose_secret());
    let same = bench.tokens.clone();
    store.after_the_next_read(move || same.block_on(same.flush_usage()).unwrap());
    assert_eq!(bench.all_of("alice")[0].last_use().unwrap().at, at(0));
}

#[test]
fn find_shows_a_use_that_is_written_while_the_row_is_read() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    bench.assert_good(issued.expose_secret());
    let same = bench.tokens.clone();
    store.after_the_next_read(move || same.block_on(same.flush_usage()).unwrap());
    let view = bench.tokens.block_on(bench.tokens.find(&ops(), issued.id())).unwrap();
    assert_eq!(view.last_use().unwrap().at, at(0));
}

#[test]
fn a_first_use_beside_a_flush_is_one_event() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    bench.heard.texts();
    bench.assert_good(issued.expose_secret());
    let same = bench.tokens.clone();
    // The row is read without the use, and the log when the use is no longer in it.
    store.after_the_next_read(move || same.block_on(same.flush_usage()).unwrap());
    bench.assert_good(issued.expose_secret());
    assert_eq!(bench.heard.kinds(), ["FirstUse"]);
}

#[test]
fn a_token_is_not_idle_if_its_use_is_written_while_the_row_is_read() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy().with_idle_timeout(DAY).unwrap());
    let _upkeep = bench.tokens.upkeep();
    let tokens = &bench.tokens;
    let issued = bench.issue("alice");
    bench.clock.advance(DAY - secs(1));
    let caller = any(tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap());
    bench.clock.advance(secs(1));
    let flush = || {
        let same = bench.tokens.clone();
        move || same.block_on(same.flush_usage()).unwrap()
    };
    store.after_the_next_read(flush());
    assert!(
        tokens
            .block_on(tokens.issue_under(&caller, NewToken::new("alice", "Script", Access::full())))
            .is_ok()
    );
}

#[test]
fn one_of_two_rotations_around_a_tick_of_the_clock_succeeds() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let old = bench.issue("alice");
    let new = Arc::new(Mutex::new(None));
    let (same, clock, id, first) =
        (bench.tokens.clone(), bench.clock.clone(), old.id(), Arc::clone(&new));
    // The overlap of the first rotation runs out before the second reads the row. With an instant
    // from before, the old token would still be good, and its successor would be replaced.
    store.before_the_next_read(move || {
        let rotation = Rotation::new().overlap(secs(1));
        *first.lock().unwrap() = Some(same.block_on(same.rotate(&ops(), id, rotation)).unwrap());
        clock.advance(secs(1));
    });
    let second = bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), Rotation::new()));
    let new = new.lock().unwrap().take().unwrap();
    assert!(
        matches!(second, Err(ChangeError::Rotated { current }) if current == new.id()),
        "{second:?}"
    );
    bench.assert_good(new.expose_secret());
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
}

#[test]
fn nothing_is_issued_under_a_token_that_ends_or_is_rotated_during_the_call() {
    for rotates in [false, true] {
        let store = Outside::new();
        let bench = bench_over(store.clone(), policy());
        let tokens = &bench.tokens;
        let new = NewToken::new("alice", "My phone", Access::full()).expires_in(secs(1));
        let old = tokens.block_on(tokens.issue(new)).unwrap();
        let caller = any(tokens.block_on(tokens.authenticate(old.expose_secret())).unwrap());
        let (same, clock, id) = (bench.tokens.clone(), bench.clock.clone(), old.id());
        store.before_the_next_read(move || {
            if rotates {
                let rotation = Rotation::new().overlap(secs(1));
                drop(same.block_on(same.rotate(&ops(), id, rotation)).unwrap());
            } else {
                clock.advance(secs(1));
            }
        });
        let script = NewToken::new("alice", "Script", Access::full());
        let derived = tokens.block_on(tokens.issue_under(&caller, script));
        assert!(matches!(derived, Err(IssueError::ParentChanged)), "{derived:?}");
    }
}

#[test]
fn a_list_shows_the_status_of_a_token_made_during_the_call() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let (same, clock) = (bench.tokens.clone(), bench.clock.clone());
    store.before_the_next_read(move || {
        clock.advance(secs(600));
        drop(same.block_on(same.issue(NewToken::new("alice", "Young", Access::full()))).unwrap());
    });
    assert_eq!(bench.all_of("alice")[0].status(), Some(Status::Active));
}

#[test]
fn a_token_that_is_rotated_while_it_is_narrowed_names_the_current_one() {
    let store = Outside::new();
    let bench = bench_over(store.clone(), policy());
    let issued = bench.issue("alice");
    let (same, id) = (bench.tokens.clone(), issued.id());
    store.after_the_next_read(move || {
        let rotation = Rotation::new().overlap(secs(100));
        drop(same.block_on(same.rotate(ops(), id, rotation)).unwrap());
    });
    let none = Access::scopes([""; 0]).unwrap();
    let refused = bench.tokens.block_on(bench.tokens.narrow(ops(), id, none)).unwrap_err();
    let successor = store.parts(id).successor.unwrap();
    assert!(
        matches!(refused, ChangeError::Rotated { current } if current == successor),
        "{refused:?}"
    );
}
