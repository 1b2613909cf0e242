//! Whether the answer of each call is right.

use app_tokens::error::DenialReason::{self, Expired, Idle, Revoked, Superseded, Unknown};
use app_tokens::store::CLOCK_TOLERANCE;
use app_tokens::{Access, Attributes, TokenId, TokenView};

use super::super::program::{
    Change, Deed, Event, Grant, Reach, Refusal, Shown, Span, Turn, attributes, covers, end_of,
};
use super::*;

impl<'h> Check<'h> {
    pub(super) fn event(&mut self, event: &Event) {
        let span = event.span;
        self.reuse(event);
        if let Some(refusal) = event.answer.as_ref().err() {
            return self.refused(refusal, event);
        }
        match event.deed {
            Deed::Issue { label, .. } => self.issued(label, None, event),
            Deed::IssueUnder { token, label, .. } => self.issued(label, Some(token), event),
            Deed::Authenticate { token, .. } => {
                self.good(token, event);
                self.decided_by_networks(token, event);
                if let Ok(Shown::LetIn(access, attributes)) = &event.answer {
                    self.access_is_current(token, access, event);
                    self.attributes_stay(token, attributes, event);
                }
            }
            Deed::Change { token, change } => {
                self.good(token, event);
                self.is_current(&event.tokens()[0], event);
                let Change::Extend(end) = change else {
                    return;
                };
                let is_derived = self.tokens[&token].made.derived_from().is_some();
                let (_, later) = self.own_ends(token).before(span, |was| *was < end);
                self.break_by(event, WITHIN_ANOTHER, is_derived && later);
            }
            Deed::Rotate { token, turn } => {
                self.good(token, event);
                self.rotated(token, turn, &event.tokens()[0], event);
            }
            Deed::Intrude { .. } => self.break_by(event, STRANGERS, true),
            Deed::Leak { is_right, .. } => {
                self.break_by(event, LEAKS, !is_right);
            }
            Deed::List { owner } => self.listed(owner, event),
            _ => {}
        }
    }

    pub(super) fn good(&mut self, id: TokenId, event: &Event) {
        let ended = self.surely_ended(id, event.span);
        self.break_if(ended, DENIED_AFTER_ITS_END, || format!("{id} was good for {event:?}"));
    }

    pub(super) fn ended(&mut self, id: TokenId, reason: DenialReason, event: &Event) {
        let span = event.span;
        let explained = match reason {
            Unknown => self.maybe_gone(id, span),
            Idle => self.maybe_idle(id, span),
            Expired | Revoked | Superseded => self.maybe_ended(id, span, Some(reason)),
            _ => false,
        };
        self.break_if(!explained, GOOD_BEFORE_ITS_END, || {
            format!("{id} was {reason:?} for {event:?}")
        });
    }

