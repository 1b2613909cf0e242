//! The methods of [`TokenStore`]: for [`PostgresStore`], and each change as the statements of one
//! transaction.

use std::collections::BTreeMap;
use std::iter;

use tokio_postgres::types::Type;

use super::binding::{
    Parameter, RevocationParams, filter_params, row_params, storable, without_nul,
};
use super::error::Problem;
use super::statements::{Current, NO_ID, Pass, StallGuard, Statements};
use super::{PostgresStore, Read, WriteCall};
use crate::record::{CLOCK_TOLERANCE, LastUse, LiveAt, Revocation};
use crate::store::columns::number;
use crate::store::postgres_sql::*;
use crate::store::{
    Filter, FilterColumns, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError,
    Supersede, Superseded, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

impl TokenStore for PostgresStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(insert).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.change(supersede).await
    }

    /// One round trip, once the statement is prepared on the connection.
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.read(Read::One(id)).await?.pop())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let _permit = self.slow_call_permit().await?;
        self.read(Read::Page(filter, page)).await
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.change(&ReplaceAll(replaces)).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        self.change(&Revoke(filter, revocation)).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.change(&Touch(uses, now)).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.change(&PurgeAtMost(purge, limit)).await
    }
}

/// The arguments of [`TokenStore::revoke`].
pub(super) struct Revoke<'c>(pub(super) &'c Filter, pub(super) &'c Revocation);

/// The arguments of [`TokenStore::touch`].
pub(super) struct Touch<'c>(pub(super) &'c [(TokenId, LastUse)], pub(super) Timestamp);

/// The arguments of [`TokenStore::purge`].
pub(super) struct PurgeAtMost<'c>(pub(super) &'c Purge, pub(super) u32);

/// `insert`.
impl WriteCall for Insert {
    type Output = Inserted;

    async fn run(&self, statements: &Statements<'_>) -> Result<Inserted, Problem> {
        let Insert { row, live, limit, unique_label, under } = self;
        let Some(new) = row.record() else {
            return Ok(Inserted::Stale);
        };
        // Before anything is counted: what a concurrent insert adds must be seen.
        if limit.is_some() || *unique_label {
            statements.lock_owner(new).await?;
        }
        let locked = statements.lock_all_current(under.iter().collect()).await?;
        let conflicts = statements.insert_conflicts(new, *live).await?;
        if conflicts.id_taken {
            return Ok(Inserted::IdTaken);
        }
        let owner = Some(new.owner().as_str());
        let is_theirs = |(_, current): &(_, Current)| current.owner.as_deref() == owner;
        if !locked.is_some_and(|locked| locked.iter().all(is_theirs)) {
            return Ok(Inserted::Stale);
        }
        if limit.is_some_and(|limit| conflicts.live >= i64::from(limit)) {
            return Ok(Inserted::LimitReached);
        }
        if *unique_label && conflicts.label_taken {
            return Ok(Inserted::LabelTaken);
        }
        let columns = storable(new);
        // Another transaction may have taken the id since.
        if statements.execute(INSERT, &row_params(&columns)).await? == 0 {
            return Ok(Inserted::IdTaken);
        }
        Ok(Inserted::Done)
    }
}

/// `supersede`.
impl WriteCall for Supersede {
    type Output = Superseded;

    async fn run(&self, statements: &Statements<'_>) -> Result<Superseded, Problem> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = self;
        let (Some(new), Some(new_form)) = (row.record(), superseded.record()) else {
            return Ok(Superseded::Stale);
        };
        let needed = iter::once(superseded).chain(replaces).collect();
        let locked = statements.lock_all_current(needed).await?;
        let live = LiveAt::now(Timestamp::MIN); // nothing is asked about live rows
        if statements.insert_conflicts(new, live).await?.id_taken {
            return Ok(Superseded::IdTaken);
        }
        let replaced = replaces.as_ref().map(Row::id);
        let is_unused =
            |(id, current): &(TokenId, Current)| replaced != Some(*id) || current.is_unused;
        if !locked.is_some_and(|locked| locked.iter().all(is_unused)) {
            return Ok(Superseded::Stale);
        }
        let columns = storable(new);
        // Another transaction may have taken the id since.
        if statements.execute(INSERT, &row_params(&columns)).await? == 0 {
            return Ok(Superseded::IdTaken);
        }
        statements.write_new_form(new_form).await?;
        if let Some(replaced) = replaced {
            statements.revoke_one(replaced, revocation).await?;
        }
        if *revokes_derived {
            statements.revoke_derived(new, revocation, number(new.id())).await?;
        }
        Ok(Superseded::Done)
    }
}

