//! The rules that every history keeps, whatever the order in which the threads ran.
//!
//! What a call did happened at one instant between its two stamps. So a call *surely* came before another where it ended before
//! that began, and *maybe* where it began before that ended. A token must be good for a call that no end of it came before, not
//! even maybe; and it must be denied where one surely did.

use std::collections::BTreeMap;

use app_tokens::error::DenialReason::{self, Expired, Idle, Revoked, Superseded, Unknown};
use app_tokens::record::Status;
use app_tokens::{Access, TokenId};

use super::program::{Deed, Event, History, Line, Refusal, Span, Which};

pub(crate) const DENIED_AFTER_ITS_END: &str = "a token is denied after its end";
pub(crate) const GOOD_BEFORE_ITS_END: &str =
    "a token is good before its end, and says why it is not";
pub(crate) const ONE_WINNER: &str = "of rotations without overlap one succeeds";
pub(crate) const ONE_WAY_IN: &str = "a family has one token without a successor";
pub(crate) const USED_STAYS: &str = "a successor that was used is not replaced";
pub(crate) const CHANGES_STAY: &str = "a change is not lost";
pub(crate) const LIMIT: &str = "the limit holds, and only it refuses";
pub(crate) const LABELS: &str = "labels are unique where they must be, and only then refused";
pub(crate) const CONFLICTS: &str = "a conflict has somebody on the other side";
pub(crate) const USES_GO_FORWARDS: &str = "a last use goes forwards only";
pub(crate) const LISTS_ARE_WHOLE: &str = "a list has every token once, and revocations stay";
pub(crate) const NOTHING_FAILS: &str = "nothing fails";

/// A rule that a history broke, and where.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) how: String,
}

pub(crate) fn broken_rules(history: &History) -> Vec<Broken> {
    let mut check = Check::of(history);
    for event in &history.events {
        check.event(event);
    }
    check.families();
    check.lists();
    check.broken
}

impl Span {
    fn surely_before(self, other: Span) -> bool {
        self.end < other.start
    }

    fn maybe_before(self, other: Span) -> bool {
        self.start < other.end
    }
}

/// A token, and what made it.
struct Known<'h> {
    line: &'h Line,
    born: Span,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Issued,
    Under(TokenId),
    Rotated { old: TokenId },
}

/// Something that ends a token.
struct End {
    span: Span,
    /// Whether it does so in any order that the stamps allow.
    sure: bool,
    /// The engine's time from which it does: maybe, and surely. `None` is at once.
    from: Option<(i64, i64)>,
    reasons: &'static [DenialReason],
}

struct Check<'h> {
    history: &'h History,
    tokens: BTreeMap<TokenId, Known<'h>>,
    ends: BTreeMap<TokenId, Vec<End>>,
    broken: Vec<Broken>,
}

impl<'h> Check<'h> {
    fn of(history: &'h History) -> Check<'h> {
        let mut tokens = BTreeMap::new();
        for event in &history.events {
            let (line, origin) = match &event.deed {
                Deed::Issue { answer: Ok(line), .. } => (line, Origin::Issued),
                Deed::IssueUnder { parent, answer: Ok(line), .. } => (line, Origin::Under(*parent)),
                Deed::Rotate { id, answer: Ok(line), .. } => (line, Origin::Rotated { old: *id }),
                _ => continue,
            };
            tokens.insert(line.id, Known { line, born: event.span, origin });
        }
        let mut check = Check { history, tokens, ends: BTreeMap::new(), broken: Vec::new() };
        for (id, token) in &check.tokens {
            let ends = history.events.iter().filter_map(|event| check.end_by(token, event));
            check.ends.insert(*id, ends.collect());
        }
        check
    }

    fn break_if(&mut self, broken: bool, rule: &'static str, how: impl FnOnce() -> String) {
        if broken {
            self.broken.push(Broken { rule, how: how() });
        }
    }

    // -- when a token ends

    /// The first token of its line of rotations.
    fn first_of_line(&self, mut id: TokenId) -> &Known<'h> {
        loop {
            let token = &self.tokens[&id];
            match token.origin {
                Origin::Rotated { old } => id = old,
                _ => return token,
            }
        }
    }

