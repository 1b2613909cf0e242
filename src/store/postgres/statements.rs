//! [`Statements`]: runs the statements of `sql.rs` on one connection.

use std::ops::Range;
use std::slice;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::binding::{
    FormArrays, Parameter, RevocationParams, filter_params, params_of_cutoff, read_row, row_params,
};
use super::error::Problem;
use crate::key::KeyId;
use crate::record::{CLOCK_TOLERANCE, LiveAt, Revocation, TokenRecord};
use crate::store::columns::number;
use crate::store::postgres_sql::*;
use crate::store::{
    Filter, FilterColumns, Page, Purge, PurgeCutoff, Row, RowColumns, TableName, rules,
};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A connection and a store's table. For changes, the connection must be in a transaction at READ
/// COMMITTED.
pub(super) struct Statements<'t> {
    pub(super) client: &'t Client,
    pub(super) table: &'t TableName,
}

/// What forbids an insert, as [`INSERT_CONFLICTS`] selects it.
pub(super) struct InsertConflicts {
    pub(super) id_taken: bool,
    pub(super) live: i64,
    pub(super) label_taken: bool,
}

/// How many rows a statement changed, and how many it found to change.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) changed: i64,
    pub(super) found: i64,
}

/// No row has this id.
pub(super) const NO_ID: i64 = -1;

