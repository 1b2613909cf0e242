//! A store outside the process: its rows carry no mark of the engine. An attacker can change its
//! rows, and another caller can act just before or after a call of the engine's.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use app_tokens::access::Resource;
use app_tokens::record::{Expires, KeyId, LastUse, RecordParts, Revocation, Seal};
use app_tokens::store::{
    DamagedRow, Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{
    Access, Attributes, Caller, Label, NewToken, Operator, Origin, Owner, Timestamp, TokenId,
};

use support::rows::insert;

use super::{Bench, any, at, ready};

#[derive(Clone)]
pub struct Outside {
    pub kept: MemoryStore,
    /// The rows that were changed, as they were before; `None` if there was none.
    before: Arc<Mutex<BTreeMap<TokenId, Option<RecordParts>>>>,
    damaged: Arc<Mutex<HashSet<TokenId>>>,
    nameless: Arc<Mutex<HashSet<TokenId>>>,
    before_write: Meanwhile,
    before_read: Meanwhile,
    after_read: Meanwhile,
}

/// What another caller does, once.
type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl Outside {
    pub fn new() -> Outside {
        Outside {
            kept: MemoryStore::new(),
            before: Arc::default(),
            damaged: Arc::default(),
            nameless: Arc::default(),
            before_write: Arc::default(),
            before_read: Arc::default(),
            after_read: Arc::default(),
        }
    }

    /// Returns the row as the database has it.
    #[track_caller]
    pub fn parts(&self, id: TokenId) -> RecordParts {
        self.stored(id).unwrap()
    }

    /// Returns all rows as the database has them.
    pub fn rows(&self) -> Vec<RecordParts> {
        let rows = ready(self.kept.list(&Filter::every_token(), Page::first(10_000))).unwrap();
        rows.iter().map(|row| row.record().unwrap().clone().into_parts()).collect()
    }

    /// Writes a row as an attacker with the database's password would.
    pub fn write(&self, parts: RecordParts) {
        let id = parts.id;
        self.before.lock().unwrap().entry(id).or_insert_with(|| self.stored(id));
        self.remove(id);
        self.put(parts);
    }

    pub fn change(&self, id: TokenId, change: impl FnOnce(&mut RecordParts)) {
        let mut parts = self.parts(id);
        change(&mut parts);
        self.write(parts);
    }

    /// Damages a row, so that only the facts that stand apart can be read.
    pub fn damage(&self, id: TokenId) {
        self.damaged.lock().unwrap().insert(id);
    }

    /// Damages a row, so that only its id can be read.
    pub fn damage_wholly(&self, id: TokenId) {
        self.nameless.lock().unwrap().insert(id);
    }

    /// Undoes what was written behind the engine's back.
    pub fn restore(&self) {
        self.damaged.lock().unwrap().clear();
        self.nameless.lock().unwrap().clear();
        let before = std::mem::take(&mut *self.before.lock().unwrap());
        for (id, parts) in before {
            self.remove(id);
            parts.into_iter().for_each(|parts| self.put(parts));
        }
    }

    /// Sets what another caller does between the engine's next look at a row and its write.
    pub fn before_the_next_write(&self, act: impl FnOnce() + Send + 'static) {
        *self.before_write.lock().unwrap() = Some(Box::new(act));
    }

    /// Sets what another caller does just before the engine's next read.
    pub fn before_the_next_read(&self, act: impl FnOnce() + Send + 'static) {
        *self.before_read.lock().unwrap() = Some(Box::new(act));
    }

    /// Sets what another caller does after the store's next read, before the engine gets the rows.
    pub fn after_the_next_read(&self, act: impl FnOnce() + Send + 'static) {
        *self.after_read.lock().unwrap() = Some(Box::new(act));
    }

    fn stored(&self, id: TokenId) -> Option<RecordParts> {
        let row = ready(self.kept.find(id)).unwrap()?;
        Some(row.record().unwrap().clone().into_parts())
    }

    fn remove(&self, id: TokenId) {
        ready(self.kept.purge(&Purge::Matching(Filter::of_id(id)), 1)).unwrap();
    }

    fn put(&self, parts: RecordParts) {
        insert(&self.kept, parts);
    }

    fn loaded(&self, row: &Row) -> Row {
        if self.nameless.lock().unwrap().contains(&row.id()) {
            return Row::damaged(DamagedRow::of_id(row.id()));
        }
        match row.record() {
            Some(record) if !self.damaged.lock().unwrap().contains(&record.id()) => {
                Row::new(record.clone())
            }
            _ => Row::damaged(row.standing_facts()),
        }
    }

    async fn read<T>(&self, read: impl Future<Output = T>) -> T {
        let after = self.after_read.lock().unwrap().take();
        let_act(&self.before_read);
        let rows = read.await;
        after.into_iter().for_each(|act| act());
        rows
    }
}

fn let_act(somebody_else: &Meanwhile) {
    let act = somebody_else.lock().unwrap().take();
    act.into_iter().for_each(|act| act());
}

impl TokenStore for Outside {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let_act(&self.before_write);
        self.kept.insert(insert).await
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.read(self.kept.find(id)).await?.map(|row| self.loaded(&row)))
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let rows = self.read(self.kept.list(filter, page)).await?;
        let rows = rows.iter().map(|row| self.loaded(row));
        // No fact of a damaged row can be read but those that stand apart, so no other one holds.
        Ok(rows.filter(|row| row.record().is_some() || filter.matches(row)).collect())
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let_act(&self.before_write);
        self.kept.supersede(supersede).await
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let_act(&self.before_write);
        self.kept.replace(replaces).await
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.kept.revoke(filter, revocation).await
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.kept.touch(uses, now).await
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.kept.purge(purge, limit).await
    }
}

