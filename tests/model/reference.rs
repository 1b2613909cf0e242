//! The engine's meaning, told a second time as plainly as possible: every question scans all rows.
//! It knows nothing of digests, locks, batches or indexes. Of seals it knows only which key made
//! them.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;

use app_tokens::record::{Actor, LastUse, Revocation, Status};
use app_tokens::report::LeakOutcome;
use app_tokens::store::Filter;
use app_tokens::{Owner, Reason, Timestamp, TokenId};

use super::acts::{Life, Rules, Who, Wish};
use super::answers::{Answer, Line, Told};
use super::drawing::BEGINNING;

#[path = "reference/change.rs"]
mod change;
#[path = "reference/login.rs"]
mod login;

pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) told: Vec<Told>,
    /// The tokens that were let in once; their holders may ask for more later.
    pub(crate) entered: Vec<TokenId>,
    /// The new addresses that were reported: of which token, and when.
    addresses: Vec<(TokenId, IpAddr, i64)>,
}

pub(crate) struct Row {
    /// Its status is computed at each look. Its last use is the one that is written.
    pub(crate) line: Line,
    /// A use that was recorded and isn't written yet.
    pub(crate) pending: Option<LastUse>,
    /// When its reuse was last reported, its use outside its networks, and that it was examined.
    reports: [Option<i64>; 3],
    /// The number of the key that seals it.
    pub(crate) key: u32,
}

impl Row {
    pub(crate) fn is_meant_by(&self, filter: &Filter) -> bool {
        self.line.is_meant_by(filter, self.key)
    }

    fn last_use(&self) -> Option<LastUse> {
        let written = self.line.last_use.as_ref();
        let own = self.pending.as_ref().filter(|own| Some(own.at) > written.map(|last| last.at));
        own.or(written).cloned()
    }
}

const DAY: i64 = 86_400;
/// The key under which the engine seals.
pub(crate) const ACTIVE: u32 = 1;

/// How far clocks may differ, in seconds.
pub(crate) const TOLERANCE: i64 = 300;

/// An answer, or a refusal.
pub(crate) type Verdict = Result<Answer, Answer>;

fn refuse<T>(why: &'static str) -> Result<T, Answer> {
    Err(Answer::Refused(why))
}

fn refuse_if(refused: bool, why: &'static str) -> Result<(), Answer> {
    if refused { refuse(why) } else { Ok(()) }
}

impl Model {
    pub(crate) fn new(rules: Rules) -> Model {
        let (rows, told, entered) = (Vec::new(), Vec::new(), Vec::new());
        Model { rules, now: BEGINNING, rows, told, entered, addresses: Vec::new() }
    }

    pub(crate) fn issue(&mut self, wish: &Wish, under: Option<TokenId>, new: TokenId) -> Verdict {
        let parent = match under.map(|id| self.good(&Who::Operator("the engine"), id)) {
            None => None,
            Some(Ok(row)) if self.rows[row].line.successor.is_some() => {
                return refuse("parent changed");
            }
            Some(Ok(row)) => Some(self.rows[row].line.clone()),
            Some(Err(Answer::Failed)) => return Err(Answer::Failed),
            Some(Err(_)) => return refuse("parent changed"),
        };
        if let Some(parent) = &parent {
            refuse_if(parent.derived_from.is_some(), "not under this")?;
            refuse_if(!wish.attributes.is_empty(), "attributes")?;
        }
        let end = match wish.life {
            Life::Forever => None,
            Life::Default => Some(self.now + self.rules.default_life),
            Life::For(seconds) => Some(self.now.saturating_add(seconds)),
            Life::Until(end) => Some(end),
        };
        self.refuse_end(end, self.now)?;
        let mut line = wish.granted(new, time(self.now), end.map(time));
        if let Some(parent) = parent {
            refuse_if(line.owner != parent.owner, "other owner")?;
            refuse_if(!parent.access.includes(&line.access), "more access")?;
            if line.expires.is_later_than(parent.expires) {
                refuse_if(!matches!(wish.life, Life::Default), "life too long")?;
                line.expires = parent.expires;
            }
            line.attributes = parent.attributes;
            line.derived_from = Some(parent.family);
        }
        let live = self.live_of_other_families(&line).len();
        refuse_if(self.rules.limit.is_some_and(|limit| live >= limit as usize), "limit reached")?;
        self.refuse_label(&line)?;
        let by = line.issued_by.clone().map_or(Actor::from(&line.owner), Actor::Operator);
        self.told.push(Told::Issued(new, by));
        self.add(line)
    }

