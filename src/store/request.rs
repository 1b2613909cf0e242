//! The requests of [`TokenStore`](crate::TokenStore), and their answers.
//!
//! A store should destructure each request without `..`, so that the compiler names a new fact.

use crate::record::{LiveAt, Revocation};
use crate::store::{Filter, Row};
use crate::timestamp::Timestamp;

/// The request of [`TokenStore::insert`](crate::TokenStore::insert): a new token.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The new row.
    pub row: Row,
    /// What decides which rows are live.
    pub live: LiveAt,
    /// How many live rows the owner may have before this one; `None` for any number.
    pub limit: Option<u32>,
    /// Whether the label must differ from those of the owner's live rows.
    pub unique_label: bool,
    /// The token under which this one is issued, as the engine read it. It must not have changed.
    pub under: Option<Row>,
}

/// The answer of [`TokenStore::insert`](crate::TokenStore::insert).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row is there.
    Done,
    /// The id is taken.
    IdTaken,
    /// The row under which it was to be issued has changed.
    Stale,
    /// The owner has as many live rows as the limit allows.
    LimitReached,
    /// The owner has a live row with that label.
    LabelTaken,
}

/// The request of [`TokenStore::supersede`](crate::TokenStore::supersede): the next token of a
/// line of rotations.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// The new row.
    pub row: Row,
    /// The superseded row's new form, sealed. Its revision is the one that is expected in the
    /// store.
    pub superseded: Row,
    /// The unused successor that the new row replaces, as the engine read it. It must not have
    /// changed.
    pub replaces: Option<Row>,
    /// Whether what was issued under the family is revoked.
    pub revokes_derived: bool,
    /// What is written to the rows that are revoked.
    pub revocation: Revocation,
}

/// The answer of [`TokenStore::supersede`](crate::TokenStore::supersede).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// Both rows are there.
    Done,
    /// The id is taken.
    IdTaken,
    /// The row that was to be superseded or replaced has changed.
    Stale,
}

/// A request of [`TokenStore::replace`](crate::TokenStore::replace).
#[derive(Clone, Debug)]
pub struct Replace {
    /// The new form, sealed. Its revision is the one that is expected in the store.
    pub row: Row,
    /// What decides which rows are live.
    pub live: LiveAt,
    /// Whether the label must differ from those of the owner's other live rows.
    pub unique_label: bool,
    /// If it is given, what was issued under the row's family is revoked, and this is written to
    /// it.
    pub revokes_derived: Option<Revocation>,
}

/// The answer to one request of [`TokenStore::replace`](crate::TokenStore::replace).
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
    ///
    /// A damaged row is deleted if it was revoked by then. If that instant can't be read, the one
    /// at which it was issued counts instead.
    pub ended_by: Timestamp,
    /// If there is an idle time-out: also deletes rows that were last seen at this instant or
    /// before ([`TokenRecord::last_seen`](crate::record::TokenRecord::last_seen) at `now`).
    pub unused_since: Option<Timestamp>,
    /// The engine's present instant. A dead row is spared while a row of its owner that needs it
    /// is unrevoked and not expired at this instant.
    ///
    /// A row that derives from its family needs it: a revocation reaches that one through it. If
    /// it has a successor, a row of its own family needs it, too: its reuse must still be
    /// reported.
    pub now: Timestamp,
}