    fn refused(&mut self, refusal: &Refusal, event: &Event) {
        let span = event.span;
        let id = match event.deed {
            Deed::Leak { is_right: false, .. } | Deed::Intrude { .. } => {
                let unknown = *refusal == Refusal::Ended(Unknown);
                return self.break_by(event, STRANGERS, !unknown);
            }
            Deed::Issue { .. } => None,
            Deed::IssueUnder { token, .. }
            | Deed::Authenticate { token, .. }
            | Deed::Change { token, .. }
            | Deed::Rotate { token, .. }
            | Deed::EndOverlap { token }
            | Deed::Revoke { token, reach: Reach::One }
            | Deed::Leak { token, .. }
            | Deed::Forget { token, reach: Reach::One } => Some(token),
            _ => return self.break_by(event, NOTHING_FAILS, true),
        };
        let explained = match (refusal, id) {
            (Refusal::LimitReached, _) => return self.limit_was_reached(event),
            (Refusal::LabelTaken, _) => return self.label_was_taken(id, event),
            (Refusal::Ended(reason), Some(id)) => return self.ended(id, *reason, event),
            (Refusal::Outside, Some(id)) => {
                self.good(id, event);
                return self.decided_by_networks(id, event);
            }
            (Refusal::Failed(_), _) | (_, None) => {
                return self.break_by(event, NOTHING_FAILS, true);
            }
            (Refusal::Conflict | Refusal::ParentChanged, Some(id)) => {
                let was_rotated = *refusal == Refusal::ParentChanged
                    && self.successors(id).any(|new| self.tokens[&new].born.maybe_before(span));
                was_rotated || self.maybe_out_of_use(id, span) || self.somebody_changed(id, span)
            }
            (Refusal::Rotated, Some(id)) => {
                // A change is refused whatever became of the overlap, a rotation if that is over.
                let is_over = matches!(event.deed, Deed::Change { .. })
                    || self.maybe_ended(id, span, Some(Superseded))
                    || self.maybe_idle(id, span);
                self.successors(id).any(|successor| {
                    is_over && self.tokens[&successor].born.maybe_before(span)
                        || self.maybe_out_of_use(successor, span)
                        || self.somebody_changed(successor, span)
                        || self.maybe_used(successor, span)
                })
            }
            (Refusal::Overlapping, Some(id)) => self.tokens.keys().any(|other| {
                // A host whose clock is behind accepts it for as long.
                let before = span.before - CLOCK_TOLERANCE.as_secs().cast_signed();
                *other != id
                    && self.family(*other) == self.family(id)
                    && !self.surely_ended(*other, Span { before, ..span })
                    && self.successors(*other).any(|new| self.tokens[&new].born.maybe_before(span))
            }),
            (Refusal::OverlapWithLess, Some(id)) => {
                let measures = self.it_and_successors(id, None);
                let is_less = |asked: Access| {
                    let is_more = |id: &TokenId| {
                        self.accesses(*id).maybe_by(span).any(|had| !asked.includes(had))
                    };
                    measures.iter().any(is_more)
                };
                asked_access(event).is_none_or(is_less)
            }
            (Refusal::NotUnderThis, Some(id)) => self.tokens[&id].made.derived_from().is_some(),
            (Refusal::NoLife, _) => asked_end(event).is_some_and(|end| end <= span.after),
            (Refusal::Derived, Some(id)) => {
                let is_later = |than: &i64| asked_end(event).is_some_and(|end| end > *than);
                self.tokens[&id].made.derived_from().is_some()
                    && self
                        .it_and_successors(id, None)
                        .iter()
                        .any(|id| self.own_ends(*id).before(span, is_later).0)
            }
            (Refusal::MoreAccess, Some(id)) => {
                let measures = self.it_and_successors(id, None);
                let accesses = measures.iter().map(|id| self.accesses(*id)).collect::<Vec<_>>();
                let had = || accesses.iter().flat_map(|accesses| accesses.maybe_by(span));
                match asked_access(event) {
                    Some(asked) => had().any(|had| !had.includes(&asked)),
                    // Two accesses that don't include each other.
                    None => had()
                        .any(|one| had().any(|other| !one.includes(other) && !other.includes(one))),
                }
            }
        };
        self.break_by(event, REFUSALS, !explained);
    }

    fn maybe_out_of_use(&self, id: TokenId, span: Span) -> bool {
        self.maybe_ended(id, span, None) || self.maybe_gone(id, span) || self.maybe_idle(id, span)
    }

    /// Whether a token or its unused successor was changed during a call.
    fn somebody_changed(&self, id: TokenId, span: Span) -> bool {
        let its = self.it_and_successors(id, None);
        self.history.events.iter().any(|event| {
            let concurrent = event.span.maybe_before(span) && span.maybe_before(event.span);
            concurrent
                && !event.span.is(span)
                && match event.deed {
                    Deed::Change { token, .. } | Deed::Rotate { token, .. } => {
                        event.answer.is_ok() && its.contains(&token)
                    }
                    Deed::EndOverlap { token } => self.family(token) == self.family(id),
                    Deed::Reseal => true,
                    _ => false,
                }
        }) || self.successors(id).any(|successor| {
            self.maybe_ended(successor, span, None) || self.maybe_used(successor, span)
        })
    }

    fn maybe_used(&self, id: TokenId, span: Span) -> bool {
        self.uses(id).any(|event| event.span.maybe_before(span))
            || self.successors(id).any(|other| self.tokens[&other].born.maybe_before(span))
    }

    fn issued(&mut self, label: &str, parent: Option<TokenId>, event: &Event) {
        let new = &event.tokens()[0];
        self.break_by(event, CHANGES_STAY, new.label().as_str() != label);
        let Some(parent) = parent else {
            return self.break_by(event, ATTRIBUTES_STAY, *new.attributes() != attributes(label));
        };
        self.good(parent, event);
        // It has those of the token under which it was issued.
        self.attributes_stay(parent, new.attributes(), event);
        self.access_is_current(parent, new.access(), event);
        let ends = self.own_ends(parent);
        let outlives = ends.current(event.span).all(|end| end_of(new) > *end);
        let family = self.family(parent);
        let was_rotated =
            self.successors(parent).any(|new| self.tokens[&new].born.surely_before(event.span));
        let is_within = !outlives && !was_rotated && new.derived_from() == Some(family);
        self.break_by(event, WITHIN_ANOTHER, !is_within);
    }