    fn add(&mut self, line: Line) -> Verdict {
        self.rows.push(Row { line: line.clone(), pending: None, reports: [None; 3], key: ACTIVE });
        Ok(Answer::Issued(Box::new(line)))
    }

    /// Refuses an end that the policy doesn't allow for a token made at `created`.
    fn refuse_end(&self, end: Option<i64>, created: i64) -> Result<(), Answer> {
        refuse_if(end.is_none() && !self.rules.never, "never is not allowed")?;
        let Some(end) = end else {
            return Ok(());
        };
        refuse_if(end > Timestamp::MAX.as_unix(), "past calendar")?;
        refuse_if(end <= self.now, "no life")?;
        refuse_if(self.rules.max_life.is_some_and(|max| end - created > max), "life too long")
    }

    fn refuse_label(&self, new: &Line) -> Result<(), Answer> {
        let same = |other: &&Line| other.label == new.label;
        let taken = self.live_of_other_families(new).iter().any(same);
        refuse_if(self.rules.unique_labels && taken, "label taken")
    }

    fn live_of_other_families(&self, line: &Line) -> Vec<&Line> {
        let lines = self.rows.iter().map(|row| &row.line);
        let others = lines.filter(|l| l.owner == line.owner && l.family != line.family);
        // Another host may have a use of the last day that it has not written.
        let used = |line: &Line| {
            self.rules.idle.is_none_or(|idle| self.seen(line) > self.now - idle - DAY)
        };
        others.filter(|l| l.successor.is_none() && self.lives(l) && used(l)).collect()
    }

    /// Returns the status, or `None` if the clock is too far behind to tell.
    fn status(&self, row: &Row) -> Option<Status> {
        let created = row.line.created_at.as_unix();
        if row.line.revocation.is_some() {
            return Some(Status::Revoked);
        }
        if self.now < created - TOLERANCE {
            return None;
        }
        if self.has_ended(&row.line) {
            let superseded = row.line.successor.is_some();
            return Some(if superseded { Status::Superseded } else { Status::Expired });
        }
        let written = row.line.last_use.as_ref().map(|last| last.at.as_unix());
        let believed = written.filter(|at| *at <= self.now + TOLERANCE).unwrap_or(created);
        let own = row.pending.as_ref().map_or(created, |own| own.at.as_unix());
        let last = created.max(believed).max(own);
        let idle = self.rules.idle.is_some_and(|idle| self.now - last >= idle);
        Some(if idle { Status::Idle } else { Status::Active })
    }

    /// Returns when it was last seen, by what is written and believed.
    fn seen(&self, line: &Line) -> i64 {
        let created = line.created_at.as_unix();
        let used = line.last_use.as_ref().map_or(created, |last| last.at.as_unix());
        if used > self.now + TOLERANCE { created } else { used.max(created) }
    }

    fn lives(&self, line: &Line) -> bool {
        line.revocation.is_none() && !self.has_ended(line)
    }

    fn has_ended(&self, line: &Line) -> bool {
        line.end().is_some_and(|end| self.now >= end)
    }

    pub(crate) fn list(&mut self, filter: &Filter, after: Option<TokenId>, limit: u32) -> Answer {
        self.write_uses_if(filter.last_used_before.is_some());
        let beyond = |row: &&Row| after.is_none_or(|after| row.line.id > after);
        let chosen = self.rows.iter().filter(|row| row.is_meant_by(filter)).filter(beyond);
        let mut lines: Vec<Line> = chosen.map(|row| self.line(row)).collect();
        lines.sort_by_key(|line| line.id);
        let limit = limit.max(1) as usize;
        lines.truncate(limit);
        let full = lines.len() == limit;
        let next = lines.last().filter(|_| full).map(|line| line.id);
        Answer::Page { lines, next }
    }

    /// Returns all tokens of an owner, newest first.
    pub(crate) fn all_of(&self, owner: &Owner) -> Answer {
        let theirs = self.rows.iter().filter(|row| row.line.owner == *owner);
        let mut lines: Vec<Line> = theirs.map(|row| self.line(row)).collect();
        lines.sort_by_key(|line| (Reverse(line.created_at), line.id));
        Answer::All(lines)
    }

