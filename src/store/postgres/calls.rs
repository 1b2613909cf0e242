//! The methods of [`TokenStore`] for [`PostgresStore`], and the statements of each change.
//!
//! A change is one transaction at READ COMMITTED. `sql.md` says why, and in which order the
//! statements must run.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::{iter, mem};

use tokio_postgres::types::Type;

use super::binding::{Parameter, RevocationParams, filter_params};
use super::catalogue::Known;
use super::error::Problem;
use super::statements::{NO_ID, Pass, StallGuard, Statements};
use super::{PostgresStore, Read, TransactionCall};
use crate::key::KeyId;
use crate::record::{CLOCK_TOLERANCE, LastUse, LiveAt, Revocation};
use crate::store::columns::number;
use crate::store::postgres_sql::*;
use crate::store::{
    Filter, FilterColumns, Insert, Inserted, Page, Purge, PurgeCutoff, Replace, Replaced, Row,
    StoreError, Supersede, Superseded, TokenStore, rules,
};
use crate::text::clean_client;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

impl TokenStore for PostgresStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        self.change(insert).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.change(supersede).await
    }

    /// Takes one round trip once the statement is prepared on the connection.
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
        let Purge::Dead(cutoff) = purge else {
            return self.change(&PurgeAtMost(purge, limit)).await;
        };
        let next_page = &self.state.next_page;
        let parts = self.change(&PurgeParts(next_page.load(Ordering::Relaxed))).await?;
        let mut deleted = 0;
        // A transaction for each part of the table. In a single one, a revocation of the first row
        // that was deleted would wait for the whole walk.
        for pages in parts {
            let (begin, left) = (pages.start, i64::from(limit) - deleted);
            let count = self.change(&PurgePart { cutoff, limit: left, pages }).await;
            deleted += count.map_err(|error| error.after_part(deleted > 0))?;
            if deleted >= i64::from(limit) {
                // The next purge begins with the same pages, which may hold more such rows.
                next_page.store(begin, Ordering::Relaxed);
                return Ok(deleted.cast_unsigned());
            }
        }
        // Only after the last batch of a clean-up: this reads whole tables.
        let done = self.change(&PurgeLeftovers).await;
        done.map_err(|error| error.after_part(deleted > 0))?;
        Ok(deleted.cast_unsigned())
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.change(&KeysInUse).await
    }

    /// Describes what is wrong with the tables, for a log.
    ///
    /// It finds objects that the host did not name, missing indexes and keys that the set of keys
    /// lacks. It also finds settings by which the server may forget changes.
    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        self.change(&Diagnose(&self.known)).await
    }
}

/// The arguments of [`TokenStore::revoke`].
pub(super) struct Revoke<'c>(pub(super) &'c Filter, pub(super) &'c Revocation);

/// The arguments of [`TokenStore::touch`].
pub(super) struct Touch<'c>(pub(super) &'c [(TokenId, LastUse)], pub(super) Timestamp);

/// The arguments of [`TokenStore::purge`], for a purge within one transaction.
pub(super) struct PurgeAtMost<'c>(pub(super) &'c Purge, pub(super) u32);

/// The parts of a walk for dead rows that begins at a page.
struct PurgeParts(i64);

/// A purge of dead rows on some pages, at most `limit`.
struct PurgePart<'c> {
    cutoff: &'c PurgeCutoff,
    limit: i64,
    pages: Range<i64>,
}

/// The clean-up after a purge of dead rows.
struct PurgeLeftovers;

/// The call of [`TokenStore::keys_in_use`].
pub(super) struct KeysInUse;

/// The call of [`TokenStore::diagnose`], with the names of the host's own objects.
pub(super) struct Diagnose<'c>(pub(super) &'c Known);

/// Makes the change of [`TokenStore::insert`].
impl TransactionCall for Insert {
    type Output = Inserted;

    async fn run(&self, statements: &Statements<'_>) -> Result<Inserted, Problem> {
        let Insert { row, live, limit, unique_label, under } = self;
        let Some(new) = row.record() else {
            return Ok(Inserted::Stale);
        };
        // Before anything is counted. A concurrent insert for this owner then either has committed,
        // and is counted, or waits here until this one has. A row lock can't do this: the other
        // insert's row is not there yet to be locked.
        if limit.is_some() || *unique_label {
            statements.lock_owner(new.owner()).await?;
        }
        let parents = match under {
            Some(parent) => statements.lock_rows([parent.id()]).await?,
            None => Vec::new(),
        };
        let conflicts = statements.insert_conflicts(new, *live).await?;
        // The rules see only the parent, not the owner's other rows. That is enough for `IdTaken`
        // and `Stale`; the other answers of the rules are ignored.
        match rules::insert(self, conflicts.id_taken, &of_same_owner(row, parents)).answer {
            refusal @ (Inserted::IdTaken | Inserted::Stale) => return Ok(refusal),
            Inserted::Done | Inserted::LimitReached | Inserted::LabelTaken => {}
        }
        if limit.is_some_and(|limit| conflicts.live >= i64::from(limit)) {
            return Ok(Inserted::LimitReached);
        }
        if *unique_label && conflicts.label_taken {
            return Ok(Inserted::LabelTaken);
        }
        // Another transaction may have taken the id since it was looked up.
        let is_done = statements.insert_row(new).await?;
        Ok(if is_done { Inserted::Done } else { Inserted::IdTaken })
    }
}

