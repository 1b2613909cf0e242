//! What each call does within a transaction, or by itself.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::failure::Problem;
use crate::record::{CLOCK_TOLERANCE, LastUse, Revocation, TokenRecord};
use crate::store::columns::{number, revision};
use crate::store::postgres_sql::*;
use crate::store::{
    Columns, Dead, Facts, Filter, Insert, Inserted, Page, Purge, Replace, Replaced, RestsOn, Row,
    Supersede, TableName,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A connection, for every change in a transaction at READ COMMITTED, and the table that is meant.
pub(super) struct Within<'t> {
    pub(super) client: &'t Client,
    pub(super) table: &'t TableName,
}

/// A call of the contract that changes something, as statements of one transaction.
pub(super) trait Change: Sync {
    type Answer: Send;

    /// Whether there may be very many rows to change.
    fn may_be_long(&self) -> bool {
        false
    }

    fn make(
        &self,
        within: &Within<'_>,
    ) -> impl Future<Output = Result<Self::Answer, Problem>> + Send;
}

/// What [`TokenStore::revoke`](crate::TokenStore::revoke) is told.
pub(super) struct Revoke<'c>(pub(super) &'c Filter, pub(super) &'c Revocation);

/// What [`TokenStore::touch`](crate::TokenStore::touch) is told.
pub(super) struct Touch<'c>(pub(super) &'c [(TokenId, LastUse)], pub(super) Timestamp);

/// What [`TokenStore::purge`](crate::TokenStore::purge) is told.
pub(super) struct PurgeAtMost<'c>(pub(super) &'c Purge, pub(super) u32);

/// A value to bind, and its type: so the server plans each statement for its values, and nothing is prepared beforehand.
type Parameter<'v> = (&'v (dyn ToSql + Sync), Type);

impl Change for Insert {
    type Answer = Inserted;

    async fn make(&self, within: &Within<'_>) -> Result<Inserted, Problem> {
        let Insert { row, now, limit, unique_label, under: _, supersede } = self;
        let Some(new) = row.record() else {
            return Err(Problem::Here("a damaged row can't be inserted"));
        };
        if limit.is_some() || *unique_label {
            within.lock_owner(new).await?;
        }
        let are_current = within.lock_all_current(new, self).await?;
        let standing = within.standing(new, *now).await?;
        if standing.id_taken {
            return Ok(Inserted::IdTaken);
        }
        if !are_current {
            return Ok(Inserted::Stale);
        }
        if limit.is_some_and(|limit| standing.live >= i64::from(limit)) {
            return Ok(Inserted::LimitReached);
        }
        if *unique_label && standing.label_taken {
            return Ok(Inserted::LabelTaken);
        }
        let columns = storable(new);
        if within.execute(CREATE, &parameters(&columns)).await? == 0 {
            return Ok(Inserted::IdTaken);
        }
        if let Some(Supersede { row, replaces, ends_derived, revocation }) = supersede {
            within.swap(row).await?;
            if let Some(replaced) = replaces {
                within.revoke_one(replaced.id(), revocation).await?;
            }
            if *ends_derived {
                within.revoke_derived(new, revocation, number(new.id())).await?;
            }
        }
        Ok(Inserted::Done)
    }
}

impl Change for Replace {
    type Answer = Replaced;

    async fn make(&self, within: &Within<'_>) -> Result<Replaced, Problem> {
        let Replace { row, now, unique_label, ends_derived } = self;
        let Some(new_form) = row.record() else {
            return Ok(Replaced::Stale);
        };
        if *unique_label {
            within.lock_owner(new_form).await?;
        }
        if within.lock_current(new_form).await?.is_none() {
            return Ok(Replaced::Stale);
        }
        if *unique_label && within.standing(new_form, *now).await?.label_taken {
            return Ok(Replaced::LabelTaken);
        }
        within.swap(row).await?;
        if let Some(revocation) = ends_derived {
            within.revoke_derived(new_form, revocation, NO_ID).await?;
        }
        Ok(Replaced::Done)
    }
}

impl Change for Revoke<'_> {
    type Answer = u64;

    fn may_be_long(&self) -> bool {
        self.0.id.is_none()
    }

    async fn make(&self, within: &Within<'_>) -> Result<u64, Problem> {
        let Revoke(filter, revocation) = self;
        let (filter, ending) = (Facts::of(filter), Ending::of(revocation));
        let parameters = [&facts(&filter)[..], &ending.parameters()].concat();
        let (mut count, mut patience) = (0, Patience::default());
        loop {
            let (ended, found) = within.counts(REVOKE, &parameters).await?;
            count += ended;
            if found == 0 {
                return Ok(count.cast_unsigned());
            }
            patience.after(ended)?;
        }
    }
}

