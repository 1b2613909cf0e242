//! A store of app-tokens over redb, a key-value database in a file.
//!
//! Each call reads the rows of an owner, asks [`rules`] what to do, and writes that. redb has one
//! writer at a time, which is all the isolation that the contract asks for.

use std::error::Error;
use std::sync::Arc;

use app_tokens::record::{LastUse, Revocation};
use app_tokens::store::rules::{self, Decision};
use app_tokens::store::{
    DamagedRow, Filter, Insert, Inserted, NewerForm, Page, Purge, Replace, Replaced, Row,
    RuntimeFree, StoreError, Supersede, Superseded, TokenStore,
};
use app_tokens::{Owner, Timestamp, TokenId};
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

/// The rows. An owner's rows lie together, in order of id.
pub const ROWS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("app_tokens");
/// The owner of each row, by its id.
const OWNERS: TableDefinition<'_, u64, &str> = TableDefinition::new("app_tokens_owners");

/// Tokens in two tables of a redb database. Clones share one store, and it needs no runtime.
///
/// A change returns after it was committed and synced. Each call runs on the caller's thread, where
/// a change waits for the one before.
#[derive(Clone, Debug)]
pub struct RedbStore(Arc<Database>);

type Failure = Box<dyn Error + Send + Sync>;

impl RedbStore {
    /// Takes the host's own database. No other table of it is read.
    ///
    /// # Errors
    /// [`StoreError`] if the tables can't be made.
    pub fn new(database: Arc<Database>) -> Result<RedbStore, StoreError> {
        let store = RedbStore(database);
        store.change(|_| Ok(()))?;
        Ok(store)
    }

    /// Makes a change in a transaction of its own.
    fn change<A>(
        &self,
        change: impl FnOnce(&mut Writable<'_>) -> Result<A, Failure>,
    ) -> Result<A, StoreError> {
        let transaction = self.0.begin_write().map_err(StoreError::not_done)?;
        // If this fails, the transaction is dropped, which rolls it back.
        let answer = Tables::of_writer(&transaction).and_then(|mut tables| change(&mut tables));
        let answer = answer.map_err(StoreError::not_done)?;
        transaction.commit().map_err(StoreError::unknown)?;
        Ok(answer)
    }

    fn read<A>(&self, read: impl FnOnce(&Readable) -> Result<A, Failure>) -> Result<A, StoreError> {
        let transaction = self.0.begin_read().map_err(StoreError::not_done)?;
        let rows = transaction.open_table(ROWS).map_err(StoreError::not_done)?;
        let owners = transaction.open_table(OWNERS).map_err(StoreError::not_done)?;
        read(&Tables { rows, owners }).map_err(StoreError::not_done)
    }
}

impl TokenStore for RedbStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(|t| t.decide(&insert.row, |taken, rows| rules::insert(insert, taken, rows)))
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let rule = |taken, rows: &[Row]| rules::supersede(supersede, taken, rows);
        self.change(|t| t.decide(&supersede.row, rule))
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.read(|tables| {
            let Some((owner, bytes)) = tables.value(id)? else { return Ok(None) };
            // A newer form is an error here: the token may be good, and must not be denied.
            Row::from_bytes(id, &bytes)?;
            Ok(Some(read_row(&owner, id, &bytes)))
        })
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let is_meant = |row: &Row| page.after.is_none_or(|id| row.id() > id) && filter.matches(row);
        let limit = page.limit.get() as usize;
        self.read(|t| {
            // `may_retire` asks so. The key of a newer form can't be read, and may be this one.
            let all = filter.key_id.map(|_| t.rows.iter()).transpose()?;
            for row in all.into_iter().flatten() {
                let (key, bytes) = row?;
                if let Ok(id) = TokenId::from_u64(key.value().1) {
                    Row::from_bytes(id, bytes.value())?;
                }
            }
            // Both tables are in order of id. So a walk through all rows reads each of them once.
            if let Some(owner) = &filter.owner {
                let own = t.of(owner.as_str())?.into_iter().filter(is_meant);
                return Ok(own.take(limit).collect());
            }
            let (first, last) = (filter.id.or(page.after), filter.id.unwrap_or(TokenId::MAX));
            let ids = first.map_or(0, TokenId::as_u64)..=last.as_u64();
            let mut rows = Vec::new();
            for entry in t.owners.range(ids)? {
                let Ok(id) = TokenId::from_u64(entry?.0.value()) else { continue };
                let found = t.find(id)?;
                rows.extend(found.map(|(_, row)| row).filter(is_meant));
                if rows.len() >= limit {
                    break;
                }
            }
            Ok(rows)
        })
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let rule = |replace| move |_, rows: &[Row]| rules::replace(replace, rows);
        self.change(|t| replaces.iter().map(|one| t.decide(&one.row, rule(one))).collect())
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.change(|t| t.decide_each(filter, |rows, _| rules::revoke(filter, revocation, rows)))
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.change(|t| {
            uses.iter().try_for_each(|last_use| match t.find(last_use.0)? {
                Some((owner, row)) => {
                    t.write(&owner, rules::touch(std::slice::from_ref(last_use), now, &[row]))
                }
                None => Ok(()),
            })
        })
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let everything = Filter::every_token();
        let filter = if let Purge::Matching(filter) = purge { filter } else { &everything };
        let rule = |rows: &[Row], deleted| rules::purge(purge, limit - deleted as u32, rows);
        self.change(|tables| tables.decide_each(filter, rule))
    }
}

