//! Changes and rotations of a token: what is refused, and what becomes of its line.

use app_tokens::event::ChangeKind;
use app_tokens::record::{Expires, Status};
use app_tokens::{Reason, Timestamp, TokenId};

use super::super::acts::{Change, Turn, Who};
use super::super::answers::{Answer, Line, Told};
use super::{ACTIVE, Model, TOLERANCE, Verdict, refuse_if, time};

impl Model {
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
        let row = match (self.good(who, id), successor) {
            (Ok(row), _) => row,
            // Rotated without overlap, or idle in its overlap: not to be rotated again.
            (Err(Answer::NotActive(status)), Some(successor)) if status != Status::Revoked => {
                let old = self.visible(who, id).map(|row| row.line.clone());
                return Err(old.map_or(Answer::Unknown, |old| self.rotated_to(&old, successor)));
            }
            (Err(refused), _) => return Err(refused),
        };
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
}
