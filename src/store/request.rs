//! What a store is asked and what it answers.

use crate::record::{Revocation, TokenRecord};
use crate::store::{Filter, Row};
use crate::timestamp::Timestamp;

/// What [`TokenStore::insert`] is told.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The new row.
    pub row: Row,
    /// The engine's present instant, for what is live.
    pub now: Timestamp,
    /// How many live rows the owner may have before this one.
    pub limit: Option<u32>,
    /// Whether the label must differ from the owner's live ones.
    pub unique_label: bool,
    /// The token under which this one is issued, as it was read: it must still be so.
    pub under: Option<Row>,
    /// The row that this one supersedes.
    pub supersede: Option<Supersede>,
}

impl Insert {
    /// The rows that must be current, in order of id: locked in this order, no two inserts wait for each other.
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
    /// As it was read, or its new form: it must be current.
    pub row: &'i Row,
    /// Whether it must be the new row's owner's, too.
    pub of_owner: bool,
    /// Whether it must be unused, and without a successor.
    pub unused: bool,
}

/// The row that a rotation supersedes, and what ends with it.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// Its new form, sealed. Its revision is still the one that is expected in the store.
    pub row: Row,
    /// Its unused successor, as it was read, which the new row takes the place of: it must still be so.
    pub replaces: Option<Row>,
    /// Whether what was issued under its family ends, too.
    pub revoke_derived: bool,
    /// What is written to the rows that end.
    pub revocation: Revocation,
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is there.
    Done,
    /// The id is taken.
    IdTaken,
    /// The row that it was to be issued under, to supersede or to replace, has changed.
    Stale,
    /// The owner has as many live rows as he may.
    LimitReached,
    /// The owner has a live row with that label.
    LabelTaken,
}

/// What [`TokenStore::replace`] is told.
#[derive(Clone, Debug)]
pub struct Replace {
    /// The new form, sealed. Its revision is still the one that is expected in the store.
    pub row: Row,
    /// The engine's present instant, for what is live.
    pub now: Timestamp,
    /// Whether the label must differ from the owner's other live ones.
    pub unique_label: bool,
    /// What is written to the rows that were issued under its family, if they end.
    pub revoke_derived: Option<Revocation>,
}

/// What became of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// It is done.
    Done,
    /// The row is gone, revoked or changed.
    Stale,
    /// The owner has another live row with that label.
    LabelTaken,
}

/// Which rows [`TokenStore::purge`] deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Rows that nobody needs any more.
    Dead(PurgeCutoff),
    /// Rows that match, whatever their state: erasure.
    Matching(Filter),
}

/// Rows that have been dead for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCutoff {
    /// Revoked or expired at this instant or before.
    pub ended_by: Timestamp,
    /// Or last used, and made, at this instant or before, where there is an idle time-out.
    pub unused_since: Option<Timestamp>,
    /// A row is spared while another one of its owner lives, unrevoked and not expired at this instant, that is derived from its
    /// family: a revocation reaches that one through it. With a successor it is spared for one of its own family, too: its reuse
    /// would still tell.
    pub now: Timestamp,
}

impl Purge {
    /// Whether a record is to be deleted, as long as there are `others`: all rows of its owner, and whatever else. The reference for
    /// every store.
    pub fn selects<'r>(
        &self,
        record: &TokenRecord,
        others: impl IntoIterator<Item = &'r TokenRecord>,
    ) -> bool {
        match self {
            Purge::Matching(filter) => filter.matches(record),
            Purge::Dead(dead) => {
                dead.has_ended(record)
                    && !others.into_iter().any(|other| dead.spares(record, other))
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

    /// Whether others may stay for a row's sake.
    pub(super) fn lives(&self, record: &TokenRecord) -> bool {
        record.revocation().is_none() && !record.expires().has_come(self.now)
    }

    /// Whether a row stays for another one's sake.
    fn spares(&self, record: &TokenRecord, other: &TokenRecord) -> bool {
        let is_derived = other.derived_from() == Some(record.family());
        let is_of_its_line = record.successor().is_some() && other.family() == record.family();
        (is_derived || is_of_its_line)
            && other.id() != record.id()
            && other.owner() == record.owner()
            && self.lives(other)
    }
}
