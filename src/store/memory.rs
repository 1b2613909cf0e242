//! [`MemoryStore`]: an index over the [`rules`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Access;
use crate::key::KeyId;
use crate::record::{LastUse, Revocation, TokenRecord};
use crate::store::rules::{self, Decision};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

mod shards;

use self::shards::Shards;

/// Keeps tokens in this process's memory: for tests, for tools, and for tokens that may be lost
/// with the process.
///
/// Clones share the rows. It needs no async runtime, and its calls never fail.
///
/// A look-up takes one lock, which threads rarely share. The rows are in 16 shards, and a look-up
/// waits only while a change writes to the row's shard. Changes and lists run one at a time.
///
/// ```
/// use app_tokens::store::MemoryStore;
/// use app_tokens::{KeyRing, Policy, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let tokens = TokenAuthority::new(store, KeyRing::ephemeral()?, Policy::new("acme")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Rows>);

/// The two levels of locks.
///
/// A change locks the index before it reads the rows that it decides on, and until it has written
/// them. So no other change comes in between, and a limit per owner holds.
///
/// To write, it also locks every shard that it writes to, all at once. So a look-up, which takes no
/// other lock, sees the whole change or nothing of it.
struct Rows {
    index: Mutex<Index>,
    by_id: Shards<Row>,
}

#[derive(Default)]
struct Index {
    /// Each owner's rows, in order of id. The rules read them in place, as a slice. No row of this
    /// store is damaged, so each has an owner.
    owners: HashMap<Owner, Vec<Row>>,
    /// The ids of all rows, for lists that are of no single owner.
    ids: BTreeSet<TokenId>,
    /// The accesses that rows share, to save memory: most hosts use only a few different ones.
    accesses: HashSet<Access>,
}

/// The most accesses that are shared. Any further one is kept in its row alone, so that a host with
/// a different access for each token does not fill the set.
const MAX_SHARED_ACCESSES: usize = 1000;

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> MemoryStore {
        MemoryStore(Arc::new(Rows { index: Mutex::default(), by_id: Shards::new() }))
    }

    /// Waits until no other change or list is under way, and locks the index.
    fn lock(&self) -> LockedStore<'_> {
        // A poisoned lock is safe to use: a change decides before it writes, so a panic in the
        // rules leaves the index as it was.
        let index = self.0.index.lock().unwrap_or_else(PoisonError::into_inner);
        LockedStore { index, by_id: &self.0.by_id }
    }
}

impl TokenStore for MemoryStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let mut rows = self.lock();
        let id_taken = rows.by_id.get(insert.row.id()).is_some();
        let decision = rules::insert(insert, id_taken, rows.of(insert.row.owner()));
        Ok(rows.write(decision))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let mut rows = self.lock();
        let id_taken = rows.by_id.get(supersede.row.id()).is_some();
        let decision = rules::supersede(supersede, id_taken, rows.of(supersede.row.owner()));
        Ok(rows.write(decision))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.0.by_id.get(id))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let rows = self.lock();
        Ok(match filter {
            Filter { id: Some(id), .. } => page_of(rows.by_id.get(*id), filter, page),
            Filter { owner: Some(owner), .. } => {
                page_of(rows.of(Some(owner)).iter().cloned(), filter, page)
            }
            _ => page_of(rows.after(page.after), filter, page),
        })
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let mut rows = self.lock();
        let mut replace = |replace: &Replace| {
            let decision = rules::replace(replace, rows.of(replace.row.owner()));
            rows.write(decision)
        };
        Ok(replaces.iter().map(&mut replace).collect())
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        // All owners are decided before the first row is written, and then written together. Owner
        // by owner would be allowed, but this way no look-up sees half of a revocation.
        let mut rows = self.lock();
        let mut all = Decision { answer: 0, put: Vec::new(), delete: Vec::new() };
        for of_owner in rows.candidates(filter) {
            let Decision { answer, put, delete: _ } = rules::revoke(filter, revocation, of_owner);
            all.answer += answer;
            all.put.extend(put);
        }
        Ok(rows.write(all))
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.lock();
        let ids: HashSet<TokenId> = uses.iter().map(|(id, _)| *id).collect();
        let named: Vec<Row> = ids.into_iter().filter_map(|id| rows.by_id.get(id)).collect();
        // The rules decide each use on the row alone, so the rows may be of several owners.
        let decision = rules::touch(uses, now, &named);
        rows.write(decision);
        Ok(())
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let mut rows = self.lock();
        let everything = Filter::every_token();
        let filter = if let Purge::Matching(filter) = purge { filter } else { &everything };
        let mut delete = Vec::new();
        for of_owner in rows.candidates(filter) {
            let left = limit - delete.len() as u32;
            if left == 0 {
                break;
            }
            delete.extend(rules::purge(purge, left, of_owner).delete);
        }
        let answer = delete.len() as u64;
        Ok(rows.write(Decision { answer, put: Vec::new(), delete }))
    }

    /// Under one lock, so that no row comes in behind the walk.
    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        let mut keys = BTreeSet::new();
        for row in self.lock().after(None) {
            let unrevoked = row.record().filter(|record| record.revocation().is_none());
            keys.extend(unrevoked.map(TokenRecord::key_id));
        }
        Ok(keys.into_iter().collect())
    }
}

