//! [`Statements`]: the statements of `sql.rs`, run on one connection.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::binding::{
    Parameter, RevocationParams, filter_params, params_of_cutoff, read_row, row_params, storable,
};
use super::error::Problem;
use crate::record::{CLOCK_TOLERANCE, LiveAt, Revocation, TokenRecord};
use crate::store::columns::{number, revision};
use crate::store::postgres_sql::*;
use crate::store::{Filter, FilterColumns, Page, PurgeCutoff, Row, TableName};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A connection and a store's table. Changes need a transaction at READ COMMITTED on it.
pub(super) struct Statements<'t> {
    pub(super) client: &'t Client,
    pub(super) table: &'t TableName,
}

/// A row that is current, as [`LOCK_CURRENT`] reads it.
pub(super) struct Current {
    pub(super) owner: Option<String>,
    pub(super) is_unused: bool,
}

/// What stands in the way of an insert, as [`INSERT_CONFLICTS`] reads it.
pub(super) struct InsertConflicts {
    pub(super) id_taken: bool,
    pub(super) live: i64,
    pub(super) label_taken: bool,
}

/// How many rows a statement changed, and how many it found to change.
pub(super) struct Pass {
    pub(super) changed: i64,
    pub(super) found: i64,
}

/// No row has this id.
pub(super) const NO_ID: i64 = -1;

