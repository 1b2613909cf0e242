//! Which calls end a token, and when: maybe, and surely.

use app_tokens::error::DenialReason::{self, Expired, Revoked, Superseded, Unknown};
use app_tokens::{Access, TokenId, TokenView};

use super::super::program::{Change, Deed, Event, Reach, Span, Turn, end_of};
use super::{Check, End, Known, Origin, is_reuse};

impl<'h> Check<'h> {
    /// Returns the first token of its line.
    pub(super) fn first_of_line(&self, mut id: TokenId) -> &Known<'h> {
        loop {
            let token = &self.tokens[&id];
            match token.origin {
                Origin::Rotated { old } => id = old,
                _ => return token,
            }
        }
    }

    /// Returns the token it came from, by rotation or by issuing under one.
    pub(super) fn eldest(&self, id: TokenId) -> &Known<'h> {
        let first = self.first_of_line(id);
        match first.origin {
            Origin::Under(parent) => self.first_of_line(parent),
            _ => first,
        }
    }

    /// Whether a revocation of all others may have spared a derived token. It then lives on without
    /// its parents.
    pub(super) fn is_spared(&self, token: &TokenView) -> bool {
        let spared = |event: &Event| {
            matches!(event.deed, Deed::Revoke { token: spared, reach: Reach::Others }
                if self.family(spared) == token.family())
        };
        token.derived_from().is_some() && self.history.events.iter().any(spared)
    }

    /// Returns how an event ends a token, if it does.
    pub(super) fn end_by(&self, token: &Known<'h>, event: &Event) -> Option<End> {
        let (made, span, done) = (token.made, event.span, event.answer.is_ok());
        let id = made.id();
        let end =
            |maybe: bool, sure, reasons| maybe.then_some(End { span, sure, from: None, reasons });
        // What was issued under `parent` ends with it, whichever came first, as nothing can be
        // issued under it afterwards. Something may be issued under another token of that family.
        let first = self.first_of_line(id);
        let derived = |parent: TokenId, done: bool| {
            let is_under = made.derived_from() == Some(self.family(parent));
            let was_there = first.origin == Origin::Under(parent) || first.born.surely_before(span);
            end(is_under && first.born.maybe_before(span), done && was_there, &[Revoked])
        };
        // The parent lives on with less, and something may be issued under it later.
        let derived_of_less = |parent: TokenId| {
            let (maybe, sure) = self.takes_away(parent, event);
            derived(parent, sure && first.born.surely_before(span)).filter(|_| maybe)
        };
        // A successor can't escape. A token that is being issued under an existing token can't,
        // either.
        let all = |done: bool, reasons| {
            let born = self.eldest(id).born;
            end(born.maybe_before(span), done && born.surely_before(span), reasons)
        };
        let is_of_family = |of: TokenId| {
            [Some(made.family()), made.derived_from()].contains(&Some(self.family(of)))
        };
        let whole_line = |of: TokenId, reasons| {
            if made.family() == self.family(of) {
                let born = first.born;
                end(born.maybe_before(span), done && born.surely_before(span), reasons)
            } else if is_of_family(of) {
                all(done && !self.is_spared(made), reasons)
            } else {
                None
            }
        };
        let ends_overlap = |old: TokenId| {
            old != id
                && made.family() == self.family(old)
                && self.family(old) != old
                && self.successors(id).any(|new| self.tokens[&new].born.maybe_before(span))
        };
        let is_his = |other: TokenId| self.tokens[&other].made.owner() == made.owner();
        match event.deed {
            // A call that failed half-way may have revoked without deleting.
            Deed::Forget { token, reach: Reach::One } => whole_line(token, &[Revoked, Unknown]),
            Deed::Forget { token, .. } if is_his(token) => all(done, &[Revoked, Unknown]),
            Deed::Authenticate { token, .. }
                if self.history.setting.reuse_ends_family
                    && is_reuse(event)
                    && is_of_family(token) =>
            {
                all(!self.is_spared(made), &[Revoked])
            }
            // A call that failed half-way may have ended some.
            Deed::EndOverlap { token: of } if made.family() == self.family(of) => {
                let superseded = |is_before: fn(Span, Span) -> bool| {
                    self.successors(id).any(|new| is_before(self.tokens[&new].born, span))
                };
                let sure = done && superseded(Span::surely_before);
                end(superseded(Span::maybe_before), sure, &[Superseded])
            }
            // A rotation that fails may have ended the overlap of an earlier one.
            Deed::Rotate { token: old, .. } if ends_overlap(old) => {
                let gives_way = token.origin == (Origin::Rotated { old });
                let is_superseded =
                    self.successors(id).any(|new| self.tokens[&new].born.surely_before(span));
                let reasons: &[DenialReason] =
                    if gives_way { &[Superseded, Revoked] } else { &[Superseded] };
                end(true, done && is_superseded && !gives_way, reasons)
            }
            // It was revoked before. What was issued under its line until then ends now.
            Deed::Leak { token, is_right: true } if !done => derived(token, false),
            _ if !done => None,
            Deed::Revoke { token, reach: Reach::One } => whole_line(token, &[Revoked]),
            Deed::Leak { token, is_right: true } => {
                if token == id {
                    end(true, true, &[Revoked])
                } else {
                    derived(token, true)
                }
            }
            Deed::Revoke { token, reach: Reach::Family } if is_of_family(token) => {
                all(!self.is_spared(made), &[Revoked])
            }
            Deed::Revoke { token, reach: Reach::Others } if is_of_family(token) => None,
            Deed::Revoke { token, reach: Reach::Others | Reach::All } if is_his(token) => {
                all(true, &[Revoked])
            }
            Deed::Rotate { token: old, turn } if old == id => {
                let (least, most) = self.overlap(old, turn, event);
                // It doesn't outlive the new token.
                let over = |now, overlap| end_of(&event.tokens()[0]).min(now + overlap);
                let maybe = if least == 0 { i64::MIN } else { over(span.before, least) };
                let from = (most > 0).then_some((maybe, over(span.after, most)));
                Some(End { span, sure: true, from, reasons: &[Superseded] })
            }
            // The unused successor of the same token is replaced.
            Deed::Rotate { token: old, .. } if token.origin == (Origin::Rotated { old }) => {
                end(!token.born.is(span), token.born.surely_before(span), &[Revoked])
            }
            Deed::Rotate { token: old, turn } if self.overlap(old, turn, event).1 == 0 => {
                derived(old, true)
            }
            Deed::Rotate { token, .. } | Deed::Change { token, .. } => derived_of_less(token),
            _ => None,
        }
    }

    /// Returns the shortest and the longest overlap that a rotation may have had. A rotation to
    /// less access has none.
    pub(super) fn overlap(&self, old: TokenId, turn: Turn, event: &Event) -> (i64, i64) {
        let asked = turn.overlap.unwrap_or(self.history.setting.overlap);
        let Some(new) = event.tokens().first().filter(|_| turn.overlap.is_none()) else {
            return (asked, asked);
        };
        let is_less = |was: &Access| !new.access().includes(was);
        match self.accesses(old).before(event.span, is_less) {
            (_, true) => (0, 0),
            (true, false) => (0, asked),
            (false, false) => (asked, asked),
        }
    }

    /// Whether a change or a rotation left the token, or the new one, with less than before: maybe,
    /// and surely.
    pub(super) fn takes_away(&self, id: TokenId, event: &Event) -> (bool, bool) {
        let span = event.span;
        match event.deed {
            Deed::Change { change: Change::Narrow(grant), .. } => {
                self.accesses(id).before(span, |was| !grant.access().includes(was))
            }
            Deed::Change { change: Change::Extend(end), .. } => {
                self.own_ends(id).before(span, |was| *was > end)
            }
            Deed::Rotate { .. } => {
                let new = &event.tokens()[0];
                let less_access = |was: &Access| !new.access().includes(was);
                let less_time = |was: &i64| *was > end_of(new);
                let maybe = self.it_and_successors(id, Some(new.id())).iter().any(|id| {
                    self.accesses(*id).before(span, less_access).0
                        || self.own_ends(*id).before(span, less_time).0
                });
                // Later it has the end of its overlap.
                let is_first =
                    !self.other_winners(id, span).any(|(_, other)| other.span.maybe_before(span));
                let sure = self.accesses(id).before(span, less_access).1
                    || is_first && self.own_ends(id).before(span, less_time).1;
                (maybe, sure)
            }
            _ => (false, false),
        }
    }

    /// Whether its own end has come: maybe, and surely.
    pub(super) fn expired(&self, id: TokenId, span: Span) -> (bool, bool) {
        let ends = self.own_ends(id);
        let maybe = ends.current(span).any(|end| span.after >= *end);
        (maybe, ends.current(span).all(|end| span.before >= *end))
    }

    /// Whether something surely ended it before a call.
    pub(super) fn surely_ended(&self, id: TokenId, span: Span) -> bool {
        let over = |end: &End| {
            end.sure
                && end.span.surely_before(span)
                && end.from.is_none_or(|(_, surely)| span.before >= surely)
        };
        self.expired(id, span).1 || self.ends[&id].iter().any(over)
    }

    pub(super) fn maybe_ended(
        &self,
        id: TokenId,
        span: Span,
        reason: Option<DenialReason>,
    ) -> bool {
        let (expired, _) = self.expired(id, span);
        let over = |end: &End| {
            reason.is_none_or(|reason| end.reasons.contains(&reason))
                && end.span.maybe_before(span)
                && (expired || end.from.is_none_or(|(maybe, _)| span.after >= maybe))
        };
        expired && reason.is_none_or(|reason| reason == Expired) || self.ends[&id].iter().any(over)
    }

    /// Whether a row may have been deleted.
    pub(super) fn maybe_gone(&self, id: TokenId, span: Span) -> bool {
        let purges =
            |event: &Event| matches!(event.deed, Deed::Purge) && event.span.maybe_before(span);
        let purged = self.history.events.iter().any(purges);
        self.maybe_ended(id, span, Some(Unknown)) || purged && self.maybe_ended(id, span, None)
    }

    /// Whether it may have gone unused for too long.
    pub(super) fn maybe_idle(&self, id: TokenId, span: Span) -> bool {
        let setting = &self.history.setting;
        let Some(idle) = setting.idle else {
            return false;
        };
        let lately = |used: Span| {
            used.surely_before(span) && used.before - setting.interval + idle > span.after
        };
        let used = self.uses(id).any(|event| lately(event.span));
        // A use that another process has not written yet is unknown.
        span.after >= self.tokens[&id].born.before + idle && (!used || setting.authorities > 1)
    }

    pub(super) fn uses(&self, id: TokenId) -> impl Iterator<Item = &'h Event> {
        let is_it = move |event: &&Event| match event.deed {
            Deed::Authenticate { token, .. } => token == id && event.answer.is_ok(),
            _ => false,
        };
        self.history.events.iter().filter(is_it)
    }
}
