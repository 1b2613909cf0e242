//! The calls of the contract on [`TokenStore`], each as the statements of one transaction.

use rusqlite::params;

use super::binding::parameters;
use super::query::{deletion, revocation_of, revocation_of_derived, rows_of};
use super::sql::*;
use super::statements::Statements;
use super::{Inner, SqliteStore};
use crate::record::{CLOCK_TOLERANCE, LastUse, Revocation, TokenRecord};
use crate::store::columns::{number, revision};
use crate::store::{
    Filter, Insert, Inserted, Page, Purge, Replace, Replaced, Row, RowColumns, RuntimeFree,
    StoreError, Supersede, TokenStore,
};
use crate::text::Owner;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

impl TokenStore for SqliteStore {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let insert = insert.clone();
        self.0.writer.write(move |statements| create(statements, &insert)).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.0.readers.find(id).map_err(|error| self.failure(error))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let Inner { readers, table, .. } = &*self.0;
        let rows = if filter.id.is_some() || filter.owner.is_some() {
            readers.read(|connection| rows_of(connection, table, filter, page))
        } else {
            let (filter, table) = (filter.clone(), table.clone());
            readers.walk(move |connection| rows_of(connection, &table, &filter, page)).await
        };
        rows.map_err(|error| self.failure(error))
    }

    async fn replace(&self, replace: &Replace) -> Result<Replaced, StoreError> {
        let replace = replace.clone();
        self.0.writer.write(move |statements| exchange(statements, &replace)).await
    }

    async fn revoke(&self, filter: &Filter, revocation: &Revocation) -> Result<u64, StoreError> {
        let (filter, revocation) = (filter.clone(), revocation.clone());
        self.0.writer.write(move |statements| end_matching(statements, &filter, &revocation)).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.0.writer.write(move |statements| note_uses(statements, &uses, now)).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        let purge = purge.clone();
        self.0.writer.write(move |statements| deletion(&purge, limit).execute(statements)).await
    }
}

impl RuntimeFree for SqliteStore {}

pub(super) fn create(
    statements: &mut Statements<'_>,
    insert: &Insert,
) -> rusqlite::Result<Inserted> {
    let Insert { row, now, limit, unique_label, under, supersede } = insert;
    let Some(new) = row.record() else {
        return Err(rusqlite::Error::ToSqlConversionFailure(
            "a damaged row can't be inserted".into(),
        ));
    };
    if statements.exists(ID_TAKEN, [number(new.id())])? {
        return Ok(Inserted::IdTaken);
    }
    if let Some(parent) = under
        && !is_current_of(statements, new.owner(), parent)?
    {
        return Ok(Inserted::Stale);
    }
    if let Some(supersede) = supersede
        && !may_supersede(statements, supersede)?
    {
        return Ok(Inserted::Stale);
    }
    if let Some(limit) = limit {
        let others = params![new.owner().as_str(), number(new.family()), now.as_unix()];
        if statements.count(LIVE_OF_OTHER_FAMILIES, others)? >= i64::from(*limit) {
            return Ok(Inserted::LimitReached);
        }
    }
    if *unique_label && label_is_taken(statements, new, *now)? {
        return Ok(Inserted::LabelTaken);
    }

    if let Some(Supersede { row, replaces, revoke_derived, revocation }) = supersede {
        swap(statements, row)?;
        if let Some(replaced) = replaces {
            let Revocation { at, reason, by } = revocation;
            let values =
                params![at.as_unix(), reason.as_str(), by.to_string(), number(replaced.id())];
            statements.execute(REVOKE_ONE, values)?;
        }
        if *revoke_derived {
            end_derived(statements, new, revocation)?;
        }
    }
    statements.execute(INSERT, parameters(&RowColumns::of(new)))?;
    Ok(Inserted::Done)
}

/// Revokes what was issued under a record's family.
fn end_derived(
    statements: &mut Statements<'_>,
    from: &TokenRecord,
    Revocation { at, reason, by }: &Revocation,
) -> rusqlite::Result<()> {
    let (owner, family) = (from.owner().as_str(), number(from.family()));
    let values = params![at.as_unix(), reason.as_str(), by.to_string(), owner, family];
    statements.execute(REVOKE_DERIVED, values).map(drop)
}

fn is_current_of(
    statements: &mut Statements<'_>,
    owner: &Owner,
    parent: &Row,
) -> rusqlite::Result<bool> {
    let Some(parent) = parent.record() else {
        return Ok(false);
    };
    let parent = params![number(parent.id()), revision(parent), owner.as_str()];
    statements.exists(CURRENT_OF_OWNER, parent)
}

fn may_supersede(statements: &mut Statements<'_>, supersede: &Supersede) -> rusqlite::Result<bool> {
    let Some(new_form) = supersede.row.record() else {
        return Ok(false);
    };
    if !statements.exists(CURRENT, [number(new_form.id()), revision(new_form)])? {
        return Ok(false);
    }
    let Some(replaced) = &supersede.replaces else {
        return Ok(true);
    };
    let Some(replaced) = replaced.record() else {
        return Ok(false);
    };
    statements.exists(CURRENT_AND_UNUSED, [number(replaced.id()), revision(replaced)])
}

fn label_is_taken(
    statements: &mut Statements<'_>,
    new: &TokenRecord,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let (owner, label) = (new.owner().as_str(), new.label().as_str());
    statements.exists(LABEL_TAKEN, params![owner, number(new.family()), now.as_unix(), label])
}

/// Writes a row's new form where the stored one has the expected revision. Last use and revocation stay.
fn swap(statements: &mut Statements<'_>, row: &Row) -> rusqlite::Result<bool> {
    let Some(new_form) = row.record() else {
        return Ok(false);
    };
    let columns = RowColumns::of(new_form);
    Ok(statements.execute(REPLACE, &parameters(&columns)[..15])? == 1)
}

pub(super) fn exchange(
    statements: &mut Statements<'_>,
    replace: &Replace,
) -> rusqlite::Result<Replaced> {
    let Replace { row, now, unique_label, revoke_derived } = replace;
    let Some(new_form) = row.record() else {
        return Ok(Replaced::Stale);
    };
    if !statements.exists(CURRENT, [number(new_form.id()), revision(new_form)])? {
        return Ok(Replaced::Stale);
    }
    if *unique_label && label_is_taken(statements, new_form, *now)? {
        return Ok(Replaced::LabelTaken);
    }
    if !swap(statements, row)? {
        return Ok(Replaced::Stale);
    }
    if let Some(revocation) = revoke_derived {
        end_derived(statements, new_form, revocation)?;
    }
    Ok(Replaced::Done)
}

pub(super) fn end_matching(
    statements: &Statements<'_>,
    filter: &Filter,
    revocation: &Revocation,
) -> rusqlite::Result<u64> {
    // The derived rows first: whose families match is asked before any row has changed.
    let derived = revocation_of_derived(filter, revocation).execute(statements)?;
    Ok(derived + revocation_of(REVOKE, filter, revocation).execute(statements)?)
}

pub(super) fn note_uses(
    statements: &mut Statements<'_>,
    uses: &[(TokenId, LastUse)],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let believed_until = now.saturating_add(CLOCK_TOLERANCE).as_unix();
    for (id, LastUse { at, address, client }) in uses {
        let address = address.map(|address| address.to_string());
        statements.execute(
            TOUCH,
            params![number(*id), at.as_unix(), address, client.as_deref(), believed_until],
        )?;
    }
    Ok(())
}