impl Statements<'_> {
    pub(super) async fn find(&self, id: TokenId) -> Result<Option<Row>, Problem> {
        let found = self.query(FIND, &[(&number(id), Type::INT8)]).await?;
        found.first().map(read_row).transpose()
    }

    pub(super) async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, Problem> {
        let filter = FilterColumns::of(filter);
        if is_about_keys(&filter) && !self.has_rows_under_other_keys(&filter).await? {
            return Ok(Vec::new());
        }
        let (after, limit) = (page.after.map_or(NO_ID, number), i64::from(page.limit.get()));
        let page: [Parameter<'_>; 2] = [(&after, Type::INT8), (&limit, Type::INT8)];
        let rows = self.query(LIST, &[&filter_params(&filter)[..], &page].concat()).await?;
        rows.iter().map(read_row).collect()
    }

    pub(super) async fn lock_owner(&self, record: &TokenRecord) -> Result<(), Problem> {
        let owner = record.owner().as_str();
        self.execute(LOCK_OWNER, &[(&owner, Type::TEXT)]).await.map(drop)
    }

    /// Locks the rows that must be current, in order of id against deadlocks. `None` if one is not.
    pub(super) async fn lock_all_current(
        &self,
        mut rows: Vec<&Row>,
    ) -> Result<Option<Vec<(TokenId, Current)>>, Problem> {
        rows.sort_by_key(|row| row.id());
        let mut locked = Vec::new();
        for row in rows {
            let current = match row.record() {
                Some(record) => self.lock_current(record).await?,
                None => None,
            };
            locked.push((row.id(), current));
        }
        let all = locked.into_iter().map(|(id, current)| Some((id, current?)));
        Ok(all.collect())
    }

    /// Locks a row, and reads it if it is current.
    pub(super) async fn lock_current(
        &self,
        record: &TokenRecord,
    ) -> Result<Option<Current>, Problem> {
        let (id, revision) = (number(record.id()), revision(record));
        let params: [Parameter<'_>; 2] = [(&id, Type::INT8), (&revision, Type::INT8)];
        let rows = self.query(LOCK_CURRENT, &params).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Current { owner: row.try_get(0)?, is_unused: row.try_get(1)? })
        };
        rows.first().map(read).transpose()
    }

    pub(super) async fn insert_conflicts(
        &self,
        new: &TokenRecord,
        LiveAt { now, used_after }: LiveAt,
    ) -> Result<InsertConflicts, Problem> {
        let (owner, label) = (new.owner().as_str(), new.label().as_str());
        let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        let (id, family, now) = (number(new.id()), number(new.family()), now.as_unix());
        let used_after = used_after.map(Timestamp::as_unix);
        let params: [Parameter<'_>; 7] = [
            (&id, Type::INT8),
            (&owner, Type::TEXT),
            (&family, Type::INT8),
            (&now, Type::INT8),
            (&label, Type::TEXT),
            (&used_after, Type::INT8),
            (&believed_until, Type::INT8),
        ];
        let row = self.query_one(INSERT_CONFLICTS, &params).await?;
        Ok(InsertConflicts {
            id_taken: row.try_get(0)?,
            live: row.try_get(1)?,
            label_taken: row.try_get(2)?,
        })
    }

    /// Writes the new form of a row that is locked and current. Last use and revocation stay.
    pub(super) async fn write_new_form(&self, new_form: &TokenRecord) -> Result<(), Problem> {
        let columns = storable(new_form);
        self.execute_on_one(REPLACE, &row_params(&columns)[..17]).await
    }

    /// Revokes a row that is locked and current.
    pub(super) async fn revoke_one(
        &self,
        id: TokenId,
        revocation: &Revocation,
    ) -> Result<(), Problem> {
        let (revocation, id) = (RevocationParams::of(revocation), number(id));
        let one: Parameter<'_> = (&id, Type::INT8);
        self.execute_on_one(REVOKE_ONE, &[&revocation.params()[..], &[one]].concat()).await
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
        let params = [&revocation.params()[..], &derived].concat();
        self.revoke_until_none_is_left(REVOKE_DERIVED, &params).await.map(drop)
    }

    /// Repeats a revocation until it finds no row, and returns how many rows it revoked.
    ///
    /// At READ COMMITTED a statement sees the rows that were committed before it began. If it waits
    /// for the lock of a rotation, it doesn't see that rotation's new row afterwards. The next pass
    /// does.
    pub(super) async fn revoke_until_none_is_left(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<u64, Problem> {
        let (mut count, mut stall) = (0, StallGuard::default());
        loop {
            let Pass { changed, found } = self.pass(sql, params).await?;
            count += changed;
            if found == 0 {
                return Ok(count.cast_unsigned());
            }
            stall.after_pass(changed)?;
        }
    }

    /// Deletes dead rows, in two statements: only one that begins after the rows are locked sees
    /// every row that was issued under them.
    pub(super) async fn purge_dead(
        &self,
        cutoff: &PurgeCutoff,
        limit: i64,
    ) -> Result<Pass, Problem> {
        let times = params_of_cutoff(cutoff);
        let times: [Parameter<'_>; 3] = times.each_ref().map(|time| (time as _, Type::INT8));
        let locked = self.query(LOCK_DEAD, &[&times[..], &[(&limit, Type::INT8)]].concat()).await?;
        let ids = locked.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        let these: Parameter<'_> = (&ids, Type::INT8_ARRAY);
        let deleted = self.execute(PURGE_DEAD, &[&times[..], &[these]].concat()).await?;
        Ok(Pass { changed: deleted.cast_signed(), found: ids.len().cast_signed() as i64 })
    }

    async fn has_rows_under_other_keys(&self, filter: &FilterColumns<'_>) -> Result<bool, Problem> {
        let mut above = filter.except_key_ids.clone();
        above.sort_unstable();
        let mut below = above.clone();
        above.insert(0, i64::MIN);
        below.push(i64::MAX);
        let gaps: [Parameter<'_>; 2] = [(&above, Type::INT8_ARRAY), (&below, Type::INT8_ARRAY)];
        Ok(self.query_one(UNDER_OTHER_KEYS, &gaps).await?.try_get(0)?)
    }

    /// Runs a statement that selects how many rows it changed and how many it found.
    pub(super) async fn pass(&self, sql: &str, params: &[Parameter<'_>]) -> Result<Pass, Problem> {
        let row = self.query_one(sql, params).await?;
        Ok(Pass { changed: row.try_get(0)?, found: row.try_get(1)? })
    }

    /// Changes a row that is there for certain: it is locked. Only a trigger or a rule can spare
    /// it.
    async fn execute_on_one(&self, sql: &str, params: &[Parameter<'_>]) -> Result<(), Problem> {
        match self.execute(sql, params).await? {
            0 => Err(Problem::Local(OBSTRUCTED)),
            _ => Ok(()),
        }
    }

    async fn query_one(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<tokio_postgres::Row, Problem> {
        Ok(self.client.query_typed_one(&self.table.in_sql(sql), params).await?)
    }

    async fn query(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, Problem> {
        Ok(self.client.query_typed(&self.table.in_sql(sql), params).await?)
    }

    pub(super) async fn execute(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<u64, Problem> {
        Ok(self.client.execute_typed(&self.table.in_sql(sql), params).await?)
    }
}

/// Ends a repetition that changes nothing any more.
///
/// A pass is repeated if another transaction was changing its rows, and that ends soon. Rows that
/// no pass changes are held back by a trigger, a rule or row-level security, which never ends.
#[derive(Default)]
pub(super) struct StallGuard {
    idle_passes: u32,
}

impl StallGuard {
    pub(super) fn after_pass(&mut self, changed: i64) -> Result<(), Problem> {
        self.idle_passes = if changed == 0 { self.idle_passes + 1 } else { 0 };
        if self.idle_passes == MAX_IDLE_PASSES {
            return Err(Problem::Local(OBSTRUCTED));
        }
        Ok(())
    }
}

const MAX_IDLE_PASSES: u32 = 100;
const OBSTRUCTED: &str = "PostgreSQL shows rows of the tokens' table and does not change them: \
    has it a trigger, a rule or row-level security?";

/// Whether [`UNDER_OTHER_KEYS`] can spare [`LIST`] a walk through the whole table.
fn is_about_keys(filter: &FilterColumns<'_>) -> bool {
    let names_some = filter.id.is_some() || filter.owner.is_some() || filter.family.is_some();
    filter.revoked == Some(false) && !filter.except_key_ids.is_empty() && !names_some
}