impl RuntimeFree for MemoryStore {}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

/// Returns the page of the rows that match. They come in order of id.
fn page_of(rows: impl IntoIterator<Item = Row>, filter: &Filter, page: Page) -> Vec<Row> {
    let is_listed =
        |row: &Row| page.after.is_none_or(|after| row.id() > after) && filter.matches(row);
    rows.into_iter().filter(is_listed).take(page.limit.get() as usize).collect()
}

/// The store while no other change or list is under way. Look-ups continue.
struct LockedStore<'a> {
    index: MutexGuard<'a, Index>,
    by_id: &'a Shards<Row>,
}

impl LockedStore<'_> {
    /// Returns an owner's rows; none for an unknown owner.
    fn of(&self, owner: Option<&Owner>) -> &[Row] {
        owner.and_then(|owner| self.index.owners.get(owner)).map_or(&[], Vec::as_slice)
    }

    /// Returns the rows after an id, in order of id; all of them after `None`.
    fn after(&self, id: Option<TokenId>) -> impl Iterator<Item = Row> {
        let after = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.index.ids.range((after, Bound::Unbounded)).map(|id| self.known(*id))
    }

    /// Returns the row of an id that was read from the store under this lock.
    #[expect(clippy::expect_used, reason = "only a change deletes rows, and it holds the index")]
    fn known(&self, id: TokenId) -> Row {
        self.by_id.get(id).expect("a row is there while the index is held")
    }

    /// Returns all rows of each owner that the filter may concern.
    ///
    /// It is always all rows of an owner, as the rules must also see what derives from a match.
    fn candidates(&self, filter: &Filter) -> impl Iterator<Item = &[Row]> {
        let one = filter.id.and_then(|id| self.by_id.get(id));
        let (named, all) = match filter {
            Filter { id: Some(_), .. } => (one.as_ref().map(|row| self.of(row.owner())), None),
            Filter { owner: Some(owner), .. } => (Some(self.of(Some(owner))), None),
            _ => (None, Some(self.index.owners.values())),
        };
        named.into_iter().chain(all.into_iter().flatten().map(Vec::as_slice))
    }

    /// Writes a decision, and returns its answer.
    fn write<A>(&mut self, decision: Decision<A>) -> A {
        let Decision { answer, put, delete } = decision;
        let put: Vec<Row> = put.iter().map(|row| self.index(row)).collect();
        self.forget(&delete);
        // One guard for all shards of the decision. A lock for each row would let a look-up see a
        // successor while the token before it is still in its old form.
        let mut shards = self.by_id.lock(put.iter().map(Row::id).chain(delete.iter().copied()));
        put.into_iter().for_each(|row| shards.insert(row.id(), row));
        delete.into_iter().for_each(|id| shards.remove(id));
        answer
    }

    /// Puts a row into the index. Returns it as it is kept, with an owner and an access that it
    /// shares with other rows.
    #[expect(clippy::expect_used, reason = "the rules refuse damaged rows, and damage none")]
    fn index(&mut self, row: &Row) -> Row {
        let index = &mut *self.index;
        let record = row.record().expect("the rules put no damaged row here");
        let owner = index.owners.get_key_value(record.owner());
        let owner = owner.map_or(record.owner(), |(known, _)| known).clone();
        let access = index.accesses.get(record.access()).unwrap_or(record.access()).clone();
        if index.accesses.len() < MAX_SHARED_ACCESSES {
            index.accesses.insert(access.clone());
        }
        let row = row.sharing(owner.clone(), access);
        index.ids.insert(row.id());
        let rows = index.owners.entry(owner).or_default();
        match rows.binary_search_by_key(&row.id(), Row::id) {
            Ok(place) => rows[place] = row.clone(),
            Err(place) => {
                // Grows by a quarter. Most owners have few rows, and a vector that doubles would
                // waste up to half of its memory for each owner.
                if rows.len() == rows.capacity() {
                    rows.reserve_exact(rows.len() / 4 + 1);
                }
                rows.insert(place, row.clone());
            }
        }
        row
    }

    /// Removes rows from the index.
    fn forget(&mut self, ids: &[TokenId]) {
        let gone: HashSet<TokenId> = ids.iter().copied().collect();
        ids.iter().for_each(|id| _ = self.index.ids.remove(id));
        let rows: Vec<Row> = ids.iter().map(|id| self.known(*id)).collect();
        let owners: HashSet<&Owner> = rows.iter().filter_map(Row::owner).collect();
        for owner in owners {
            if let Some(left) = self.index.owners.get_mut(owner) {
                left.retain(|row| !gone.contains(&row.id()));
                if left.is_empty() {
                    self.index.owners.remove(owner);
                }
            }
        }
    }
}
