//! The engine's meaning, told a second time as plainly as possible: every question scans all rows.
//! It knows nothing of digests, locks, batches or indexes. Of seals it knows only which key made
//! them.

use std::cmp::Reverse;
use std::net::IpAddr;

use app_tokens::error::DenialReason;
use app_tokens::event::ChangeKind;
use app_tokens::record::{Actor, Expires, LastUse, Revocation, Status};
use app_tokens::report::LeakOutcome;
use app_tokens::store::Filter;
use app_tokens::{Owner, Reason, Timestamp, TokenId};

use super::acts::{
    Answer, BEGINNING, Change, Life, Line, Means, Rules, Shown, Told, Turn, Who, Wish,
};
use super::held::{Need, taken};

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

/// What is reported of a row once an interval.
#[derive(Clone, Copy)]
enum Report {
    Reused,
    Outside,
    Examined,
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

    pub(crate) fn authenticate(
        &mut self,
        means: Means,
        as_owner: Option<&Owner>,
        (address, client): (Option<IpAddr>, Option<&str>),
        need: Need,
    ) -> Answer {
        let row = match self.presented(means) {
            Ok(row) => row,
            Err(refusal) => return refusal,
        };
        let address = address.map(taken);
        let line = self.rows[row].line.clone();
        let Line { id, owner, label, access, attributes, expires, family, .. } = line;
        let reason = match self.status(&self.rows[row]) {
            None => return Answer::Failed,
            Some(Status::Revoked) => DenialReason::Revoked,
            Some(Status::Expired) => DenialReason::Expired,
            Some(Status::Superseded) => {
                self.reuse(row, &Filter::of_family(&owner, family));
                DenialReason::Superseded
            }
            Some(Status::Idle) => DenialReason::Idle,
            _ if as_owner.is_some_and(|expected| *expected != owner) => DenialReason::OtherOwner,
            // No use, so that a stranger elsewhere does not keep an idle token alive.
            _ if access.is_outside(address) => {
                self.report(row, Report::Outside, Told::OutsideNetwork(id, address));
                return Answer::Outside;
            }
            _ => {
                self.note_use(row, address, client);
                self.entered.push(id);
                let missing = access.lacks(need);
                let shown = Shown { id, owner, label, access, attributes, expires };
                return Answer::Authenticated(Box::new(shown), missing);
            }
        };
        self.deny(Some(id), reason, true)
    }

    /// Tells the holder of a whole token what became of it. Counts as no use.
    pub(crate) fn examine(&mut self, means: Means) -> Answer {
        let row = match self.presented(means) {
            Ok(row) => row,
            Err(refusal) => return refusal,
        };
        let Line { id, revocation, .. } = self.rows[row].line.clone();
        let Some(status) = self.status(&self.rows[row]) else {
            return Answer::Failed;
        };
        self.report(row, Report::Examined, Told::Examined(id));
        Answer::Examined(id, status, revocation)
    }

    /// Returns the place of the row whose whole secret was presented.
    fn presented(&mut self, means: Means) -> Result<usize, Answer> {
        let (id, secret_is_right) = match means {
            Means::NotOurs => return Err(Answer::NotOurs),
            Means::Mistyped => return Err(self.deny(None, DenialReason::Mistyped, false)),
            Means::Token { id, secret_is_right } => (id, secret_is_right),
        };
        match self.rows.iter().position(|row| row.line.id == id) {
            None => Err(self.deny(Some(id), DenialReason::Unknown, false)),
            Some(_) if !secret_is_right => {
                Err(self.deny(Some(id), DenialReason::WrongSecret, false))
            }
            Some(row) => Ok(row),
        }
    }

