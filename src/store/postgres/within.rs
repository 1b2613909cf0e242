//! The statements, run on a connection within a transaction, or alone.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::binding::{Parameter, RevocationParams, filter_params, read_row, row_params, storable};
use super::error::Problem;
use crate::record::{Revocation, TokenRecord};
use crate::store::columns::{number, revision};
use crate::store::postgres_sql::*;
use crate::store::{Filter, FilterColumns, Insert, Page, PurgeCutoff, RestsOn, Row, TableName};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A connection, for every change in a transaction at READ COMMITTED, and the table that is meant.
pub(super) struct Within<'t> {
    pub(super) client: &'t Client,
    pub(super) table: &'t TableName,
}

/// A call of the contract that changes something, as statements of one transaction.
pub(super) trait WriteCall: Sync {
    type Output: Send;

    /// Whether there may be very many rows to change.
    fn may_take_long(&self) -> bool {
        false
    }

    fn make(
        &self,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Self::Output, Problem>> + Send;
}

impl Within<'_> {
    pub(super) async fn find(&self, id: TokenId) -> Result<Option<Row>, Problem> {
        let found = self.query(FIND, &[(&number(id), Type::INT8)]).await?;
        found.first().map_or(Ok(None), read_row)
    }

    pub(super) async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, Problem> {
        let filter = FilterColumns::of(filter);
        if is_about_keys(&filter) && !self.has_rows_under_other_keys(&filter).await? {
            return Ok(Vec::new());
        }
        let (after, limit) = (page.after.map_or(NO_ID, number), i64::from(page.limit));
        let page: [Parameter<'_>; 2] = [(&after, Type::INT8), (&limit, Type::INT8)];
        let rows = self.query(LIST, &[&filter_params(&filter)[..], &page].concat()).await?;
        rows.iter().filter_map(|row| read_row(row).transpose()).collect()
    }

    pub(super) async fn has_rows_under_other_keys(
        &self,
        filter: &FilterColumns<'_>,
    ) -> Result<bool, Problem> {
        let mut above = filter.except_key_ids.clone();
        above.sort_unstable();
        let mut below = above.clone();
        above.insert(0, i64::MIN);
        below.push(i64::MAX);
        let gaps: [Parameter<'_>; 2] = [(&above, Type::INT8_ARRAY), (&below, Type::INT8_ARRAY)];
        Ok(self.query_one(UNDER_OTHER_KEYS, &gaps).await?.try_get(0)?)
    }

    pub(super) async fn lock_owner(&self, record: &TokenRecord) -> Result<(), Problem> {
        let owner = record.owner().as_str();
        self.execute(LOCK_OWNER, &[(&owner, Type::TEXT)]).await.map(drop)
    }

    /// Locks every row that an insert rests on, and says whether all of them are what they must be.
    pub(super) async fn lock_all_current(
        &self,
        new: &TokenRecord,
        insert: &Insert,
    ) -> Result<bool, Problem> {
        let owner = Some(new.owner().as_str());
        let mut are_current = true;
        for RestsOn { row, of_owner, unused } in insert.rests_on() {
            let current = match row.record() {
                Some(record) => self.lock_current(record).await?,
                None => None,
            };
            are_current &= current.is_some_and(|current| {
                (!of_owner || current.owner.as_deref() == owner) && (!unused || current.is_unused)
            });
        }
        Ok(are_current)
    }

    pub(super) async fn lock_current(
        &self,
        record: &TokenRecord,
    ) -> Result<Option<Current>, Problem> {
        let (id, revision) = (number(record.id()), revision(record));
        let parameters: [Parameter<'_>; 2] = [(&id, Type::INT8), (&revision, Type::INT8)];
        let rows = self.query(LOCK_CURRENT, &parameters).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Current { owner: row.try_get(0)?, is_unused: row.try_get(1)? })
        };
        rows.first().map(read).transpose()
    }

    pub(super) async fn insert_conflicts(
        &self,
        new: &TokenRecord,
        now: Timestamp,
    ) -> Result<InsertConflicts, Problem> {
        let (owner, label) = (new.owner().as_str(), new.label().as_str());
        let (id, family, now) = (number(new.id()), number(new.family()), now.as_unix());
        let parameters: [Parameter<'_>; 5] = [
            (&id, Type::INT8),
            (&owner, Type::TEXT),
            (&family, Type::INT8),
            (&now, Type::INT8),
            (&label, Type::TEXT),
        ];
        let row = self.query_one(INSERT_CONFLICTS, &parameters).await?;
        Ok(InsertConflicts {
            id_taken: row.try_get(0)?,
            live: row.try_get(1)?,
            label_taken: row.try_get(2)?,
        })
    }

    /// Writes the new form of a row that is locked and current. Last use and revocation stay.
    pub(super) async fn replace_row(&self, row: &Row) -> Result<(), Problem> {
        let Some(new_form) = row.record() else {
            return Ok(());
        };
        let columns = storable(new_form);
        self.execute_on_one(REPLACE, &row_params(&columns)[..15]).await
    }

    /// Revokes a row that is locked and current.
    pub(super) async fn revoke_one(
        &self,
        id: TokenId,
        revocation: &Revocation,
    ) -> Result<(), Problem> {
        let (revocation, id) = (RevocationParams::of(revocation), number(id));
        let one: Parameter<'_> = (&id, Type::INT8);
        self.execute_on_one(REVOKE_ONE, &[&revocation.parameters()[..], &[one]].concat()).await
    }

    /// Revokes what was issued under a record's family.
    pub(super) async fn revoke_derived(
        &self,
        from: &TokenRecord,
        revocation: &Revocation,
        except_id: i64,
    ) -> Result<(), Problem> {
        let revocation = RevocationParams::of(revocation);
        let (owner, family) = (from.owner().as_str(), number(from.family()));
        let derived: [Parameter<'_>; 3] =
            [(&owner, Type::TEXT), (&family, Type::INT8), (&except_id, Type::INT8)];
        let parameters = [&revocation.parameters()[..], &derived].concat();
        let mut stall = StallGuard::default();
        loop {
            let (ended, found) = self.counts(REVOKE_DERIVED, &parameters).await?;
            if found == 0 {
                return Ok(());
            }
            stall.after_pass(ended)?;
        }
    }

    /// How many dead rows it deleted, and how many it found.
    pub(super) async fn purge_dead(
        &self,
        dead: &PurgeCutoff,
        limit: i64,
    ) -> Result<(i64, i64), Problem> {
        let ended_by = dead.ended_by.as_unix();
        let unused_since = dead.unused_since.map(Timestamp::as_unix);
        let now = dead.now.as_unix();
        let dead: [Parameter<'_>; 3] =
            [(&ended_by, Type::INT8), (&unused_since, Type::INT8), (&now, Type::INT8)];
        let locked = self.query(LOCK_DEAD, &[&dead[..], &[(&limit, Type::INT8)]].concat()).await?;
        let ids = locked.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let these: Parameter<'_> = (&ids, Type::INT8_ARRAY);
        let deleted = self.execute(PURGE_DEAD, &[&dead[..], &[these]].concat()).await?;
        Ok((deleted.cast_signed(), ids.len().try_into().unwrap_or(i64::MAX)))
    }

    /// Changes a row that is there for certain.
    pub(super) async fn execute_on_one(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(), Problem> {
        match self.execute(sql, parameters).await? {
            0 => Err(Problem::Local(OBSTRUCTED)),
            _ => Ok(()),
        }
    }

    pub(super) async fn counts(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<(i64, i64), Problem> {
        let row = self.query_one(sql, parameters).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    pub(super) async fn query_one(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<tokio_postgres::Row, Problem> {
        Ok(self.client.query_typed_one(&self.table.in_sql(sql), parameters).await?)
    }

    pub(super) async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, Problem> {
        Ok(self.client.query_typed(&self.table.in_sql(sql), parameters).await?)
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<u64, Problem> {
        Ok(self.client.execute_typed(&self.table.in_sql(sql), parameters).await?)
    }
}

/// A change is made again where it found rows that another transaction was changing. Rows that no pass ever changes are held by
/// something else.
#[derive(Default)]
pub(super) struct StallGuard(u32);

impl StallGuard {
    pub(super) fn after_pass(&mut self, changed: i64) -> Result<(), Problem> {
        self.0 = if changed == 0 { self.0 + 1 } else { 0 };
        if self.0 == MAX_IDLE_PASSES { Err(Problem::Local(OBSTRUCTED)) } else { Ok(()) }
    }
}

pub(super) const MAX_IDLE_PASSES: u32 = 100;
pub(super) const OBSTRUCTED: &str = "PostgreSQL shows rows of the tokens' table and does not change them: has it a trigger, a rule or row-level security?";

/// A row that is current.
pub(super) struct Current {
    pub(super) owner: Option<String>,
    pub(super) is_unused: bool,
}

/// What stands in a new row's way.
pub(super) struct InsertConflicts {
    pub(super) id_taken: bool,
    pub(super) live: i64,
    pub(super) label_taken: bool,
}

/// No row has this id.
pub(super) const NO_ID: i64 = -1;

/// Whether [`UNDER_OTHER_KEYS`] may spare a look through the whole table.
fn is_about_keys(filter: &FilterColumns<'_>) -> bool {
    let names_some = filter.id.is_some() || filter.owner.is_some() || filter.family.is_some();
    filter.revoked == Some(false) && !filter.except_key_ids.is_empty() && !names_some
}
