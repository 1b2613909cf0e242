//! What becomes of one row of a transfer file, and how it is counted.

use std::collections::{HashMap, HashSet};

use crate::record::TokenRecord;
use crate::text::{Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;
use crate::transfer::{KeptAsIs, MoveInReport};

/// A line of rotations that was revoked here and not where the file comes from.
pub(super) type RevokedLine = (Owner, TokenId, Reason);

/// What the file says of other rows.
#[derive(Clone, Copy)]
pub(super) struct OtherRows<'r> {
    /// What the source revoked of the rows that are written at the same time as this one.
    pub(super) revoked_beside: &'r HashSet<TokenId>,
    /// What is revoked here as it is at the source. Empty until the whole file was read.
    pub(super) revoked_as_there: &'r HashSet<TokenId>,
    /// What was issued under a line, and is good at the source.
    pub(super) good: &'r HashSet<TokenId>,
    /// When each unrevoked token was made that a rotation made, by the source's clock.
    pub(super) created_there: &'r HashMap<TokenId, Timestamp>,
    /// Whether the whole file was read. Only then is `good` complete.
    pub(super) whole_file_was_read: bool,
}

/// What became of one row of the file.
pub(super) enum Outcome {
    New,
    NewRevoked,
    AlreadyThere,
    /// It is there already, revoked as the source revoked it.
    RevokedThere,
    RevokedHere(RevokedLine),
    RevokedNow,
    SupersededNow,
    Kept(KeptAsIs),
    /// Other rows of the file decide.
    Later,
}

/// Returns whether the revocation of a token of a line, as it is here, is the source's.
///
/// Only for rotated lines, so that few ids are kept in memory.
pub(super) fn is_revoked_there(record: &TokenRecord, outcome: &Outcome) -> bool {
    let is_theirs =
        matches!(outcome, Outcome::NewRevoked | Outcome::RevokedNow | Outcome::RevokedThere);
    is_theirs
        && record.revocation().is_some()
        && (record.family() != record.id() || record.successor().is_some())
}

/// Adds an outcome to the report.
pub(super) fn count(
    report: &mut MoveInReport,
    id: TokenId,
    outcome: Outcome,
    revoked_here: &mut HashSet<RevokedLine>,
) {
    match outcome {
        Outcome::New => report.tokens += 1,
        Outcome::NewRevoked => report.revoked += 1,
        Outcome::AlreadyThere | Outcome::RevokedThere | Outcome::Later => report.already_there += 1,
        Outcome::RevokedHere(line) => {
            report.already_there += 1;
            revoked_here.insert(line);
        }
        Outcome::RevokedNow => report.revoked_now.push(id),
        Outcome::SupersededNow => report.superseded_now.push(id),
        Outcome::Kept(why) => report.kept.push((id, why)),
    }
}