    pub(crate) fn line(&self, row: &Row) -> Line {
        Line { last_use: row.last_use(), status: self.status(row), ..row.line.clone() }
    }

    /// Returns what expires within this many seconds.
    pub(crate) fn expiring(&mut self, within: i64, limit: u32) -> Answer {
        let filter = Filter {
            revoked: Some(false),
            superseded: Some(false),
            expires_from: Some(time(self.now + 1)),
            expires_before: Some(time(self.now + within + 1)),
            ..Filter::every_token()
        };
        let mut page = self.list(&filter, None, limit);
        if let Answer::Page { lines, .. } = &mut page {
            lines.retain(|line| line.status == Some(Status::Active));
        }
        page
    }

    /// Returns the place of a good token's row, or the answer to a caller who may not act on it.
    fn good(&self, who: &Who, id: TokenId) -> Result<usize, Answer> {
        let mine = |row: &Row| row.line.id == id && who.may_see(&row.line.owner);
        let row = self.rows.iter().position(mine).ok_or(Answer::Unknown)?;
        match self.status(&self.rows[row]) {
            Some(Status::Active) => Ok(row),
            Some(ended) => Err(Answer::NotActive(ended)),
            None => Err(Answer::Failed),
        }
    }

    fn revocation(&self, by: Actor, reason: &Reason) -> Revocation {
        Revocation { at: time(self.now), reason: reason.clone(), by }
    }

    fn end_derived(&mut self, from: &Line, revocation: &Revocation) {
        for Row { line, .. } in &mut self.rows {
            if line.derived_from == Some(from.family) && line.revocation.is_none() {
                line.revocation = Some(revocation.clone());
            }
        }
    }

    pub(crate) fn revoke(&mut self, filter: &Filter, by: Actor, reason: &Reason) -> u64 {
        let revocation = self.revocation(by.clone(), reason);
        let meant: Vec<bool> = self.rows.iter().map(|row| row.is_meant_by(filter)).collect();
        // Through a rotated token that has ended, nothing else of its line is meant, unless it is
        // named, or the whole line.
        let is_over = |line: &Line| {
            let has_ended = line.end().is_some_and(|end| end <= self.now);
            let is_named = filter.id.or(filter.family).is_some();
            !is_named && line.successor.is_some() && has_ended
        };
        let meant_rows = self.rows.iter().zip(&meant).filter(|(_, meant)| **meant);
        let reaching = meant_rows.filter(|(row, _)| !is_over(&row.line));
        let families: Vec<_> = reaching.map(|(row, _)| Some(row.line.family)).collect();
        let mut count = 0;
        for (Row { line, .. }, meant) in self.rows.iter_mut().zip(meant) {
            let derived = families.contains(&line.derived_from) && !line.is_spared_by(filter);
            if (meant || derived) && line.revocation.is_none() {
                line.revocation = Some(revocation.clone());
                count += 1;
            }
        }
        self.tell_if(count, Told::Revoked(count, reason.clone(), by))
    }

    /// Revokes the tokens in a text, each given with whether its secret is right.
    pub(crate) fn revoke_leaked(&mut self, found: &[(TokenId, bool)], who: &Who) -> Answer {
        let mut leaks = Vec::new();
        for (id, secret_is_right) in found {
            let row = self.rows.iter().find(|row| row.line.id == *id && *secret_is_right);
            let outcome = match row.map(|row| (row.line.clone(), self.status(row))) {
                None => LeakOutcome::NoToken,
                Some((line, Some(Status::Revoked))) => {
                    self.revoke_issued_under(&line, who);
                    LeakOutcome::AlreadyRevoked
                }
                Some(_) => {
                    self.revoke(&Filter::of_id(*id), who.actor(), &Reason::LEAKED);
                    LeakOutcome::Revoked
                }
            };
            leaks.push((*id, outcome));
        }
        Answer::Leaks(leaks)
    }

    /// Revokes each line that begins with a token that was issued under a revoked one's line until
    /// then, by any clock.
    fn revoke_issued_under(&mut self, leaked: &Line, who: &Who) {
        let until = leaked.revocation.as_ref().map_or(0, |end| end.at.as_unix()) + TOLERANCE;
        let is_alone = leaked.successor.is_none() && leaked.family == leaked.id;
        let issued = self.rows.iter().filter(|row| {
            !is_alone
                && row.line.derived_from == Some(leaked.family)
                && row.line.created_at.as_unix() <= until
        });
        let lines: BTreeSet<TokenId> = issued.map(|row| row.line.family).collect();
        for line in lines {
            let line = Filter::of_family(&leaked.owner, line);
            self.revoke(&line, who.actor(), &Reason::LEAKED);
        }
    }

