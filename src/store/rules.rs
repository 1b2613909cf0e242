//! The contract of [`TokenStore`](crate::store::TokenStore) as code: what each change does.
//!
//! Each function is pure. It takes the request and the rows of one owner, and returns a
//! [`Decision`]: the answer, the rows to put and the ids to delete.
//!
//! A store reads those rows, asks a function, and writes the decision. **All three are one atomic
//! step:** if another call can write in between, clauses 6, 7, 13 and 17 are broken.
//! [`MemoryStore`](super::MemoryStore) does it under a lock; a key-value database does it in a
//! write transaction.
//!
//! `rows` are all rows of the owner, in any order, damaged ones included. Never hand in rows of
//! another owner. If a damaged row's owner can't be read, hand it in alone, in a call of its own.
//!
//! ```
//! use app_tokens::store::{Filter, Row, rules};
//! # use app_tokens::record::Revocation;
//! # fn revoke_of_one_owner(rows: &[Row], filter: &Filter, revocation: &Revocation) -> u64 {
//! let decision = rules::revoke(filter, revocation, rows);
//! for row in &decision.put {
//!     let (_key, _value) = (row.id(), row.to_bytes()); // write it over the row with this id
//! }
//! decision.answer
//! # }
//! ```

use std::collections::{HashMap, HashSet};
use std::iter;

use crate::record::{CLOCK_TOLERANCE, LastUse, LiveAt, Revocation, TokenRecord};
use crate::store::{
    Filter, Insert, Inserted, Purge, PurgeCutoff, Replace, Replaced, Row, Supersede, Superseded,
};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Says what a change answers and what it writes. Write all of it in one step, or nothing.
#[derive(Clone, Debug)]
#[must_use = "nothing is changed before it is written"]
pub struct Decision<A> {
    /// The answer of the call. Give it only after the rest is written.
    pub answer: A,
    /// The rows to write. Each is new or replaces the row with its id. No id occurs twice.
    ///
    /// A damaged row among them was revoked just now, and nothing else of it changed. Write
    /// [`Row::to_bytes`], or the columns that [`RowColumns`](super::RowColumns) names for it.
    pub put: Vec<Row>,
    /// The ids of the rows to delete.
    pub delete: Vec<TokenId>,
}

impl<A> Decision<A> {
    fn nothing(answer: A) -> Decision<A> {
        Decision { answer, put: Vec::new(), delete: Vec::new() }
    }

    fn put(answer: A, put: Vec<Row>) -> Decision<A> {
        Decision { answer, put, delete: Vec::new() }
    }
}

/// Decides an insert. `rows` are those of the new row's owner. Clauses 4 to 7.
///
/// `id_taken` says whether any owner has a row with the new id. If the new row is damaged, the
/// answer is [`Inserted::Stale`].
pub fn insert(insert: &Insert, id_taken: bool, rows: &[Row]) -> Decision<Inserted> {
    let Insert { row, live, limit, unique_label, under } = insert;
    let Some(new) = row.record() else {
        return Decision::nothing(Inserted::Stale);
    };
    if id_taken {
        return Decision::nothing(Inserted::IdTaken);
    }
    // A parent of another owner is not among the rows, so it is never current here.
    if under.as_ref().is_some_and(|parent| current(parent, rows).is_none()) {
        return Decision::nothing(Inserted::Stale);
    }
    let others = || live_of_other_families(new, *live, rows);
    if limit.is_some_and(|limit| others().count() >= limit as usize) {
        return Decision::nothing(Inserted::LimitReached);
    }
    if *unique_label && others().any(|other| other.label() == new.label()) {
        return Decision::nothing(Inserted::LabelTaken);
    }
    Decision::put(Inserted::Done, vec![row.clone()])
}

