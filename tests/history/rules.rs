//! The rules that every history keeps, in whatever order the threads ran.
//!
//! A call takes effect at one instant between its two stamps. So a call *surely* came before
//! another if it ended before the other began. It *maybe* came before if it began before the other
//! ended. A token must be good if nothing, not even maybe, ended it before the call. It must be
//! denied if something surely did.

use std::collections::BTreeMap;

use app_tokens::error::DenialReason::{self, Expired, Idle, Revoked, Superseded, Unknown};
use app_tokens::record::Status;
use app_tokens::store::CLOCK_TOLERANCE;
use app_tokens::{Access, TokenId, TokenView};

use super::program::{
    Change, DAY, Deed, Event, History, Reach, Refusal, Shown, Span, Turn, access, end_of,
};

pub(crate) const DENIED_AFTER_ITS_END: &str = "a token is denied after its end";
pub(crate) const GOOD_BEFORE_ITS_END: &str =
    "a token is good before its end, and says why it is not";
pub(crate) const ONE_WINNER: &str = "of rotations without overlap one succeeds";
pub(crate) const ONE_WAY_IN: &str = "a family has one token without a successor";
pub(crate) const USED_STAYS: &str = "a successor that was used is not replaced";
pub(crate) const CHANGES_STAY: &str = "a change is not lost";
pub(crate) const WITHIN_ANOTHER: &str = "a token has no more than the one that it came from";
pub(crate) const LINE_STAYS_SHUT: &str =
    "no token of a line is good after a revoke of any of them, whatever rotation was in flight";
pub(crate) const LIMIT: &str = "the limit holds, and only it refuses";
pub(crate) const LABELS: &str = "labels are unique where they must be, and only then refused";
pub(crate) const REFUSALS: &str = "a refusal has a cause";
pub(crate) const STRANGERS: &str = "another owner's token is unknown";
pub(crate) const LEAKS: &str = "a leak proves the whole secret";
pub(crate) const REUSE: &str = "a reuse is reported, once an interval";
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
    check.shut_lines();
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

    fn is(self, other: Span) -> bool {
        self.start == other.start
    }
}

/// A token as it was made, when, and by which call.
struct Known<'h> {
    made: &'h TokenView,
    born: Span,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq)]
enum Origin {
    Issued,
    Under(TokenId),
    Rotated { old: TokenId },
}

/// A call that ends a token.
struct End {
    span: Span,
    /// Whether it does so in every order that the stamps allow.
    sure: bool,
    /// From when it does so, by the engine's clock: maybe, and surely. `None` is at once.
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
            let origin = match event.deed {
                Deed::Issue { .. } => Origin::Issued,
                Deed::IssueUnder { token, .. } => Origin::Under(token),
                Deed::Rotate { token, .. } => Origin::Rotated { old: token },
                _ => continue,
            };
            for made in event.tokens() {
                tokens.insert(made.id(), Known { made, born: event.span, origin });
            }
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

    fn break_by(&mut self, event: &Event, rule: &'static str, broken: bool) {
        self.break_if(broken, rule, || format!("{event:?}"));
    }

    fn family(&self, id: TokenId) -> TokenId {
        self.tokens[&id].made.family()
    }

    // -- what a token was made with and changed to

    fn written<T>(
        &self,
        id: TokenId,
        made: impl Fn(&'h TokenView) -> T,
        changed: impl Fn(Change) -> Option<T>,
    ) -> Written<T> {
        let token = &self.tokens[&id];
        let changes = self.history.events.iter().filter_map(|event| match event.deed {
            Deed::Change { token, change } if token == id && event.answer.is_ok() => {
                Some((event.span, changed(change)?))
            }
            _ => None,
        });
        Written(std::iter::once((token.born, made(token.made))).chain(changes).collect())
    }

    fn labels(&self, id: TokenId) -> Written<&'h str> {
        let changed = |change| match change {
            Change::Rename(label) => Some(label),
            _ => None,
        };
        self.written(id, |made| made.label().as_str(), changed)
    }

