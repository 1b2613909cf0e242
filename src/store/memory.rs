//! [`MemoryStore`]: an index, and the rules of [`rules`].

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use crate::access::Access;
use crate::record::{LastUse, Revocation, TokenRecord};
use crate::store::rules::{self, Decision};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::{IdMap, TokenId};

mod stripes;

use self::stripes::{Exclusive, Striped};

/// Rows in this process's memory: for tests, for tools, and for tokens that need not survive it.
/// Clones are one store.
///
/// A look-up takes one lock, which threads rarely share. A change or a list takes all locks, so it
/// happens at one instant.
#[derive(Clone)]
pub struct MemoryStore(Arc<Striped<IdMap<Row>, Index>>);

#[derive(Default)]
struct Index {
    /// Each owner's rows, in order of id.
    owners: HashMap<Owner, Vec<Row>>,
    /// Equal accesses, which rows share. A host has a handful; a row beyond the limit holds its own.
    accesses: HashSet<Access>,
}

const MAX_SHARED_ACCESSES: usize = 1000;

impl MemoryStore {
    /// Makes an empty store.
    pub fn new() -> MemoryStore {
        MemoryStore(Arc::new(Striped::new()))
    }
}

impl TokenStore for MemoryStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let mut rows = self.0.lock();
        let id_taken = rows.value.contains_key(&insert.row.id());
        let decision = rules::insert(insert, id_taken, rows.of(insert.row.owner()));
        Ok(rows.write(decision))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let mut rows = self.0.lock();
        let id_taken = rows.value.contains_key(&supersede.row.id());
        let decision = rules::supersede(supersede, id_taken, rows.of(supersede.row.owner()));
        Ok(rows.write(decision))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.0.read(|rows| rows.get(&id).cloned()))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let rows = self.0.lock();
        // Keeps the smallest ids after the cursor, without sorting every match: the greatest of the
        // heap goes if a smaller one comes.
        let mut smallest = BinaryHeap::new();
        for row in rows.candidates(filter).flatten().filter(|row| filter.matches(row)) {
            if page.after.is_none_or(|after| row.id() > after) {
                smallest.push(row.id());
                if smallest.len() > page.limit.get() as usize {
                    smallest.pop();
                }
            }
        }
        Ok(smallest.into_sorted_vec().into_iter().map(|id| rows.value[&id].clone()).collect())
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let mut rows = self.0.lock();
        let mut replace = |replace: &Replace| {
            let decision = rules::replace(replace, rows.of(replace.row.owner()));
            rows.write(decision)
        };
        Ok(replaces.iter().map(&mut replace).collect())
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let mut rows = self.0.lock();
        let decide = |rows: &[Row]| rules::revoke(filter, revocation, rows);
        let decisions: Vec<_> = rows.candidates(filter).map(decide).collect();
        Ok(decisions.into_iter().map(|decision| rows.write(decision)).sum())
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.0.lock();
        let mut named = BTreeMap::new();
        for (id, _) in uses {
            named.extend(rows.value.get(id).map(|row| (*id, row.clone())));
        }
        let named: Vec<Row> = named.into_values().collect();
        let decision = rules::touch(uses, now, &named);
        rows.write(decision);
        Ok(())
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let mut rows = self.0.lock();
        let everything = Filter::every_token();
        let filter = match purge {
            Purge::Matching(filter) => filter,
            Purge::Dead(_) => &everything,
        };
        let (mut decisions, mut left) = (Vec::new(), limit);
        for of_owner in rows.candidates(filter).take_while(|_| limit > 0) {
            let decision = rules::purge(purge, left, of_owner);
            left -= decision.delete.len() as u32;
            decisions.push(decision);
            if left == 0 {
                break;
            }
        }
        Ok(decisions.into_iter().map(|decision| rows.write(decision)).sum())
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

/// The whole store, while nobody else reads or changes it.
type Locked<'a> = Exclusive<'a, IdMap<Row>, Index>;

impl Locked<'_> {
    /// An owner's rows. No row of this store is damaged, so each has an owner.
    fn of(&self, owner: Option<&Owner>) -> &[Row] {
        owner.and_then(|owner| self.index.owners.get(owner)).map_or(&[], Vec::as_slice)
    }

    /// The rows of each owner that a filter may match.
    fn candidates(&self, filter: &Filter) -> impl Iterator<Item = &[Row]> {
        let one = filter.id.and_then(|id| self.value.get(&id)).and_then(Row::owner);
        let (named, all) = match filter {
            Filter { id: Some(_), .. } => (one, None),
            Filter { owner: Some(owner), .. } => (Some(owner), None),
            _ => (None, Some(self.index.owners.values())),
        };
        let named = named.map(|owner| self.of(Some(owner)));
        named.into_iter().chain(all.into_iter().flatten().map(Vec::as_slice))
    }

    fn write<A>(&mut self, decision: Decision<A>) -> A {
        let Decision { answer, put, delete } = decision;
        for row in put {
            // The rules put no row that was not handed in, and no damaged row is.
            if let Some(record) = row.record() {
                self.put(&row, record);
            }
        }
        self.delete(&delete);
        answer
    }

    fn put(&mut self, row: &Row, record: &TokenRecord) {
        let index = &mut *self.index;
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
            Err(place) => rows.insert(place, row.clone()),
        }
        self.value.insert(row.id(), row);
    }

    fn delete(&mut self, ids: &[TokenId]) {
        let ids: HashSet<TokenId> = ids.iter().copied().collect();
        let deleted: Vec<Row> = ids.iter().filter_map(|id| self.value.remove(id)).collect();
        let owners: HashSet<&Owner> = deleted.iter().filter_map(Row::owner).collect();
        for owner in owners {
            if let Some(left) = self.index.owners.get_mut(owner) {
                left.retain(|row| !ids.contains(&row.id()));
                if left.is_empty() {
                    self.index.owners.remove(owner);
                }
            }
        }
    }
}