/// Decides a rotation. `rows` are those of the new row's owner. Clauses 4 and 8 to 10.
///
/// `id_taken` says whether any owner has a row with the new id. If the new row is damaged, the
/// answer is [`Superseded::Stale`].
pub fn supersede(supersede: &Supersede, id_taken: bool, rows: &[Row]) -> Decision<Superseded> {
    let Supersede { row, superseded, replaces, revokes_derived, revocation } = supersede;
    let Some(new) = row.record() else {
        return Decision::nothing(Superseded::Stale);
    };
    if id_taken {
        return Decision::nothing(Superseded::IdTaken);
    }
    let is_replaceable = |replaced: &Row| {
        current(replaced, rows).and_then(Row::record).is_some_and(TokenRecord::is_unused)
    };
    let Some(old) = current(superseded, rows) else {
        return Decision::nothing(Superseded::Stale);
    };
    if !replaces.as_ref().is_none_or(is_replaceable) {
        return Decision::nothing(Superseded::Stale);
    }
    let replaced = replaces.as_ref().map(Row::id);
    let is_meant = |row: &Row| {
        Some(row.id()) == replaced || *revokes_derived && row.derived_from() == Some(new.family())
    };
    let mut put = changed(rows, &superseded.replacing(old), is_meant, revocation);
    // Added after the revocations were decided. They must spare the new row, even if it derives
    // from its own family.
    put.push(row.clone());
    Decision::put(Superseded::Done, put)
}

/// Decides one replacement. `rows` are those of the row's owner. Clauses 13 to 15.
///
/// If the form is damaged, the answer is [`Replaced::Stale`]. Decide a batch one by one, each
/// request on the rows as the request before it left them.
pub fn replace(replace: &Replace, rows: &[Row]) -> Decision<Replaced> {
    let Replace { row, live, unique_label, revokes_derived } = replace;
    let (Some(new), Some(old)) = (row.record(), current(row, rows)) else {
        return Decision::nothing(Replaced::Stale);
    };
    let mut others = live_of_other_families(new, *live, rows);
    if *unique_label && others.any(|other| other.label() == new.label()) {
        return Decision::nothing(Replaced::LabelTaken);
    }
    let new_form = row.replacing(old);
    let put = match revokes_derived {
        Some(revocation) => {
            let is_meant = |row: &Row| row.derived_from() == Some(new.family());
            changed(rows, &new_form, is_meant, revocation)
        }
        None => vec![new_form],
    };
    Decision::put(Replaced::Done, put)
}

/// Decides a revocation for one owner, and counts the rows that it revokes. Clauses 16 and 17.
///
/// It decides as the rows stood before the call, so ask it once for each owner. Asked again after
/// its decision was written, it would judge by rows that it has changed itself.
pub fn revoke(filter: &Filter, revocation: &Revocation, rows: &[Row]) -> Decision<u64> {
    // The families of all matches are collected first. A walk that revoked as it goes would lose
    // the family of a row that its own revocation keeps from matching.
    let matching = || rows.iter().filter(|row| filter.matches(row));
    let is_named = filter.id.or(filter.family).is_some();
    let reaching = matching().filter(|row| is_named || reaches_derived(row, revocation.at));
    let families: HashSet<TokenId> = reaching.filter_map(Row::family).collect();
    let is_meant = |row: &&Row| {
        let is_derived = || row.derived_from().is_some_and(|family| families.contains(&family));
        !row.is_revoked() && (filter.matches(row) || is_derived() && !filter.spares(row))
    };
    let put: Vec<Row> =
        rows.iter().filter(is_meant).map(|row| row.with_revocation(revocation)).collect();
    Decision::put(put.len() as u64, put)
}

/// Decides which uses are stored. Clause 18.
///
/// Each row is decided alone, so `rows` may be of several owners. It needs only the rows that the
/// batch names.
pub fn touch(uses: &[(TokenId, LastUse)], now: Timestamp, rows: &[Row]) -> Decision<()> {
    let believed_until = now.saturating_add(CLOCK_TOLERANCE);
    let mut by_id: HashMap<TokenId, Vec<&LastUse>> = HashMap::new();
    for (id, last_use) in uses {
        by_id.entry(*id).or_default().push(last_use);
    }
    let touched = |row: &Row| {
        let stored = row.record()?.last_use();
        let newest = by_id.get(&row.id())?.iter().fold(stored, |stored, last_use| match stored {
            Some(stored) if stored.at >= last_use.at && stored.at <= believed_until => Some(stored),
            _ => Some(last_use),
        });
        newest.filter(|_| newest != stored).map(|newest| row.with_last_use(newest.clone()))
    };
    Decision::put((), rows.iter().filter_map(touched).collect())
}

/// Decides which rows of one owner are deleted, at most `limit`, and counts them. Clause 19.
pub fn purge(purge: &Purge, limit: u32, rows: &[Row]) -> Decision<u64> {
    let limit = limit as usize;
    let delete: Vec<TokenId> = match purge {
        Purge::Matching(filter) => {
            rows.iter().filter(|row| filter.matches(row)).map(Row::id).take(limit).collect()
        }
        Purge::Dead(cutoff) => dead(cutoff, rows).take(limit).collect(),
    };
    Decision { answer: delete.len() as u64, put: Vec::new(), delete }
}

