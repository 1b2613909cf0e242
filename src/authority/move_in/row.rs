//! The row that a record of a transfer file becomes.

use super::outcome::OtherRows;
use crate::authority::TokenAuthority;
use crate::authority::issue::New;
use crate::error::Failed;
use crate::issue;
use crate::record::{Expires, LastUse, RecordParts, Revocation, TokenRecord};
use crate::row::ReadableRow;
use crate::store::{Insert, LiveAt, Row, TokenStore};
use crate::timestamp::Timestamp;

impl<S: TokenStore> TokenAuthority<S> {
    /// Returns the row that a record of the file becomes here.
    pub(super) fn row_for_here(&self, record: &TokenRecord, now: Timestamp) -> ReadableRow {
        let parts = record.clone().into_parts();
        let revocation = parts.revocation.map(|revocation| at_most(revocation, now));
        let parts = RecordParts {
            // An instant in the future comes from a clock that is ahead of ours. Here it would make
            // the token fail, or keep a dead row for ever.
            created_at: parts.created_at.min(now),
            last_use: parts.last_use.map(|last_use| self.use_for_here(last_use, now)),
            key_id: self.engine.sealer.ring().active_id(),
            revision: 0,
            revocation: None,
            seal: None,
            ..parts
        };
        match revocation {
            None => self.engine.sealer.seal_new(parts),
            // Without a seal, as every revoked row.
            Some(_) => {
                ReadableRow::unmarked(TokenRecord::from_parts(RecordParts { revocation, ..parts }))
            }
        }
    }

    /// Returns a record that ends before its new token was made here, if it did so at the source.
    /// `None` if it needs no other end for that.
    ///
    /// The instant of the new token may be another here than there. A host that takes these rows
    /// from this one would see an overlap, and spare what a thief has issued there.
    pub(super) async fn ended_before_new(
        &self,
        record: &TokenRecord,
        others: OtherRows<'_>,
    ) -> Result<Option<TokenRecord>, Failed> {
        let superseded = record.successor().filter(|_| record.revocation().is_none());
        let Some(successor) = superseded else { return Ok(None) };
        let created_there = others.created_there.get(&successor);
        let Some(created_there) = created_there.filter(|at| record.expires().has_come(**at)) else {
            return Ok(None);
        };
        let row = self.store.find(successor).await?;
        let created_here = row.as_ref().and_then(Row::created_at);
        let Some(at) = created_here.filter(|at| at != created_there) else { return Ok(None) };
        let end = Expires::At(issue::ended_everywhere(at));
        let is_sooner = record.expires().is_later_than(end);
        Ok(is_sooner.then(|| record.clone().changed(|parts| parts.expires = end)))
    }

    /// Returns a use as this host may keep it.
    pub(super) fn use_for_here(&self, last_use: LastUse, now: Timestamp) -> LastUse {
        let records = self.engine.policy.records_origin();
        let LastUse { at, address, client } = last_use;
        let (address, client) = if records { (address, client) } else { (None, None) };
        LastUse { at: at.min(now), address, client }
    }
}

/// Returns a record whose end is in the past if its token was superseded and had ended at the
/// source when the file was written.
///
/// Otherwise it would live on here for as long as the source's clock is ahead. Without an overlap,
/// a rotation ends the old token at that clock's instant.
pub(super) fn ended_as_there(
    record: TokenRecord,
    written_at: Timestamp,
    now: Timestamp,
) -> TokenRecord {
    let end = record.expires();
    if record.successor().is_none() || !end.has_come(written_at) || end.has_come(now) {
        return record;
    }
    record.changed(|parts| parts.expires = Expires::At(issue::ended_everywhere(now)))
}

/// Returns a revocation that is not in the future, so that its row is purged some day.
pub(super) fn at_most(revocation: Revocation, now: Timestamp) -> Revocation {
    Revocation { at: revocation.at.min(now), ..revocation }
}

/// Returns the request for a moved row. Limits and unique labels are for new tokens.
///
/// If `under` is given, the store refuses the row once that one is revoked or changed.
pub(super) fn insert_request(row: Row, under: Option<Row>, live: LiveAt) -> New {
    New::Insert(Insert { row, live, limit: None, unique_label: false, under })
}
