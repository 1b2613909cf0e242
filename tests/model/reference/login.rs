//! What a presented token is answered, and the uses and reports that follow.

use std::net::IpAddr;

use app_tokens::error::DenialReason;
use app_tokens::record::{LastUse, Status};
use app_tokens::store::Filter;
use app_tokens::{Owner, Reason, TokenId};

use super::super::acts::Means;
use super::super::answers::{Answer, Line, Shown, Told};
use super::super::held::{Need, taken};
use super::{DAY, Model, Row, TOLERANCE, time};

/// What is reported of a row once an interval.
#[derive(Clone, Copy)]
enum Report {
    Reused,
    Outside,
    Examined,
}

impl Model {
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
        let is_active = status == Status::Active;
        let token = is_active.then(|| Box::new(self.line(&self.rows[row])));
        Answer::Examined(id, status, revocation, token)
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
}
