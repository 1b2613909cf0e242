//! The engine's meaning, told a second time as plainly as it can be: every question is a scan of all rows. It knows nothing of
//! digests, seals, locks, batches or indexes.

use std::net::IpAddr;

use app_tokens::error::DenialReason;
use app_tokens::record::{Actor, LastUse, Revocation, Status};
use app_tokens::store::Filter;
use app_tokens::{Owner, Reason, Requirement, Timestamp, TokenId};

use super::acts::{Answer, Life, Line, Means, Rules, Told, Who, Wish};

pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) rows: Vec<Row>,
    pub(crate) told: Vec<Told>,
}

pub(crate) struct Row {
    /// Its status is worked out when somebody looks; its last use is the one that is written.
    pub(crate) line: Line,
    /// A use that was noted and isn't written yet.
    pub(crate) pending: Option<LastUse>,
}

impl Row {
    fn last_use(&self) -> Option<LastUse> {
        let written = self.line.last_use.as_ref();
        let own = self.pending.as_ref().filter(|own| Some(own.at) > written.map(|last| last.at));
        own.or(written).cloned()
    }
}

const DAY: i64 = 86_400;

/// How far clocks may be apart, in seconds.
pub(crate) const TOLERANCE: i64 = 300;

impl Model {
    pub(crate) fn issue(&mut self, wish: &Wish, issued: Option<TokenId>) -> Answer {
        let Rules { max_life, never, .. } = self.rules;
        let expires = match wish.life {
            Life::Forever if never => None,
            Life::Forever => return Answer::Refused("never is not allowed"),
            Life::Default => Some(self.now + self.rules.default_life),
            Life::For(seconds) => Some(self.now.saturating_add(seconds)),
            Life::Until(end) => Some(end),
        };
        match expires {
            Some(end) if end > Timestamp::MAX.as_unix() => return Answer::Refused("past calendar"),
            Some(end) if end <= self.now => return Answer::Refused("no life"),
            Some(end) if max_life.is_some_and(|max| end - self.now > max) => {
                return Answer::Refused("life too long");
            }
            _ => {}
        }
        let mine = self.rows.iter().map(|row| &row.line).filter(|l| l.owner.as_str() == wish.owner);
        let lives = |l: &&Line| l.revocation.is_none() && !self.has_ended(l);
        let live: Vec<&Line> = mine.filter(lives).collect();
        if self.rules.limit.is_some_and(|limit| live.len() >= limit as usize) {
            return Answer::Refused("limit reached");
        }
        if self.rules.unique_labels && live.iter().any(|l| l.label.as_str() == wish.label) {
            return Answer::Refused("label taken");
        }
        // Where the engine refused, any id shows the difference.
        let id = issued.unwrap_or(TokenId::MAX);
        let line = wish.granted(id, time(self.now), expires.map(time));
        let by = line.issued_by.clone().map_or(Actor::Owner, Actor::Operator);
        self.told.push(Told::Issued(id, by));
        self.rows.push(Row { line: line.clone(), pending: None });
        Answer::Issued(line)
    }

    pub(crate) fn authenticate(
        &mut self,
        means: Means,
        as_owner: Option<&Owner>,
        (address, client): (Option<IpAddr>, Option<&str>),
        scope: &str,
    ) -> Answer {
        let Means::Token { id, secret_is_right } = means else {
            return match means {
                Means::Mistyped => self.deny(None, DenialReason::Mistyped, false),
                _ => Answer::NotOurs,
            };
        };
        let Some(row) = self.rows.iter().position(|row| row.line.id == id) else {
            return self.deny(Some(id), DenialReason::Unknown, false);
        };
        if !secret_is_right {
            return self.deny(Some(id), DenialReason::WrongSecret, false);
        }
        let Line { owner, access, .. } = self.rows[row].line.clone();
        let reason = match self.status(&self.rows[row]) {
            None => return Answer::Failed,
            Some(Status::Revoked) => DenialReason::Revoked,
            Some(Status::Expired) => DenialReason::Expired,
            Some(Status::Idle) => DenialReason::Idle,
            _ if as_owner.is_some_and(|expected| *expected != owner) => DenialReason::OtherOwner,
            _ => {
                self.note_use(row, address, client);
                let allowed = access.allows(&Requirement::one_of(&[scope]));
                return Answer::Authenticated { owner, allowed };
            }
        };
        self.deny(Some(id), reason, true)
    }

    fn deny(&mut self, id: Option<TokenId>, reason: DenialReason, with_token: bool) -> Answer {
        self.told.push(Told::Denied { id, reason, with_token });
        Answer::Denied { id, reason }
    }

