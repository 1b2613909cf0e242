//! The engine's meaning, told a second time as plainly as it can be: every question is a scan of all rows. It knows nothing of
//! digests, seals, locks, batches or indexes.

use app_tokens::error::DenialReason;
use app_tokens::record::{Actor, Expires, LastUse, Revocation, Status};
use app_tokens::store::Filter;
use app_tokens::{Access, Owner, Reason, Requirement, Timestamp, TokenId};

use super::acts::{Act, Answer, Life, Line, Means, Rules, Told, Who, Wish};

pub(crate) struct Model {
    pub(crate) rules: Rules,
    /// Seconds since 1970.
    pub(crate) now: i64,
    pub(crate) rows: Vec<Row>,
    told: Vec<Told>,
}

pub(crate) struct Row {
    /// Its status is worked out when somebody looks; its last use is the one that is written.
    pub(crate) line: Line,
    /// A use that was noted and isn't written yet.
    pub(crate) pending: Option<LastUse>,
}

/// How far clocks may be apart, in seconds.
pub(crate) const TOLERANCE: i64 = 300;

impl Model {
    pub(crate) fn new(rules: Rules, now: i64) -> Model {
        Model { rules, now, rows: Vec::new(), told: Vec::new() }
    }

    /// What the engine should answer, and what it should tell. `issued` is the id that it drew, if the act is to issue.
    pub(crate) fn act(&mut self, act: &Act, issued: Option<TokenId>) -> (Answer, Vec<Told>) {
        let answer = match act {
            Act::Issue(wish) => self.issue(wish, issued),
            Act::Authenticate { means, as_owner, address, client, scope, .. } => {
                self.authenticate(*means, as_owner.as_ref(), (*address, *client), scope)
            }
            Act::List { filter, after, limit } => self.list(filter, *after, *limit),
            Act::Find { who, id } => match self.visible(who, *id) {
                _ if !who.is_named() => Answer::Invalid,
                Some(row) => Answer::Found(self.line(row)),
                None => Answer::Unknown,
            },
            Act::Revoke { who, id, reason } => match self.visible(who, *id) {
                _ if !who.is_named() => Answer::Invalid,
                Some(_) => Answer::Count(self.revoke(&Filter::of_id(*id), who, reason)),
                None => Answer::Unknown,
            },
            Act::RevokeMatching { who, filter, reason } => match who.limit(filter) {
                _ if !who.is_named() => Answer::Invalid,
                Some(filter) => {
                    self.write_uses_if(filter.last_used_before.is_some());
                    Answer::Count(self.revoke(&filter, who, reason))
                }
                None => Answer::Count(0),
            },
            Act::Forget { who, id } => match self.visible(who, *id) {
                _ if !who.is_named() => Answer::Invalid,
                Some(_) => Answer::Count(self.forget(&Filter::of_id(*id), who)),
                None => Answer::Unknown,
            },
            Act::ForgetOwner { owner, operator } => match Who::Operator(operator) {
                who if who.is_named() => Answer::Count(self.forget(&Filter::of_owner(owner), &who)),
                _ => Answer::Invalid,
            },
            Act::FlushUsage => {
                self.write_uses_if(true);
                Answer::Done
            }
            Act::Purge => self.purge(),
            Act::SetClock(now) => {
                self.now = *now;
                Answer::Done
            }
        };
        (answer, std::mem::take(&mut self.told))
    }

    fn issue(&mut self, wish: &Wish, issued: Option<TokenId>) -> Answer {
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
        let lives = |row: &&Row| {
            row.line.owner.as_str() == wish.owner
                && row.line.revocation.is_none()
                && seconds(row.line.expires).is_none_or(|end| self.now < end)
        };
        let live: Vec<&Row> = self.rows.iter().filter(lives).collect();
        if self.rules.limit.is_some_and(|limit| live.len() >= limit as usize) {
            return Answer::Refused("limit reached");
        }
        if self.rules.unique_labels && live.iter().any(|r| r.line.label.as_str() == wish.label) {
            return Answer::Refused("label taken");
        }
        let Some(id) = issued else {
            return Answer::Refused("nothing: it should have been issued");
        };
        let line = Line {
            id,
            owner: wish.owner.parse().unwrap(),
            label: wish.label.parse().unwrap(),
            access: wish
                .scopes
                .map_or(Access::full(), |names| Access::scopes(names.iter().copied()).unwrap()),
            issued_by: wish.operator.map(|name| name.parse().unwrap()),
            created_at: time(self.now),
            expires: expires.map_or(Expires::Never, |end| Expires::At(time(end))),
            revocation: None,
            last_use: None,
            status: Some(Status::Active),
        };
        let by = wish.operator.map_or(Actor::Owner, |name| Actor::Operator(name.parse().unwrap()));
        self.told.push(Told::Issued(id, by));
        self.rows.push(Row { line: line.clone(), pending: None });
        Answer::Issued(line)
    }

