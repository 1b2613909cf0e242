//! The requests of [`TokenStore`](crate::store::TokenStore), and their answers.
//!
//! A store should destructure each request without `..`. Then the compiler shows each fact that a
//! later major version adds.

use crate::record::{LiveAt, Revocation};
use crate::store::{Filter, Row};
use crate::timestamp::Timestamp;

/// Asks [`TokenStore::insert`](super::TokenStore::insert) to insert a new token.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The new row, sealed.
    pub row: Row,
    /// Decides which rows are live, for `limit` and `unique_label`.
    pub live: LiveAt,
    /// The most live rows that the owner may have, with the new one; `None` for no limit.
    ///
    /// Rows of the new row's own family don't count.
    pub limit: Option<u32>,
    /// Whether the label must differ from the labels of the owner's live rows in other families.
    pub unique_label: bool,
    /// The token under which this one is issued, as the engine read it; `None` if there is none.
    ///
    /// If it has changed since, the answer is [`Inserted::Stale`].
    pub under: Option<Row>,
}

/// Answers [`TokenStore::insert`](super::TokenStore::insert). All but `Done` changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The row was inserted.
    Done,
    /// A row with this id exists, of this owner or another.
    IdTaken,
    /// The row under which the token was to be issued is gone, revoked or changed.
    Stale,
    /// The owner already has as many live rows as the limit allows.
    LimitReached,
    /// The owner already has a live row with this label, in another family.
    LabelTaken,
}

/// Asks [`TokenStore::supersede`](super::TokenStore::supersede) for the next token of a line of
/// rotations.
#[derive(Clone, Debug)]
pub struct Supersede {
    /// The new row, sealed.
    pub row: Row,
    /// The superseded row's new form, sealed. It holds the revision that the stored row must have;
    /// the store writes the next one.
    pub superseded: Row,
    /// The unused successor that the new row replaces, as the engine read it; `None` if there is
    /// none.
    ///
    /// If it has changed or was used since, the answer is [`Superseded::Stale`].
    pub replaces: Option<Row>,
    /// Whether every token that was issued under the family is revoked in the same step.
    pub revokes_derived: bool,
    /// The revocation that is written to those rows, and to the replaced one.
    pub revocation: Revocation,
}

/// Answers [`TokenStore::supersede`](super::TokenStore::supersede). All but `Done` changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Superseded {
    /// Everything was written: the new row, the new form and the revocations.
    Done,
    /// A row with the new id exists, of this owner or another.
    IdTaken,
    /// The row that was to be superseded or replaced is gone, revoked, changed or, if it was to be
    /// replaced, used.
    Stale,
}

/// Asks [`TokenStore::replace`](super::TokenStore::replace) to write a row's new form.
#[derive(Clone, Debug)]
pub struct Replace {
    /// The new form, sealed. It holds the revision that the stored row must have; the store writes
    /// the next one.
    pub row: Row,
    /// Decides which rows are live, for `unique_label`.
    pub live: LiveAt,
    /// Whether the label must differ from the labels of the owner's live rows in other families.
    pub unique_label: bool,
    /// If given, every token that was issued under the row's family is revoked with this revocation
    /// in the same step.
    pub revokes_derived: Option<Revocation>,
}

/// Answers one request of [`TokenStore::replace`](super::TokenStore::replace). All but `Done`
/// changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaced {
    /// The new form was written.
    Done,
    /// The row is gone, revoked or changed.
    Stale,
    /// The owner has a live row with this label in another family.
    LabelTaken,
}

/// Selects the rows that [`TokenStore::purge`](super::TokenStore::purge) deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Rows that have been dead for long enough, unless another row still needs them.
    Dead(PurgeCutoff),
    /// Rows that match a filter, in whatever state they are. Live rows are deleted, too.
    Matching(Filter),
}

/// Decides by instants which dead rows are deleted.
///
/// A row is deleted if `ended_by` or `unused_since` selects it, and if no row needs it at `now`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCutoff {
    /// Selects rows that were revoked or expired at this instant or before.
    ///
    /// A damaged row is selected if it was revoked by then. If its instant of revocation can't be
    /// read, the instant at which it was issued counts instead.
    pub ended_by: Timestamp,
    /// Also selects rows that were last seen at this instant or before; `None` without an idle
    /// time-out.
    ///
    /// When a row was last seen is decided by
    /// [`TokenRecord::last_seen`](crate::record::TokenRecord::last_seen) at `now`.
    pub unused_since: Option<Timestamp>,
    /// The engine's present instant. A dead row is spared while another row of its owner needs it,
    /// and that row is unrevoked and not expired at this instant.
    ///
    /// - A row that derives from the dead row's family needs it: a revocation reaches the derived
    ///   row through it.
    /// - If the dead row has a successor, every other row of its family needs it: its reuse must
    ///   still be reported.
    pub now: Timestamp,
}