impl Change for Touch<'_> {
    type Answer = ();

    async fn make(&self, within: &Within<'_>) -> Result<(), Problem> {
        let Touch(uses, now) = self;
        let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        for uses in each_id_once(uses) {
            let ids: Vec<i64> = uses.keys().copied().map(number).collect();
            let times: Vec<i64> = uses.values().map(|last_use| last_use.at.as_unix()).collect();
            let addresses: Vec<Option<String>> =
                uses.values().map(|last_use| last_use.address.map(|a| a.to_string())).collect();
            let clients: Vec<Option<String>> =
                uses.values().map(|last_use| last_use.client.as_deref().map(without_nul)).collect();
            let parameters: [Parameter<'_>; 5] = [
                (&ids, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&addresses, Type::TEXT_ARRAY),
                (&clients, Type::TEXT_ARRAY),
                (&believed_until, Type::INT8),
            ];
            within.execute(TOUCH, &parameters).await?;
        }
        Ok(())
    }
}

impl Change for PurgeAtMost<'_> {
    type Answer = u64;

    /// The rows that it looks at may be very many, though it deletes few.
    fn may_be_long(&self) -> bool {
        matches!(self.0, Purge::Dead(_))
    }

    async fn make(&self, within: &Within<'_>) -> Result<u64, Problem> {
        let PurgeAtMost(purge, limit) = self;
        let limit = i64::from(*limit);
        let (mut count, mut patience) = (0, Patience::default());
        loop {
            let left = limit - count;
            let (deleted, found) = match purge {
                Purge::Matching(filter) => {
                    let filter = Facts::of(filter);
                    let parameters = [&facts(&filter)[..], &[(&left as _, Type::INT8)]].concat();
                    within.counts(PURGE_MATCHING, &parameters).await?
                }
                Purge::Dead(dead) => within.purge_dead(dead, left).await?,
            };
            count += deleted;
            if deleted == found || count == limit {
                break;
            }
            patience.after(deleted)?;
        }
        if matches!(purge, Purge::Dead(_)) && count < limit {
            within.execute(PURGE_OWNERS, &[(&MOST_OWNERS, Type::INT8)]).await?;
        }
        Ok(count.cast_unsigned())
    }
}

