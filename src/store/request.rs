//! The requests of [`TokenStore`](crate::TokenStore), and their answers.
//!
//! A store should destructure each request without `..`, so that the compiler names a new fact.

use crate::record::{Revocation, TokenRecord};
use crate::store::{Filter, Row};
use crate::timestamp::Timestamp;

/// The request of [`TokenStore::insert`](crate::TokenStore::insert).
#[derive(Clone, Debug)]
pub struct Insert {
    /// The new row.
    pub row: Row,
    /// The engine's present instant, which decides what is live.
    pub now: Timestamp,
    /// How many live rows the owner may have before this one; `None` for any number.
    pub limit: Option<u32>,
    /// Whether the label must differ from those of the owner's live rows.
    pub unique_label: bool,
    /// The token under which this one is issued, as the engine read it. It must not have changed.
    pub under: Option<Row>,
    /// The rotation that this row is the new token of.
    pub supersede: Option<Supersede>,
}

impl Insert {
    /// The rows that must be current, in order of id: a store that locks them in this order has no
    /// deadlock between two inserts.
    pub fn rests_on(&self) -> Vec<RestsOn<'_>> {
        let supersede = self.supersede.as_ref();
        let superseded = supersede.map(|supersede| &supersede.row);
        let replaced = supersede.and_then(|supersede| supersede.replaces.as_ref());
        let needed = [
            (self.under.as_ref(), true, false),
            (superseded, false, false),
            (replaced, false, true),
        ];
        let needed = needed
            .into_iter()
            .filter_map(|(row, of_owner, unused)| Some(RestsOn { row: row?, of_owner, unused }));
        let mut needed = Vec::from_iter(needed);
        needed.sort_by_key(|needed| needed.row.id());
        needed
    }
}

/// A row that an insert rests on: clauses 5 to 7.
#[derive(Clone, Copy, Debug)]
pub struct RestsOn<'i> {
    /// The row as it was read, or its new form. It must be current.
    pub row: &'i Row,
    /// Whether the stored row must have the new row's owner.
    pub of_owner: bool,
    /// Whether the stored row must be unused, and without a successor.
    pub unused: bool,
}

/// The row that a rotation supersedes, and what is revoked with it.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// The superseded row's new form, sealed. Its revision is the one that is expected in the
    /// store.
    pub row: Row,
    /// Its unused successor, as the engine read it, which the new row replaces. It must not have
    /// changed.
    pub replaces: Option<Row>,
    /// Whether what was issued under its family is revoked.
    pub revokes_derived: bool,
    /// What is written to the rows that are revoked.
    pub revocation: Revocation,
}

/// The answer of [`TokenStore::insert`](crate::TokenStore::insert).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row is there.
    Done,
    /// The id is taken.
    IdTaken,
    /// The row that it was to be issued under, to supersede or to replace, has changed.
    Stale,
    /// The owner has as many live rows as the limit allows.
    LimitReached,
    /// The owner has a live row with that label.
    LabelTaken,
}

/// The request of [`TokenStore::replace`](crate::TokenStore::replace).
#[derive(Clone, Debug)]
pub struct Replace {
    /// The new form, sealed. Its revision is the one that is expected in the store.
    pub row: Row,
    /// The engine's present instant, which decides what is live.
    pub now: Timestamp,
    /// Whether the label must differ from those of the owner's other live rows.
    pub unique_label: bool,
    /// If it is given, what was issued under the row's family is revoked, and this is written to
    /// it.
    pub revokes_derived: Option<Revocation>,
}

/// The answer of [`TokenStore::replace`](crate::TokenStore::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new form is there.
    Done,
    /// The row is gone, revoked or changed.
    Stale,
    /// The owner has another live row with that label.
    LabelTaken,
}

/// Which rows [`TokenStore::purge`](crate::TokenStore::purge) deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Rows that have been dead for long enough.
    Dead(PurgeCutoff),
    /// Rows that match, whatever their state.
    Matching(Filter),
}

/// The instants that decide which dead rows are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCutoff {
    /// Deletes rows that were revoked or expired at this instant or before.
    pub ended_by: Timestamp,
    /// If there is an idle time-out: also deletes rows that were last used, and made, at this
    /// instant or before.
    pub unused_since: Option<Timestamp>,
    /// The engine's present instant. A dead row is spared while a row of its owner that needs it is
    /// unrevoked and not expired at this instant.
    ///
    /// A row that derives from its family needs it: a revocation reaches that one through it. If it
    /// has a successor, a row of its own family needs it, too: its reuse must still be reported.
    pub now: Timestamp,
}

impl Purge {
    /// Whether a record is to be deleted; the reference for every store.
    ///
    /// `others` are all rows of its owner. Rows of other owners among them don't matter.
    pub fn selects<'r>(
        &self,
        record: &TokenRecord,
        others: impl IntoIterator<Item = &'r TokenRecord>,
    ) -> bool {
        match self {
            Purge::Matching(filter) => filter.matches(record),
            Purge::Dead(cutoff) => {
                cutoff.has_ended(record)
                    && !others.into_iter().any(|other| cutoff.is_needed_by(record, other))
            }
        }
    }
}

impl PurgeCutoff {
    /// Whether a row has been dead for long enough.
    pub(super) fn has_ended(&self, record: &TokenRecord) -> bool {
        let revoked = record.revocation().is_some_and(|r| r.at <= self.ended_by);
        let expired = record.expires().has_come(self.ended_by);
        revoked || expired || self.unused_since.is_some_and(|since| record.last_seen() <= since)
    }

    /// Whether a dead row may be spared for this row's sake.
    pub(super) fn spares_for(&self, record: &TokenRecord) -> bool {
        record.revocation().is_none() && !record.expires().has_come(self.now)
    }

    /// Whether a row is spared for another one's sake.
    fn is_needed_by(&self, record: &TokenRecord, other: &TokenRecord) -> bool {
        let is_derived = other.derived_from() == Some(record.family());
        let is_of_its_line = record.successor().is_some() && other.family() == record.family();
        (is_derived || is_of_its_line)
            && other.id() != record.id()
            && other.owner() == record.owner()
            && self.spares_for(other)
    }
}
