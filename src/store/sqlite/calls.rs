//! The methods of [`TokenStore`] for [`SqliteStore`], and the statements of each change.
//!
//! A change runs inside an open transaction (BEGIN IMMEDIATE). That has taken the file's write lock
//! before the first row is read or counted. So what a change reads stays true until it commits:
//! no row needs a lock of its own, and a limit per owner holds.

use rusqlite::params;

use super::binding::{form_params, row_params};
use super::diagnose::diagnose;
use super::query::{
    Step, is_indexed, keys_in_use, list_rows, purge_matching_query, purgeable,
    revoke_derived_query, revoke_query,
};
use super::sql::*;
use super::statements::Statements;
use super::{Inner, SqliteStore};
use crate::key::KeyId;
use crate::record::{CLOCK_TOLERANCE, LastUse, LiveAt, Revocation, TokenRecord};
use crate::store::columns::number;
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RowColumns, RuntimeFree,
    StoreError, Supersede, Superseded, TokenStore,
};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

impl TokenStore for SqliteStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let insert = insert.clone();
        self.0.writer.write(move |statements| statements.insert(&insert)).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        let supersede = supersede.clone();
        self.0.writer.write(move |statements| statements.supersede(&supersede)).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.0.readers.find(id).map_err(|error| self.failure(error))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        // One token, one owner or one family is read quickly. Any other list may scan the whole
        // table, and must not block a thread of an async host.
        if !is_indexed(filter) {
            return self.walk_list(filter, page).await;
        }
        let Inner { readers, options, .. } = &*self.0;
        let rows = readers.read(|connection| list_rows(connection, &options.table, filter, page));
        rows.map_err(|error| self.failure(error))
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        let replaces = replaces.to_vec();
        self.0.writer.write(move |statements| statements.replace(&replaces)).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let (filter, revocation) = (filter.clone(), revocation.clone());
        self.0.writer.write(move |statements| statements.revoke(&filter, &revocation)).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.0.writer.write(move |statements| statements.touch(&uses, now)).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        match purge {
            Purge::Matching(filter) if is_indexed(filter) => {
                let purge = purge.clone();
                self.0.writer.write(move |statements| statements.purge(&purge, limit)).await
            }
            _ => self.walk_purge(purge, limit).await,
        }
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        let Inner { readers, options, .. } = &*self.0;
        let keys = readers.read(|connection| keys_in_use(connection, &options.table));
        keys.map_err(|error| self.failure(error))
    }

    async fn diagnose(&self) -> Result<Vec<String>, StoreError> {
        let Inner { readers, options, .. } = &*self.0;
        let options = options.clone();
        let findings = readers.scan(move |connection| diagnose(connection, &options)).await;
        findings.map_err(|error| self.failure(error))
    }
}

impl RuntimeFree for SqliteStore {}

