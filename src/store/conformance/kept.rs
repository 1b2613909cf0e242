//! [`Kept`]: a store, together with what must outlive it.

use crate::key::KeyId;
use crate::record::{LastUse, Revocation};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Keeps a store together with what must outlive it.
///
/// That may be the directory of its file, or a guard that drops its schema.
///
/// ```
/// use app_tokens::store::MemoryStore;
/// use app_tokens::store::conformance::Kept;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// // A store of yours would open a file in it.
/// let store = Kept { store: MemoryStore::new(), with: directory };
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Kept<S, W> {
    /// The store. It is dropped first.
    pub store: S,
    /// What must outlive the store. It is dropped after it.
    pub with: W,
}

impl<S: TokenStore, W: Send + Sync> TokenStore for Kept<S, W> {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.store.insert(insert).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.store.supersede(supersede).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.store.find(id).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.store.list(filter, page).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.store.replace(replaces).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.store.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.store.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.store.purge(purge, limit).await
    }
    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.store.keys_in_use().await
    }
    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        self.store.diagnose().await
    }
}

impl<S: RuntimeFree, W: Send + Sync> RuntimeFree for Kept<S, W> {}