    pub(crate) fn reseal(&mut self, to: u32) -> Answer {
        let others = |row: &&mut Row| row.line.revocation.is_none() && row.key != to;
        let moved = self.rows.iter_mut().filter(others).map(|row| row.key = to).count() as u64;
        Answer::Count(self.tell_if(moved, Told::Resealed(moved, None)))
    }

    /// Trusts the rows of a lost key, as an authority that has only the key `to`.
    pub(crate) fn trust(&mut self, lost: u32, to: u32, who: &Who) -> Verdict {
        refuse_if(lost == to, "key not lost")?;
        let others = |row: &&mut Row| row.line.revocation.is_none() && row.key == lost;
        let mut trusted: Vec<TokenId> = Vec::new();
        for row in self.rows.iter_mut().filter(others) {
            row.key = to;
            trusted.push(row.line.id);
        }
        trusted.sort();
        let moved = trusted.len() as u64;
        self.tell_if(moved, Told::Resealed(moved, Some((trusted.clone(), who.actor()))));
        Ok(Answer::Trusted(trusted))
    }

    /// Returns how many rows each key seals.
    pub(crate) fn keys_in_use(&self) -> Answer {
        let rows = |key| {
            let sealed = |row: &&Row| row.key == key && row.line.revocation.is_none();
            (key, self.rows.iter().filter(sealed).count() as u64)
        };
        Answer::Keys([1, 2].map(rows).into_iter().filter(|(_, rows)| *rows > 0).collect())
    }

    pub(crate) fn forget(&mut self, filter: &Filter, who: &Who) -> u64 {
        self.revoke(filter, who.actor(), &Reason::FORGOTTEN);
        let before = self.rows.len();
        self.rows.retain(|row| !row.is_meant_by(filter));
        let count = (before - self.rows.len()) as u64;
        self.tell_if(count, Told::Forgotten(count, who.actor()))
    }

    pub(crate) fn purge(&mut self) -> u64 {
        let Rules { retention, idle, .. } = self.rules;
        self.write_uses_if(idle.is_some());
        let now = self.now;
        let before = self.rows.len();
        let lines = self.rows.iter().map(|row| &row.line).filter(|line| self.lives(line));
        let living: Vec<_> = lines.map(|line| (line.id, line.family, line.derived_from)).collect();
        let seen: Vec<i64> = self.rows.iter().map(|row| self.seen(&row.line)).collect();
        let mut seen = seen.into_iter();
        self.rows.retain(|Row { line, .. }| {
            let seen = seen.next().unwrap();
            let revoked = line.revocation.as_ref().map(|revocation| revocation.at.as_unix());
            let dead_since = [revoked, line.end()];
            // Another host may have a use of the last day that it has not written.
            let idle = idle.is_some_and(|i| seen + i + retention.max(DAY) <= now);
            let dead =
                idle || dead_since.into_iter().flatten().any(|since| since + retention <= now);
            // The row is needed: its reuse would still be reported, or a revocation reaches the
            // other row through it.
            let others = living.iter().any(|(id, family, derived_from)| {
                *family == line.family && *id != line.id && line.successor.is_some()
                    || *derived_from == Some(line.family)
            });
            !dead || others
        });
        let count = (before - self.rows.len()) as u64;
        self.tell_if(count, Told::Purged(count))
    }

    pub(crate) fn write_uses_if(&mut self, wanted: bool) {
        let believed = time(self.now + TOLERANCE);
        for row in self.rows.iter_mut().filter(|_| wanted) {
            let is_wrong = row.line.last_use.as_ref().is_some_and(|last| last.at > believed);
            row.line.last_use = if is_wrong && row.pending.is_some() {
                row.pending.clone()
            } else {
                row.last_use()
            };
            row.pending = None;
        }
    }

    fn tell_if(&mut self, count: u64, told: Told) -> u64 {
        self.told.extend((count > 0).then_some(told));
        count
    }

    pub(crate) fn visible(&self, who: &Who, id: TokenId) -> Option<&Row> {
        let mine = |row: &&Row| row.line.id == id && who.may_see(&row.line.owner);
        self.rows.iter().find(mine)
    }
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}