    /// The token with which its line began, and if that was issued under another, the line of that.
    fn eldest(&self, id: TokenId) -> &Known<'h> {
        let first = self.first_of_line(id);
        match first.origin {
            Origin::Under(parent) => self.first_of_line(parent),
            _ => first,
        }
    }

    /// Whether and how an event ends a token.
    fn end_by(&self, token: &Known<'h>, event: &Event) -> Option<End> {
        let (id, line, span) = (token.line.id, token.line, event.span);
        let first = self.first_of_line(id);
        let eldest = self.eldest(id);
        let end = |sure, reasons| Some(End { span, sure, from: None, reasons });
        // What is issued under `parent` is ended with it, whichever came first: after it nothing is issued under it. Under another
        // token of that family something may be.
        let derived = |parent: TokenId, done: bool, reasons| {
            if line.derived_from != self.family(parent) || !first.born.maybe_before(span) {
                return None;
            }
            let was_there = first.origin == Origin::Under(parent) || first.born.surely_before(span);
            end(done && was_there, reasons)
        };
        // A successor can't escape, nor can what is being issued under a token that was there.
        let all = |done: bool, reasons| {
            let maybe = eldest.born.maybe_before(span);
            if maybe { end(done && eldest.born.surely_before(span), reasons) } else { None }
        };
        match &event.deed {
            Deed::Revoke { which, answer } => match *which {
                Which::One(ended) if ended == id => end(answer.is_ok(), &[Revoked]),
                Which::One(ended) => derived(ended, answer.is_ok(), &[Revoked]),
                Which::Family(family)
                    if [Some(line.family), line.derived_from].contains(&Some(family)) =>
                {
                    all(answer.is_ok(), &[Revoked])
                }
                Which::Family(_) => None,
                Which::All => all(answer.is_ok(), &[Revoked]),
            },
            Deed::Forget { which, answer } => match *which {
                Which::One(ended) if ended == id => end(answer.is_ok(), &[Revoked, Unknown]),
                Which::One(ended) => derived(ended, answer.is_ok(), &[Revoked]),
                Which::Family(_) => None,
                Which::All => all(answer.is_ok(), &[Revoked, Unknown]),
            },
            Deed::Rotate { id: old, overlap, answer: Ok(_) } if *old == id => {
                let from = (span.before + overlap, span.after + overlap);
                let from = (*overlap > 0).then_some(from);
                Some(End { span, sure: true, from, reasons: &[Superseded] })
            }
            // The unused successor of the same token gives way.
            Deed::Rotate { id: old, answer: Ok(new), .. }
                if token.origin == (Origin::Rotated { old: *old }) && new.id != id =>
            {
                end(token.born.surely_before(span), &[Revoked])
            }
            Deed::Rotate { id: old, overlap: 0, answer: Ok(_) } => derived(*old, true, &[Revoked]),
            // Here something may be issued under the same token after it.
            Deed::Narrow { id: parent, answer: Ok(_), .. } => {
                derived(*parent, first.born.surely_before(span), &[Revoked])
            }
            Deed::Authenticate { id: reused, answer: Err(Refusal::Ended(Superseded)) }
                if self.history.setting.reuse_ends_family =>
            {
                let family = self.family(*reused);
                if Some(line.family) == family || line.derived_from == family {
                    all(true, &[Revoked])
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn family(&self, id: TokenId) -> Option<TokenId> {
        self.tokens.get(&id).map(|token| token.line.family)
    }

    /// What surely ended it before a call, if anything did.
    fn surely_ended(&self, id: TokenId, span: Span) -> bool {
        let over = |end: &End| {
            end.sure
                && end.span.surely_before(span)
                && end.from.is_none_or(|(_, surely)| span.before >= surely)
        };
        span.before >= self.tokens[&id].line.expires || self.ends[&id].iter().any(over)
    }

    fn maybe_ended(&self, id: TokenId, span: Span, reason: Option<DenialReason>) -> bool {
        let over = |end: &End| {
            reason.is_none_or(|reason| end.reasons.contains(&reason))
                && end.span.maybe_before(span)
                && end.from.is_none_or(|(maybe, _)| span.after >= maybe)
        };
        let expired = span.after >= self.tokens[&id].line.expires;
        let expired = expired && reason.is_none_or(|reason| reason == Expired);
        expired || self.ends[&id].iter().any(over)
    }

    /// Whether a row may have been deleted.
    fn maybe_gone(&self, id: TokenId, span: Span) -> bool {
        let purged =
            self.history.events.iter().any(|event| {
                matches!(event.deed, Deed::Purge { .. }) && event.span.maybe_before(span)
            });
        self.maybe_ended(id, span, Some(Unknown)) || purged && self.maybe_ended(id, span, None)
    }

    /// Whether it may have gone unused for too long.
    fn maybe_idle(&self, id: TokenId, span: Span) -> bool {
        let setting = &self.history.setting;
        let Some(idle) = setting.idle else {
            return false;
        };
        let lately = |used: Span| {
            used.surely_before(span) && used.before - setting.interval + idle > span.after
        };
        let used = self.history.events.iter().any(|event| {
            matches!(&event.deed, Deed::Authenticate { id: used, answer: Ok(_) } if *used == id)
                && lately(event.span)
        });
        // What another process saw and has not written is not known.
        span.after >= self.tokens[&id].born.before + idle && (!used || setting.authorities > 1)
    }

    // -- what each call says

    fn good(&mut self, id: TokenId, event: &Event) {
        let ended = self.surely_ended(id, event.span);
        self.break_if(ended, DENIED_AFTER_ITS_END, || format!("{id} was good for {event:?}"));
    }

    fn ended(&mut self, id: TokenId, reason: DenialReason, event: &Event) {
        let span = event.span;
        let explained = match reason {
            Unknown => self.maybe_gone(id, span),
            Expired => span.after >= self.tokens[&id].line.expires,
            Idle => self.maybe_idle(id, span),
            Revoked | Superseded => self.maybe_ended(id, span, Some(reason)),
            _ => false,
        };
        self.break_if(!explained, GOOD_BEFORE_ITS_END, || {
            format!("{id} was {reason:?} for {event:?}")
        });
    }

    fn event(&mut self, event: &Event) {
        match &event.deed {
            Deed::Issue { answer, label } => self.issued(answer, label, None, event),
            Deed::IssueUnder { parent, answer, label } => {
                self.issued(answer, label, Some(*parent), event);
            }
            Deed::Authenticate { id, answer } => match answer {
                Ok(access) => {
                    self.good(*id, event);
                    self.access_is_current(*id, access, event);
                }
                Err(refusal) => self.refused(*id, refusal, event),
            },
            Deed::Rename { id, answer, .. } | Deed::Narrow { id, answer, .. } => match answer {
                Ok(line) => {
                    self.good(*id, event);
                    self.access_is_current(*id, &line.access, event);
                    self.label_is_current(*id, &line.label, event);
                }
                Err(refusal) => self.refused(*id, refusal, event),
            },
            Deed::Rotate { id, overlap, answer } => match answer {
                Ok(line) => {
                    self.good(*id, event);
                    self.rotated(*id, *overlap, line, event);
                }
                Err(refusal) => self.refused(*id, refusal, event),
            },
            Deed::Revoke { which: Which::One(id), answer }
            | Deed::Forget { which: Which::One(id), answer } => {
                if let Err(refusal) = answer {
                    self.refused(*id, refusal, event);
                }
            }
            Deed::Revoke { answer, .. } | Deed::Forget { answer, .. } => {
                self.nothing_fails(answer, event);
            }
            Deed::Flush { answer } | Deed::Purge { answer } | Deed::Reseal { answer } => {
                self.nothing_fails(answer, event);
            }
            Deed::List { answer } => {
                self.nothing_fails(answer, event);
                self.listed(answer.as_deref().unwrap_or_default(), event);
            }
            Deed::Advance => {}
        }
    }

    fn nothing_fails<T>(&mut self, answer: &Result<T, Refusal>, event: &Event) {
        self.break_if(answer.is_err(), NOTHING_FAILS, || format!("{event:?}"));
    }

    fn refused(&mut self, id: TokenId, refusal: &Refusal, event: &Event) {
        let span = event.span;
        match refusal {
            Refusal::Ended(reason) => self.ended(id, *reason, event),
            Refusal::Failed(_) => self.break_if(true, NOTHING_FAILS, || format!("{event:?}")),
            Refusal::Conflict | Refusal::ParentChanged => {
                let explained = self.maybe_ended(id, span, None)
                    || self.maybe_gone(id, span)
                    || self.maybe_idle(id, span)
                    || self.somebody_changed(id, span);
                self.break_if(!explained, CONFLICTS, || format!("{event:?}"));
            }
            Refusal::Rotated => {
                let explained = self.successors(id).any(|successor| {
                    self.maybe_ended(successor, span, None)
                        || self.maybe_idle(successor, span)
                        || self.somebody_changed(successor, span)
                        || self.maybe_used(successor, span)
                });
                self.break_if(!explained, CONFLICTS, || format!("{event:?}"));
            }
            Refusal::MoreAccess => {
                let Deed::Narrow { access: asked, .. } = &event.deed else {
                    return;
                };
                let birth = &self.tokens[&id].line.access;
                let forbids =
                    |(at, to): &(Span, &Access)| at.maybe_before(span) && !to.includes(asked);
                let explained = !birth.includes(asked) || self.narrowed(id).iter().any(forbids);
                self.break_if(!explained, CHANGES_STAY, || format!("{event:?}"));
            }
            Refusal::LabelTaken => self.label_was_taken(Some(id), event),
            Refusal::LimitReached | Refusal::NotUnderThis => {
                self.break_if(true, NOTHING_FAILS, || format!("{event:?}"));
            }
        }
    }

    fn issued(
        &mut self,
        answer: &Result<Line, Refusal>,
        label: &str,
        parent: Option<TokenId>,
        event: &Event,
    ) {
        let line = match (answer, parent) {
            (Ok(line), _) => line,
            (Err(Refusal::LimitReached), _) => {
                let span = event.span;
                let maybe_live = |token: &&Known<'_>| {
                    let id = token.line.id;
                    let superseded = |event: &Event| {
                        matches!(event.deed, Deed::Rotate { id: old, answer: Ok(_), .. } if old == id)
                            && event.span.surely_before(span)
                    };
                    token.born.maybe_before(span)
                        && !self.surely_ended(id, span)
                        && !self.history.events.iter().any(superseded)
                };
                let live = self.tokens.values().filter(maybe_live).count();
                let early = live < self.history.setting.limit as usize;
                self.break_if(early, LIMIT, || format!("at most {live} live tokens: {event:?}"));
                return;
            }
            (Err(Refusal::LabelTaken), _) => return self.label_was_taken(None, event),
            (Err(Refusal::NotUnderThis), Some(parent)) => {
                let is_derived = self.tokens[&parent].line.derived_from.is_some();
                return self.break_if(!is_derived, NOTHING_FAILS, || format!("{event:?}"));
            }
            (Err(refusal), Some(parent)) => return self.refused(parent, refusal, event),
            (Err(_), None) => {
                return self.break_if(true, NOTHING_FAILS, || format!("{event:?}"));
            }
        };
        self.break_if(line.label != label, CHANGES_STAY, || format!("{event:?}"));
        if let Some(parent) = parent {
            self.good(parent, event);
            self.access_is_current(parent, &line.access, event);
            let family = self.family(parent);
            let later = line.expires > self.tokens[&parent].line.expires;
            self.break_if(later || line.derived_from != family, NOTHING_FAILS, || {
                format!("{event:?}")
            });
        }
    }

    fn rotated(&mut self, old: TokenId, overlap: i64, new: &Line, event: &Event) {
        let span = event.span;
        let mut other_winners = Vec::new();
        for other in &self.history.events {
            let Deed::Rotate { id, overlap: its, answer: Ok(line) } = &other.deed else {
                continue;
            };
            if *id == old && line.id != new.id {
                other_winners.push((*its, line.id, other.span));
            }
        }
        let two_winners = overlap == 0 && other_winners.iter().any(|(its, ..)| *its == 0);
        self.break_if(two_winners, ONE_WINNER, || format!("{event:?}"));
        for (_, replaced, at) in &other_winners {
            // What this process let in before is a use; what another one did is known when it was written. A third rotation may
            // have taken the place before the use.
            let third = other_winners
                .iter()
                .any(|(_, other, at)| other != replaced && at.maybe_before(span));
            let used = self.history.events.iter().any(|other| {
                matches!(&other.deed, Deed::Authenticate { id, answer: Ok(_) } if id == replaced)
                    && other.span.surely_before(span)
                    && other.on == event.on
            });
            self.break_if(used && !third, USED_STAYS, || format!("{replaced} was used: {event:?}"));
            if at.surely_before(span) {
                // It gave way to this one at the latest, so every change of it came before.
                let lost = self.narrowed(*replaced).iter().any(|(_, to)| !to.includes(&new.access));
                self.break_if(lost, CHANGES_STAY, || format!("{replaced} was narrowed: {event:?}"));
            }
        }
        if other_winners.is_empty() {
            self.access_is_current(old, &new.access, event);
            self.label_is_current(old, &new.label, event);
        } else if let [(_, replaced, at)] = other_winners[..]
            && at.surely_before(span)
        {
            let lost = self.overwritten_in_the_end(replaced, &new.label);
            self.break_if(lost, CHANGES_STAY, || format!("{replaced} was renamed: {event:?}"));
        }
    }

    fn label_was_taken(&mut self, own: Option<TokenId>, event: &Event) {
        let label = match event.deed {
            Deed::Issue { label, .. }
            | Deed::IssueUnder { label, .. }
            | Deed::Rename { label, .. } => label,
            _ => return,
        };
        let family = own.and_then(|id| self.family(id));
        let span = event.span;
        let has_it = |token: &Known<'_>| {
            let id = token.line.id;
            let had_it = |(at, had): &(Span, &str)| *had == label && at.maybe_before(span);
            self.labels(id).iter().any(had_it)
                && Some(token.line.family) != family
                && !self.surely_ended(id, span)
        };
        let taken = self.history.setting.unique_labels && self.tokens.values().any(has_it);
        self.break_if(!taken, LABELS, || format!("{event:?}"));
    }

    // -- changes

    fn narrowed(&self, id: TokenId) -> Vec<(Span, &'h Access)> {
        let narrowed = |event: &'h Event| match &event.deed {
            Deed::Narrow { id: other, access, answer: Ok(_) } if *other == id => {
                Some((event.span, access))
            }
            _ => None,
        };
        self.history.events.iter().filter_map(narrowed).collect()
    }

    /// The labels that it had, beginning with the one that it was made with.
    fn labels(&self, id: TokenId) -> Vec<(Span, &'h str)> {
        let token = &self.tokens[&id];
        let made = (token.born, token.line.label.as_str());
        let renamed = |event: &'h Event| match &event.deed {
            Deed::Rename { id: other, label, answer: Ok(_) } if *other == id => {
                Some((event.span, *label))
            }
            _ => None,
        };
        let renamed = self.history.events.iter().filter_map(renamed);
        std::iter::once(made).chain(renamed).collect()
    }

    fn successors(&self, id: TokenId) -> impl Iterator<Item = TokenId> {
        let of_it = move |token: &&Known<'_>| token.origin == (Origin::Rotated { old: id });
        self.tokens.values().filter(of_it).map(|token| token.line.id)
    }

    /// Whether a token, or its unused successor, was changed while a call ran.
    fn somebody_changed(&self, id: TokenId, span: Span) -> bool {
        let concurrent = |other: Span| other.maybe_before(span) && span.maybe_before(other);
        self.history.events.iter().any(|event| {
            let changed = match &event.deed {
                Deed::Rename { id: other, answer: Ok(_), .. }
                | Deed::Narrow { id: other, answer: Ok(_), .. }
                | Deed::Rotate { id: other, answer: Ok(_), .. } => *other,
                Deed::Reseal { .. } => return concurrent(event.span),
                _ => return false,
            };
            let its = changed == id || self.successors(id).any(|successor| successor == changed);
            its && concurrent(event.span) && event.span.start != span.start
        }) || self.successors(id).any(|successor| {
            self.maybe_ended(successor, span, None) || self.maybe_used(successor, span)
        })
    }

    fn maybe_used(&self, id: TokenId, span: Span) -> bool {
        self.history.events.iter().any(|event| {
            matches!(&event.deed, Deed::Authenticate { id: used, answer: Ok(_) }
                | Deed::Rotate { id: used, answer: Ok(_), .. } if *used == id)
                && event.span.maybe_before(span)
        })
    }

    /// An access that was read is what a token was made with or narrowed to, and no more than it surely was narrowed to before.
    fn access_is_current(&mut self, id: TokenId, seen: &Access, event: &Event) {
        let span = event.span;
        let made_with = &self.tokens[&id].line.access;
        let narrowed = self.narrowed(id);
        let too_much = narrowed.iter().any(|(at, to)| at.surely_before(span) && !to.includes(seen));
        let from_nowhere = seen != made_with
            && !narrowed.iter().any(|(at, to)| at.maybe_before(span) && *to == seen);
        self.break_if(too_much || from_nowhere, CHANGES_STAY, || {
            format!("{id} had {seen:?} for {event:?}")
        });
    }

    /// A label that was read is the last one, as far as that is sure.
    fn label_is_current(&mut self, id: TokenId, seen: &str, event: &Event) {
        let span = event.span;
        let labels = self.labels(id);
        let current = |(at, _): &&(Span, &str)| {
            let overwritten =
                |(later, _): &(Span, &str)| at.surely_before(*later) && later.surely_before(span);
            at.maybe_before(span) && !labels.iter().any(overwritten)
        };
        let is_known = labels.iter().filter(current).any(|(_, label)| *label == seen);
        self.break_if(!is_known, CHANGES_STAY, || format!("{id} was {seen:?} for {event:?}"));
    }

    /// Whether a token surely had another label when all was done.
    fn overwritten_in_the_end(&self, id: TokenId, label: &str) -> bool {
        let labels = self.labels(id);
        let last =
            |(at, _): &&(Span, &str)| !labels.iter().any(|(later, _)| at.surely_before(*later));
        !labels.iter().filter(last).any(|(_, last)| *last == label)
    }

    // -- lists

    fn listed(&mut self, lines: &[Line], event: &Event) {
        let span = event.span;
        for line in lines {
            if !self.tokens.contains_key(&line.id) {
                self.break_if(true, LISTS_ARE_WHOLE, || format!("{} is unknown", line.id));
                continue;
            }
            match line.status {
                Some(Status::Active) => self.good(line.id, event),
                Some(Status::Idle) => self.ended(line.id, Idle, event),
                Some(Status::Expired) => self.ended(line.id, Expired, event),
                Some(Status::Superseded) => self.ended(line.id, Superseded, event),
                Some(Status::Revoked) => self.ended(line.id, Revoked, event),
                Some(Status::Tampered) | None => {
                    self.break_if(true, GOOD_BEFORE_ITS_END, || format!("{line:?}"));
                }
            }
            self.access_is_current(line.id, &line.access, event);
            self.label_is_current(line.id, &line.label, event);
            let successor_is_its = line.successor.is_none_or(|successor| {
                self.tokens.get(&successor).is_some_and(|successor| {
                    successor.origin == (Origin::Rotated { old: line.id })
                        && successor.born.maybe_before(span)
                })
            });
            let born_later = !self.tokens[&line.id].born.maybe_before(span);
            let forgotten = |other: &Event| {
                matches!(other.deed, Deed::Forget { which: Which::One(id), answer: Ok(_) } if id == line.id)
                    && other.span.surely_before(span)
            };
            let forgotten = self.history.events.iter().any(forgotten);
            self.break_if(!successor_is_its || born_later || forgotten, LISTS_ARE_WHOLE, || {
                format!("{line:?} in {event:?}")
            });
        }
        let missing: Vec<TokenId> = self
            .tokens
            .values()
            .filter(|token| token.born.surely_before(span))
            .map(|token| token.line.id)
            .filter(|id| lines.iter().all(|line| line.id != *id) && !self.maybe_gone(*id, span))
            .collect();
        self.break_if(!missing.is_empty(), LISTS_ARE_WHOLE, || {
            format!("{missing:?} are not in {event:?}")
        });
        self.live_lines(lines, event);
    }

    /// A list shows one instant.
    fn live_lines(&mut self, lines: &[Line], event: &Event) {
        let live: Vec<&Line> = lines.iter().filter(|line| line.is_live(event.span.after)).collect();
        let limit = self.history.setting.limit as usize;
        self.break_if(live.len() > limit, LIMIT, || format!("more than {limit}: {event:?}"));
        for (place, line) in live.iter().enumerate() {
            for other in &live[..place] {
                let of_one_family = line.family == other.family;
                self.break_if(of_one_family, ONE_WAY_IN, || {
                    format!("{} and {} in {event:?}", line.id, other.id)
                });
                let alike = self.history.setting.unique_labels && line.label == other.label;
                self.break_if(alike && !of_one_family, LABELS, || {
                    format!("{} and {} in {event:?}", line.id, other.id)
                });
            }
        }
    }

    /// A family that nobody ended has just one way in when all is done.
    fn families(&mut self) {
        let lists = self.history.events.iter().rev();
        let last = lists.filter_map(|event| match &event.deed {
            Deed::List { answer: Ok(lines) } => Some((event.span, lines)),
            _ => None,
        });
        let Some((span, lines)) = last.into_iter().next() else {
            return;
        };
        for token in self.tokens.values().filter(|token| token.line.family == token.line.id) {
            let family = token.line.family;
            let mut members = self.tokens.values().filter(|member| member.line.family == family);
            let unended = members.all(|member| {
                let id = member.line.id;
                let rotation = |end: &End| {
                    let others = self.history.events.iter().any(|event| {
                        event.span.start == end.span.start
                            && matches!(event.deed, Deed::Rotate { id: old, .. }
                                if self.family(old) == Some(family))
                    });
                    !others
                };
                span.after < member.line.expires && !self.ends[&id].iter().any(rotation)
            });
            let ways = lines
                .iter()
                .filter(|line| line.family == family && line.is_live(span.after))
                .count();
            if unended && ways != 1 {
                let how = format!("family {family} has {ways} ways in");
                self.broken.push(Broken { rule: ONE_WAY_IN, how });
            }
        }
    }

    /// From one list to a later one, and from a use to a list.
    fn lists(&mut self) {
        let lists: Vec<(&Event, &Vec<Line>)> = self
            .history
            .events
            .iter()
            .filter_map(|event| match &event.deed {
                Deed::List { answer: Ok(lines) } => Some((event, lines)),
                _ => None,
            })
            .collect();
        // A use that is hours ahead of a flush that is on its way is not believed by the store.
        let jumps = self.history.setting.idle.is_some();
        for (later, lines) in &lists {
            for line in *lines {
                let earlier = lists.iter().filter(|(list, _)| list.span.surely_before(later.span));
                for (list, before) in
                    earlier.flat_map(|(list, lines)| lines.iter().map(move |line| (list, line)))
                {
                    if before.id != line.id {
                        continue;
                    }
                    let back = list.on == later.on && before.last_use > line.last_use;
                    let revived =
                        before.revocation.is_some() && before.revocation != line.revocation;
                    self.break_if(back && !jumps, USES_GO_FORWARDS, || {
                        format!("{before:?}, {line:?}")
                    });
                    self.break_if(revived, LISTS_ARE_WHOLE, || format!("{before:?}, {line:?}"));
                }
                let own_notes =
                    self.history.setting.authorities == 1 || self.history.setting.interval == 0;
                let missed = own_notes && self.history.events.iter().any(|event| {
                    matches!(&event.deed, Deed::Authenticate { id, answer: Ok(_) } if *id == line.id)
                        && event.on == later.on
                        && event.span.surely_before(later.span)
                        && line.last_use.is_none_or(|at| {
                            at + self.history.setting.interval.max(1) <= event.span.before
                        })
                });
                self.break_if(missed && !jumps, USES_GO_FORWARDS, || {
                    format!("{line:?} in {later:?}")
                });
            }
        }
    }
}
