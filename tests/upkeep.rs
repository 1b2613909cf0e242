//! Upkeep: last uses are written every minute, dead rows are purged daily, and it can be stopped.

mod common;

use std::sync::Arc;

use app_tokens::error::Failed;
use app_tokens::store::{MemoryStore, TokenStore};
use app_tokens::{Access, IssuedToken, NewToken, Reason};
use common::*;

fn is_written(bench: &Bench<MemoryStore>, token: &IssuedToken) -> bool {
    let row = ready(bench.tokens.store().find(token.id())).unwrap().unwrap();
    row.record().unwrap().last_use().is_some()
}

/// Makes a token that was used, and a row that may be purged.
fn bench_with_work() -> (Bench<MemoryStore>, IssuedToken, IssuedToken) {
    let bench = bench(policy().with_retention(secs(0)));
    let (used, dead) = (bench.issue("alice"), bench.issue("alice"));
    bench.assert_good(used.expose_secret());
    ready(bench.tokens.revoke(ops(), dead.id(), Reason::REQUESTED)).unwrap();
    (bench, used, dead)
}

fn is_purged(bench: &Bench<MemoryStore>, token: &IssuedToken) -> bool {
    ready(bench.tokens.store().find(token.id())).unwrap().is_none()
}

/// Lets this time pass on a paused runtime, and lets its tasks do what is due.
async fn pass(seconds: u64) {
    tokio::time::sleep(secs(seconds)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn upkeep_once_writes_each_time_and_purges_once_a_day() {
    let (bench, used, dead) = bench_with_work();
    let upkeep = bench.tokens.upkeep();
    bench.tokens.block_on(upkeep.once()).unwrap();
    assert!(is_written(&bench, &used) && is_purged(&bench, &dead));
    let dead = bench.issue("alice");
    ready(bench.tokens.revoke(ops(), dead.id(), Reason::REQUESTED)).unwrap();
    for (seconds, expected) in [(86_399, false), (86_400, true)] {
        bench.clock.set(at(seconds));
        ready(upkeep.once()).unwrap();
        assert_eq!(is_purged(&bench, &dead), expected);
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_put_off_the_purge() {
    let (bench, _, dead) = bench_with_work();
    let upkeep = bench.tokens.upkeep();
    bench.clock.set(at(1_000_000));
    ready(upkeep.once()).unwrap();
    assert!(is_purged(&bench, &dead));
    bench.clock.set(at(0));
    let dead = bench.issue("alice");
    ready(bench.tokens.revoke(ops(), dead.id(), Reason::REQUESTED)).unwrap();
    ready(upkeep.once()).unwrap();
    assert!(is_purged(&bench, &dead));
}

#[tokio::test(start_paused = true)]
async fn the_upkeep_task_writes_every_minute_and_purges_soon_and_then_daily() {
    let (bench, used, dead) = bench_with_work();
    let task = bench.tokens.upkeep().spawn();
    pass(59).await;
    assert!(!is_written(&bench, &used));
    pass(2).await;
    assert!(is_written(&bench, &used) && !is_purged(&bench, &dead));
    pass(300).await;
    assert!(is_purged(&bench, &dead));
    let dead = bench.issue("alice");
    ready(bench.tokens.revoke(ops(), dead.id(), Reason::REQUESTED)).unwrap();
    pass(86_000).await;
    assert!(!is_purged(&bench, &dead));
    pass(500).await;
    assert!(is_purged(&bench, &dead));
    task.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_upkeep_task_can_be_stopped_through_a_shared_reference_and_repeatedly() {
    let (bench, used, _) = bench_with_work();
    let task = Arc::new(bench.tokens.upkeep().spawn());
    let same = task.clone();
    let other = tokio::spawn(async move { same.stop().await });
    task.stop().await.unwrap();
    other.await.unwrap().unwrap();
    task.stop().await.unwrap();
    assert!(is_written(&bench, &used));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_upkeep_task_writes_a_last_time_and_ends() {
    let (bench, used, _) = bench_with_work();
    drop(bench.tokens.upkeep().spawn());
    pass(0).await;
    assert!(is_written(&bench, &used));
    bench.clock.advance(secs(60));
    bench.assert_good(used.expose_secret());
    let written = ready(bench.tokens.store().find(used.id())).unwrap().unwrap();
    pass(600).await;
    let later = ready(bench.tokens.store().find(used.id())).unwrap().unwrap();
    assert_eq!(written.record(), later.record(), "nothing writes any more");
}

#[tokio::test(start_paused = true)]
async fn a_policy_with_an_idle_time_out_works_only_while_upkeep_is_attached() {
    let bench = bench(policy().with_idle_timeout(DAY).unwrap());
    let new = || NewToken::new("alice", "My phone", Access::full());
    let is_refused = |issued: Result<IssuedToken, app_tokens::error::IssueError>| {
        matches!(issued, Err(app_tokens::error::IssueError::Failed(Failed::NoUpkeep)))
    };
    assert!(is_refused(bench.tokens.issue(new()).await));
    let task = bench.tokens.upkeep().spawn();
    let issued = bench.tokens.issue(new()).await.unwrap();
    task.stop().await.unwrap();
    assert!(is_refused(bench.tokens.issue(new()).await));
    assert!(bench.tokens.authenticate(issued.expose_secret()).await.is_err());
}