    /// `None` where the clock is too far behind to tell.
    fn status(&self, row: &Row) -> Option<Status> {
        let created = row.line.created_at.as_unix();
        if row.line.revocation.is_some() {
            return Some(Status::Revoked);
        }
        if self.now < created - TOLERANCE {
            return None;
        }
        if self.has_ended(&row.line) {
            return Some(Status::Expired);
        }
        let written = row.line.last_use.as_ref().map(|last| last.at.as_unix());
        let believed = written.filter(|at| *at <= self.now + TOLERANCE).unwrap_or(created);
        let own = row.pending.as_ref().map_or(created, |own| own.at.as_unix());
        let last = created.max(believed).max(own);
        let idle = self.rules.idle.is_some_and(|idle| self.now - last >= idle);
        Some(if idle { Status::Idle } else { Status::Active })
    }

    fn has_ended(&self, line: &Line) -> bool {
        line.end().is_some_and(|end| self.now >= end)
    }

    fn note_use(&mut self, row: usize, address: Option<IpAddr>, client: Option<&str>) {
        let longest = self.rules.idle.map_or(i64::MAX, |idle| idle / 24);
        let (now, interval) = (self.now, self.rules.interval.min(longest));
        let Row { line, pending } = &mut self.rows[row];
        // A use in the future was noted by a broken clock, and answers nothing.
        let is_believed = |last: &&LastUse| last.at.as_unix() <= now + TOLERANCE;
        let mut known = pending.iter().chain(&line.last_use).filter(is_believed);
        if known.any(|last| last.at.as_unix() > now - interval) {
            return;
        }
        let origins = self.rules.origins;
        let client = client.filter(|_| origins).map(Into::into);
        let this = LastUse { at: time(now), address: address.filter(|_| origins), client };
        let before = pending.as_ref().filter(is_believed);
        let before = before.or(line.last_use.as_ref().filter(is_believed));
        match (before.map(|before| before.address), this.address) {
            (None, _) => self.told.push(Told::FirstUse(line.id, address)),
            (Some(Some(before)), Some(this)) if before != this => {
                self.told.push(Told::NewAddress(line.id, this));
            }
            _ => {}
        }
        *pending = Some(this);
    }

    pub(crate) fn list(&mut self, filter: &Filter, after: Option<TokenId>, limit: u32) -> Answer {
        self.write_uses_if(filter.last_used_before.is_some());
        let beyond = |row: &&Row| after.is_none_or(|after| row.line.id > after);
        let chosen = self.rows.iter().filter(|row| row.line.is_meant_by(filter)).filter(beyond);
        let mut lines: Vec<Line> = chosen.map(|row| self.line(row)).collect();
        lines.sort_by_key(|line| line.id);
        lines.truncate(limit as usize);
        let full = limit > 0 && lines.len() == limit as usize;
        let next = lines.last().filter(|_| full).map(|line| line.id);
        Answer::Page { lines, next }
    }

    pub(crate) fn line(&self, row: &Row) -> Line {
        Line { last_use: row.last_use(), status: self.status(row), ..row.line.clone() }
    }

    pub(crate) fn revoke(&mut self, filter: &Filter, who: &Who, reason: &Reason) -> u64 {
        let revocation = Revocation { at: time(self.now), reason: reason.clone(), by: who.actor() };
        let mut count = 0;
        for row in self.rows.iter_mut().filter(|row| row.line.is_meant_by(filter)) {
            if row.line.revocation.is_none() {
                row.line.revocation = Some(revocation.clone());
                count += 1;
            }
        }
        self.tell_if(count, Told::Revoked(count, reason.clone(), revocation.by))
    }

    pub(crate) fn forget(&mut self, filter: &Filter, who: &Who) -> u64 {
        self.revoke(filter, who, &Reason::FORGOTTEN);
        let before = self.rows.len();
        self.rows.retain(|row| !row.line.is_meant_by(filter));
        let count = (before - self.rows.len()) as u64;
        self.tell_if(count, Told::Forgotten(count, who.actor()))
    }

    pub(crate) fn purge(&mut self) -> u64 {
        let Rules { retention, idle, .. } = self.rules;
        self.write_uses_if(idle.is_some());
        let now = self.now;
        let before = self.rows.len();
        self.rows.retain(|Row { line, .. }| {
            let revoked = line.revocation.as_ref().map(|revocation| revocation.at.as_unix());
            let dead_since = [revoked, line.end()];
            // Another host may have a use of the last day that it has not written.
            let idle = idle.is_some_and(|i| line.last_seen() + i + retention.max(DAY) <= now);
            !idle && !dead_since.into_iter().flatten().any(|since| since + retention <= now)
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
