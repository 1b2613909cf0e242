//! [`Reference`]: the contract's rules over a plain map. Other stores are compared with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::rules::{self, Decision};
use app_tokens::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RuntimeFree, StoreError,
    Supersede, Superseded, TokenStore,
};
use app_tokens::{Owner, Timestamp, TokenId};

/// A store of rows by their ids. Some may be damaged.
#[derive(Default)]
pub struct Reference(Mutex<Rows>);

/// The rows of a [`Reference`], while it is locked.
#[derive(Clone, Default)]
pub struct Rows(pub BTreeMap<TokenId, Row>);

impl Reference {
    pub fn new() -> Reference {
        Reference::default()
    }

    pub fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }

    /// Damages a row: only the facts that stand apart are left.
    pub fn damage(&self, id: TokenId) {
        let mut rows = self.lock();
        let row = rows.0.get_mut(&id).expect("a row to damage");
        *row = Row::damaged(row.standing_facts());
    }
}

impl Rows {
    pub fn of(&self, owner: Option<&Owner>) -> Vec<Row> {
        let theirs = |row: &&Row| owner.is_some() && row.owner() == owner;
        self.0.values().filter(theirs).cloned().collect()
    }

    /// Returns the rows of each owner. A row with an unreadable owner stands alone.
    pub fn by_owner(&self) -> Vec<Vec<Row>> {
        let (mut owners, mut alone) = (BTreeMap::<&str, Vec<Row>>::new(), Vec::new());
        for row in self.0.values() {
            match row.owner() {
                Some(owner) => owners.entry(owner.as_str()).or_default().push(row.clone()),
                None => alone.push(vec![row.clone()]),
            }
        }
        owners.into_values().chain(alone).collect()
    }

    pub fn write<A>(&mut self, decision: Decision<A>) -> A {
        self.0.extend(decision.put.into_iter().map(|row| (row.id(), row)));
        decision.delete.iter().for_each(|id| drop(self.0.remove(id)));
        decision.answer
    }

    pub fn insert(&mut self, insert: &Insert) -> Inserted {
        let (id_taken, rows) = self.seen_by(&insert.row);
        self.write(rules::insert(insert, id_taken, &rows))
    }

    pub fn supersede(&mut self, supersede: &Supersede) -> Superseded {
        let (id_taken, rows) = self.seen_by(&supersede.row);
        self.write(rules::supersede(supersede, id_taken, &rows))
    }

    pub fn list(&self, filter: &Filter, page: Page) -> Vec<Row> {
        let after = |row: &&Row| page.after.is_none_or(|after| row.id() > after);
        let rows = self.0.values().filter(after).filter(|row| filter.matches(row));
        rows.take(page.limit.get() as usize).cloned().collect()
    }

    pub fn replace(&mut self, replace: &Replace) -> Replaced {
        let rows = self.of(replace.row.owner());
        self.write(rules::replace(replace, &rows))
    }

    pub fn revoke(&mut self, filter: &Filter, revocation: &Revocation) -> u64 {
        let decide = |rows: &Vec<Row>| rules::revoke(filter, revocation, rows);
        let decisions: Vec<_> = self.by_owner().iter().map(decide).collect();
        decisions.into_iter().map(|decision| self.write(decision)).sum()
    }

    pub fn touch(&mut self, uses: &[(TokenId, LastUse)], now: Timestamp) {
        let rows: Vec<Row> = self.0.values().cloned().collect();
        self.write(rules::touch(uses, now, &rows));
    }

    pub fn purge(&mut self, purge: &Purge, limit: u32) -> u64 {
        let mut count = 0;
        for rows in self.by_owner() {
            count += self.write(rules::purge(purge, limit - count as u32, &rows));
        }
        count
    }

    fn seen_by(&self, new: &Row) -> (bool, Vec<Row>) {
        (self.0.contains_key(&new.id()), self.of(new.owner()))
    }
}

impl TokenStore for Reference {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        Ok(self.lock().insert(insert))
    }
    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        Ok(self.lock().supersede(supersede))
    }
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.lock().0.get(&id).cloned())
    }
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        Ok(self.lock().list(filter, page))
    }
    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let mut rows = self.lock();
        Ok(replaces.iter().map(|replace| rows.replace(replace)).collect())
    }
    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        Ok(self.lock().revoke(filter, revocation))
    }
    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.lock().touch(uses, now);
        Ok(())
    }
    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        Ok(self.lock().purge(purge, limit))
    }
}

impl RuntimeFree for Reference {}