impl Statements<'_> {
    /// Makes the change of [`TokenStore::insert`].
    pub(super) fn insert(&mut self, insert: &Insert) -> rusqlite::Result<Inserted> {
        let Insert { row, live, limit, unique_label, under } = insert;
        let Some(new) = row.record() else {
            return Ok(Inserted::Stale);
        };
        if self.exists(ID_TAKEN, [number(new.id())])? {
            return Ok(Inserted::IdTaken);
        }
        if let Some(parent) = under
            && self.current(parent, new.owner())?.is_none()
        {
            return Ok(Inserted::Stale);
        }
        if let Some(limit) = limit {
            let (owner, family) = (new.owner().as_str(), number(new.family()));
            let [now, used_after, believed_until] = live_params(*live);
            let others = params![owner, family, now, used_after, believed_until];
            if self.count(LIVE_OF_OTHER_FAMILIES, others)? >= i64::from(*limit) {
                return Ok(Inserted::LimitReached);
            }
        }
        if *unique_label && self.label_is_taken(new, *live)? {
            return Ok(Inserted::LabelTaken);
        }
        self.insert_row(new)?;
        Ok(Inserted::Done)
    }

    /// Makes the change of [`TokenStore::supersede`].
    pub(super) fn supersede(&mut self, supersede: &Supersede) -> rusqlite::Result<Superseded> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = supersede;
        let Some(new) = row.record() else {
            return Ok(Superseded::Stale);
        };
        if self.exists(ID_TAKEN, [number(new.id())])? {
            return Ok(Superseded::IdTaken);
        }
        let old = self.current(superseded, new.owner())?;
        let (Some(form), Some(old)) = (superseded.record(), old) else {
            return Ok(Superseded::Stale);
        };
        if let Some(replaced) = replaces
            && !self.current(replaced, new.owner())?.is_some_and(|stored| stored.is_unused())
        {
            return Ok(Superseded::Stale);
        }
        self.replace_row(&old, form)?;
        if let Some(replaced) = replaces {
            self.revoke_one(replaced.id(), revocation)?;
        }
        if *revokes_derived {
            self.revoke_derived(new, revocation)?;
        }
        // Last, so that `revoke_derived` can't revoke the new row itself.
        self.insert_row(new)?;
        Ok(Superseded::Done)
    }

    /// Makes the change of [`TokenStore::replace`], all in one transaction: a batch waits for the
    /// disk only once.
    pub(super) fn replace(&mut self, replaces: &[Replace]) -> rusqlite::Result<Vec<Replaced>> {
        replaces.iter().map(|replace| self.replace_one(replace)).collect()
    }

    /// Replaces one row, on what the requests before it left.
    fn replace_one(&mut self, replace: &Replace) -> rusqlite::Result<Replaced> {
        let Replace { row, live, unique_label, revokes_derived } = replace;
        let Some(form) = row.record() else {
            return Ok(Replaced::Stale);
        };
        let Some(old) = self.current(row, form.owner())? else {
            return Ok(Replaced::Stale);
        };
        if *unique_label && self.label_is_taken(form, *live)? {
            return Ok(Replaced::LabelTaken);
        }
        self.replace_row(&old, form)?;
        if let Some(revocation) = revokes_derived {
            self.revoke_derived(form, revocation)?;
        }
        Ok(Replaced::Done)
    }

    /// Makes the change of [`TokenStore::revoke`].
    pub(super) fn revoke(&self, filter: &Filter, revocation: &Revocation) -> rusqlite::Result<u64> {
        // The derived rows first: the contract decides by the rows as they stood before the call.
        // In the other order, a filter for unrevoked rows would no longer match the rows that were
        // just revoked, and what was issued under them would stay valid.
        let derived = revoke_derived_query(filter, revocation).execute(self)?;
        Ok(derived + revoke_query(filter, revocation).execute(self)?)
    }

    /// Makes the change of [`TokenStore::touch`].
    pub(super) fn touch(
        &mut self,
        uses: &[(TokenId, LastUse)],
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
        for (id, LastUse { at, address, client }) in uses {
            let address = address.map(|address| address.to_string());
            let client = client.as_deref();
            let values = params![number(*id), at.as_unix(), address, client, believed_until];
            self.execute(TOUCH, values)?;
        }
        Ok(())
    }

    /// Makes the change of [`TokenStore::purge`], without steps.
    pub(super) fn purge(&mut self, purge: &Purge, limit: u32) -> rusqlite::Result<u64> {
        match purge {
            Purge::Matching(filter) => purge_matching_query(filter, limit).execute(self),
            Purge::Dead(_) => self.purge_step(purge, Step::WHOLE, limit),
        }
    }

    /// Deletes what the purge selects in one step of a walk, at most `limit`.
    pub(super) fn purge_step(
        &mut self,
        purge: &Purge,
        step: Step,
        limit: u32,
    ) -> rusqlite::Result<u64> {
        let ids = purgeable(self.connection(), self.table(), purge, step, limit)?;
        for id in &ids {
            self.execute_on_one(DELETE, [number(*id)])?;
        }
        Ok(ids.len() as u64)
    }

    /// Removes keys from the set if they seal no unrevoked row.
    pub(super) fn forget_keys(&mut self, keys: &[KeyId]) -> rusqlite::Result<()> {
        keys.iter().try_for_each(|key| self.execute(FORGET_KEY, [key.as_u32()]).map(drop))
    }

    /// Returns the stored record that a form was made from, if it is this owner's and current.
    ///
    /// A damaged row is never current, even if the columns that are compared can be read. So the
    /// whole row is decoded here; a condition in SQL would not notice the damage.
    fn current(&mut self, form: &Row, owner: &Owner) -> rusqlite::Result<Option<TokenRecord>> {
        let Some(form) = form.record() else {
            return Ok(None);
        };
        let stored = self.find(form.id())?.and_then(|row| row.record().cloned());
        Ok(stored.filter(|stored| stored.owner() == owner && stored.is_current_for(form)))
    }

    /// Returns whether the label is taken by a live row of the owner in another family.
    fn label_is_taken(&mut self, new: &TokenRecord, live: LiveAt) -> rusqlite::Result<bool> {
        let (owner, label) = (new.owner().as_str(), new.label().as_str());
        let [now, used_after, believed_until] = live_params(live);
        let family = number(new.family());
        self.exists(LABEL_TAKEN, params![owner, family, now, used_after, believed_until, label])
    }

    /// Inserts a row, and adds its key to those in use.
    fn insert_row(&mut self, new: &TokenRecord) -> rusqlite::Result<()> {
        self.add_key(new)?;
        self.execute(INSERT, row_params(&RowColumns::of(new))).map(drop)
    }

    /// Writes the new form of a row that is current. Last use and revocation stay.
    fn replace_row(&mut self, old: &TokenRecord, form: &TokenRecord) -> rusqlite::Result<()> {
        self.add_key(form)?;
        let columns = RowColumns::of(form);
        let params = form_params(&columns);
        // Most forms expire when their row does. Then the index of expiry need not be written.
        if form.expires() == old.expires() {
            self.execute_on_one(REPLACE, &params[..12])
        } else {
            self.execute_on_one(REPLACE_WITH_EXPIRY, &params[..])
        }
    }

    /// Adds the key of a sealed row to those in use.
    fn add_key(&mut self, sealed: &TokenRecord) -> rusqlite::Result<()> {
        self.execute(ADD_KEY, [sealed.key_id().as_u32()]).map(drop)
    }

    /// Revokes a row that is current.
    fn revoke_one(&mut self, id: TokenId, revocation: &Revocation) -> rusqlite::Result<()> {
        let Revocation { at, reason, by } = revocation;
        let values = params![at.as_unix(), reason.as_str(), by.to_string(), number(id)];
        self.execute_on_one(REVOKE_ONE, values)
    }

    /// Revokes what was issued under a record's family.
    fn revoke_derived(
        &mut self,
        from: &TokenRecord,
        revocation: &Revocation,
    ) -> rusqlite::Result<()> {
        let Revocation { at, reason, by } = revocation;
        let (owner, family) = (from.owner().as_str(), number(from.family()));
        let values = params![at.as_unix(), reason.as_str(), by.to_string(), owner, family];
        self.execute(REVOKE_DERIVED, values).map(drop)
    }
}

/// Returns the instants of [`LIVE_OF_OTHER_FAMILIES`]: `now`, `used_after`, and until when a stored
/// use is believed.
fn live_params(LiveAt { now, used_after }: LiveAt) -> [Option<i64>; 3] {
    let believed_until = now.saturating_add(CLOCK_TOLERANCE);
    [Some(now), used_after, Some(believed_until)].map(|at| at.map(Timestamp::as_unix))
}