    fn authenticate(
        &mut self,
        means: Means,
        as_owner: Option<&Owner>,
        (address, client): (Option<std::net::IpAddr>, Option<&str>),
        scope: &str,
    ) -> Answer {
        let (id, reason, row) = match means {
            Means::NotOurs => return Answer::NotOurs,
            Means::Mistyped => (None, Some(DenialReason::Mistyped), None),
            Means::Token { id, secret_is_right } => {
                let row = self.rows.iter().position(|row| row.line.id == id);
                match row {
                    None => (Some(id), Some(DenialReason::Unknown), None),
                    Some(_) if !secret_is_right => {
                        (Some(id), Some(DenialReason::WrongSecret), None)
                    }
                    Some(row) => (Some(id), self.reason(&self.rows[row], as_owner), Some(row)),
                }
            }
        };
        if row.is_some_and(|row| self.status(&self.rows[row]).is_none()) {
            return Answer::Failed;
        }
        if let Some(reason) = reason {
            self.told.push(Told::Denied { id, reason, with_token: row.is_some() });
            return Answer::Denied { id, reason };
        }
        let row = row.unwrap();
        self.note_use(row, address, client);
        let Line { owner, access, .. } = &self.rows[row].line;
        let allowed = access.allows(&Requirement::one_of(&[scope]));
        Answer::Authenticated { owner: owner.clone(), allowed }
    }

    fn reason(&self, row: &Row, as_owner: Option<&Owner>) -> Option<DenialReason> {
        match self.status(row)? {
            Status::Revoked => Some(DenialReason::Revoked),
            Status::Expired => Some(DenialReason::Expired),
            Status::Idle => Some(DenialReason::Idle),
            _ if as_owner.is_some_and(|owner| *owner != row.line.owner) => {
                Some(DenialReason::OtherOwner)
            }
            _ => None,
        }
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
        if seconds(row.line.expires).is_some_and(|end| self.now >= end) {
            return Some(Status::Expired);
        }
        let written = row.line.last_use.as_ref().map(|last| last.at.as_unix());
        let believed = written.filter(|at| *at <= self.now + TOLERANCE).unwrap_or(created);
        let own = row.pending.as_ref().map_or(created, |own| own.at.as_unix());
        let last = created.max(believed).max(own);
        let idle = self.rules.idle.is_some_and(|idle| self.now - last >= idle);
        Some(if idle { Status::Idle } else { Status::Active })
    }

    fn note_use(&mut self, row: usize, address: Option<std::net::IpAddr>, client: Option<&str>) {
        let (now, interval) = (self.now, self.rules.interval);
        let Row { line, pending } = &mut self.rows[row];
        let recent = |last: &&LastUse| last.at.as_unix() > now - interval;
        if pending.iter().chain(&line.last_use).any(|last| recent(&last)) {
            return;
        }
        let origins = self.rules.origins;
        let client = client.filter(|_| origins).map(Into::into);
        let this = LastUse { at: time(now), address: address.filter(|_| origins), client };
        let before = pending.as_ref().or(line.last_use.as_ref());
        match (before.map(|before| before.address), this.address) {
            (None, _) => self.told.push(Told::FirstUse(line.id, address)),
            (Some(Some(before)), Some(this)) if before != this => {
                self.told.push(Told::NewAddress(line.id, this));
            }
            _ => {}
        }
        *pending = Some(this);
    }

