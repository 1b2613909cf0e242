//! A store that fails, stalls, answers late or answers "unknown". A failure is never a denial, and
//! never makes a second token.

mod common;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use app_tokens::error::{ChangeError, DenialReason, Failed, IssueError, ManageError};
use app_tokens::record::{Expires, KeyId, LastUse, Revocation, Status};
use app_tokens::store::{
    Certainty, Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{
    Access, IssuedToken, KeyRing, NewToken, Owner, Reason, Reuse, Rotation, Timestamp, TokenId,
};
use common::*;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Nothing: it succeeds.
    None,
    /// Nothing is done, and the store says so.
    NotDone,
    /// It is done, and the answer is lost.
    DoneUnknown,
    /// It is not done, and the store can't say.
    LostUnknown,
    /// It is not done now but just before the next call, and the store can't say.
    Late,
    /// It never answers.
    Stalls,
}

#[derive(Clone, Default)]
struct Faulty {
    kept: MemoryStore,
    script: Arc<Mutex<VecDeque<Fault>>>,
    late: Arc<Mutex<Option<Insert>>>,
}

impl Faulty {
    fn script(&self, faults: &[Fault]) {
        *self.script.lock().unwrap() = faults.iter().copied().collect();
    }

    fn rows(&self) -> usize {
        ready(self.kept.list(&Filter::every_token(), Page::first(100))).unwrap().len()
    }

    async fn next<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = self.late.lock().unwrap().take();
        if let Some(late) = late {
            self.kept.insert(&late).await?;
        }
        let fault = self.script.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => call.await,
            Fault::NotDone => Err(StoreError::not_done("the disk is full")),
            Fault::DoneUnknown => {
                call.await?;
                Err(StoreError::unknown("the connection is lost"))
            }
            Fault::LostUnknown | Fault::Late => Err(StoreError::unknown("the connection is lost")),
            Fault::Stalls => std::future::pending().await,
        }
    }
}

impl TokenStore for Faulty {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let comes_late = self.script.lock().unwrap().front() == Some(&Fault::Late);
        let answer = self.next(self.kept.insert(insert)).await;
        if comes_late {
            *self.late.lock().unwrap() = Some(insert.clone());
        }
        answer
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.next(self.kept.find(id)).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.next(self.kept.list(filter, page)).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.next(self.kept.supersede(supersede)).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.next(self.kept.replace(replaces)).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.next(self.kept.revoke(filter, revocation)).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.next(self.kept.touch(uses, now)).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.next(self.kept.purge(purge, limit)).await
    }
}

impl RuntimeFree for Faulty {}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Makes an authority over a faulty store. The look at the keys before the first issue is done
/// already.
fn faulty() -> (Faulty, Bench<Faulty>) {
    let store = Faulty::default();
    let bench = bench_over(store.clone(), policy());
    drop(bench.issue("somebody"));
    (store, bench)
}

fn certainty(failed: &Failed) -> Certainty {
    match failed {
        Failed::Store(error) => error.certainty(),
        other => panic!("should be the store's: {other:?}"),
    }
}

fn failed<T>(answer: Result<T, ChangeError>) -> bool {
    answer.is_err_and(|error| matches!(error, ChangeError::Failed(_)))
}