    fn rotated(&mut self, old: TokenId, turn: Turn, new: &TokenView, event: &Event) {
        let span = event.span;
        self.attributes_stay(old, new.attributes(), event);
        let others: Vec<(TokenId, &Event)> = self.other_winners(old, span).collect();
        let ends_at_once = |event: &Event| match event.deed {
            Deed::Rotate { turn, .. } => self.overlap(old, turn, event).1 == 0,
            _ => false,
        };
        let two_winners =
            ends_at_once(event) && others.iter().any(|(_, other)| ends_at_once(other));
        self.break_by(event, ONE_WINNER, two_winners);
        for (replaced, at) in &others {
            // A use by this process counts at once, and one by another process once it is written.
            // A third rotation may have come before the use.
            let third =
                others.iter().any(|(other, at)| other != replaced && at.span.maybe_before(span));
            let used = self
                .uses(*replaced)
                .any(|other| other.span.surely_before(span) && other.on == event.on);
            self.break_if(used && !third, USED_STAYS, || format!("{replaced} was used: {event:?}"));
            if at.span.surely_before(span) {
                // It was replaced by this one at the latest, so every change of it came before.
                let lost =
                    self.accesses(*replaced).0.iter().any(|(_, to)| !to.includes(new.access()));
                self.break_if(lost, CHANGES_STAY, || format!("{replaced} was narrowed: {event:?}"));
            }
        }
        let narrowed = self.accesses(old);
        let lost = narrowed.surely_by(span).any(|to| !to.includes(new.access()));
        self.break_if(lost, CHANGES_STAY, || format!("{old} was narrowed: {event:?}"));
        let measures = self.it_and_successors(old, Some(new.id()));
        let has_end =
            |id: &TokenId| self.own_ends(*id).maybe_by(span).any(|end| *end == end_of(new));
        let as_asked = turn.grant.is_none_or(|grant| *new.access() == grant.access())
            && turn.end.map_or(measures.iter().any(has_end), |end| end_of(new) == end);
        self.break_by(event, CHANGES_STAY, !as_asked);
        let is_later = |id: &TokenId| self.own_ends(*id).before(span, |was| *was < end_of(new)).1;
        let outlives = new.derived_from().is_some() && measures.iter().all(is_later);
        self.break_by(event, WITHIN_ANOTHER, outlives);
        // Nothing that the last one had is lost.
        let last = match &others[..] {
            [] => old,
            [(replaced, at)] if at.span.surely_before(span) => *replaced,
            _ => return,
        };
        let later = if last == old { span } else { END_OF_TIME };
        let label = self.labels(last).current(later).any(|label| *label == new.label().as_str());
        let end =
            turn.end.is_some() || self.own_ends(last).current(later).any(|end| *end == end_of(new));
        let may_do = turn.grant.is_some()
            || last != old
            || self.accesses(last).current(later).any(|access| access == new.access());
        self.break_if(!(label && end && may_do), CHANGES_STAY, || {
            format!("{last} was changed: {event:?}")
        });
    }

    /// Returns the other rotations of a token that succeeded, and the tokens they made.
    pub(super) fn other_winners(
        &self,
        old: TokenId,
        but: Span,
    ) -> impl Iterator<Item = (TokenId, &'h Event)> {
        let of_it = move |event: &&Event| {
            matches!(event.deed, Deed::Rotate { token, .. } if token == old) && !event.span.is(but)
        };
        let rotations = self.history.events.iter().filter(of_it);
        rotations.filter_map(|event| Some((event.tokens().first()?.id(), event)))
    }