impl Within<'_> {
    pub(super) async fn find(&self, id: TokenId) -> Result<Option<Row>, Problem> {
        let found = self.query(FIND, &[(&number(id), Type::INT8)]).await?;
        found.first().map_or(Ok(None), row_of)
    }

    pub(super) async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, Problem> {
        let filter = Facts::of(filter);
        if is_about_keys(&filter) && !self.has_rows_under_other_keys(&filter).await? {
            return Ok(Vec::new());
        }
        let (after, limit) = (page.after.map_or(NO_ID, number), i64::from(page.limit));
        let page: [Parameter<'_>; 2] = [(&after, Type::INT8), (&limit, Type::INT8)];
        let rows = self.query(LIST, &[&facts(&filter)[..], &page].concat()).await?;
        rows.iter().filter_map(|row| row_of(row).transpose()).collect()
    }

    async fn has_rows_under_other_keys(&self, filter: &Facts<'_>) -> Result<bool, Problem> {
        let mut above = filter.except_key_ids.clone();
        above.sort_unstable();
        let mut below = above.clone();
        above.insert(0, i64::MIN);
        below.push(i64::MAX);
        let gaps: [Parameter<'_>; 2] = [(&above, Type::INT8_ARRAY), (&below, Type::INT8_ARRAY)];
        Ok(self.query_one(UNDER_OTHER_KEYS, &gaps).await?.try_get(0)?)
    }

    async fn lock_owner(&self, record: &TokenRecord) -> Result<(), Problem> {
        let owner = record.owner().as_str();
        self.execute(LOCK_OWNER, &[(&owner, Type::TEXT)]).await.map(drop)
    }

    /// Locks every row that an insert rests on, and says whether all of them are what they must be.
    async fn lock_all_current(&self, new: &TokenRecord, insert: &Insert) -> Result<bool, Problem> {
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

    async fn lock_current(&self, record: &TokenRecord) -> Result<Option<Current>, Problem> {
        let (id, revision) = (number(record.id()), revision(record));
        let parameters: [Parameter<'_>; 2] = [(&id, Type::INT8), (&revision, Type::INT8)];
        let rows = self.query(LOCK_CURRENT, &parameters).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Current { owner: row.try_get(0)?, is_unused: row.try_get(1)? })
        };
        rows.first().map(read).transpose()
    }

    async fn standing(&self, new: &TokenRecord, now: Timestamp) -> Result<Standing, Problem> {
        let (owner, label) = (new.owner().as_str(), new.label().as_str());
        let (id, family, now) = (number(new.id()), number(new.family()), now.as_unix());
        let parameters: [Parameter<'_>; 5] = [
            (&id, Type::INT8),
            (&owner, Type::TEXT),
            (&family, Type::INT8),
            (&now, Type::INT8),
            (&label, Type::TEXT),
        ];
        let row = self.query_one(STANDING, &parameters).await?;
        Ok(Standing {
            id_taken: row.try_get(0)?,
            live: row.try_get(1)?,
            label_taken: row.try_get(2)?,
        })
    }

    /// Writes the new form of a row that is locked and current. Last use and revocation stay.
    async fn swap(&self, row: &Row) -> Result<(), Problem> {
        let Some(new_form) = row.record() else {
            return Ok(());
        };
        let columns = storable(new_form);
        self.execute_on_one(SWAP, &parameters(&columns)[..15]).await
    }

    /// Revokes a row that is locked and current.
    async fn revoke_one(&self, id: TokenId, revocation: &Revocation) -> Result<(), Problem> {
        let (ending, id) = (Ending::of(revocation), number(id));
        let one: Parameter<'_> = (&id, Type::INT8);
        self.execute_on_one(REVOKE_ONE, &[&ending.parameters()[..], &[one]].concat()).await
    }

    /// Revokes what was issued under a record's family.
    async fn revoke_derived(
        &self,
        from: &TokenRecord,
        revocation: &Revocation,
        except_id: i64,
    ) -> Result<(), Problem> {
        let ending = Ending::of(revocation);
        let (owner, family) = (from.owner().as_str(), number(from.family()));
        let derived: [Parameter<'_>; 3] =
            [(&owner, Type::TEXT), (&family, Type::INT8), (&except_id, Type::INT8)];
        let parameters = [&ending.parameters()[..], &derived].concat();
        let mut patience = Patience::default();
        loop {
            let (ended, found) = self.counts(REVOKE_DERIVED, &parameters).await?;
            if found == 0 {
                return Ok(());
            }
            patience.after(ended)?;
        }
    }

    /// How many dead rows it deleted, and how many it found.
    async fn purge_dead(&self, dead: &Dead, limit: i64) -> Result<(i64, i64), Problem> {
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
    async fn execute_on_one(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<(), Problem> {
        match self.execute(sql, parameters).await? {
            0 => Err(Problem::Here(OBSTRUCTED)),
            _ => Ok(()),
        }
    }

    async fn counts(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<(i64, i64), Problem> {
        let row = self.query_one(sql, parameters).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    async fn query_one(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<tokio_postgres::Row, Problem> {
        Ok(self.client.query_typed_one(&self.table.in_sql(sql), parameters).await?)
    }

    async fn query(
        &self,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, Problem> {
        Ok(self.client.query_typed(&self.table.in_sql(sql), parameters).await?)
    }

    async fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<u64, Problem> {
        Ok(self.client.execute_typed(&self.table.in_sql(sql), parameters).await?)
    }
}

/// A change is made again where it found rows that another transaction was changing. Rows that no pass ever changes are held by
/// something else.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    fn after(&mut self, changed: i64) -> Result<(), Problem> {
        self.0 = if changed == 0 { self.0 + 1 } else { 0 };
        if self.0 == MOST_PASSES { Err(Problem::Here(OBSTRUCTED)) } else { Ok(()) }
    }
}

const MOST_PASSES: u32 = 100;
/// How many lock rows the last batch of a purge deletes: more than owners lose their last token in a day.
const MOST_OWNERS: i64 = 10_000;
const OBSTRUCTED: &str = "PostgreSQL shows rows of the tokens' table and does not change them: has it a trigger, a rule or row-level security?";

/// A row that is current.
struct Current {
    owner: Option<String>,
    is_unused: bool,
}

/// What stands in a new row's way.
struct Standing {
    id_taken: bool,
    live: i64,
    label_taken: bool,
}

/// No row has this id.
const NO_ID: i64 = -1;

/// Batches in which no id is twice: what comes later is looked at after what came before it.
fn each_id_once(uses: &[(TokenId, LastUse)]) -> Vec<BTreeMap<TokenId, &LastUse>> {
    let mut batches: Vec<BTreeMap<TokenId, &LastUse>> = Vec::new();
    for (id, last_use) in uses {
        match batches.iter_mut().find(|batch| !batch.contains_key(id)) {
            Some(batch) => drop(batch.insert(*id, last_use)),
            None => batches.push(BTreeMap::from([(*id, last_use)])),
        }
    }
    batches
}

/// Whether [`UNDER_OTHER_KEYS`] may spare a look through the whole table.
fn is_about_keys(filter: &Facts<'_>) -> bool {
    let names_some = filter.id.is_some() || filter.owner.is_some() || filter.family.is_some();
    filter.revoked == Some(false) && !filter.except_key_ids.is_empty() && !names_some
}

/// A filter's facts, as [`FILTER`] binds them.
fn facts<'f>(facts: &'f Facts<'_>) -> [Parameter<'f>; 12] {
    let Facts {
        id,
        owner,
        family,
        except_id,
        key_id,
        except_key_ids,
        revoked,
        superseded,
        expires_before,
        expires_from,
        created_before,
        last_used_before,
    } = facts;
    [
        (id, Type::INT8),
        (owner, Type::TEXT),
        (family, Type::INT8),
        (except_id, Type::INT8),
        (key_id, Type::INT8),
        (except_key_ids, Type::INT8_ARRAY),
        (revoked, Type::BOOL),
        (superseded, Type::BOOL),
        (expires_before, Type::INT8),
        (expires_from, Type::INT8),
        (created_before, Type::INT8),
        (last_used_before, Type::INT8),
    ]
}

/// A revocation, as every statement that revokes binds it.
struct Ending<'r> {
    at: i64,
    reason: &'r str,
    by: String,
}

impl<'r> Ending<'r> {
    fn of(Revocation { at, reason, by }: &'r Revocation) -> Ending<'r> {
        Ending { at: at.as_unix(), reason: reason.as_str(), by: by.to_string() }
    }

    fn parameters(&self) -> [Parameter<'_>; 3] {
        [(&self.at, Type::INT8), (&self.reason, Type::TEXT), (&self.by, Type::TEXT)]
    }
}

/// A record's columns, as PostgreSQL can hold them.
fn storable(record: &TokenRecord) -> Columns<'_> {
    let columns = Columns::of(record);
    let last_used_client = columns.last_used_client.map(|client| without_nul(&client).into());
    Columns { last_used_client, ..columns }
}

/// PostgreSQL's texts hold no NUL. What a program calls itself is the only text of ours that could; the engine hands in none.
fn without_nul(client: &str) -> String {
    client.replace('\0', "\u{fffd}")
}

fn parameters<'c>(columns: &'c Columns<'_>) -> [Parameter<'c>; 21] {
    [
        (&columns.id, Type::INT8),
        (&columns.digest, Type::BYTEA),
        (&columns.owner, Type::TEXT),
        (&columns.label, Type::TEXT),
        (&columns.scopes, Type::TEXT),
        (&columns.resources, Type::TEXT),
        (&columns.issued_by, Type::TEXT),
        (&columns.created_at, Type::INT8),
        (&columns.expires_at, Type::INT8),
        (&columns.family, Type::INT8),
        (&columns.successor, Type::INT8),
        (&columns.derived_from, Type::INT8),
        (&columns.key_id, Type::INT8),
        (&columns.seal, Type::BYTEA),
        (&columns.revision, Type::INT8),
        (&columns.revoked_at, Type::INT8),
        (&columns.revoked_reason, Type::TEXT),
        (&columns.revoked_by, Type::TEXT),
        (&columns.last_used_at, Type::INT8),
        (&columns.last_used_address, Type::TEXT),
        (&columns.last_used_client, Type::TEXT),
    ]
}

/// Reads a row of [`FIND`] or [`LIST`]. One that makes no sense is damaged, and no error.
pub(super) fn row_of(row: &tokio_postgres::Row) -> Result<Option<Row>, Problem> {
    let columns = Columns::read(|at| row.try_get(at), |at| row.try_get(at), |at| row.try_get(at))?;
    Ok(columns.into_row())
}