/// The argument of [`TokenStore::replace`].
pub(super) struct ReplaceAll<'c>(pub(super) &'c [Replace]);

/// `replace`.
impl WriteCall for ReplaceAll<'_> {
    type Output = Vec<Replaced>;

    async fn run(&self, statements: &Statements<'_>) -> Result<Vec<Replaced>, Problem> {
        let mut answers = Vec::new();
        for replace in self.0 {
            answers.push(replace_one(replace, statements).await?);
        }
        Ok(answers)
    }
}

async fn replace_one(replace: &Replace, statements: &Statements<'_>) -> Result<Replaced, Problem> {
    let Replace { row, live, unique_label, revokes_derived } = replace;
    let Some(new_form) = row.record() else {
        return Ok(Replaced::Stale);
    };
    if *unique_label {
        statements.lock_owner(new_form).await?;
    }
    if statements.lock_current(new_form).await?.is_none() {
        return Ok(Replaced::Stale);
    }
    if *unique_label && statements.insert_conflicts(new_form, *live).await?.label_taken {
        return Ok(Replaced::LabelTaken);
    }
    statements.write_new_form(new_form).await?;
    if let Some(revocation) = revokes_derived {
        statements.revoke_derived(new_form, revocation, NO_ID).await?;
    }
    Ok(Replaced::Done)
}

/// `revoke`.
impl WriteCall for Revoke<'_> {
    type Output = u64;

    fn may_take_long(&self) -> bool {
        self.0.id.is_none()
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<u64, Problem> {
        let Revoke(filter, revocation) = self;
        let (filter, revocation) = (FilterColumns::of(filter), RevocationParams::of(revocation));
        let params = [&filter_params(&filter)[..], &revocation.params()].concat();
        statements.revoke_until_none_is_left(REVOKE, &params).await
    }
}

/// `touch`.
impl WriteCall for Touch<'_> {
    type Output = ();

    async fn run(&self, statements: &Statements<'_>) -> Result<(), Problem> {
        let Touch(uses, now) = self;
        let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        for uses in each_id_once(uses) {
            let ids: Vec<i64> = uses.keys().copied().map(number).collect();
            let times: Vec<i64> = uses.values().map(|last_use| last_use.at.as_unix()).collect();
            let addresses: Vec<Option<String>> =
                uses.values().map(|last_use| last_use.address.map(|a| a.to_string())).collect();
            let clients: Vec<Option<String>> =
                uses.values().map(|last_use| last_use.client.as_deref().map(without_nul)).collect();
            let params: [Parameter<'_>; 5] = [
                (&ids, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&addresses, Type::TEXT_ARRAY),
                (&clients, Type::TEXT_ARRAY),
                (&believed_until, Type::INT8),
            ];
            statements.execute(TOUCH, &params).await?;
        }
        Ok(())
    }
}

/// `purge`.
impl WriteCall for PurgeAtMost<'_> {
    type Output = u64;

    /// A purge of dead rows deletes few, but may have to look at very many.
    fn may_take_long(&self) -> bool {
        matches!(self.0, Purge::Dead(_))
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<u64, Problem> {
        let PurgeAtMost(purge, limit) = self;
        let limit = i64::from(*limit);
        let (mut count, mut stall) = (0, StallGuard::default());
        // Repeated while another transaction was in between: a row may be found and, once it is
        // locked, no longer be selected. The next pass finds others in its place. Not repeated
        // until a pass finds none: a deleted row may be what spared a superseded one, which is left
        // for the next call.
        loop {
            let left = limit - count;
            let Pass { changed, found } = match purge {
                Purge::Matching(filter) => {
                    let filter = FilterColumns::of(filter);
                    let params =
                        [&filter_params(&filter)[..], &[(&left as _, Type::INT8)]].concat();
                    statements.pass(PURGE_MATCHING, &params).await?
                }
                Purge::Dead(cutoff) => statements.purge_dead(cutoff, left).await?,
            };
            count += changed;
            if changed == found || count == limit {
                break;
            }
            stall.after_pass(changed)?;
        }
        // The last batch of a clean-up also deletes the lock rows of owners without tokens.
        if matches!(purge, Purge::Dead(_)) && count < limit {
            statements.execute(PURGE_OWNERS, &[(&MAX_PURGED_OWNERS, Type::INT8)]).await?;
        }
        Ok(count.cast_unsigned())
    }
}

/// More than the owners who lose their last token in a day, so that a daily clean-up keeps up.
const MAX_PURGED_OWNERS: i64 = 10_000;

/// Splits uses into batches with each id at most once, in their order. An UPDATE changes a row
/// once, so a second use of an id must be compared by a later statement.
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
