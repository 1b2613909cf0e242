//! [`MemoryStore`]: the reference. Read it beside the contract on `TokenStore`.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::{fmt, iter};

use crate::access::Access;
use crate::record::{CLOCK_TOLERANCE, LastUse, Revocation, TokenRecord};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, PurgeCutoff, Replace, Replaced, Row, RuntimeFree,
    StoreError, TokenStore,
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
pub struct MemoryStore(Arc<Striped<Rows, Index>>);

type Rows = IdMap<Row>;

#[derive(Default)]
struct Index {
    /// The ids of each owner's rows, sorted.
    owners: HashMap<Owner, Vec<TokenId>>,
    /// Equal accesses, which rows share. A host has a handful; a row beyond the limit holds its
    /// own.
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
        let Some(new) = insert.row.record() else {
            return Err(StoreError::not_done("a damaged row can't be inserted"));
        };
        let mut rows = self.0.lock();
        if rows.record(new.id()).is_some() {
            return Ok(Inserted::IdTaken);
        }
        if let Some(parent) = &insert.under {
            let stored = rows.record(parent.id());
            if stored.map(TokenRecord::owner) != Some(new.owner()) || !rows.is_current(parent) {
                return Ok(Inserted::Stale);
            }
        }
        if let Some(supersede) = &insert.supersede {
            let unused =
                |record: &TokenRecord| record.last_use().is_none() && record.successor().is_none();
            let is_replaceable = |replaced: &Row| {
                rows.is_current(replaced) && rows.record(replaced.id()).is_some_and(unused)
            };
            if !rows.is_current(&supersede.row)
                || !supersede.replaces.as_ref().is_none_or(is_replaceable)
            {
                return Ok(Inserted::Stale);
            }
        }
        let live = || rows.live_of_other_families(new, insert.now);
        if insert.limit.is_some_and(|limit| live().count() >= limit as usize) {
            return Ok(Inserted::LimitReached);
        }
        if insert.unique_label && live().any(|record| record.label() == new.label()) {
            return Ok(Inserted::LabelTaken);
        }

        if let Some(supersede) = &insert.supersede {
            rows.write_new_form(&supersede.row);
            if let Some(replaced) = &supersede.replaces {
                rows.revoke(replaced.id(), &supersede.revocation);
            }
            if supersede.revokes_derived {
                rows.revoke_derived(new, &supersede.revocation);
            }
        }
        rows.put(&insert.row, new);
        Ok(Inserted::Done)
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.0.read(|rows| rows.get(&id).cloned()))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let rows = self.0.lock();
        // Keeps the smallest ids after the cursor, without sorting every match: the greatest of the
        // heap goes if a smaller one comes.
        let mut smallest = BinaryHeap::new();
        for id in rows.matching(filter) {
            if page.after.is_none_or(|after| id > after) {
                smallest.push(id);
                if smallest.len() > page.limit as usize {
                    smallest.pop();
                }
            }
        }
        Ok(smallest.into_sorted_vec().into_iter().map(|id| rows.value[&id].clone()).collect())
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let mut rows = self.0.lock();
        // A damaged form is of no current row.
        let Some(new) = replace.row.record().filter(|_| rows.is_current(&replace.row)) else {
            return Ok(Replaced::Stale);
        };
        let mut live = rows.live_of_other_families(new, replace.now);
        if replace.unique_label && live.any(|record| record.label() == new.label()) {
            return Ok(Replaced::LabelTaken);
        }
        drop(live);
        rows.write_new_form(&replace.row);
        if let Some(revocation) = &replace.revokes_derived {
            rows.revoke_derived(new, revocation);
        }
        Ok(Replaced::Done)
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let mut rows = self.0.lock();
        let matching: Vec<TokenId> = rows.matching(filter).collect();
        let mut families: HashMap<Owner, HashSet<TokenId>> = HashMap::new();
        for record in matching.iter().map(|id| rows.known(*id)) {
            families.entry(record.owner().clone()).or_default().insert(record.family());
        }
        let derived: Vec<TokenId> = families
            .iter()
            .flat_map(|(owner, families)| rows.derived_from(owner, families))
            .filter(|id| filter.except_id != Some(*id))
            .collect();
        let revoked = matching.iter().chain(&derived).filter(|id| rows.revoke(**id, revocation));
        Ok(revoked.count() as u64)
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let mut rows = self.0.lock();
        for (id, last_use) in uses {
            let believed_until = now.saturating_add(CLOCK_TOLERANCE);
            let later = |record: &TokenRecord| {
                record
                    .last_use()
                    .is_none_or(|stored| stored.at < last_use.at || stored.at > believed_until)
            };
            if rows.record(*id).is_some_and(later) {
                rows.update(*id, |row| row.with_last_use(last_use.clone()));
            }
        }
        Ok(())
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let mut rows = self.0.lock();
        let limit = limit as usize;
        let selected: HashSet<TokenId> = match purge {
            Purge::Matching(filter) => rows.matching(filter).take(limit).collect(),
            Purge::Dead(cutoff) => {
                let mut kin = HashMap::new();
                let ended = rows.value.values().map(record_of);
                let ended = ended.filter(|record| cutoff.has_ended(record));
                let selected = ended.filter_map(|record| {
                    let kin = kin
                        .entry(record.owner())
                        .or_insert_with_key(|owner| rows.kin_by_family(owner, cutoff));
                    let others = kin.get(&record.family()).into_iter().flatten().copied();
                    purge.selects(record, others).then_some(record.id())
                });
                selected.take(limit).collect()
            }
        };
        rows.remove(&selected);
        Ok(selected.len() as u64)
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
type Locked<'a> = Exclusive<'a, Rows, Index>;

