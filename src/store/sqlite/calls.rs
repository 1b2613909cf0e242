//! The methods of [`TokenStore`]: for [`SqliteStore`], and each change as the statements of one
//! transaction.

use rusqlite::params;

use super::binding::row_params;
use super::query::{list_rows, purge_query, revoke_derived_query, revoke_query};
use super::sql::*;
use super::statements::Statements;
use super::{Inner, SqliteStore};
use crate::record::{CLOCK_TOLERANCE, LastUse, LiveAt, Revocation, TokenRecord};
use crate::store::columns::{number, revision};
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
        let Inner { readers, table, .. } = &*self.0;
        // One token or one owner is soon read. Anything else may walk through the whole table, and
        // must not hold up the thread of an async host.
        let rows = if filter.id.is_some() || filter.owner.is_some() {
            readers.read(|connection| list_rows(connection, table, filter, page))
        } else {
            let (filter, table) = (filter.clone(), table.clone());
            readers.scan(move |connection| list_rows(connection, &table, &filter, page)).await
        };
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
        let purge = purge.clone();
        self.0.writer.write(move |statements| statements.purge(&purge, limit)).await
    }
}

impl RuntimeFree for SqliteStore {}

impl Statements<'_> {
    /// `insert`.
    pub(super) fn insert(&mut self, insert: &Insert) -> rusqlite::Result<Inserted> {
        let Insert { row, live, limit, unique_label, under } = insert;
        let Some(new) = row.record() else {
            return Ok(Inserted::Stale);
        };
        if self.exists(ID_TAKEN, [number(new.id())])? {
            return Ok(Inserted::IdTaken);
        }
        if let Some(parent) = under
            && !self.is_current_of(new.owner(), parent)?
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
        self.execute(INSERT, row_params(&RowColumns::of(new)))?;
        Ok(Inserted::Done)
    }

    /// `supersede`.
    pub(super) fn supersede(&mut self, supersede: &Supersede) -> rusqlite::Result<Superseded> {
        let Supersede { row, superseded, replaces, revokes_derived, revocation } = supersede;
        let Some(new) = row.record() else {
            return Ok(Superseded::Stale);
        };
        if self.exists(ID_TAKEN, [number(new.id())])? {
            return Ok(Superseded::IdTaken);
        }
        let Some(new_form) = self.if_current(superseded)? else {
            return Ok(Superseded::Stale);
        };
        if let Some(replaced) = replaces
            && !self.is_current_and_unused(replaced)?
        {
            return Ok(Superseded::Stale);
        }
        self.write_new_form(new_form)?;
        if let Some(replaced) = replaces {
            self.revoke_one(replaced.id(), revocation)?;
        }
        if *revokes_derived {
            self.revoke_derived(new, revocation)?;
        }
        self.execute(INSERT, row_params(&RowColumns::of(new)))?;
        Ok(Superseded::Done)
    }

    /// `replace`.
    pub(super) fn replace(&mut self, replaces: &[Replace]) -> rusqlite::Result<Vec<Replaced>> {
        replaces.iter().map(|replace| self.replace_one(replace)).collect()
    }

    fn replace_one(&mut self, replace: &Replace) -> rusqlite::Result<Replaced> {
        let Replace { row, live, unique_label, revokes_derived } = replace;
        let Some(new_form) = self.if_current(row)? else {
            return Ok(Replaced::Stale);
        };
        if *unique_label && self.label_is_taken(new_form, *live)? {
            return Ok(Replaced::LabelTaken);
        }
        self.write_new_form(new_form)?;
        if let Some(revocation) = revokes_derived {
            self.revoke_derived(new_form, revocation)?;
        }
        Ok(Replaced::Done)
    }

    /// `revoke`.
    pub(super) fn revoke(&self, filter: &Filter, revocation: &Revocation) -> rusqlite::Result<u64> {
        // The derived rows first: which families match must be asked before a row has changed, as a
        // revoked row may no longer match.
        let derived = revoke_derived_query(filter, revocation).execute(self)?;
        Ok(derived + revoke_query(REVOKE, filter, revocation).execute(self)?)
    }

    /// `touch`.
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

    /// `purge`.
    pub(super) fn purge(&self, purge: &Purge, limit: u32) -> rusqlite::Result<u64> {
        purge_query(purge, limit).execute(self)
    }

    fn is_current_of(&mut self, owner: &Owner, parent: &Row) -> rusqlite::Result<bool> {
        let Some(parent) = parent.record() else {
            return Ok(false);
        };
        let parent = params![number(parent.id()), revision(parent), owner.as_str()];
        self.exists(CURRENT_OF_OWNER, parent)
    }

    fn is_current_and_unused(&mut self, replaced: &Row) -> rusqlite::Result<bool> {
        let Some(replaced) = replaced.record() else {
            return Ok(false);
        };
        self.exists(CURRENT_AND_UNUSED, [number(replaced.id()), revision(replaced)])
    }

    /// The record of a new form, if the stored row is current. A damaged form is of no current row.
    fn if_current<'r>(&mut self, new_form: &'r Row) -> rusqlite::Result<Option<&'r TokenRecord>> {
        let Some(new_form) = new_form.record() else {
            return Ok(None);
        };
        let is_current = self.exists(CURRENT, [number(new_form.id()), revision(new_form)])?;
        Ok(is_current.then_some(new_form))
    }

    fn label_is_taken(&mut self, new: &TokenRecord, live: LiveAt) -> rusqlite::Result<bool> {
        let (owner, label) = (new.owner().as_str(), new.label().as_str());
        let [now, used_after, believed_until] = live_params(live);
        let family = number(new.family());
        self.exists(LABEL_TAKEN, params![owner, family, now, used_after, believed_until, label])
    }

    /// Writes the new form of a row that is current. Last use and revocation stay.
    fn write_new_form(&mut self, new_form: &TokenRecord) -> rusqlite::Result<()> {
        let columns = RowColumns::of(new_form);
        self.execute_on_one(REPLACE, &row_params(&columns)[..17])
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

/// The instants of [`LIVE_OF_OTHER_FAMILIES`]: `now`, `used_after`, and until when a stored use is believed.
fn live_params(LiveAt { now, used_after }: LiveAt) -> [Option<i64>; 3] {
    let believed_until = now.saturating_add(CLOCK_TOLERANCE);
    [Some(now), used_after, Some(believed_until)].map(|at| at.map(Timestamp::as_unix))
}