    fn limit_was_reached(&mut self, event: &Event) {
        let span = event.span;
        let maybe_live = |token: &&Known<'_>| {
            let id = token.made.id();
            let mut successors = self.successors(id);
            self.is_of(token.made, event)
                && token.born.maybe_before(span)
                && !self.surely_ended(id, span)
                && !successors.any(|successor| self.tokens[&successor].born.surely_before(span))
        };
        let live = self.tokens.values().filter(maybe_live).count();
        let early = live < self.history.setting.limit as usize;
        self.break_if(early, LIMIT, || format!("at most {live} live tokens: {event:?}"));
    }

    fn label_was_taken(&mut self, id: Option<TokenId>, event: &Event) {
        let (label, family) = match event.deed {
            Deed::Issue { label, .. } | Deed::IssueUnder { label, .. } => (label, None),
            Deed::Change { change: Change::Rename(label), .. } => {
                (label, id.map(|id| self.family(id)))
            }
            _ => return self.break_by(event, LABELS, true),
        };
        let has_it = |token: &Known<'_>| {
            let id = token.made.id();
            self.is_of(token.made, event)
                && self.labels(id).maybe_by(event.span).any(|had| *had == label)
                && Some(token.made.family()) != family
                && !self.surely_ended(id, event.span)
        };
        let taken = self.history.setting.unique_labels && self.tokens.values().any(has_it);
        self.break_by(event, LABELS, !taken);
    }

    /// Whether a token belongs to the owner for whom something is issued or changed.
    fn is_of(&self, token: &TokenView, event: &Event) -> bool {
        match event.deed {
            Deed::Issue { owner, .. } => token.owner().as_str() == owner,
            Deed::IssueUnder { token: his, .. } | Deed::Change { token: his, .. } => {
                token.owner() == self.tokens[&his].made.owner()
            }
            _ => false,
        }
    }

    /// Checks that reuse is reported once an interval by each authority, and never without cause.
    fn reuse(&mut self, event: &Event) {
        let uncalled = event.reports > usize::from(is_reuse(event));
        self.break_by(event, REUSE, uncalled);
        if !is_reuse(event) {
            return;
        }
        let (span, interval) = (event.span, self.history.setting.interval);
        let mut others = self.history.events.iter().filter(|other| {
            let same = match (other.deed, event.deed) {
                (Deed::Authenticate { token, .. }, Deed::Authenticate { token: reused, .. }) => {
                    token == reused && other.on == event.on
                }
                _ => false,
            };
            same && other.reports > 0 && !other.span.is(span)
        });
        if event.reports == 0 {
            let reported = others.any(|other| {
                other.span.maybe_before(span) && span.before - other.span.after < interval
            });
            self.break_if(!reported, REUSE, || format!("nobody heard of {event:?}"));
        } else {
            // Of two calls at once, the later one by the clock may be recorded first.
            let stood = |clock: [i64; 3]| clock.iter().all(|second| *second == span.after);
            let twice = others.any(|other| {
                let Span { before, after, .. } = other.span;
                let in_order =
                    other.span.surely_before(span) || stood([before, after, span.before]);
                in_order && span.after - before < interval
            });
            self.break_if(twice, REUSE, || format!("reported once more: {event:?}"));
        }
    }

    /// Checks an access that was read: the token was made with it or narrowed to it, and it was not
    /// surely narrowed further before.
    fn access_is_current(&mut self, id: TokenId, seen: &Access, event: &Event) {
        let accesses = self.accesses(id);
        let too_much = accesses.surely_by(event.span).any(|to| !to.includes(seen));
        let is_known = accesses.current(event.span).any(|to| to == seen);
        self.break_if(too_much || !is_known, CHANGES_STAY, || {
            format!("{id} had {seen:?} for {event:?}")
        });
    }

    /// Checks that the networks that a token had during a call decided who was let in.
    fn decided_by_networks(&mut self, id: TokenId, event: &Event) {
        let Deed::Authenticate { from, .. } = event.deed else {
            return self.break_by(event, NOTHING_FAILS, true);
        };
        let is_let_in = event.answer.is_ok();
        let explained =
            self.accesses(id).current(event.span).any(|access| covers(access, from) == is_let_in);
        self.break_by(event, NETWORKS, !explained);
    }

    fn attributes_stay(&mut self, id: TokenId, seen: &Attributes, event: &Event) {
        let changed = seen != self.tokens[&id].made.attributes();
        self.break_by(event, ATTRIBUTES_STAY, changed);
    }

    /// Checks that what was read is what was written last, if that is certain.
    pub(super) fn is_current(&mut self, seen: &TokenView, event: &Event) {
        let (id, span) = (seen.id(), event.span);
        self.access_is_current(id, seen.access(), event);
        self.attributes_stay(id, seen.attributes(), event);
        let label = self.labels(id).current(span).any(|label| *label == seen.label().as_str());
        // A superseded token has the end of its overlap.
        let end = seen.successor().is_some()
            || self.own_ends(id).current(span).any(|end| *end == end_of(seen));
        self.break_if(!label || !end, CHANGES_STAY, || format!("{seen:?} for {event:?}"));
    }
}

/// A span after every call.
const END_OF_TIME: Span =
    Span { start: u64::MAX, end: u64::MAX, before: i64::MAX, after: i64::MAX };

fn asked_end(event: &Event) -> Option<i64> {
    match event.deed {
        Deed::Change { change: Change::Extend(end), .. } => Some(end),
        Deed::Rotate { turn, .. } => turn.end,
        _ => None,
    }
}

fn asked_access(event: &Event) -> Option<Access> {
    match event.deed {
        Deed::Change { change: Change::Narrow(grant), .. } => Some(grant.access()),
        Deed::Rotate { turn, .. } => turn.grant.map(Grant::access),
        Deed::IssueUnder { grant, .. } => Some(grant.access()),
        _ => None,
    }
}