impl Locked<'_> {
    fn record(&self, id: TokenId) -> Option<&TokenRecord> {
        self.value.get(&id).map(record_of)
    }

    /// The row of an id that came from the index or the map itself.
    fn known(&self, id: TokenId) -> &TokenRecord {
        record_of(&self.value[&id])
    }

    fn put(&mut self, row: &Row, record: &TokenRecord) {
        let index = &mut *self.index;
        let owner = index.owners.get_key_value(record.owner());
        let owner = owner.map_or(record.owner(), |(known, _)| known).clone();
        let ids = index.owners.entry(owner.clone()).or_default();
        if let Err(place) = ids.binary_search(&record.id()) {
            ids.insert(place, record.id());
        }
        let access = index.accesses.get(record.access()).unwrap_or(record.access()).clone();
        if index.accesses.len() < MAX_SHARED_ACCESSES {
            index.accesses.insert(access.clone());
        }
        self.value.insert(record.id(), row.sharing(owner, access));
    }

    #[expect(clippy::expect_used, reason = "`put` indexes the owner of every row")]
    fn remove(&mut self, ids: &HashSet<TokenId>) {
        let removed: Vec<Row> = ids.iter().filter_map(|id| self.value.remove(id)).collect();
        let owners: HashSet<&Owner> = removed.iter().map(|row| record_of(row).owner()).collect();
        for owner in owners {
            let left = self.index.owners.get_mut(owner).expect("the owner of a row is indexed");
            left.retain(|id| !ids.contains(id));
            if left.is_empty() {
                self.index.owners.remove(owner);
            }
        }
    }

    /// Changes a row that is there.
    #[expect(clippy::expect_used, reason = "the caller has just read the row, under the same lock")]
    fn update(&mut self, id: TokenId, change: impl FnOnce(&Row) -> Row) {
        let row = self.value.get_mut(&id).expect("a row to change is there");
        *row = change(row);
    }

    /// Whether a new form was made from the row as it is now, and may be written.
    fn is_current(&self, new: &Row) -> bool {
        let (Some(new), Some(old)) = (new.record(), self.record(new.id())) else {
            return false;
        };
        old.revocation().is_none()
            && old.revision() == new.revision()
            && old.revision() < TokenRecord::MAX_REVISION
    }

    /// Writes the new form of a row that is current. Last use and revocation stay.
    fn write_new_form(&mut self, new: &Row) {
        self.update(new.id(), |old| new.replacing(old));
    }

    /// Revokes a row, unless it is revoked already, and says whether it did.
    fn revoke(&mut self, id: TokenId, revocation: &Revocation) -> bool {
        let is_unrevoked = self.record(id).is_some_and(|record| record.revocation().is_none());
        if is_unrevoked {
            self.update(id, |row| row.with_revocation(revocation.clone()));
        }
        is_unrevoked
    }

    fn revoke_derived(&mut self, from: &TokenRecord, revocation: &Revocation) {
        for id in self.derived_from(from.owner(), &HashSet::from([from.family()])) {
            self.revoke(id, revocation);
        }
    }

    /// The ids of the rows that a filter matches, in no order, by the narrowest index that it
    /// allows.
    fn matching(&self, filter: &Filter) -> impl Iterator<Item = TokenId> {
        let (one, owned, all) = match filter {
            Filter { id: Some(id), .. } => (Some(*id), None, None),
            Filter { owner: Some(owner), .. } => (None, self.index.owners.get(owner), None),
            _ => (None, None, Some(self.value.keys())),
        };
        let owned = owned.into_iter().flatten().copied();
        let candidates = one.into_iter().chain(owned).chain(all.into_iter().flatten().copied());
        candidates.filter(|id| self.record(*id).is_some_and(|record| filter.matches(record)))
    }

    fn of_owner(&self, owner: &Owner) -> impl Iterator<Item = &TokenRecord> {
        self.index.owners.get(owner).into_iter().flatten().map(|id| self.known(*id))
    }

    /// An owner's rows for whose sake others may be spared, by the families that they are of or
    /// derive from. Without it a purge would look at all rows of an owner for each of them.
    fn kin_by_family(
        &self,
        owner: &Owner,
        cutoff: &PurgeCutoff,
    ) -> HashMap<TokenId, Vec<&TokenRecord>> {
        let mut kin: HashMap<_, Vec<_>> = HashMap::new();
        for record in self.of_owner(owner).filter(|record| cutoff.spares_for(record)) {
            for family in iter::once(record.family()).chain(record.derived_from()) {
                kin.entry(family).or_default().push(record);
            }
        }
        kin
    }

    fn live_of_other_families(
        &self,
        new: &TokenRecord,
        now: Timestamp,
    ) -> impl Iterator<Item = &TokenRecord> {
        let family = new.family();
        self.of_owner(new.owner())
            .filter(move |record| record.family() != family && record.is_live(now))
    }

    fn derived_from(&self, owner: &Owner, families: &HashSet<TokenId>) -> Vec<TokenId> {
        self.of_owner(owner)
            .filter(|record| record.derived_from().is_some_and(|family| families.contains(&family)))
            .map(TokenRecord::id)
            .collect()
    }
}

/// The record of a row of this store.
#[expect(
    clippy::expect_used,
    reason = "a damaged row can't be inserted, and no change damages one"
)]
fn record_of(row: &Row) -> &TokenRecord {
    row.record().expect("a row in memory is readable")
}
