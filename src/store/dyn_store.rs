//! [`DynStore`], and [`TokenStore`] for pointers to stores.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::key::KeyId;
use crate::record::{LastUse, Revocation};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Holds any store, chosen at run time: for a host with a configuration that says which one.
///
/// Clones share the store. Each call allocates once more than on the store itself, for a boxed
/// future. It is not [`RuntimeFree`], since the store inside may need a runtime.
///
/// ```
/// use app_tokens::store::{DynStore, MemoryStore};
/// let store: DynStore = DynStore::new(MemoryStore::new());
/// ```
#[derive(Clone)]
pub struct DynStore(Arc<dyn ErasedStore>);

impl DynStore {
    /// Wraps a store of any type.
    pub fn new(store: impl TokenStore + 'static) -> DynStore {
        DynStore(Arc::new(store))
    }
}

impl fmt::Debug for DynStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynStore")
    }
}

impl TokenStore for DynStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.0.insert(insert).await
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.0.supersede(supersede).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.0.find(id).await
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        self.0.list(filter, page).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.0.replace(replaces).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.0.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.0.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.0.purge(purge, limit).await
    }
    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.0.keys_in_use().await
    }
    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        self.0.diagnose().await
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Mirrors [`TokenStore`] with boxed futures. A trait with methods that return `impl Future` can't
/// be used as `dyn`.
trait ErasedStore: Send + Sync {
    fn insert<'a>(&'a self, insert: &'a Insert) -> Boxed<'a, Inserted>;
    fn supersede<'a>(&'a self, supersede: &'a Supersede) -> Boxed<'a, Superseded>;
    fn find(&self, id: TokenId) -> Boxed<'_, Option<Row>>;
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Boxed<'a, Vec<Row>>;
    fn replace<'a>(&'a self, replaces: &'a [Replace]) -> Boxed<'a, Vec<Replaced>>;
    fn revoke<'a>(&'a self, filter: &'a Filter, revocation: &'a Revocation) -> Boxed<'a, u64>;
    fn touch<'a>(&'a self, uses: &'a [(TokenId, LastUse)], now: Timestamp) -> Boxed<'a, ()>;
    fn purge<'a>(&'a self, purge: &'a Purge, limit: u32) -> Boxed<'a, u64>;
    fn keys_in_use(&self) -> Boxed<'_, Vec<KeyId>>;
    fn diagnose(&self) -> Boxed<'_, Vec<String>>;
}

impl<S: TokenStore> ErasedStore for S {
    fn insert<'a>(&'a self, insert: &'a Insert) -> Boxed<'a, Inserted> {
        Box::pin(TokenStore::insert(self, insert))
    }
    fn supersede<'a>(&'a self, supersede: &'a Supersede) -> Boxed<'a, Superseded> {
        Box::pin(TokenStore::supersede(self, supersede))
    }
    fn find(&self, id: TokenId) -> Boxed<'_, Option<Row>> {
        Box::pin(TokenStore::find(self, id))
    }
    fn list<'a>(&'a self, filter: &'a Filter, page: Page) -> Boxed<'a, Vec<Row>> {
        Box::pin(TokenStore::list(self, filter, page))
    }
    fn replace<'a>(&'a self, replaces: &'a [Replace]) -> Boxed<'a, Vec<Replaced>> {
        Box::pin(TokenStore::replace(self, replaces))
    }
    fn revoke<'a>(&'a self, filter: &'a Filter, revocation: &'a Revocation) -> Boxed<'a, u64> {
        Box::pin(TokenStore::revoke(self, filter, revocation))
    }
    fn touch<'a>(&'a self, uses: &'a [(TokenId, LastUse)], now: Timestamp) -> Boxed<'a, ()> {
        Box::pin(TokenStore::touch(self, uses, now))
    }
    fn purge<'a>(&'a self, purge: &'a Purge, limit: u32) -> Boxed<'a, u64> {
        Box::pin(TokenStore::purge(self, purge, limit))
    }
    fn keys_in_use(&self) -> Boxed<'_, Vec<KeyId>> {
        Box::pin(TokenStore::keys_in_use(self))
    }
    fn diagnose(&self) -> Boxed<'_, Vec<String>> {
        Box::pin(TokenStore::diagnose(self))
    }
}

/// Implements [`TokenStore`] for a pointer, so that hosts can share a store or lend it.
///
/// `keys_in_use` and `diagnose` are forwarded, too. Their provided bodies would compile here, and
/// silently skip what the store itself knows.
macro_rules! forward_through {
    ($pointer:ty) => {
        impl<S: TokenStore> TokenStore for $pointer {
            async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
                (**self).insert(insert).await
            }
            async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
                (**self).supersede(supersede).await
            }
            async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
                (**self).find(id).await
            }
            async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
                (**self).list(filter, page).await
            }
            async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
                (**self).replace(replaces).await
            }
            async fn revoke(
                &self,
                filter: &Filter,
                revocation: &Revocation,
            ) -> Result<u64, StoreError> {
                (**self).revoke(filter, revocation).await
            }
            async fn touch(
                &self,
                uses: &[(TokenId, LastUse)],
                now: Timestamp,
            ) -> Result<(), StoreError> {
                (**self).touch(uses, now).await
            }
            async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
                (**self).purge(purge, limit).await
            }
            async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
                (**self).keys_in_use().await
            }
            async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
                (**self).diagnose().await
            }
        }

        impl<S: RuntimeFree> RuntimeFree for $pointer {}
    };
}

forward_through!(Arc<S>);
forward_through!(&S);
