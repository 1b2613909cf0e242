//! The contract on `RedbStore`: in memory with damaged values, and on a file.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use app_tokens::error::AuthError;
use app_tokens::record::KeyId;
use app_tokens::store::conformance::{self, Kept};
use app_tokens::store::{Filter, Page, Row};
use app_tokens::{
    Access, IssuedToken, KeyRing, NewToken, Operator, Owner, Policy, Reason, Requirement,
    TokenAuthority, TokenId,
};
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableTable as _, StorageBackend, TableDefinition};
use redb_store::{ROWS, RedbStore};

const OWNERS: TableDefinition<'_, u64, &str> = TableDefinition::new("app_tokens_owners");

type InMemory = Kept<RedbStore, Arc<Database>>;

async fn empty_store() -> InMemory {
    let backend = InMemoryBackend::new();
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

/// Moves such a row to a key of the empty owner, which none can be.
async fn damage_owner(store: Arc<InMemory>, id: TokenId) {
    damage(store.clone(), id).await;
    let transaction = store.with.begin_write().unwrap();
    {
        let mut owners = transaction.open_table(OWNERS).unwrap();
        let owner = owners.insert(id.as_u64(), "").unwrap().unwrap().value().to_owned();
        let mut rows = transaction.open_table(ROWS).unwrap();
        let value = rows.remove((&*owner, id.as_u64())).unwrap().unwrap().value().to_vec();
        rows.insert(("", id.as_u64()), &*value).unwrap();
    }
    transaction.commit().unwrap();
}

conformance::tests!(make = empty_store, damage = damage, damage_owner = damage_owner);

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

/// Makes a value of a newer form, or damages the first bytes of one.
const FIRST_BYTES: &[(&str, [u8; 2])] =
    &[("newer", [2, !2]), ("flipped", [3, !1]), ("flipped", [1, !3]), ("flipped", [0, 0])];

#[test]
fn a_value_of_a_newer_or_flipped_form_blocks_no_other_and_can_be_revoked() {
    for (how, first) in FIRST_BYTES {
        let Kept { store, with: database } = block_on(empty_store());
        let tokens = TokenAuthority::new(store, KeyRing::ephemeral().unwrap(), policy());
        let issue = || {
            let new = NewToken::new("alice", "My phone", Access::full());
            tokens.block_on(tokens.issue(new)).unwrap()
        };
        let authenticate = |token: &IssuedToken| {
            tokens.block_on(tokens.authenticate(token.expose_secret())).map(drop)
        };
        let [strange, other] = [issue(), issue()];
        write(&database, |owner, id, value| {
            assert_eq!(owner, "alice");
            if id == strange.id().as_u64() {
                value[..2].copy_from_slice(first);
            }
        });

        let refused = authenticate(&strange).unwrap_err();
        // A newer form may be good. Damage is denied.
        assert_eq!(matches!(refused, AuthError::Failed(_)), *how == "newer", "{refused}");
        assert_eq!(matches!(refused, AuthError::Denied(_)), *how == "flipped", "{refused}");
        authenticate(&other).unwrap();
        let more = issue();
        let listed = tokens.block_on(tokens.list(&Filter::every_token(), Page::first(9))).unwrap();
        assert_eq!((listed.tokens.len(), listed.damaged), (2, vec![strange.id()]));
        // It may be sealed under any key, so none may be retired by such a list.
        let by_key = Filter { key_id: KeyId::new(9), ..Filter::every_token() };
        let listed = tokens.block_on(tokens.list(&by_key, Page::first(9)));
        assert_eq!(listed.is_err(), *how == "newer", "{how}");
        assert_eq!(tokens.block_on(tokens.revoke(&ops(), other.id(), Reason::LEAKED)).unwrap(), 1);
        assert_eq!(tokens.block_on(tokens.purge()).unwrap(), 0);
        tokens.block_on(tokens.keys_in_use()).unwrap();

        let by_id = Filter::of_id(strange.id());
        let revoked = tokens.block_on(tokens.revoke_matching(&ops(), &by_id, Reason::LEAKED));
        assert_eq!(revoked.unwrap(), 1);
        assert!(matches!(authenticate(&strange), Err(AuthError::Denied(_))));
        authenticate(&more).unwrap();
        let alice = "alice".parse().unwrap();
        assert_eq!(tokens.block_on(tokens.forget_owner(&ops(), &alice)).unwrap(), 3);
    }
}

fn policy() -> Policy {
    Policy::new("acme").unwrap()
}

fn ops() -> Operator {
    Operator::new("ops").unwrap()
}

/// Changes the values past the store.
fn write(database: &Database, change: impl Fn(&str, u64, &mut Vec<u8>)) {
    let transaction = database.begin_write().unwrap();
    {
        let mut rows = transaction.open_table(ROWS).unwrap();
        let mut all = Vec::new();
        for row in rows.iter().unwrap() {
            let (key, value) = row.unwrap();
            all.push((key.value().0.to_owned(), key.value().1, value.value().to_vec()));
        }
        for (owner, id, mut value) in all {
            change(&owner, id, &mut value);
            rows.insert((&*owner, id), &*value).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// Polls once: the futures of this store are done then.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(waker)) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a call that is not done at once"),
    }
}

/// A database in memory that counts how often it is read.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<InMemoryBackend>, Arc<AtomicUsize>);

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self, eventual: bool) -> io::Result<()> {
        self.0.sync_data(eventual)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

#[test]
fn a_list_of_an_owner_reads_no_rows_of_others() -> Result<(), Box<dyn std::error::Error>> {
    let counted = Counted::default();
    let database = Database::builder().set_cache_size(0).create_with_backend(counted.clone())?;
    let store = RedbStore::new(Arc::new(database))?;
    let tokens = TokenAuthority::new(store, KeyRing::ephemeral()?, Policy::new("acme")?);
    for number in 0..1000 {
        let new = NewToken::new(format!("owner {number}"), "My phone", Access::full());
        let _issued = tokens.block_on(tokens.issue(new))?;
    }
    counted.1.store(0, Ordering::Relaxed);
    let theirs = Filter::of_owner(&Owner::new("owner 500")?);
    let list = tokens.list(&theirs, Page::first(10));
    assert_eq!(tokens.block_on(list)?.tokens.len(), 1);
    let reads = counted.1.load(Ordering::Relaxed);
    assert!(reads < 30, "{reads} pages");
    Ok(())
}