    fn deny(&mut self, id: Option<TokenId>, reason: DenialReason, with_token: bool) -> Answer {
        self.told.push(Told::Denied { id, reason, with_token });
        Answer::Denied { id, reason }
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

    fn interval(&self) -> i64 {
        self.rules.interval.min(self.rules.idle.map_or(i64::MAX, |idle| idle / 24))
    }

    /// Reports that a superseded token was presented.
    fn reuse(&mut self, row: usize, family: &Filter) {
        let Line { id, .. } = self.rows[row].line;
        if self.rules.reuse_ends_family {
            self.revoke(family, "engine".parse().unwrap(), &Reason::REUSED);
        }
        self.report(row, Report::Reused, Told::Reused(id));
    }

    /// Sends an event about a row, once an interval. A report of a broken clock doesn't count.
    fn report(&mut self, row: usize, report: Report, told: Told) {
        let (now, since) = (self.now, self.now - self.interval());
        let last = &mut self.rows[row].reports[report as usize];
        if last.is_none_or(|at| at <= since || at > now + TOLERANCE) {
            *last = Some(now);
            self.told.push(told);
        }
    }

    fn note_use(&mut self, row: usize, address: Option<IpAddr>, client: Option<&str>) {
        let (now, interval) = (self.now, self.interval());
        let Row { line, pending, .. } = &mut self.rows[row];
        // A use in the future was recorded by a broken clock, and doesn't count.
        let is_believed = |last: &&LastUse| last.at.as_unix() <= now + TOLERANCE;
        let is_recent = |last: &LastUse| last.at.as_unix() > now - interval;
        let origins = self.rules.origins;
        let client = client.filter(|_| origins).map(Into::into);
        let this = LastUse { at: time(now), address: address.filter(|_| origins), client };
        let is_new = |last: &LastUse| {
            last.address.is_some() && this.address.is_some() && last.address != this.address
        };
        let stored = line.last_use.as_ref().filter(is_believed);
        if stored.is_some_and(|stored| is_recent(stored) && !is_new(stored)) {
            return;
        }
        let before = pending.as_ref().filter(is_believed).or(stored);
        let new_address = before.filter(|before| is_new(before)).and(this.address);
        let is_noted = !before.is_some_and(is_recent);
        let is_first = before.is_none();
        if is_noted {
            *pending = Some(this);
        }
        let id = line.id;
        if is_first {
            self.told.push(Told::FirstUse(id, address));
        }
        if let Some(new) = new_address {
            let is_told = |(told, address, at): &(TokenId, IpAddr, i64)| {
                *told == id && *address == new && *at > now - DAY && *at <= now + TOLERANCE
            };
            if !self.addresses.iter().any(is_told) {
                self.addresses.retain(|(told, address, _)| *told != id || *address != new);
                self.addresses.push((id, new, now));
                self.told.push(Told::NewAddress(id, new));
            }
        }
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

    /// Returns the current token of a line, or `successor` if the line has none any more.
    fn rotated_to(&self, old: &Line, successor: TokenId) -> Answer {
        let lines = self.rows.iter().map(|row| &row.line);
        let current = lines
            .filter(|line| line.owner == old.owner && line.family == old.family)
            .filter(|line| line.revocation.is_none() && line.successor.is_none());
        let newest = current.max_by_key(|line| (line.created_at, line.id));
        Answer::RotatedTo(newest.map_or(successor, |line| line.id))
    }

    /// Returns the places of the line's superseded tokens that end after this instant, in order of
    /// id.
    fn overlapping(&self, old: &Line, ended_by: i64) -> Vec<usize> {
        let is_living = |row: &usize| {
            let line = &self.rows[*row].line;
            line.owner == old.owner
                && line.family == old.family
                && line.revocation.is_none()
                && line.successor.is_some()
                && line.end().is_some_and(|end| end > ended_by)
        };
        let mut living: Vec<usize> = (0..self.rows.len()).filter(is_living).collect();
        living.sort_by_key(|row| self.rows[*row].line.id);
        living
    }

    fn end_superseded(&mut self, old: &Line, except: Option<TokenId>, who: &Who) -> u64 {
        let end = self.now - TOLERANCE;
        let mut count = 0;
        for row in self.overlapping(old, end) {
            let id = self.rows[row].line.id;
            if Some(id) != except {
                self.rows[row].line.expires = Expires::At(time(end));
                self.rows[row].key = ACTIVE;
                let kind = ChangeKind::OverlapEnded;
                self.told.push(Told::Changed(id, kind, false, who.actor()));
                count += 1;
            }
        }
        count
    }

    pub(crate) fn end_overlap(&mut self, who: &Who, id: TokenId) -> Answer {
        match self.visible(who, id).map(|row| row.line.clone()) {
            Some(line) => Answer::OverlapsEnded(self.end_superseded(&line, None, who)),
            None => Answer::Unknown,
        }
    }

    pub(crate) fn change(&mut self, who: &Who, id: TokenId, change: &Change) -> Verdict {
        if let Some(row) = self.visible(who, id)
            && let Some(successor) = row.line.successor
        {
            return Err(match self.status(row) {
                None => Answer::Failed,
                Some(Status::Revoked) => Answer::NotActive(Status::Revoked),
                Some(_) => self.rotated_to(&row.line, successor),
            });
        }
        let row = self.good(who, id)?;
        let old = self.rows[row].line.clone();
        let mut new = old.clone();
        match change {
            Change::Label(label) => {
                new.label = label.clone();
                self.refuse_label(&new)?;
            }
            Change::Access(access) => {
                refuse_if(!old.access.includes(access), "more access")?;
                new.access = access.clone();
            }
            Change::End(end) => {
                let later = end.is_later_than(old.expires);
                refuse_if(old.derived_from.is_some() && later, "derived")?;
                new.expires = *end;
                self.refuse_end(new.end(), old.created_at.as_unix())?;
            }
        }
        let revoked_derived = old.is_more(&new.access, new.expires);
        if revoked_derived {
            refuse_if(!self.overlapping(&old, self.now - TOLERANCE).is_empty(), "overlapping")?;
            self.end_derived(&old, &self.revocation(who.actor(), &Reason::NARROWED));
        }
        self.rows[row].line = new;
        self.rows[row].key = ACTIVE;
        self.told.push(Told::Changed(id, change.kind(), revoked_derived, who.actor()));
        Ok(Answer::Found(Box::new(self.line(&self.rows[row]))))
    }

    pub(crate) fn rotate(&mut self, who: &Who, id: TokenId, turn: &Turn, new: TokenId) -> Verdict {
        let successor = self.visible(who, id).and_then(|row| row.line.successor);
        self.write_uses_if(successor.is_some());
        let row = self.good(who, id)?;
        let last = match successor.map(|successor| self.good(who, successor)) {
            None => row,
            Some(Ok(last)) => last,
            Some(Err(Answer::Failed)) => return Err(Answer::Failed),
            Some(Err(_)) => {
                return Err(self.rotated_to(&self.rows[row].line, successor.unwrap_or(id)));
            }
        };
        let (old, was) = (self.rows[row].line.clone(), self.rows[last].line.clone());
        let used = was.last_use.is_some() || was.successor.is_some();
        if last != row && used {
            return Err(self.rotated_to(&old, was.id));
        }
        // Both may allow the same by other lists. Then the new token has that of the old one.
        let less = if was.access.includes(&old.access) { &old.access } else { &was.access };
        refuse_if(turn.access.is_none() && !old.access.includes(less), "narrowed apart")?;
        let access = turn.access.as_ref().unwrap_or(less).clone();
        let within = old.access.includes(&access) && was.access.includes(&access);
        refuse_if(!within, "more access")?;
        let expires = turn.end.unwrap_or_else(|| self.allowed_today(was.expires));
        if let Some(end) = turn.end {
            let later = end.is_later_than(was.expires);
            refuse_if(old.derived_from.is_some() && later, "derived")?;
            self.refuse_end(end.at().map(Timestamp::as_unix), self.now)?;
        }
        let has_less = !access.includes(&old.access) || !access.includes(&was.access);
        let asked = turn.overlap.unwrap_or(0);
        refuse_if(has_less && asked > 0, "overlap with less")?;
        let by_policy = self.rules.overlap.min(self.rules.max_overlap);
        let overlap = turn.overlap.unwrap_or(if has_less { 0 } else { by_policy });
        refuse_if(overlap > self.rules.max_overlap, "overlap too long")?;
        // At once on every host, however far its clock is behind.
        let overlap = if overlap == 0 { self.now - 300 } else { self.now + overlap };
        let new_end = expires.at().map_or(i64::MAX, Timestamp::as_unix);
        let old_ends = old.end().unwrap_or(i64::MAX).min(overlap).min(new_end);
        let revocation = self.revocation(who.actor(), &Reason::ROTATED);
        let is_less = [&old, &was].iter().any(|than| than.is_more(&access, expires));
        let revoked_derived = is_less || old_ends <= self.now;
        if old.family != id {
            self.end_superseded(&old, Some(id), who);
        }
        if revoked_derived {
            self.end_derived(&old, &revocation);
        }
        let replaced = (last != row).then_some(was.id);
        if replaced.is_some() {
            self.rows[last].line.revocation = Some(revocation);
        }
        self.rows[row].line.expires = Expires::At(time(old_ends));
        self.rows[row].line.successor = Some(new);
        self.rows[row].key = ACTIVE;
        self.told.push(Told::Rotated { old: id, replaced, revoked_derived, new, by: who.actor() });
        let (created_at, status) = (time(self.now), Some(Status::Active));
        self.add(Line { id: new, access, created_at, expires, last_use: None, status, ..was })
    }

    /// Returns an end that was allowed once, or the latest that is allowed now. The clock may run
    /// backwards.
    fn allowed_today(&self, end: Expires) -> Expires {
        match (end, self.rules.max_life) {
            (Expires::At(at), Some(max)) => Expires::At(at.min(time(self.now + max))),
            (end, _) => end,
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
        let meant_rows = self.rows.iter().zip(&meant).filter(|(_, meant)| **meant);
        let families: Vec<_> = meant_rows.map(|(row, _)| Some(row.line.family)).collect();
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
            let outcome = match row.map(|row| self.status(row)) {
                None => LeakOutcome::NoToken,
                Some(Some(ended @ (Status::Revoked | Status::Expired | Status::Superseded))) => {
                    LeakOutcome::Ended(ended)
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
