//! A store in which another caller acts just before a call of the engine's, or which fails then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use app_tokens::Timestamp;
use app_tokens::TokenId;
use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::{
    Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row, RuntimeFree,
    StoreError, Supersede, Superseded, TokenStore,
};

/// What becomes of a call, after the act before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Then {
    GoOn,
    /// It is not done, and the store says so.
    Fail,
    /// It is done, and the answer is lost.
    FailAfter,
}

type Act = Box<dyn FnOnce() -> Then + Send>;

#[derive(Clone, Default)]
pub struct Acting {
    kept: MemoryStore,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    calls: usize,
    acts: BTreeMap<usize, Act>,
}

impl Acting {
    /// Sets what happens just before a call of the engine's, from 0. Calls of the act don't count.
    pub fn before(&self, call: usize, act: impl FnOnce() -> Then + Send + 'static) {
        self.script.lock().unwrap().acts.insert(call, Box::new(act));
    }

    /// Counts calls from 0 again. Returns whether all acts that were set have come to pass.
    pub fn reset(&self) -> bool {
        std::mem::take(&mut *self.script.lock().unwrap()).acts.is_empty()
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let act = {
            let mut script = self.script.lock().unwrap();
            script.calls += 1;
            let number = script.calls - 1;
            script.acts.remove(&number)
        };
        let Some(act) = act else { return call.await };
        let rest = std::mem::take(&mut *self.script.lock().unwrap());
        let then = act();
        *self.script.lock().unwrap() = rest;
        match then {
            Then::GoOn => call.await,
            Then::Fail => Err(StoreError::not_done("the disk is full")),
            Then::FailAfter => {
                call.await?;
                Err(StoreError::unknown("the connection is lost"))
            }
        }
    }
}

impl TokenStore for Acting {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.call(self.kept.insert(insert)).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.call(self.kept.find(id)).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.call(self.kept.list(filter, page)).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.call(self.kept.supersede(supersede)).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.call(self.kept.replace(replaces)).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.call(self.kept.revoke(filter, revocation)).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.call(self.kept.touch(uses, now)).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.call(self.kept.purge(purge, limit)).await
    }
}

impl RuntimeFree for Acting {}
