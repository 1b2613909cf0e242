//! What several test binaries share.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part of this")]

pub mod outside;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use app_tokens::access::Resource;
use app_tokens::clock::ManualClock;
use app_tokens::error::AuthError;
use app_tokens::event::Event;
use app_tokens::store::{Filter, MemoryStore, TokenStore};
use app_tokens::{
    Access, Authenticated, IssuedToken, KeyRing, NewToken, Policy, Requirement, TokenAuthority,
};

pub use support::keys::*;
pub use support::rows::{at, operator, ops, owner};

pub const DAY: Duration = Duration::from_secs(86_400);

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn policy() -> Policy {
    Policy::new("acme").unwrap()
}

pub fn exact(name: &str) -> Resource {
    Resource::exact(name).unwrap()
}

/// An authority with a clock that stands at `at(0)`, and an observer that records every event as
/// text.
pub struct Bench<S> {
    pub tokens: TokenAuthority<S>,
    pub clock: ManualClock,
    pub heard: Heard,
}

#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// Returns the events since the last call, each as the first word of its `Debug`.
    pub fn kinds(&self) -> Vec<String> {
        let kind = |text: String| text.split([' ', '{']).next().unwrap_or_default().to_owned();
        self.texts().into_iter().map(kind).collect()
    }

    /// Returns the events since the last call, in full.
    pub fn texts(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub fn bench(policy: Policy) -> Bench<MemoryStore> {
    bench_over(MemoryStore::new(), policy)
}

pub fn bench_over<S: TokenStore>(store: S, policy: Policy) -> Bench<S> {
    bench_with_ring(store, ring(), policy)
}

pub fn bench_with_ring<S: TokenStore>(store: S, ring: KeyRing, policy: Policy) -> Bench<S> {
    let clock = ManualClock::at(at(0));
    let heard = Heard::default();
    let ears = heard.clone();
    let tokens = TokenAuthority::builder(store, ring, policy)
        .clock(clock.clone())
        .observer(move |event: &Event<'_>| ears.0.lock().unwrap().push(format!("{event:?}")))
        .build();
    Bench { tokens, clock, heard }
}

impl<S: app_tokens::store::RuntimeFree> Bench<S> {
    #[track_caller]
    pub fn issue(&self, owner: &str) -> IssuedToken {
        self.tokens
            .block_on(self.tokens.issue(NewToken::new(owner, "My phone", Access::full())))
            .unwrap()
    }

    #[track_caller]
    pub fn assert_good(&self, text: &str) {
        match self.tokens.block_on(self.tokens.authenticate(text)) {
            Ok(good) => drop(any(good)),
            Err(error) => panic!("should authenticate: {error:?}"),
        }
    }

    #[track_caller]
    pub fn assert_denied(&self, text: &str, reason: app_tokens::error::DenialReason) {
        match self.tokens.block_on(self.tokens.authenticate(text)) {
            Err(AuthError::Denied(denied)) => assert_eq!(denied.reason(), reason),
            other => panic!("should be denied as {reason:?}: {other:?}"),
        }
    }

    #[track_caller]
    pub fn assert_failed(&self, text: &str) -> app_tokens::error::Failed {
        match self.tokens.block_on(self.tokens.authenticate(text)) {
            Err(AuthError::Failed(failed)) => failed,
            other => panic!("should be a failure: {other:?}"),
        }
    }

    #[track_caller]
    pub fn all_of(&self, name: &str) -> Vec<app_tokens::TokenView> {
        let page = app_tokens::store::Page::first(1000);
        self.tokens
            .block_on(self.tokens.list(&Filter::of_owner(&owner(name)), page))
            .unwrap()
            .tokens
    }
}

pub fn any(good: Authenticated) -> app_tokens::Caller {
    good.require(Requirement::ANY_VALID_TOKEN).unwrap()
}

pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("this should not wait"),
    }
}
