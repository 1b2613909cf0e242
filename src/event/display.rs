//! The name of an event, and its one line for a log.

use std::fmt;

use super::{ChangeKind, Event};
use crate::error::DenialReason;
use crate::record::Status;
use crate::store::Filter;
use crate::text::clean_line;
use crate::view::TokenView;

impl Event<'_> {
    /// Returns the event's name, for a field of a log or a metric: `issued`, `first_use`, `denied`
    /// and so on. It never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Issued { .. } => "issued",
            Event::Imported { .. } => "imported",
            Event::TakenOver { .. } => "taken_over",
            Event::MovedOut { .. } => "moved_out",
            Event::MovedIn { .. } => "moved_in",
            Event::FirstUse { .. } => "first_use",
            Event::NewAddress { .. } => "new_address",
            Event::OutsideNetwork { .. } => "outside_network",
            Event::Denied { .. } => "denied",
            Event::Rotated { .. } => "rotated",
            Event::Reused { .. } => "reused",
            Event::Examined { .. } => "examined",
            Event::Changed { .. } => "changed",
            Event::Resealed { .. } => "resealed",
            Event::Revoked { .. } => "revoked",
            Event::Forgotten { .. } => "forgotten",
            Event::UsageNotWritten { .. } => "usage_not_written",
            Event::NotPurged { .. } => "not_purged",
            Event::Purged { .. } => "purged",
        }
    }
}

/// Writes one line: the name, then facts as `key=value`.
///
/// ```text
/// first_use id=askgagkera owner="alice" label="My phone" address=192.0.2.7
/// ```
///
/// It has no secret, no control character and no unbounded text. Owners, labels and other texts
/// that a host or a client chose stand in quotes. So none of them can pass for a fact of the line.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Event::Issued { token, by, is_certain }
            | Event::Imported { token, by, is_certain }
            | Event::MovedIn { token, by, is_certain } => {
                write_token(f, token)?;
                write!(f, " by={}", Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::MovedOut { count, owner, by, is_certain } => {
                write!(f, " count={count}")?;
                write_some(f, "owner", owner.as_ref().map(Quoted).as_ref())?;
                write!(f, " by={}", Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::TakenOver { token, is_certain } => {
                write_token(f, token)?;
                write_doubt(f, *is_certain)
            }
            Event::FirstUse { token, address } | Event::OutsideNetwork { token, address } => {
                write_token(f, token)?;
                write_some(f, "address", address.as_ref())
            }
            Event::NewAddress { token, address } => {
                write_token(f, token)?;
                write!(f, " address={address}")
            }
            Event::Denied { id, reason, token, address, client } => {
                write!(f, " reason={}", reason.as_str())?;
                match token {
                    Some(token) => {
                        write_token(f, token)?;
                        let is_unproven =
                            matches!(reason, DenialReason::Revoked | DenialReason::Tampered);
                        write_unproven(f, is_unproven)?;
                    }
                    None => write_some(f, "id", id.as_ref())?,
                }
                write_some(f, "address", address.as_ref())?;
                write_some(f, "client", client.as_ref().map(Quoted).as_ref())
            }
            Event::Rotated { old, replaced, revoked_derived, token, by, is_certain } => {
                write_token(f, token)?;
                write!(f, " old={old}")?;
                write_some(f, "replaced", replaced.as_ref())?;
                write!(f, " revoked_derived={revoked_derived} by={}", Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::Reused { token } => write_token(f, token),
            Event::Examined { token } => {
                write_token(f, token)?;
                write_some(f, "status", token.status().as_ref())?;
                let is_unproven =
                    matches!(token.status(), Some(Status::Revoked | Status::Tampered));
                write_unproven(f, is_unproven)
            }
            Event::Changed { token, change, revoked_derived, by, is_certain } => {
                write_token(f, token)?;
                write!(f, " change={} revoked_derived={revoked_derived}", change.as_str())?;
                write!(f, " by={}", Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::Resealed { count, trusted, trusted_by } => {
                write!(f, " count={count} trusted={}", trusted.len())?;
                write_some(f, "trusted_by", trusted_by.as_ref().map(Quoted).as_ref())
            }
            Event::Revoked { filter, count, is_certain, reason, by } => {
                write!(f, " count={count}")?;
                write_filter(f, filter)?;
                write!(f, " reason={} by={}", Quoted(reason), Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::Forgotten { filter, count, is_certain, by } => {
                write!(f, " count={count}")?;
                write_filter(f, filter)?;
                write!(f, " by={}", Quoted(by))?;
                write_doubt(f, *is_certain)
            }
            Event::UsageNotWritten { error } | Event::NotPurged { error } => {
                write!(f, " error={}", Quoted(error))
            }
            Event::Purged { count, is_certain } => {
                write!(f, " count={count}")?;
                write_doubt(f, *is_certain)
            }
        }
    }
}

impl ChangeKind {
    /// Returns `renamed`, `narrowed`, `extended`, `overlap_ended` or `superseded`.
    pub fn as_str(self) -> &'static str {
        match self {
            ChangeKind::Renamed => "renamed",
            ChangeKind::Narrowed => "narrowed",
            ChangeKind::Extended => "extended",
            ChangeKind::OverlapEnded => "overlap_ended",
            ChangeKind::Superseded => "superseded",
        }
    }
}

/// Writes a text in quotes for one line of a log, cut and without control characters.
struct Quoted<T>(T);

/// The longest quoted text, in characters.
const MAX_CHARS: usize = 300;

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Debug` escapes quotes and backslashes, so a text can't end its own quotes.
        write!(f, "{:?}", clean_line(&self.0.to_string(), MAX_CHARS))
    }
}

/// Writes a token's id, owner and label.
fn write_token(f: &mut fmt::Formatter<'_>, token: &TokenView) -> fmt::Result {
    write!(f, " id={} owner={}", token.id(), Quoted(token.owner()))?;
    write!(f, " label={}", Quoted(token.label()))
}

/// Writes the facts that say whose tokens a filter selects. Its other facts only narrow that.
fn write_filter(f: &mut fmt::Formatter<'_>, filter: &Filter) -> fmt::Result {
    write_some(f, "id", filter.id.as_ref())?;
    write_some(f, "owner", filter.owner.as_ref().map(Quoted).as_ref())?;
    write_some(f, "family", filter.family.as_ref())?;
    write_some(f, "except_family", filter.except_family.as_ref())
}

/// Writes `key=value`, or nothing for `None`.
fn write_some(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    value: Option<&impl fmt::Display>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value}"))
}

/// Marks the facts of a row whose seal was not found right.
fn write_unproven(f: &mut fmt::Formatter<'_>, is_unproven: bool) -> fmt::Result {
    f.write_str(if is_unproven { " unproven" } else { "" })
}

/// Marks an event whose outcome is uncertain.
fn write_doubt(f: &mut fmt::Formatter<'_>, is_certain: bool) -> fmt::Result {
    f.write_str(if is_certain { "" } else { " uncertain" })
}