impl Statements<'_> {
    /// Looks up a row.
    pub(super) async fn find(&self, id: TokenId) -> Result<Option<Row>, Problem> {
        let found = self.query(FIND, &[(&number(id), Type::INT8)]).await?;
        found.first().map(read_row).transpose()
    }

    /// Reads a page of the rows that a filter matches.
    pub(super) async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, Problem> {
        let filter = FilterColumns::of(filter);
        let (after, limit) = (page.after.map_or(NO_ID, number), i64::from(page.limit.get()));
        let page: [Parameter<'_>; 2] = [(&after, Type::INT8), (&limit, Type::INT8)];
        let rows = self.query(LIST, &[&filter_params(&filter)[..], &page].concat()).await?;
        rows.iter().map(read_row).collect()
    }

    /// Waits for the lock of an owner, and holds it until the transaction ends.
    pub(super) async fn lock_owner(&self, owner: &Owner) -> Result<(), Problem> {
        let owner = owner.as_str();
        self.execute(LOCK_OWNER, &[(&owner, Type::TEXT)]).await.map(drop)
    }

    /// Locks rows, and reads them as they are after that. Rows that don't exist are left out.
    pub(super) async fn lock_rows(
        &self,
        ids: impl IntoIterator<Item = TokenId>,
    ) -> Result<Vec<Row>, Problem> {
        let ids: Vec<i64> = ids.into_iter().map(number).collect();
        let rows = self.query(LOCK_ROWS, &[(&ids, Type::INT8_ARRAY)]).await?;
        rows.iter().map(read_row).collect()
    }

    /// Reads what forbids an insert of a row.
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

    /// Inserts a row. Returns whether its id was free.
    pub(super) async fn insert_row(&self, new: &TokenRecord) -> Result<bool, Problem> {
        let columns = RowColumns::of(new);
        let inserted = self.query(INSERT, &row_params(&columns.values())).await?;
        if inserted.is_empty() && self.find(new.id()).await?.is_none() {
            // No row has the id, and yet the row was not inserted: a trigger or a rule kept it out.
            return Err(Problem::obstructed());
        }
        must_hold(&inserted)?;
        Ok(!inserted.is_empty())
    }

    /// Writes the new forms of rows that are locked and current, each id once.
    pub(super) async fn write_forms(&self, forms: &[&TokenRecord]) -> Result<(), Problem> {
        if forms.is_empty() {
            return Ok(());
        }
        let columns: Vec<RowColumns<'_>> = forms.iter().map(|form| RowColumns::of(form)).collect();
        let arrays = FormArrays::of(&columns);
        let written = self.query(REPLACE, &arrays.params()).await?;
        // Every form was found current under its lock. So if one was not written, something on the
        // table kept it out.
        if written.len() != forms.len() {
            return Err(Problem::obstructed());
        }
        must_hold(&written)
    }

    /// Revokes a row that is locked and current.
    pub(super) async fn revoke_one(
        &self,
        id: TokenId,
        revocation: &Revocation,
    ) -> Result<(), Problem> {
        let (revocation, id) = (RevocationParams::of(revocation), number(id));
        let one: Parameter<'_> = (&id, Type::INT8);
        let revoked = self.query(REVOKE_ONE, &[&revocation.params()[..], &[one]].concat()).await?;
        if revoked.is_empty() {
            return Err(Problem::obstructed());
        }
        must_hold(&revoked)
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
    /// One pass is not enough. At READ COMMITTED, a statement sees the rows that were committed
    /// before it began. If it waits for a rotation to commit, it still doesn't see the rotation's
    /// new row afterwards. The next pass does.
    pub(super) async fn revoke_until_none_is_left(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<u64, Problem> {
        let (mut count, mut stall) = (0, StallGuard::default());
        loop {
            let row = self.query_one(sql, params).await?;
            let Pass { changed, found } = read_pass(&row)?;
            // Asked before the counts. If a trigger restores the rows, each pass finds and changes
            // them again, and only this column shows it at once.
            if !row.try_get::<_, bool>(2)? {
                return Err(Problem::obstructed());
            }
            count += changed;
            if found == 0 {
                return Ok(count.cast_unsigned());
            }
            stall.after_pass(changed)?;
        }
    }

    /// Returns the parts in which a walk for dead rows reads the table, once around, as pages.
    pub(super) async fn parts(&self, from: i64) -> Result<Vec<Range<i64>>, Problem> {
        let pages: i64 = self.query_one(PAGES, &[]).await?.try_get(0)?;
        // The table may have shrunk since `from` was noted.
        let from = from.min(pages);
        let cut = |Range { start, end }: Range<i64>| {
            let starts = (start..end).step_by(PAGES_A_STATEMENT);
            starts.map(move |start| start..(start + PAGES_A_STATEMENT as i64).min(end))
        };
        Ok(cut(from..pages).chain(cut(0..from)).collect())
    }

    /// Deletes dead rows on some pages, at most `limit`.
    ///
    /// It takes two statements. Only a statement that begins after the rows were locked sees every
    /// row that was issued under them.
    ///
    /// It repeats while another transaction interferes: a row may be found, and no longer be dead
    /// once it is locked. It does not repeat until none is found. A deleted row may be what spared
    /// another one, which is left for the next call.
    ///
    /// SQL goes by raw columns, and in a damaged row an end or a last use may be junk. So the rules
    /// are asked about each row. What they keep is left out in the next pass.
    pub(super) async fn purge_dead(
        &self,
        cutoff: &PurgeCutoff,
        limit: i64,
        pages: Range<i64>,
    ) -> Result<i64, Problem> {
        let times = params_of_cutoff(cutoff);
        let times: [Parameter<'_>; 4] = times.each_ref().map(|time| (time as _, Type::INT8));
        let dead = Purge::Dead(*cutoff);
        // Asked about each row alone. Which other rows need it is asked by the statements.
        let is_dead = |row: &Row| rules::purge(&dead, 1, slice::from_ref(row)).answer == 1;
        let (mut count, mut kept, mut stall) = (0, Vec::new(), StallGuard::default());
        loop {
            let left = limit - count;
            // More with each pass, so that thousands of damaged rows take few passes.
            let asked = left + kept.len() as i64;
            let bounds = [asked, pages.start, pages.end];
            let bounds: [Parameter<'_>; 3] =
                bounds.each_ref().map(|bound| (bound as _, Type::INT8));
            let without: Parameter<'_> = (&kept, Type::INT8_ARRAY);
            let params = [&times[..], &bounds, &[without]].concat();
            let locked = self.query(LOCK_DEAD, &params).await?;
            let rows = locked.iter().map(read_row).collect::<Result<Vec<Row>, _>>()?;
            let (meant, others): (Vec<Row>, _) = rows.into_iter().partition(is_dead);
            let ids = meant.iter().map(|row| number(row.id())).take(left as usize);
            let ids: Vec<i64> = ids.collect();
            let these: Parameter<'_> = (&ids, Type::INT8_ARRAY);
            let deleted = self.execute(PURGE_DEAD, &[&times[..], &[these]].concat()).await?;
            count += deleted.cast_signed();
            let is_whole = others.is_empty() || (locked.len() as i64) < asked;
            if count == limit || deleted == ids.len() as u64 && is_whole {
                return Ok(count);
            }
            kept.extend(others.iter().map(|row| number(row.id())));
            // To leave rows out is progress, too: the next pass finds others.
            stall.after_pass(deleted.cast_signed() + others.len() as i64)?;
        }
    }

    /// Deletes the lock rows of owners without tokens, and the keys that seal no unrevoked row.
    pub(super) async fn purge_leftovers(&self) -> Result<(), Problem> {
        self.execute(PURGE_OWNERS, &[(&MAX_PURGED_OWNERS, Type::INT8)]).await?;
        let unused = self.query(LOCK_UNUSED_KEYS, &[]).await?;
        let keys = unused.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        if !keys.is_empty() {
            self.execute(DELETE_UNUSED_KEYS, &[(&keys, Type::INT8_ARRAY)]).await?;
        }
        Ok(())
    }

    /// Reads the set of keys in use.
    ///
    /// A number that can't be a key's is an error: leaving it out could hide a key that is needed.
    pub(super) async fn keys_in_use(&self) -> Result<Vec<KeyId>, Problem> {
        let keys = self.query(KEYS_IN_USE, &[]).await?;
        let read = |row: &tokio_postgres::Row| {
            let number = row.try_get::<_, i64>(0)?;
            let key = u32::try_from(number).ok().and_then(KeyId::new);
            let text =
                || format!("the table of keys holds {number}, which is not a key id; remove it");
            key.ok_or_else(|| Problem::Local(text().into()))
        };
        keys.iter().map(read).collect()
    }

    /// Runs a statement that selects how many rows it changed and how many it found.
    pub(super) async fn pass(&self, sql: &str, params: &[Parameter<'_>]) -> Result<Pass, Problem> {
        read_pass(&self.query_one(sql, params).await?)
    }

    /// Runs a statement that selects one row.
    pub(super) async fn query_one(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<tokio_postgres::Row, Problem> {
        Ok(self.client.query_typed_one(&self.table.in_sql(sql), params).await?)
    }

    /// Runs a statement, and returns the rows that it selects.
    pub(super) async fn query(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, Problem> {
        Ok(self.client.query_typed(&self.table.in_sql(sql), params).await?)
    }

    /// Runs a statement, and returns how many rows it changed.
    pub(super) async fn execute(
        &self,
        sql: &str,
        params: &[Parameter<'_>],
    ) -> Result<u64, Problem> {
        Ok(self.client.execute_typed(&self.table.in_sql(sql), params).await?)
    }
}

/// How many pages of the table one statement of a purge reads: 8 MB, at PostgreSQL's usual page
/// size.
const PAGES_A_STATEMENT: usize = 1024;
/// The most lock rows that one purge deletes. It should exceed the number of owners who lose their
/// last token in a day, so that a daily purge keeps up.
const MAX_PURGED_OWNERS: i64 = 10_000;

/// Reads how many rows a statement changed, and how many it found.
fn read_pass(row: &tokio_postgres::Row) -> Result<Pass, Problem> {
    Ok(Pass { changed: row.try_get(0)?, found: row.try_get(1)? })
}

/// Fails if a changed row does not hold what was written.
///
/// The server reports a change as done even if a trigger has restored the old values.
fn must_hold(changed: &[tokio_postgres::Row]) -> Result<(), Problem> {
    for row in changed {
        if !row.try_get::<_, bool>(0)? {
            return Err(Problem::obstructed());
        }
    }
    Ok(())
}

/// Ends a repetition that would never end.
///
/// A pass is repeated because another transaction was changing its rows, and that ends soon. If no
/// pass changes the rows that it finds, a trigger, a rule or row-level security holds them back.
/// If each pass finds new rows, a trigger makes them.
#[derive(Default)]
pub(super) struct StallGuard {
    passes: u32,
    idle_passes: u32,
}

impl StallGuard {
    /// Counts a pass, and fails if there were too many.
    pub(super) fn after_pass(&mut self, changed: i64) -> Result<(), Problem> {
        self.passes += 1;
        self.idle_passes = if changed == 0 { self.idle_passes + 1 } else { 0 };
        if self.idle_passes == MAX_IDLE_PASSES || self.passes == MAX_PASSES {
            return Err(Problem::obstructed());
        }
        Ok(())
    }
}

const MAX_IDLE_PASSES: u32 = 100;
const MAX_PASSES: u32 = 1000;