/// Makes the change of [`TokenStore::supersede`].
impl TransactionCall for Supersede {
    type Output = Superseded;

    async fn run(&self, statements: &Statements<'_>) -> Result<Superseded, Problem> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = self;
        let (Some(new), Some(new_form)) = (row.record(), superseded.record()) else {
            return Ok(Superseded::Stale);
        };
        let needed = iter::once(superseded).chain(replaces).map(Row::id);
        let locked = of_same_owner(row, statements.lock_rows(needed).await?);
        let live = LiveAt::now(Timestamp::MIN); // nothing is asked about live rows
        let id_taken = statements.insert_conflicts(new, live).await?.id_taken;
        // The rules see only the locked rows. Rows that derive from them don't change the answer.
        let answer = rules::supersede(self, id_taken, &locked).answer;
        if answer != Superseded::Done {
            return Ok(answer);
        }
        // Another transaction may have taken the id since it was looked up. This comes first, as
        // nothing may be written yet if the answer is a refusal.
        if !statements.insert_row(new).await? {
            return Ok(Superseded::IdTaken);
        }
        statements.write_forms(&[new_form]).await?;
        if let Some(replaced) = replaces {
            statements.revoke_one(replaced.id(), revocation).await?;
        }
        if *revokes_derived {
            statements.revoke_derived(new, revocation, number(new.id())).await?;
        }
        Ok(Superseded::Done)
    }
}

/// The argument of [`TokenStore::replace`].
pub(super) struct ReplaceAll<'c>(pub(super) &'c [Replace]);

/// Makes the change of [`TokenStore::replace`].
impl TransactionCall for ReplaceAll<'_> {
    type Output = Vec<Replaced>;

    /// Decides one by one, and writes as many forms together as it can: a reseal is one statement.
    async fn run(&self, statements: &Statements<'_>) -> Result<Vec<Replaced>, Problem> {
        // All locks are taken first, owners and then rows, each in order. Two batches may name the
        // same rows in another order, and would deadlock if each locked as it goes.
        let labelled = self.0.iter().filter(|replace| replace.unique_label);
        for owner in labelled.filter_map(|replace| replace.row.owner()).collect::<BTreeSet<_>>() {
            statements.lock_owner(owner).await?;
        }
        let ids: BTreeSet<TokenId> = self.0.iter().map(|replace| replace.row.id()).collect();
        let mut rows = by_id(statements.lock_rows(ids.iter().copied()).await?);
        let (mut answers, mut unwritten) = (Vec::new(), BTreeMap::new());
        for replace in self.0 {
            let Replace { row, live, unique_label, revokes_derived } = replace;
            let locked: Vec<Row> = rows.get(&row.id()).cloned().into_iter().collect();
            // The rules see only this row. Labels and derived rows are asked for below.
            let decision = rules::replace(replace, &of_same_owner(row, locked));
            let (Replaced::Done, Some(form)) = (decision.answer, row.record()) else {
                answers.push(decision.answer);
                continue;
            };
            // What is decided and not written yet must be written now if a statement below looks at
            // other rows, or if the same row comes again: one UPDATE changes a row only once.
            let asks_others = *unique_label || revokes_derived.is_some();
            if asks_others || unwritten.contains_key(&row.id()) {
                let forms: Vec<_> = mem::take(&mut unwritten).into_values().collect();
                statements.write_forms(&forms).await?;
            }
            if *unique_label && statements.insert_conflicts(form, *live).await?.label_taken {
                answers.push(Replaced::LabelTaken);
                continue;
            }
            answers.push(Replaced::Done);
            if let Some(revocation) = revokes_derived {
                statements.write_forms(&[form]).await?;
                statements.revoke_derived(form, revocation, NO_ID).await?;
                // Read again: a later form of the batch may be of a row that was just revoked.
                rows = by_id(statements.lock_rows(ids.iter().copied()).await?);
            } else {
                unwritten.insert(row.id(), form);
                rows.extend(by_id(decision.put));
            }
        }
        statements.write_forms(&unwritten.into_values().collect::<Vec<_>>()).await?;
        Ok(answers)
    }
}

/// Returns the rows with the same owner as `row`: the rules must see no others.
fn of_same_owner(row: &Row, rows: Vec<Row>) -> Vec<Row> {
    rows.into_iter().filter(|other| other.owner() == row.owner()).collect()
}

/// Indexes rows by id.
fn by_id(rows: Vec<Row>) -> BTreeMap<TokenId, Row> {
    rows.into_iter().map(|row| (row.id(), row)).collect()
}