impl RuntimeFree for Outside {}

/// Returns a token to tamper with: it has networks and attributes.
pub fn new_token() -> NewToken {
    let access = bound(Access::scopes(["files:read"]).unwrap());
    let attributes = Attributes::new().with("device", "phone").unwrap();
    NewToken::new("alice", "My phone", access).attributes(attributes)
}

/// Binds an access to the networks of [`new_token`].
pub fn bound(access: Access) -> Access {
    in_networks(access, &["10.0.0.0/8", "192.0.2.0/24"])
}

pub fn in_networks(access: Access, networks: &[&str]) -> Access {
    access.from_networks(networks.iter().map(|text| text.parse().unwrap())).unwrap()
}

impl Bench<Outside> {
    /// Authenticates from one of the networks of [`new_token`].
    #[track_caller]
    pub fn enter_from_home(&self, text: &str) -> Caller {
        let home = Origin::from(IpAddr::from([10, 1, 2, 3]));
        any(self.tokens.block_on(self.tokens.authenticate_from(text, home)).unwrap())
    }
}

pub type Tampering = (&'static str, fn(&mut RecordParts));

/// Every sealed field of [`new_token`], changed in the way that would help an attacker most.
pub const TAMPERINGS: &[Tampering] = &[
    ("owner", |parts| parts.owner = Owner::new("root").unwrap()),
    ("owner's case", |parts| parts.owner = Owner::new("Alice").unwrap()),
    ("label", |parts| parts.label = Label::new("Backup").unwrap()),
    ("scopes to all", |parts| parts.access = bound(Access::full())),
    ("scopes to more", |parts| {
        parts.access = bound(Access::scopes(["files:read", "files:write"]).unwrap());
    }),
    ("scopes to none", |parts| parts.access = bound(Access::scopes([""; 0]).unwrap())),
    ("resources", |parts| {
        parts.access = parts.access.clone().on([Resource::prefix("a").unwrap()]).unwrap();
    }),
    ("networks to all", |parts| parts.access = Access::scopes(["files:read"]).unwrap()),
    ("networks to more", |parts| {
        parts.access = in_networks(parts.access.clone(), &["0.0.0.0/0", "::/0"]);
    }),
    ("networks to a wider one", |parts| {
        parts.access = in_networks(parts.access.clone(), &["10.0.0.0/7", "192.0.2.0/24"]);
    }),
    ("networks to one", |parts| {
        parts.access = in_networks(parts.access.clone(), &["10.0.0.0/8"]);
    }),
    ("one attribute more", |parts| {
        parts.attributes = parts.attributes.clone().with("a", "b").unwrap();
    }),
    ("an attribute's value", |parts| {
        parts.attributes = Attributes::new().with("device", "server").unwrap();
    }),
    ("an attribute's key", |parts| {
        parts.attributes = Attributes::new().with("admin", "phone").unwrap();
    }),
    ("no attributes", |parts| parts.attributes = Attributes::new()),
    ("issued by", |parts| parts.issued_by = Some(Operator::new("root").unwrap())),
    ("created at", |parts| parts.created_at = at(1)),
    ("expires later", |parts| parts.expires = Expires::At(at(1 << 31))),
    ("expires never", |parts| parts.expires = Expires::Never),
    ("expires earlier", |parts| parts.expires = Expires::At(at(2))),
    ("family", |parts| parts.family = TokenId::from_u64(1).unwrap()),
    ("successor", |parts| parts.successor = Some(TokenId::from_u64(1).unwrap())),
    ("derived from", |parts| parts.derived_from = Some(TokenId::from_u64(1).unwrap())),
    ("no seal", |parts| parts.seal = None),
    ("zero seal", |parts| parts.seal = Some(Seal::from_bytes(&[1; 33]).unwrap())),
    ("one bit of the seal", |parts| {
        let mut bytes = parts.seal.as_ref().unwrap().to_bytes();
        bytes[32] ^= 1;
        parts.seal = Seal::from_bytes(&bytes);
    }),
    ("key id to another of the ring", |parts| {
        parts.key_id = KeyId::new(3 - parts.key_id.as_u32()).unwrap();
    }),
];
