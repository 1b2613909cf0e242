//! The contract on `RedbStore`: in memory with damaged values, and on a file.

use std::sync::Arc;

use app_tokens::store::conformance::{self, Kept};
use app_tokens::store::{Row, StoreError};
use app_tokens::{Access, KeyRing, NewToken, Policy, Requirement, TokenAuthority, TokenId};
use redb::{Database, ReadableTable as _};
use redb_store::{ROWS, RedbStore};

type InMemory = Kept<RedbStore, Arc<Database>>;

async fn empty_store() -> InMemory {
    let backend = redb::backends::InMemoryBackend::new();
    let database = Arc::new(Database::builder().create_with_backend(backend).unwrap());
    Kept { store: RedbStore::new(database.clone()).unwrap(), with: database }
}

/// Overwrites a value with junk, except its head.
async fn damage(store: Arc<InMemory>, id: TokenId) {
    let transaction = store.with.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(ROWS).unwrap();
        let (owner, bytes) = rows
            .iter()
            .unwrap()
            .map(|row| row.unwrap())
            .find(|(key, _)| key.value().1 == id.as_u64())
            .map(|(key, bytes)| (key.value().0.to_owned(), bytes.value().to_vec()))
            .unwrap();
        let row = Row::from_bytes(id, &bytes).unwrap();
        let head = Row::damaged(row.standing_facts()).to_bytes();
        let junk = [&head[..], b"\x02\xff\xff\xff\xffjunk"].concat();
        rows.insert((&*owner, id.as_u64()), &*junk).unwrap();
    }
    transaction.commit().unwrap();
}

conformance::tests!(make = empty_store, damage = damage);

#[test]
fn tokens_are_there_when_the_file_is_opened_again() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let ring = || KeyRing::parse("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let open = || -> Result<_, Box<dyn std::error::Error>> {
        let store = RedbStore::new(Arc::new(Database::create(directory.path().join("app.redb"))?))?;
        Ok(TokenAuthority::new(store, ring()?, Policy::new("acme")?))
    };
    let tokens = open()?;
    let new = NewToken::new("alice", "My phone", Access::full());
    let issued = tokens.block_on(tokens.issue(new))?;
    drop(tokens);
    let tokens = open()?;
    let caller = tokens.block_on(tokens.authenticate(issued.expose_secret()))?;
    assert_eq!(caller.require(Requirement::ANY_VALID_TOKEN)?.owner().as_str(), "alice");
    Ok(())
}

#[test]
fn a_value_of_a_newer_version_is_a_failure() {
    let store = conformance_store();
    let transaction = store.with.begin_write().unwrap();
    transaction.open_table(ROWS).unwrap().insert(("alice", 1), &[2, 0][..]).unwrap();
    transaction.commit().unwrap();
    let listed = block_on(async move {
        use app_tokens::store::TokenStore as _;
        let of_alice = app_tokens::store::Filter::of_owner(&"alice".parse().unwrap());
        store.list(&of_alice, app_tokens::store::Page::first(9)).await
    });
    let error: StoreError = listed.unwrap_err();
    assert!(error.to_string().contains("form 2"), "{error}");
}

fn conformance_store() -> InMemory {
    block_on(empty_store())
}

/// Polls once: the futures of this store are done then.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a call that is not done at once"),
    }
}