/// Makes the change of [`TokenStore::revoke`].
impl TransactionCall for Revoke<'_> {
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

/// Makes the change of [`TokenStore::touch`].
impl TransactionCall for Touch<'_> {
    type Output = ();

    async fn run(&self, statements: &Statements<'_>) -> Result<(), Problem> {
        let Touch(uses, now) = self;
        let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        for uses in each_id_once(uses) {
            let ids: Vec<i64> = uses.keys().copied().map(number).collect();
            let times: Vec<i64> = uses.values().map(|last_use| last_use.at.as_unix()).collect();
            let addresses: Vec<Option<String>> =
                uses.values().map(|last_use| last_use.address.map(|a| a.to_string())).collect();
            // Cleaned here as it is when it is read. PostgreSQL's texts can't hold a NUL, and this
            // removes it.
            let clients: Vec<Option<Cow<'_, str>>> = uses
                .values()
                .map(|last_use| last_use.client.as_deref().map(clean_client))
                .collect();
            let params: [Parameter<'_>; 5] = [
                (&ids, Type::INT8_ARRAY),
                (&times, Type::INT8_ARRAY),
                (&addresses, Type::TEXT_ARRAY),
                (&clients, Type::TEXT_ARRAY),
                (&believed_until, Type::INT8),
            ];
            let Pass { changed, found } = statements.pass(TOUCH, &params).await?;
            if changed != found {
                return Err(Problem::obstructed());
            }
        }
        Ok(())
    }
}

/// Makes the change of [`TokenStore::purge`].
impl TransactionCall for PurgeAtMost<'_> {
    type Output = u64;

    /// A purge of dead rows deletes few rows, but may have to read very many.
    fn may_take_long(&self) -> bool {
        matches!(self.0, Purge::Dead(_))
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<u64, Problem> {
        let PurgeAtMost(purge, limit) = *self;
        let limit = i64::from(limit);
        let cutoff = match purge {
            Purge::Matching(filter) => {
                return Ok(purge_matching(filter, limit, statements).await?.cast_unsigned());
            }
            Purge::Dead(cutoff) => cutoff,
        };
        // Begins at the first page: a transaction is too short to continue an earlier walk.
        let mut count = 0;
        for pages in statements.parts(0).await? {
            count += statements.purge_dead(cutoff, limit - count, pages).await?;
            if count >= limit {
                return Ok(count.cast_unsigned());
            }
        }
        statements.purge_leftovers().await?;
        Ok(count.cast_unsigned())
    }
}

/// Begins [`TokenStore::purge`].
impl TransactionCall for PurgeParts {
    type Output = Vec<Range<i64>>;

    async fn run(&self, statements: &Statements<'_>) -> Result<Vec<Range<i64>>, Problem> {
        statements.parts(self.0).await
    }
}

/// Makes a part of [`TokenStore::purge`].
impl TransactionCall for PurgePart<'_> {
    type Output = i64;

    fn may_take_long(&self) -> bool {
        true
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<i64, Problem> {
        statements.purge_dead(self.cutoff, self.limit, self.pages.clone()).await
    }
}

/// Makes the last part of [`TokenStore::purge`].
impl TransactionCall for PurgeLeftovers {
    type Output = ();

    fn may_take_long(&self) -> bool {
        true
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<(), Problem> {
        statements.purge_leftovers().await
    }
}

/// Deletes rows that a filter matches, at most `limit`.
///
/// It repeats while another transaction interferes. A row may be found, and no longer match once it
/// is locked. It then took a place in the limit, and the next pass finds another row for it.
async fn purge_matching(
    filter: &Filter,
    limit: i64,
    statements: &Statements<'_>,
) -> Result<i64, Problem> {
    let filter = FilterColumns::of(filter);
    let (mut count, mut stall) = (0, StallGuard::default());
    loop {
        let left = limit - count;
        let params = [&filter_params(&filter)[..], &[(&left as _, Type::INT8)]].concat();
        let Pass { changed, found } = statements.pass(PURGE_MATCHING, &params).await?;
        count += changed;
        if changed == found || count == limit {
            return Ok(count);
        }
        stall.after_pass(changed)?;
    }
}

/// Makes the call of [`TokenStore::keys_in_use`].
impl TransactionCall for KeysInUse {
    type Output = Vec<KeyId>;

    async fn run(&self, statements: &Statements<'_>) -> Result<Vec<KeyId>, Problem> {
        statements.keys_in_use().await
    }
}

/// Makes the call of [`TokenStore::diagnose`].
impl TransactionCall for Diagnose<'_> {
    type Output = Vec<String>;

    /// It scans the whole table.
    fn may_take_long(&self) -> bool {
        true
    }

    async fn run(&self, statements: &Statements<'_>) -> Result<Vec<String>, Problem> {
        statements.diagnose(self.0).await
    }
}

/// Splits uses into batches with each id at most once, in their order.
///
/// One UPDATE changes a row only once. So a second use of an id needs a later statement, which
/// compares it with the first.
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