/// Returns the stored row that a form was made from, if it is still current.
fn current<'r>(form: &Row, rows: &'r [Row]) -> Option<&'r Row> {
    let stored = rows.iter().find(|row| row.id() == form.id())?;
    stored.record()?.is_current_for(form.record()?).then_some(stored)
}

/// Returns the live rows that count for a limit, or hold a label, against a new row.
fn live_of_other_families<'r>(
    new: &TokenRecord,
    live: LiveAt,
    rows: &'r [Row],
) -> impl Iterator<Item = &'r TokenRecord> {
    let family = new.family();
    let records = rows.iter().filter_map(Row::record);
    records.filter(move |record| record.family() != family && record.is_live(live))
}

/// Returns the new form of a row, and the rows that are revoked with it.
///
/// The form itself may be one of them: its row can derive from its own family.
fn changed(
    rows: &[Row],
    new_form: &Row,
    is_revoked: impl Fn(&Row) -> bool,
    revocation: &Revocation,
) -> Vec<Row> {
    let is_meant = |row: &Row| !row.is_revoked() && is_revoked(row);
    let first =
        if is_meant(new_form) { new_form.with_revocation(revocation) } else { new_form.clone() };
    let others = rows.iter().filter(|row| row.id() != new_form.id() && is_meant(row));
    iter::once(first).chain(others.map(|row| row.with_revocation(revocation))).collect()
}

/// Returns whether a revocation at `at` reaches, through this row, what derives from its family.
///
/// A superseded row stays after its end while its line is in use. Its old last use says nothing
/// about the line. Not asked if the filter names the row by its id, since a thief may have issued
/// tokens under it before it ended. Nor if the filter names the line, which is meant as a whole.
fn reaches_derived(row: &Row, at: Timestamp) -> bool {
    let record = row.record();
    !record.is_some_and(|record| record.successor().is_some() && record.expires().has_come(at))
}

/// Returns the ids of the rows that have been dead for long enough and that no other row needs.
fn dead(cutoff: &PurgeCutoff, rows: &[Row]) -> impl Iterator<Item = TokenId> {
    // Indexed by family. Comparing each row with every other would take quadratic time.
    let mut needing: HashMap<TokenId, Needing> = HashMap::new();
    for row in rows.iter().filter(|row| needs_others(row, cutoff)) {
        if let Some(family) = row.family() {
            needing.entry(family).or_default().of_the_line.push(row.id());
        }
        if let Some(family) = row.derived_from() {
            needing.entry(family).or_default().derived.push(row.id());
        }
    }
    let is_spared = move |row: &Row| {
        let is_superseded = row.record().is_some_and(|record| record.successor().is_some());
        let needing = row.family().and_then(|family| needing.get(&family));
        needing.is_some_and(|needing| {
            let other = |id: &TokenId| *id != row.id();
            needing.derived.iter().any(other)
                || is_superseded && needing.of_the_line.iter().any(other)
        })
    };
    let dead = rows.iter().filter(|row| has_ended(row, cutoff));
    dead.filter(move |row| !is_spared(row)).map(Row::id)
}

/// Lists the rows that may need the dead rows of a family.
#[derive(Default)]
struct Needing {
    of_the_line: Vec<TokenId>,
    derived: Vec<TokenId>,
}

/// Returns whether a row has been dead for long enough.
fn has_ended(row: &Row, cutoff: &PurgeCutoff) -> bool {
    let PurgeCutoff { ended_by, unused_since, now } = *cutoff;
    let revoked_at = if row.is_revoked() { row.revoked_at().or(row.created_at()) } else { None };
    let record = row.record();
    revoked_at.is_some_and(|at| at <= ended_by)
        || record.is_some_and(|record| {
            record.expires().has_come(ended_by)
                || unused_since.is_some_and(|since| record.last_seen(now) <= since)
        })
}

/// Returns whether dead rows may be spared because this row needs them.
///
/// A damaged row counts until it is revoked: its expiry can't be read, so it may be live after a
/// repair.
fn needs_others(row: &Row, cutoff: &PurgeCutoff) -> bool {
    !row.is_revoked() && !row.record().is_some_and(|record| record.expires().has_come(cutoff.now))
}

#[cfg(test)]
mod tests;
