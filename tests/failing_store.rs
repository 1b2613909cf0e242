//! A store that fails, stalls, answers late or answers "unknown". A failure is never a denial, and
//! never makes a second token.

mod common;
#[path = "failing_store/lost_changes.rs"]
mod lost_changes;
#[path = "failing_store/lost_inserts.rs"]
mod lost_inserts;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use app_tokens::error::{ChangeError, Failed, Forbidden, IssueError, ManageError};
use app_tokens::record::{Expires, KeyId, LastUse, Revocation, Status};
use app_tokens::store::{
    Certainty, Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{
    Access, Attributes, Caller, IssuedToken, NewToken, Reason, Requirement, Rotation, Timestamp,
    TokenId,
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

/// Returns a token with networks and attributes.
fn bound() -> NewToken {
    NewToken::new("alice", "x", from_network("10.0.0.0/8")).attributes(attributes())
}

fn from_network(network: &str) -> Access {
    Access::full().from_networks([network.parse().unwrap()]).unwrap()
}

fn attributes() -> Attributes {
    Attributes::new().with("device", "NAS").unwrap()
}

fn issue_bound(bench: &Bench<Faulty>) -> IssuedToken {
    bench.tokens.block_on(bench.tokens.issue(bound())).unwrap()
}

/// Authenticates from an address.
fn enter(bench: &Bench<Faulty>, token: &IssuedToken, from: [u8; 4]) -> Result<Caller, Forbidden> {
    let entered = bench.tokens.authenticate_from(token.expose_secret(), IpAddr::from(from));
    bench.tokens.block_on(entered).unwrap().require(Requirement::ANY_VALID_TOKEN)
}

/// Checks that a token is good, and has the networks and attributes of [`bound`].
#[track_caller]
fn assert_bound(bench: &Bench<Faulty>, token: &IssuedToken) {
    let caller = enter(bench, token, [10, 0, 0, 1]).unwrap();
    let right = (&from_network("10.0.0.0/8"), &attributes());
    assert_eq!((caller.access(), caller.attributes()), right);
    assert!(enter(bench, token, [192, 0, 2, 1]).is_err());
}

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
            tokens.block_on(tokens.revoke_leaked(&operator("x"), issued.expose_secret())).is_err()
        );
        script();
        assert!(tokens.block_on(tokens.reseal()).is_err());
        script();
        assert!(
            tokens
                .block_on(
                    tokens.danger_reseal_without_proof(&operator("x"), KeyId::new(9).unwrap())
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