#[test]
fn a_store_that_fails_is_a_failure_for_every_operation_and_never_a_denial() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    let tokens = &bench.tokens;
    let alice = owner("alice");
    let caller = any(tokens.block_on(tokens.authenticate(issued.expose_secret())).unwrap());
    for fault in [Fault::NotDone, Fault::LostUnknown] {
        let script = || store.script(&[fault]);
        script();
        bench.assert_failed(issued.expose_secret());
        script();
        assert!(tokens.block_on(tokens.list(&Filter::every_token(), Page::first(1))).is_err());
        script();
        assert!(matches!(
            tokens.block_on(tokens.find(&alice, issued.id())),
            Err(ManageError::Failed(_))
        ));
        script();
        let revoked = tokens.block_on(tokens.revoke(&alice, issued.id(), Reason::REQUESTED));
        assert!(matches!(revoked, Err(ManageError::Failed(_))), "never a false \"revoked\"");
        script();
        assert!(
            tokens
                .block_on(tokens.revoke_matching(&alice, &Filter::every_token(), Reason::REQUESTED))
                .is_err()
        );
        script();
        assert!(tokens.block_on(tokens.forget(&alice, issued.id())).is_err());
        script();
        assert!(tokens.block_on(tokens.purge()).is_err());
        let by = &alice;
        script();
        assert!(failed(tokens.block_on(tokens.rename(by, issued.id(), "x"))));
        script();
        assert!(failed(tokens.block_on(tokens.narrow(by, issued.id(), Access::full()))));
        script();
        assert!(failed(tokens.block_on(tokens.extend(by, issued.id(), Expires::At(at(100))))));
        script();
        assert!(failed(tokens.block_on(tokens.rotate(by, issued.id(), Rotation::new()))));
        script();
        let under = tokens
            .block_on(tokens.issue_under(&caller, NewToken::new("alice", "x", Access::full())));
        assert!(matches!(under, Err(IssueError::Failed(_))));
        script();
        assert!(tokens.block_on(tokens.expiring(DAY, Page::first(1))).is_err());
        script();
        assert!(
            tokens.block_on(tokens.revoke_leaked(issued.expose_secret(), &operator("x"))).is_err()
        );
        script();
        assert!(tokens.block_on(tokens.reseal()).is_err());
        script();
        assert!(
            tokens
                .block_on(
                    tokens.danger_reseal_without_proof(KeyId::new(9).unwrap(), &operator("x"))
                )
                .is_err()
        );
        script();
        assert!(tokens.block_on(tokens.keys_in_use()).is_err());
        script();
        assert!(tokens.block_on(tokens.may_retire(KeyId::new(9).unwrap())).is_err());
    }
    bench.assert_good(issued.expose_secret());
    assert_eq!(store.rows(), 2);
}

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
        match bench.tokens.block_on(bench.tokens.issue(NewToken::new("alice", "x", Access::full())))
        {
            Ok(issued) => bench.assert_good(issued.expose_secret()),
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

// -- lost answers of what comes later in a life

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

/// Returns the active tokens of an owner.
fn ways_in(bench: &Bench<Faulty>) -> Vec<TokenId> {
    let all = bench.all_of("alice").into_iter();
    all.filter(|row| row.status() == Some(Status::Active)).map(|row| row.id()).collect()
}

fn rotate(
    bench: &Bench<Faulty>,
    old: &IssuedToken,
    overlap: u64,
) -> Result<IssuedToken, ChangeError> {
    let rotation = Rotation::new().overlap(secs(overlap));
    bench.tokens.block_on(bench.tokens.rotate(&ops(), old.id(), rotation))
}

#[test]
fn a_rotation_with_a_lost_answer_leaves_one_good_token_and_shows_none_that_is_not_stored() {
    for lost in LOST_INSERTS {
        let (store, bench) = faulty();
        let old = bench.issue("alice");
        // The look-up of the old token succeeds.
        store.script(&[&[Fault::None], *lost].concat());
        let answer = rotate(&bench, &old, 0);
        store.script(&[]);
        let ways = ways_in(&bench);
        assert_eq!(ways.len(), 1, "{lost:?}");
        match answer {
            Ok(new) => {
                bench.assert_good(new.expose_secret());
                bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
            }
            Err(ChangeError::Failed(failed)) => {
                let not_done = **lost == [Fault::NotDone];
                assert_eq!(certainty(&failed) == Certainty::NotDone, not_done, "{lost:?}");
                if not_done {
                    bench.assert_good(old.expose_secret());
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

#[test]
fn a_change_with_a_lost_answer_is_made_or_reported_as_unknown() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    let tokens = &bench.tokens;
    let label = || bench.all_of("alice")[0].label().to_string();
    let rename = |label, lost: &[Fault]| {
        // The look-up of the token succeeds.
        store.script(&[&[Fault::None], lost].concat());
        let answer = tokens.block_on(tokens.rename(&ops(), issued.id(), label));
        store.script(&[]);
        match answer {
            Ok(view) => assert_eq!(view.label().as_str(), label),
            Err(ChangeError::Failed(failed)) => return Some(certainty(&failed)),
            Err(other) => panic!("{lost:?}: {other:?}"),
        }
        None
    };
    assert_eq!(rename("a", &[Fault::DoneUnknown]), None, "a look shows that it is done");
    assert_eq!(label(), "a");
    assert_eq!(rename("b", &[Fault::LostUnknown]), Some(Certainty::Unknown));
    assert_eq!(rename("b", &[Fault::NotDone]), Some(Certainty::NotDone));
    assert_eq!(label(), "a");
    assert_eq!(rename("c", &[Fault::DoneUnknown, Fault::NotDone]), Some(Certainty::Unknown));
    assert_eq!(label(), "c");
    assert_eq!(rename("c", &[]), None, "and can be asked again");
    bench.assert_good(issued.expose_secret());
}

#[test]
fn a_successor_is_not_replaced_if_pending_uses_can_not_be_written() {
    let (store, bench) = faulty();
    let old = bench.issue("alice");
    let new = rotate(&bench, &old, 100).unwrap();
    bench.assert_good(new.expose_secret());
    store.script(&[Fault::None, Fault::NotDone]);
    assert!(failed(rotate(&bench, &old, 100)));
    assert!(matches!(rotate(&bench, &old, 100), Err(ChangeError::Rotated { .. })));
    bench.assert_good(new.expose_secret());
}

#[test]
fn a_reuse_is_denied_and_reported_if_revoking_the_family_fails_and_revokes_it_the_next_time() {
    let store = Faulty::default();
    let bench = bench_over(store.clone(), policy().with_reuse(Reuse::RevokeFamily));
    let old = bench.issue("alice");
    let new = rotate(&bench, &old, 0).unwrap();
    bench.heard.texts();
    for fault in [Fault::NotDone, Fault::LostUnknown] {
        store.script(&[Fault::None, fault]);
        bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    }
    // Whether the second one was done is unknown.
    assert_eq!(bench.heard.kinds(), ["Reused", "Denied", "Revoked", "Denied"]);
    bench.assert_good(new.expose_secret());
    bench.assert_denied(old.expose_secret(), DenialReason::Superseded);
    bench.assert_denied(new.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_leak_report_that_failed_half_way_can_be_repeated() {
    let (store, bench) = faulty();
    let (one, other) = (bench.issue("alice"), bench.issue("alice"));
    let text = format!("{} {}", one.expose_secret(), other.expose_secret());
    store.script(&[Fault::None, Fault::None, Fault::None, Fault::NotDone]);
    assert!(bench.tokens.block_on(bench.tokens.revoke_leaked(&text, &operator("x"))).is_err());
    bench.assert_denied(one.expose_secret(), DenialReason::Revoked);
    bench.assert_good(other.expose_secret());
    assert_eq!(
        bench
            .tokens
            .block_on(bench.tokens.revoke_leaked(&text, &operator("x")))
            .unwrap()
            .leaks
            .len(),
        2
    );
    bench.assert_denied(other.expose_secret(), DenialReason::Revoked);
}

#[test]
fn a_reseal_that_failed_half_way_reports_what_it_moved_and_can_go_on() {
    for trusting in [false, true] {
        let store = Faulty::default();
        let no_limit = policy().with_no_limit_per_owner();
        let before = bench_with_ring(store.clone(), two_keys(), no_limit);
        let issued: Vec<_> = (0..502).map(|_| before.issue("alice")).collect();
        let ring = if trusting { KeyRing::parse(OTHER_KEYS).unwrap() } else { two_keys_turned() };
        let after = bench_with_ring(store.clone(), ring, policy());
        let tokens = &after.tokens;
        let reseal = || match trusting {
            true => tokens
                .block_on(
                    tokens.danger_reseal_without_proof(KeyId::new(1).unwrap(), &operator("ops")),
                )
                .ok(),
            false => tokens.block_on(tokens.reseal()).ok(),
        };
        // A page of 500 rows and their commit, and the next commit fails.
        store.script(&[Fault::None, Fault::None, Fault::None, Fault::NotDone]);
        assert!(reseal().is_none());
        let [heard] = &after.heard.texts()[..] else { panic!("nobody heard of what was moved") };
        assert!(heard.starts_with("Resealed { count: 500,"), "{heard}");
        let trusted = |heard: &str| {
            issued.iter().filter(|token| heard.contains(&token.id().to_string())).count()
        };
        // The rows at which it failed are named, too.
        assert_eq!(trusted(heard), 502 * usize::from(trusting), "whose seals were taken on trust");
        // The rest is done, but the answer is lost.
        store.script(&[Fault::None, Fault::DoneUnknown, Fault::NotDone]);
        assert!(reseal().is_none());
        let heard = after.heard.texts();
        let named = heard.iter().map(|text| trusted(text)).sum::<usize>();
        assert_eq!(named, 2 * usize::from(trusting));
        let report = reseal().unwrap();
        assert_eq!((report.moved, report.left), (0, vec![]));
        issued.iter().for_each(|token| after.assert_good(token.expose_secret()));
    }
}

#[test]
fn rows_trusted_by_a_dropped_call_are_named() {
    let store = Faulty::default();
    let before = bench_with_ring(store.clone(), two_keys(), policy());
    let issued = [before.issue("alice"), before.issue("alice")];
    let after = bench_with_ring(store.clone(), KeyRing::parse(OTHER_KEYS).unwrap(), policy());
    let lost = KeyId::new(1).unwrap();
    // The page of rows is read. Their replacement is never answered, and the caller drops the call.
    store.script(&[Fault::None, Fault::Stalls]);
    assert!(
        poll_once(after.tokens.danger_reseal_without_proof(lost, &operator("ops"))).is_pending()
    );
    // No later run could name them, if the store replaced them after all.
    let [heard] = &after.heard.texts()[..] else { panic!("no event of the dropped call") };
    assert!(heard.starts_with("Resealed { count: 0,"), "{heard}");
    for token in &issued {
        assert!(heard.contains(&token.id().to_string()), "{heard}");
    }
}

#[test]
fn a_revocation_with_a_lost_answer_can_be_repeated() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    store.script(&[Fault::None, Fault::DoneUnknown]);
    let alice: Owner = owner("alice");
    let revoke =
        || bench.tokens.block_on(bench.tokens.revoke(&alice, issued.id(), Reason::REQUESTED));
    assert!(matches!(revoke(), Err(ManageError::Failed(_))));
    assert_eq!(revoke().unwrap(), 0);
    bench.assert_denied(issued.expose_secret(), DenialReason::Revoked);
}

/// A caller who asks again learns only that nothing is left to do. So the events must tell it: a
/// restored backup is brought up to date from them.
#[test]
fn a_change_sends_its_event_even_if_its_answer_is_lost() {
    type Act = for<'b> fn(&'b Bench<Faulty>, TokenId) -> Pin<Box<dyn Future<Output = bool> + 'b>>;
    // The number is how often the store is called before the change.
    let acts: [(&str, usize, Act); 8] = [
        ("Issued", 0, |bench, _| {
            Box::pin(async {
                bench.tokens.issue(NewToken::new("bob", "x", Access::full())).await.is_ok()
            })
        }),
        ("Changed", 1, |bench, id| {
            Box::pin(async move { bench.tokens.rename(&ops(), id, "y").await.is_ok() })
        }),
        ("Changed", 2, |bench, id| {
            let less = Access::scopes(["files:read"]).unwrap();
            Box::pin(async move { bench.tokens.narrow(&ops(), id, less).await.is_ok() })
        }),
        ("Rotated", 1, |bench, id| {
            Box::pin(async move { bench.tokens.rotate(&ops(), id, Rotation::new()).await.is_ok() })
        }),
        ("Revoked", 1, |bench, id| {
            Box::pin(
                async move { bench.tokens.revoke(&ops(), id, Reason::REQUESTED).await.is_ok() },
            )
        }),
        ("Forgotten", 2, |bench, id| {
            Box::pin(async move { bench.tokens.forget(&ops(), id).await.is_ok() })
        }),
        ("Forgotten", 1, |bench, _| {
            Box::pin(async {
                bench.tokens.forget_owner(&owner("alice"), &operator("x")).await.is_ok()
            })
        }),
        ("Purged", 0, |bench, _| Box::pin(async { bench.tokens.purge().await.is_ok() })),
    ];
    for (kind, before, act) in acts {
        for fault in [Fault::DoneUnknown, Fault::Stalls, Fault::NotDone, Fault::None] {
            let (store, bench) = faulty();
            let id = bench.issue("alice").id();
            if kind == "Purged" {
                bench.tokens.block_on(bench.tokens.revoke(&ops(), id, Reason::REQUESTED)).unwrap();
                bench.clock.advance(secs(400 * 86_400));
            }
            bench.heard.texts();
            // If the answer was lost, no look-up and no second try helps.
            let mut script = vec![Fault::None; before];
            script.push(fault);
            script.extend([Fault::NotDone; 2].iter().filter(|_| fault == Fault::DoneUnknown));
            store.script(&script);
            let answer = poll_once(act(&bench, id));
            let heard = bench.heard.texts();
            let told = |certain: bool| {
                let words = format!("is_certain: {certain}");
                heard.iter().any(|text| text.starts_with(kind) && text.contains(&words))
            };
            let is_done = fault == Fault::None;
            assert_eq!(matches!(answer, Poll::Ready(true)), is_done, "{kind} {fault:?}");
            assert_eq!(told(true), is_done, "{kind} {fault:?}: {heard:?}");
            let may_be = matches!(fault, Fault::DoneUnknown | Fault::Stalls);
            assert_eq!(told(false), may_be, "{kind} {fault:?}: {heard:?}");
        }
    }
}

#[test]
fn a_deletion_that_failed_half_way_sends_an_event_for_what_it_deleted() {
    let store = Faulty::default();
    let bench = bench_over(store.clone(), policy().with_no_limit_per_owner());
    for _ in 0..1001 {
        let new = NewToken::new("alice", "x", Access::full()).expires_in(secs(1));
        drop(ready(bench.tokens.issue(new)).unwrap());
    }
    bench.clock.advance(secs(400 * 86_400));
    bench.heard.texts();
    store.script(&[Fault::None, Fault::NotDone]);
    assert!(bench.tokens.block_on(bench.tokens.purge()).is_err());
    assert_eq!(bench.heard.texts(), ["Purged { count: 1000, is_certain: true }"]);
    store.script(&[Fault::None, Fault::LostUnknown]);
    assert!(
        bench.tokens.block_on(bench.tokens.forget_owner(&owner("alice"), &operator("x"))).is_err()
    );
    let heard = bench.heard.texts().concat();
    assert!(heard.contains("count: 0, is_certain: false"), "{heard}");
}

#[test]
fn a_stalled_call_that_is_dropped_leaves_nothing_behind() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    store.script(&[Fault::Stalls]);
    assert!(poll_once(bench.tokens.authenticate(issued.expose_secret())).is_pending());
    store.script(&[Fault::Stalls]);
    assert!(
        poll_once(bench.tokens.issue(NewToken::new("alice", "x", Access::full()))).is_pending()
    );
    bench.assert_good(issued.expose_secret());
    assert_eq!(bench.all_of("alice").len(), 1);
}

#[test]
fn a_failed_flush_sends_an_event_keeps_the_uses_and_fails_no_login() {
    let (store, bench) = faulty();
    let issued = bench.issue("alice");
    bench.assert_good(issued.expose_secret());
    bench.heard.texts();
    store.script(&[Fault::NotDone]);
    assert!(bench.tokens.block_on(bench.tokens.flush_usage()).is_err());
    assert_eq!(bench.heard.kinds(), ["UsageNotWritten"]);
    bench.assert_good(issued.expose_secret());
    assert_eq!(bench.all_of("alice")[0].last_use().unwrap().at, at(0));
    bench.tokens.block_on(bench.tokens.flush_usage()).unwrap();
    let row = ready(store.kept.find(issued.id())).unwrap().unwrap();
    assert_eq!(row.record().unwrap().last_use().unwrap().at, at(0));
}

#[test]
fn text_that_is_no_token_never_reaches_the_store() {
    let (store, bench) = faulty();
    for text in [
        "",
        "hunter2",
        "acme_x",
        "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h93",
        &"x".repeat(10_000),
    ] {
        store.script(&[Fault::NotDone]);
        let error = bench.tokens.block_on(bench.tokens.authenticate(text)).unwrap_err();
        assert!(!matches!(error, app_tokens::error::AuthError::Failed(_)), "{error:?}");
        assert_eq!(store.script.lock().unwrap().len(), 1, "the store was asked");
    }
}

#[test]
fn a_reseal_with_a_lost_answer_looks_at_the_rows_and_goes_on() {
    let store = Faulty::default();
    let issued = bench_with_ring(store.clone(), two_keys(), policy()).issue("alice");
    let after = bench_with_ring(store.clone(), two_keys_turned(), policy());
    store.script(&[Fault::None, Fault::DoneUnknown]);
    let report = after.tokens.block_on(after.tokens.reseal()).unwrap();
    assert_eq!((report.moved, report.left), (1, vec![]));
    after.assert_good(issued.expose_secret());
}
