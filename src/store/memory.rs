//! [`MemoryStore`]: an index, and the [`rules`].

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Access;
use crate::record::{LastUse, Revocation};
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

/// Rows in this process's memory: for tests, for tools, and for tokens that need not survive it.
/// Clones are one store.
///
/// A look-up takes one lock, which threads rarely share. It waits for a change only while that
/// writes to a sixteenth of the rows that holds this one. Changes and lists wait for one another.
#[derive(Clone)]
pub struct MemoryStore(Arc<Rows>);

/// Every change holds the index, from its look at the rows until it has written them. It holds
/// every shard that it writes to, so a look-up sees all of it or nothing.
struct Rows {
    index: Mutex<Index>,
    by_id: Shards<Row>,
}

#[derive(Default)]
struct Index {
    /// Each owner's rows, in order of id, so that the rules can read them where they lie. No row of
    /// this store is damaged, so each has an owner.
    owners: HashMap<Owner, Vec<Row>>,
    /// Equal accesses, which rows share. A host has a handful; a row beyond the limit holds its
    /// own.
    accesses: HashSet<Access>,
}

const MAX_SHARED_ACCESSES: usize = 1000;

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> MemoryStore {
        MemoryStore(Arc::new(Rows { index: Mutex::default(), by_id: Shards::new() }))
    }

    /// Waits until no other change or list is under way.
    fn lock(&self) -> Locked<'_> {
        // A poisoned lock is good: a change decides first and writes after.
        let index = self.0.index.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { index, by_id: &self.0.by_id }
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
        // Keeps the smallest ids after the cursor, without sorting every match: the greatest of the
        // heap goes if a smaller one comes.
        let mut smallest = BinaryHeap::new();
        let mut consider = |row: &Row| {
            if page.after.is_none_or(|after| row.id() > after) && filter.matches(row) {
                smallest.push(row.id());
                if smallest.len() > page.limit.get() as usize {
                    smallest.pop();
                }
            }
        };
        let rows = self.lock();
        match filter {
            Filter { id: Some(id), .. } => rows.by_id.get(*id).iter().for_each(&mut consider),
            Filter { owner: Some(owner), .. } => {
                rows.of(Some(owner)).iter().for_each(&mut consider);
            }
            _ => rows.by_id.for_each(&mut consider),
        }
        Ok(smallest.into_sorted_vec().into_iter().map(|id| rows.known(id)).collect())
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

/// The store while no other change or list is under way. Look-ups go on.
struct Locked<'a> {
    index: MutexGuard<'a, Index>,
    by_id: &'a Shards<Row>,
}

impl Locked<'_> {
    /// An owner's rows.
    fn of(&self, owner: Option<&Owner>) -> &[Row] {
        owner.and_then(|owner| self.index.owners.get(owner)).map_or(&[], Vec::as_slice)
    }

    /// The row of an id that came from the store.
    #[expect(clippy::expect_used, reason = "only a change deletes rows, and it holds the index")]
    fn known(&self, id: TokenId) -> Row {
        self.by_id.get(id).expect("a row is there while the index is held")
    }

    /// The rows of each owner that a filter may match.
    fn candidates(&self, filter: &Filter) -> impl Iterator<Item = &[Row]> {
        let one = filter.id.and_then(|id| self.by_id.get(id));
        let (named, all) = match filter {
            Filter { id: Some(_), .. } => (one.as_ref().map(|row| self.of(row.owner())), None),
            Filter { owner: Some(owner), .. } => (Some(self.of(Some(owner))), None),
            _ => (None, Some(self.index.owners.values())),
        };
        named.into_iter().chain(all.into_iter().flatten().map(Vec::as_slice))
    }

    fn write<A>(&mut self, decision: Decision<A>) -> A {
        let Decision { answer, put, delete } = decision;
        let put: Vec<Row> = put.iter().map(|row| self.index(row)).collect();
        self.forget(&delete);
        let mut shards = self.by_id.lock(put.iter().map(Row::id).chain(delete.iter().copied()));
        put.into_iter().for_each(|row| shards.insert(row.id(), row));
        delete.into_iter().for_each(|id| shards.remove(id));
        answer
    }

    /// Puts a row into the index. Returns it as it is kept: with an owner and an access that rows
    /// share.
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
        let rows = index.owners.entry(owner).or_default();
        match rows.binary_search_by_key(&row.id(), Row::id) {
            Ok(place) => rows[place] = row.clone(),
            Err(place) => {
                // Most owners have few rows, so a vector that doubles would waste much.
                if rows.len() == rows.capacity() {
                    rows.reserve_exact(rows.len() / 4 + 1);
                }
                rows.insert(place, row.clone());
            }
        }
        row
    }

    /// Takes rows out of the index.
    fn forget(&mut self, ids: &[TokenId]) {
        let gone: HashSet<TokenId> = ids.iter().copied().collect();
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