    fn list(&mut self, filter: &Filter, after: Option<TokenId>, limit: u32) -> Answer {
        self.write_uses_if(filter.last_used_before.is_some());
        let beyond = |row: &&Row| after.is_none_or(|after| row.line.id > after);
        let chosen = self.rows.iter().filter(|row| matches(filter, row)).filter(beyond);
        let mut lines: Vec<Line> = chosen.map(|row| self.line(row)).collect();
        lines.sort_by_key(|line| line.id);
        lines.truncate(limit as usize);
        let full = limit > 0 && lines.len() == limit as usize;
        let next = lines.last().filter(|_| full).map(|line| line.id);
        Answer::Page { lines, next }
    }

    fn line(&self, row: &Row) -> Line {
        let later = row.pending.iter().chain(&row.line.last_use).max_by_key(|last| last.at);
        // Of two uses in one second the written one is shown.
        let last_use =
            row.line.last_use.as_ref().filter(|w| later.is_some_and(|l| l.at == w.at)).or(later);
        Line { last_use: last_use.cloned(), status: self.status(row), ..row.line.clone() }
    }

    fn revoke(&mut self, filter: &Filter, who: &Who, reason: &Reason) -> u64 {
        let revocation = Revocation { at: time(self.now), reason: reason.clone(), by: who.actor() };
        let mut count = 0;
        for row in self.rows.iter_mut().filter(|row| matches(filter, row)) {
            if row.line.revocation.is_none() {
                row.line.revocation = Some(revocation.clone());
                count += 1;
            }
        }
        if count > 0 {
            self.told.push(Told::Revoked(count, reason.clone(), revocation.by));
        }
        count
    }

    fn forget(&mut self, filter: &Filter, who: &Who) -> u64 {
        self.revoke(filter, who, &Reason::FORGOTTEN);
        let before = self.rows.len();
        self.rows.retain(|row| !matches(filter, row));
        let count = (before - self.rows.len()) as u64;
        if count > 0 {
            self.told.push(Told::Forgotten(count, who.actor()));
        }
        count
    }

    fn purge(&mut self) -> Answer {
        let Rules { retention, idle, .. } = self.rules;
        self.write_uses_if(idle.is_some());
        let now = self.now;
        let before = self.rows.len();
        self.rows.retain(|Row { line, .. }| {
            let last = line.last_use.as_ref().map_or(line.created_at, |last| last.at).as_unix();
            let revoked = line.revocation.as_ref().map(|revocation| revocation.at.as_unix());
            let dead_since = [revoked, seconds(line.expires), idle.map(|idle| last + idle)];
            !dead_since.into_iter().flatten().any(|since| since + retention <= now)
        });
        let count = (before - self.rows.len()) as u64;
        if count > 0 {
            self.told.push(Told::Purged(count));
        }
        Answer::Count(count)
    }

    fn write_uses_if(&mut self, wanted: bool) {
        for row in self.rows.iter_mut().filter(|_| wanted) {
            let written = row.line.last_use.as_ref().map(|last| last.at);
            let own = row.pending.take().filter(|own| Some(own.at) > written);
            row.line.last_use = own.or(row.line.last_use.take());
        }
    }

    fn visible(&self, who: &Who, id: TokenId) -> Option<&Row> {
        let mine = |row: &&Row| row.line.id == id && who.may_see(&row.line.owner);
        self.rows.iter().find(mine)
    }
}

fn matches(filter: &Filter, Row { line, .. }: &Row) -> bool {
    let last = line.last_use.as_ref().map_or(line.created_at, |last| last.at);
    // Each token is its own family, sealed under key 1, and has no successor.
    !(filter.id.is_some_and(|id| id != line.id)
        || filter.owner.as_ref().is_some_and(|owner| *owner != line.owner)
        || filter.family.is_some_and(|family| family != line.id)
        || filter.except_id == Some(line.id)
        || filter.key_id.is_some_and(|key| key.as_u32() != 1)
        || filter.except_key_ids.iter().any(|key| key.as_u32() == 1)
        || filter.revoked.is_some_and(|revoked| revoked != line.revocation.is_some())
        || filter.superseded == Some(true)
        || filter
            .expires_before
            .is_some_and(|t| seconds(line.expires).is_none_or(|end| end >= t.as_unix()))
        || filter.created_before.is_some_and(|t| line.created_at >= t)
        || filter.last_used_before.is_some_and(|t| last >= t))
}

fn seconds(expires: Expires) -> Option<i64> {
    expires.at().map(Timestamp::as_unix)
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_unix(seconds).unwrap()
}