    fn accesses(&self, id: TokenId) -> Written<Access> {
        let changed = |change| match change {
            Change::Narrow(scopes) => Some(access(scopes)),
            _ => None,
        };
        self.written(id, |made| made.access().clone(), changed)
    }

    /// Returns the ends it was given, without the end of an overlap.
    fn own_ends(&self, id: TokenId) -> Written<i64> {
        let changed = |change| match change {
            Change::Extend(end) => Some(end),
            _ => None,
        };
        self.written(id, end_of, changed)
    }

    /// Returns the tokens that rotations of this one made.
    fn successors(&self, id: TokenId) -> impl Iterator<Item = TokenId> {
        let of_it = move |token: &&Known<'_>| token.origin == (Origin::Rotated { old: id });
        self.tokens.values().filter(of_it).map(|token| token.made.id())
    }

    /// Returns a token and its other successors: a rotation may measure the new token by any of
    /// them.
    fn it_and_successors(&self, id: TokenId, but: Option<TokenId>) -> Vec<TokenId> {
        let others = self.successors(id).filter(|successor| Some(*successor) != but);
        std::iter::once(id).chain(others).collect()
    }

    // -- when a token ends

    /// Returns the first token of its line.
    fn first_of_line(&self, mut id: TokenId) -> &Known<'h> {
        loop {
            let token = &self.tokens[&id];
            match token.origin {
                Origin::Rotated { old } => id = old,
                _ => return token,
            }
        }
    }

    /// Returns the token it came from, by rotation or by issuing under one.
    fn eldest(&self, id: TokenId) -> &Known<'h> {
        let first = self.first_of_line(id);
        match first.origin {
            Origin::Under(parent) => self.first_of_line(parent),
            _ => first,
        }
    }

    /// Whether a revocation of all others may have spared a derived token. It then lives on without
    /// its parents.
    fn is_spared(&self, token: &TokenView) -> bool {
        let spared = |event: &Event| {
            matches!(event.deed, Deed::Revoke { token: spared, reach: Reach::Others }
                if self.family(spared) == token.family())
        };
        token.derived_from().is_some() && self.history.events.iter().any(spared)
    }

    /// Returns how an event ends a token, if it does.
    fn end_by(&self, token: &Known<'h>, event: &Event) -> Option<End> {
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
            Deed::Authenticate { token }
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
    fn overlap(&self, old: TokenId, turn: Turn, event: &Event) -> (i64, i64) {
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
    fn takes_away(&self, id: TokenId, event: &Event) -> (bool, bool) {
        let span = event.span;
        match event.deed {
            Deed::Change { change: Change::Narrow(scopes), .. } => {
                self.accesses(id).before(span, |was| !access(scopes).includes(was))
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
    fn expired(&self, id: TokenId, span: Span) -> (bool, bool) {
        let ends = self.own_ends(id);
        let maybe = ends.current(span).any(|end| span.after >= *end);
        (maybe, ends.current(span).all(|end| span.before >= *end))
    }

    /// Whether something surely ended it before a call.
    fn surely_ended(&self, id: TokenId, span: Span) -> bool {
        let over = |end: &End| {
            end.sure
                && end.span.surely_before(span)
                && end.from.is_none_or(|(_, surely)| span.before >= surely)
        };
        self.expired(id, span).1 || self.ends[&id].iter().any(over)
    }

    fn maybe_ended(&self, id: TokenId, span: Span, reason: Option<DenialReason>) -> bool {
        let (expired, _) = self.expired(id, span);
        let over = |end: &End| {
            reason.is_none_or(|reason| end.reasons.contains(&reason))
                && end.span.maybe_before(span)
                && (expired || end.from.is_none_or(|(maybe, _)| span.after >= maybe))
        };
        expired && reason.is_none_or(|reason| reason == Expired) || self.ends[&id].iter().any(over)
    }

    /// Whether a row may have been deleted.
    fn maybe_gone(&self, id: TokenId, span: Span) -> bool {
        let purges =
            |event: &Event| matches!(event.deed, Deed::Purge) && event.span.maybe_before(span);
        let purged = self.history.events.iter().any(purges);
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
        let used = self.uses(id).any(|event| lately(event.span));
        // A use that another process has not written yet is unknown.
        span.after >= self.tokens[&id].born.before + idle && (!used || setting.authorities > 1)
    }

    fn uses(&self, id: TokenId) -> impl Iterator<Item = &'h Event> {
        let of_it =
            move |event: &&Event| matches!(event.deed, Deed::Authenticate { token } if token == id);
        self.history.events.iter().filter(of_it).filter(|event| event.answer.is_ok())
    }

    // -- what each call says

    fn event(&mut self, event: &Event) {
        let span = event.span;
        self.reuse(event);
        if let Some(refusal) = event.answer.as_ref().err() {
            return self.refused(refusal, event);
        }
        match event.deed {
            Deed::Issue { label, .. } => self.issued(label, None, event),
            Deed::IssueUnder { token, label, .. } => self.issued(label, Some(token), event),
            Deed::Authenticate { token } => {
                self.good(token, event);
                if let Ok(Shown::Access(access)) = &event.answer {
                    self.access_is_current(token, access, event);
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

    fn good(&mut self, id: TokenId, event: &Event) {
        let ended = self.surely_ended(id, event.span);
        self.break_if(ended, DENIED_AFTER_ITS_END, || format!("{id} was good for {event:?}"));
    }

    fn ended(&mut self, id: TokenId, reason: DenialReason, event: &Event) {
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
            | Deed::Authenticate { token }
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
            (Refusal::Failed(_), _) | (_, None) => {
                return self.break_by(event, NOTHING_FAILS, true);
            }
            (Refusal::Conflict | Refusal::ParentChanged, Some(id)) => {
                let was_rotated = *refusal == Refusal::ParentChanged
                    && self.successors(id).any(|new| self.tokens[&new].born.maybe_before(span));
                was_rotated || self.maybe_out_of_use(id, span) || self.somebody_changed(id, span)
            }
            (Refusal::Rotated, Some(id)) => {
                let is_extended = matches!(event.deed, Deed::Change { .. });
                self.successors(id).any(|successor| {
                    is_extended && self.tokens[&successor].born.maybe_before(span)
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
            return;
        };
        self.good(parent, event);
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
        let as_asked = turn.scopes.is_none_or(|scopes| *new.access() == access(scopes))
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
        let may_do = turn.scopes.is_some()
            || last != old
            || self.accesses(last).current(later).any(|access| access == new.access());
        self.break_if(!(label && end && may_do), CHANGES_STAY, || {
            format!("{last} was changed: {event:?}")
        });
    }

    /// Returns the other rotations of a token that succeeded, and the tokens they made.
    fn other_winners(&self, old: TokenId, but: Span) -> impl Iterator<Item = (TokenId, &'h Event)> {
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
                (Deed::Authenticate { token }, Deed::Authenticate { token: reused }) => {
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

    /// Checks that what was read is what was written last, if that is certain.
    fn is_current(&mut self, seen: &TokenView, event: &Event) {
        let (id, span) = (seen.id(), event.span);
        self.access_is_current(id, seen.access(), event);
        let label = self.labels(id).current(span).any(|label| *label == seen.label().as_str());
        // A superseded token has the end of its overlap.
        let end = seen.successor().is_some()
            || self.own_ends(id).current(span).any(|end| *end == end_of(seen));
        self.break_if(!label || !end, CHANGES_STAY, || format!("{seen:?} for {event:?}"));
    }

    // -- lists

    fn listed(&mut self, owner: Option<&str>, event: &Event) {
        let span = event.span;
        let lines = event.tokens();
        let is_meant =
            |token: &TokenView| owner.is_none_or(|owner| token.owner().as_str() == owner);
        for line in lines {
            let id = line.id();
            self.break_if(!is_meant(line), STRANGERS, || format!("{line:?} in {event:?}"));
            if !self.tokens.contains_key(&id) {
                self.break_if(true, LISTS_ARE_WHOLE, || format!("{id} is unknown"));
                continue;
            }
            match line.status() {
                Some(Status::Active) => self.good(id, event),
                Some(Status::Idle) => self.ended(id, Idle, event),
                Some(Status::Expired) => self.ended(id, Expired, event),
                Some(Status::Superseded) => self.ended(id, Superseded, event),
                Some(Status::Revoked) => self.ended(id, Revoked, event),
                Some(Status::Tampered) | None => {
                    self.break_if(true, GOOD_BEFORE_ITS_END, || format!("{line:?}"));
                }
            }
            self.is_current(line, event);
            let successor_is_its = line.successor().is_none_or(|successor| {
                self.tokens.get(&successor).is_some_and(|successor| {
                    successor.origin == (Origin::Rotated { old: id })
                        && successor.born.maybe_before(span)
                })
            });
            let born_later = !self.tokens[&id].born.maybe_before(span);
            let forgotten = self.history.events.iter().any(|other| {
                matches!(other.deed, Deed::Forget { token, reach: Reach::One } if token == id)
                    && other.answer.is_ok()
                    && other.span.surely_before(span)
            });
            self.break_if(!successor_is_its || born_later || forgotten, LISTS_ARE_WHOLE, || {
                format!("{line:?} in {event:?}")
            });
        }
        let missing: Vec<TokenId> = self
            .tokens
            .values()
            .filter(|token| is_meant(token.made) && token.born.surely_before(span))
            .map(|token| token.made.id())
            .filter(|id| lines.iter().all(|line| line.id() != *id) && !self.maybe_gone(*id, span))
            .collect();
        self.break_if(!missing.is_empty(), LISTS_ARE_WHOLE, || {
            format!("{missing:?} are not in {event:?}")
        });
        self.one_instant(lines, event);
    }

    /// Checks that a list shows one instant.
    fn one_instant(&mut self, lines: &[TokenView], event: &Event) {
        let now = event.span.after;
        let living = |line: &&TokenView| line.revocation().is_none() && now < end_of(line);
        for derived in lines.iter().filter(living) {
            let Some(family) = derived.derived_from() else {
                continue;
            };
            let above = lines.iter().any(|line| {
                line.family() == family
                    && line.revocation().is_none()
                    && line.access().includes(derived.access())
                    && end_of(line) >= end_of(derived)
            });
            let above = above || self.is_spared(derived);
            self.break_if(!above, WITHIN_ANOTHER, || format!("{derived:?} in {event:?}"));
        }
        // A token that was unused for the time-out and a day doesn't count for the limit. A use of
        // it may wait even longer to be written, so only young tokens surely count.
        let is_in_use = |line: &TokenView| {
            let idle = self.history.setting.idle;
            idle.is_none_or(|idle| line.created_at().as_unix() > now - idle - DAY)
        };
        let counts =
            |line: &&TokenView| is_live(line, now) && is_in_use(line) && !self.came_back(line.id());
        let live: Vec<&TokenView> = lines.iter().filter(counts).collect();
        let (limit, unique_labels) =
            (self.history.setting.limit as usize, self.history.setting.unique_labels);
        for (place, line) in live.iter().enumerate() {
            let his = live[..=place].iter().filter(|other| other.owner() == line.owner());
            self.break_by(event, LIMIT, his.clone().count() > limit);
            for other in his.filter(|other| other.id() != line.id()) {
                let of_one_family = line.family() == other.family();
                let how = || format!("{} and {} in {event:?}", line.id(), other.id());
                self.break_if(of_one_family, ONE_WAY_IN, how);
                let alike = unique_labels && line.label() == other.label();
                self.break_if(alike && !of_one_family, LABELS, how);
            }
        }
    }

    /// Whether a token's end may have come, and another taken its place, before it was given a
    /// later end.
    fn came_back(&self, id: TokenId) -> bool {
        let Known { origin, born, .. } = self.tokens[&id];
        let ended = |id, span: Span| self.own_ends(id).before(span, |end| span.after >= *end).0;
        let extended = self.history.events.iter().any(|event| {
            matches!(event.deed, Deed::Change { token, change: Change::Extend(_) } if token == id)
                && event.answer.is_ok()
                && ended(id, event.span)
        });
        extended
            || matches!(origin, Origin::Rotated { old } if ended(old, born) || self.came_back(old))
    }

    /// Checks that a family that nobody ended has exactly one good token at the end.
    fn families(&mut self) {
        let is_list = |event: &&Event| matches!(event.deed, Deed::List { .. });
        let Some(last) = self.history.events.iter().rfind(is_list) else {
            return;
        };
        let is_rotation = |end: &End, family| {
            self.history.events.iter().any(|event| match event.deed {
                Deed::Rotate { token, .. } | Deed::EndOverlap { token } => {
                    event.span.is(end.span) && self.family(token) == family
                }
                _ => false,
            })
        };
        let mut broken = Vec::new();
        for family in self.tokens.keys().filter(|id| self.family(**id) == **id) {
            let mut members = self.tokens.keys().filter(|member| self.family(**member) == *family);
            let unended = members.all(|id| {
                self.own_ends(*id).0.iter().all(|(_, end)| last.span.after < *end)
                    && self.ends[id].iter().all(|end| is_rotation(end, *family))
            });
            let its =
                |line: &&TokenView| line.family() == *family && is_live(line, last.span.after);
            let ways = last.tokens().iter().filter(its).count();
            if unended && ways != 1 {
                let how = format!("family {family} has {ways} ways in");
                broken.push(Broken { rule: ONE_WAY_IN, how });
            }
        }
        self.broken.append(&mut broken);
    }

    /// Checks that no token of a line is good once a revoke of any of them has returned. This asks
    /// for no order of the revoke and the rotations: none may leave a token behind.
    fn shut_lines(&mut self) {
        let events = &self.history.events;
        let shut: Vec<(Span, TokenId)> = events
            .iter()
            .filter(|event| event.answer.is_ok())
            .filter_map(|event| match event.deed {
                Deed::Revoke { token, reach: Reach::One | Reach::Family }
                | Deed::Forget { token, reach: Reach::One } => {
                    Some((event.span, self.family(token)))
                }
                _ => None,
            })
            .collect();
        for event in events.iter().filter(|event| event.answer.is_ok()) {
            let is_active = |line: &&TokenView| line.status() == Some(Status::Active);
            let good: Vec<TokenId> = match event.deed {
                Deed::Authenticate { token }
                | Deed::IssueUnder { token, .. }
                | Deed::Change { token, .. }
                | Deed::Rotate { token, .. } => vec![self.family(token)],
                Deed::List { .. } => {
                    event.tokens().iter().filter(is_active).map(TokenView::family).collect()
                }
                _ => continue,
            };
            let is_good =
                |(at, line): &(Span, TokenId)| at.surely_before(event.span) && good.contains(line);
            self.break_by(event, LINE_STAYS_SHUT, shut.iter().any(is_good));
        }
    }

    /// Checks each list against later ones, and each use against later lists.
    fn lists(&mut self) {
        let history = self.history;
        let lists =
            || history.events.iter().filter(|event| matches!(event.deed, Deed::List { .. }));
        let setting = &history.setting;
        // The store doesn't believe a use that is hours ahead of the flush that writes it.
        let jumps = setting.idle.is_some();
        let own_notes = setting.authorities == 1 || setting.interval == 0;
        for (later, line) in
            lists().flat_map(|list| list.tokens().iter().map(move |line| (list, line)))
        {
            let used_at = |line: &TokenView| line.last_use().map(|last| last.at.as_unix());
            let earlier = lists().filter(|list| list.span.surely_before(later.span));
            for (list, before) in
                earlier.flat_map(|list| list.tokens().iter().map(move |line| (list, line)))
            {
                if before.id() != line.id() {
                    continue;
                }
                let how = || format!("{before:?}, {line:?}");
                let back = list.on == later.on && used_at(before) > used_at(line);
                self.break_if(back && !jumps, USES_GO_FORWARDS, how);
                let revived =
                    before.revocation().is_some() && before.revocation() != line.revocation();
                self.break_if(revived, LISTS_ARE_WHOLE, how);
            }
            let missed = own_notes
                && self.uses(line.id()).any(|event| {
                    let noted = used_at(line)
                        .is_some_and(|at| at + setting.interval.max(1) > event.span.before);
                    event.on == later.on && event.span.surely_before(later.span) && !noted
                });
            self.break_if(missed && !jumps, USES_GO_FORWARDS, || format!("{line:?} in {later:?}"));
        }
    }
}

/// The values that a field of a token had, each with the call that wrote it.
struct Written<T>(Vec<(Span, T)>);

impl<T> Written<T> {
    /// Returns the values that may stand there during a call: written before its end, and not
    /// surely overwritten before its beginning.
    fn current(&self, span: Span) -> impl Iterator<Item = &T> {
        let written_over = move |at: &Span| {
            self.0.iter().any(|(later, _)| at.surely_before(*later) && later.surely_before(span))
        };
        let may_stand = move |(at, _): &&(Span, T)| at.maybe_before(span) && !written_over(at);
        self.0.iter().filter(may_stand).map(|(_, value)| value)
    }

    /// Whether something holds of the value there before this call wrote: maybe, and surely.
    fn before(self, span: Span, holds: impl Fn(&T) -> bool) -> (bool, bool) {
        let others = Written(self.0.into_iter().filter(|(at, _)| !at.is(span)).collect());
        let maybe = others.current(span).any(&holds);
        (maybe, others.current(span).all(holds))
    }

    fn maybe_by(&self, span: Span) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(at, _)| at.maybe_before(span)).map(|(_, value)| value)
    }

    fn surely_by(&self, span: Span) -> impl Iterator<Item = &T> {
        self.0.iter().filter(move |(at, _)| at.surely_before(span)).map(|(_, value)| value)
    }
}

/// A span after every call.
const END_OF_TIME: Span =
    Span { start: u64::MAX, end: u64::MAX, before: i64::MAX, after: i64::MAX };

/// Whether a token counts for the limit and for unique labels.
fn is_live(token: &TokenView, now: i64) -> bool {
    token.revocation().is_none() && token.successor().is_none() && now < end_of(token)
}

/// Whether a superseded token was presented.
fn is_reuse(event: &Event) -> bool {
    matches!(event.deed, Deed::Authenticate { .. })
        && matches!(event.answer, Err(Refusal::Ended(Superseded)))
}

fn asked_end(event: &Event) -> Option<i64> {
    match event.deed {
        Deed::Change { change: Change::Extend(end), .. } => Some(end),
        Deed::Rotate { turn, .. } => turn.end,
        _ => None,
    }
}

fn asked_access(event: &Event) -> Option<Access> {
    match event.deed {
        Deed::Change { change: Change::Narrow(scopes), .. } => Some(access(scopes)),
        Deed::Rotate { turn, .. } => turn.scopes.map(access),
        Deed::IssueUnder { scopes, .. } => Some(access(scopes)),
        _ => None,
    }
}
