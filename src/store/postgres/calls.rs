//! The calls of the contract on [`TokenStore`], each as the statements of one transaction.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::binding::{
    Parameter, RevocationParams, filter_params, row_params, storable, without_nul,
};
use super::error::Problem;
use super::within::{NO_ID, StallGuard, Within, WriteCall};
use super::{PostgresStore, Read};
use crate::record::{CLOCK_TOLERANCE, LastUse, Revocation};
use crate::store::columns::number;
use crate::store::postgres_sql::*;
use crate::store::{
    Filter, FilterColumns, Insert, Inserted, Page, Purge, Replace, Replaced, Row, StoreError,
    Supersede, TokenStore,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

impl TokenStore for PostgresStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(insert).await
    }

    /// One round trip, once the statement is prepared on the connection.
    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        Ok(self.read(Read::One(id)).await?.pop())
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let _permit = self.slow_call_permit().await?;
        self.read(Read::Page(filter, page)).await
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        self.change(replace).await
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

/// What [`TokenStore::revoke`](crate::TokenStore::revoke) is told.
pub(super) struct Revoke<'c>(pub(super) &'c Filter, pub(super) &'c Revocation);

/// What [`TokenStore::touch`](crate::TokenStore::touch) is told.
pub(super) struct Touch<'c>(pub(super) &'c [(TokenId, LastUse)], pub(super) Timestamp);

/// What [`TokenStore::purge`](crate::TokenStore::purge) is told.
pub(super) struct PurgeAtMost<'c>(pub(super) &'c Purge, pub(super) u32);

impl WriteCall for Insert {
    type Output = Inserted;

    async fn make(&self, within: &Within<'_>) -> Result<Inserted, Problem> {
        let Insert { row, now, limit, unique_label, under: _, supersede } = self;
        let Some(new) = row.record() else {
            return Err(Problem::Local("a damaged row can't be inserted"));
        };
        if limit.is_some() || *unique_label {
            within.lock_owner(new).await?;
        }
        let are_current = within.lock_all_current(new, self).await?;
        let conflicts = within.insert_conflicts(new, *now).await?;
        if conflicts.id_taken {
            return Ok(Inserted::IdTaken);
        }
        if !are_current {
            return Ok(Inserted::Stale);
        }
        if limit.is_some_and(|limit| conflicts.live >= i64::from(limit)) {
            return Ok(Inserted::LimitReached);
        }
        if *unique_label && conflicts.label_taken {
            return Ok(Inserted::LabelTaken);
        }
        let columns = storable(new);
        if within.execute(INSERT, &row_params(&columns)).await? == 0 {
            return Ok(Inserted::IdTaken);
        }
        if let Some(Supersede { row, replaces, revoke_derived, revocation }) = supersede {
            within.replace_row(row).await?;
            if let Some(replaced) = replaces {
                within.revoke_one(replaced.id(), revocation).await?;
            }
            if *revoke_derived {
                within.revoke_derived(new, revocation, number(new.id())).await?;
            }
        }
        Ok(Inserted::Done)
    }
}

impl WriteCall for Replace {
    type Output = Replaced;

    async fn make(&self, within: &Within<'_>) -> Result<Replaced, Problem> {
        let Replace { row, now, unique_label, revoke_derived } = self;
        let Some(new_form) = row.record() else {
            return Ok(Replaced::Stale);
        };
        if *unique_label {
            within.lock_owner(new_form).await?;
        }
        if within.lock_current(new_form).await?.is_none() {
            return Ok(Replaced::Stale);
        }
        if *unique_label && within.insert_conflicts(new_form, *now).await?.label_taken {
            return Ok(Replaced::LabelTaken);
        }
        within.replace_row(row).await?;
        if let Some(revocation) = revoke_derived {
            within.revoke_derived(new_form, revocation, NO_ID).await?;
        }
        Ok(Replaced::Done)
    }
}

impl WriteCall for Revoke<'_> {
    type Output = u64;

    fn may_take_long(&self) -> bool {
        self.0.id.is_none()
    }

    async fn make(&self, within: &Within<'_>) -> Result<u64, Problem> {
        let Revoke(filter, revocation) = self;
        let (filter, revocation) = (FilterColumns::of(filter), RevocationParams::of(revocation));
        let parameters = [&filter_params(&filter)[..], &revocation.parameters()].concat();
        let (mut count, mut stall) = (0, StallGuard::default());
        loop {
            let (ended, found) = within.counts(REVOKE, &parameters).await?;
            count += ended;
            if found == 0 {
                return Ok(count.cast_unsigned());
            }
            stall.after_pass(ended)?;
        }
    }
}

impl WriteCall for Touch<'_> {
    type Output = ();

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

impl WriteCall for PurgeAtMost<'_> {
    type Output = u64;

    /// The rows that it looks at may be very many, though it deletes few.
    fn may_take_long(&self) -> bool {
        matches!(self.0, Purge::Dead(_))
    }

    async fn make(&self, within: &Within<'_>) -> Result<u64, Problem> {
        let PurgeAtMost(purge, limit) = self;
        let limit = i64::from(*limit);
        let (mut count, mut stall) = (0, StallGuard::default());
        loop {
            let left = limit - count;
            let (deleted, found) = match purge {
                Purge::Matching(filter) => {
                    let filter = FilterColumns::of(filter);
                    let parameters =
                        [&filter_params(&filter)[..], &[(&left as _, Type::INT8)]].concat();
                    within.counts(PURGE_MATCHING, &parameters).await?
                }
                Purge::Dead(dead) => within.purge_dead(dead, left).await?,
            };
            count += deleted;
            if deleted == found || count == limit {
                break;
            }
            stall.after_pass(deleted)?;
        }
        if matches!(purge, Purge::Dead(_)) && count < limit {
            within.execute(PURGE_OWNERS, &[(&MAX_PURGED_OWNERS, Type::INT8)]).await?;
        }
        Ok(count.cast_unsigned())
    }
}

/// How many lock rows the last batch of a purge deletes: more than owners lose their last token in a day.
const MAX_PURGED_OWNERS: i64 = 10_000;

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