impl RuntimeFree for RedbStore {}

/// The two tables, of a writer or of a reader.
struct Tables<R, O> {
    rows: R,
    owners: O,
}

type Key = (&'static str, u64);
type Writable<'t> = Tables<Table<'t, Key, &'static [u8]>, Table<'t, u64, &'static str>>;
type Readable =
    Tables<redb::ReadOnlyTable<Key, &'static [u8]>, redb::ReadOnlyTable<u64, &'static str>>;

impl<R: ReadableTable<Key, &'static [u8]>, O: ReadableTable<u64, &'static str>> Tables<R, O> {
    fn owner(&self, id: TokenId) -> Result<Option<String>, Failure> {
        Ok(self.owners.get(id.as_u64())?.map(|owner| owner.value().to_owned()))
    }

    /// Returns a row's value, and its owner as the key says.
    fn value(&self, id: TokenId) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let Some(owner) = self.owner(id)? else { return Ok(None) };
        let bytes = self.rows.get((&*owner, id.as_u64()))?.map(|bytes| bytes.value().to_vec());
        Ok(bytes.map(|bytes| (owner, bytes)))
    }

    /// Returns a row, and its owner as the key says.
    fn find(&self, id: TokenId) -> Result<Option<(String, Row)>, Failure> {
        let Some((owner, bytes)) = self.value(id)? else { return Ok(None) };
        let row = read_row(&owner, id, &bytes);
        Ok(Some((owner, row)))
    }

    /// Returns an owner's rows.
    fn of(&self, owner: &str) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        for row in self.rows.range((owner, 0)..=(owner, u64::MAX))? {
            let (key, bytes) = row?;
            if let Ok(id) = TokenId::from_u64(key.value().1) {
                rows.push(read_row(owner, id, bytes.value()));
            }
        }
        Ok(rows)
    }

    /// Returns the owners with rows that a filter may match.
    fn owners(&self, filter: &Filter) -> Result<Vec<String>, Failure> {
        match filter {
            Filter { id: Some(id), .. } => Ok(self.owner(*id)?.into_iter().collect()),
            Filter { owner: Some(owner), .. } => Ok(vec![owner.to_string()]),
            _ => {
                let mut owners = Vec::new();
                for row in self.rows.iter()? {
                    owners.push(row?.0.value().0.to_owned());
                }
                owners.dedup();
                Ok(owners)
            }
        }
    }
}

impl<'t> Writable<'t> {
    fn of_writer(transaction: &'t WriteTransaction) -> Result<Writable<'t>, Failure> {
        Ok(Tables { rows: transaction.open_table(ROWS)?, owners: transaction.open_table(OWNERS)? })
    }

    /// Applies a rule to the rows of the row's owner. The engine passes no damaged row here, so
    /// there is an owner.
    fn decide<A>(
        &mut self,
        row: &Row,
        rule: impl FnOnce(bool, &[Row]) -> Decision<A>,
    ) -> Result<A, Failure> {
        let owner = row.owner().map(Owner::as_str).ok_or("a damaged row has no owner")?;
        let decision = rule(self.owner(row.id())?.is_some(), &self.of(owner)?);
        self.write(owner, decision)
    }

    /// Applies a rule to the rows of each owner, with the count so far. Returns the sum.
    fn decide_each(
        &mut self,
        filter: &Filter,
        rule: impl Fn(&[Row], u64) -> Decision<u64>,
    ) -> Result<u64, Failure> {
        let mut count = 0;
        for owner in self.owners(filter)? {
            let rows = self.of(&owner)?;
            // Under a damaged key, rows have no owner. Then each is handed in alone.
            let at_once = if Owner::new(&*owner).is_ok() { rows.len().max(1) } else { 1 };
            for rows in rows.chunks(at_once) {
                count += self.write(&owner, rule(rows, count))?;
            }
        }
        Ok(count)
    }

    fn write<A>(&mut self, owner: &str, decision: Decision<A>) -> Result<A, Failure> {
        for row in decision.put {
            self.rows.insert((owner, row.id().as_u64()), &*row.to_bytes())?;
            self.owners.insert(row.id().as_u64(), owner)?;
        }
        for id in decision.delete {
            self.rows.remove((owner, id.as_u64()))?;
            self.owners.remove(id.as_u64())?;
        }
        Ok(decision.answer)
    }
}

/// Reads a row. The key holds the owner, too, so a row is found by its owner even if its value is
/// junk. Of a newer form it reads the head.
fn read_row(owner: &str, id: TokenId, bytes: &[u8]) -> Row {
    let row = Row::from_bytes(id, bytes).unwrap_or_else(NewerForm::into_row);
    let (key, facts) = (Owner::new(owner).ok(), row.standing_facts());
    if facts.owner == key { row } else { Row::damaged(DamagedRow { owner: key, ..facts }) }
}
