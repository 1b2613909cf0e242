//! The rules that every history keeps, in whatever order the threads ran.
//!
//! A call takes effect at one instant between its two stamps. So a call *surely* came before
//! another if it ended before the other began. It *maybe* came before if it began before the other
//! ended. A token must be good if nothing, not even maybe, ended it before the call. It must be
//! denied if something surely did.

use std::collections::BTreeMap;

use app_tokens::error::DenialReason::{self, Superseded};
use app_tokens::{Access, TokenId, TokenView};

use super::program::{Change, Deed, Event, History, Refusal, Span, end_of};

#[path = "rules/answers.rs"]
mod answers;
#[path = "rules/ends.rs"]
mod ends;
#[path = "rules/lists.rs"]
mod lists;

pub(crate) const DENIED_AFTER_ITS_END: &str = "a token is denied after its end";
pub(crate) const GOOD_BEFORE_ITS_END: &str =
    "a token is good before its end, and says why it is not";
pub(crate) const ONE_WINNER: &str = "of rotations without overlap one succeeds";
pub(crate) const ONE_WAY_IN: &str = "a family has one token without a successor";
pub(crate) const USED_STAYS: &str = "a successor that was used is not replaced";
pub(crate) const CHANGES_STAY: &str = "a change is not lost";
pub(crate) const WITHIN_ANOTHER: &str = "a token has no more than the one that it came from";
pub(crate) const NETWORKS: &str = "a token is used from its networks only, as they are then";
pub(crate) const ATTRIBUTES_STAY: &str = "the host's facts stay as the line was issued with them";
pub(crate) const LINE_STAYS_SHUT: &str =
    "no token of a line is good after a revoke of any of them, whatever rotation was in flight";
pub(crate) const LIMIT: &str = "the limit holds, and only it refuses";
pub(crate) const LABELS: &str = "labels are unique where they must be, and only then refused";
pub(crate) const REFUSALS: &str = "a refusal has a cause";
pub(crate) const STRANGERS: &str = "another owner's token is unknown";
pub(crate) const LEAKS: &str = "a leak proves the whole secret";
pub(crate) const REUSE: &str = "a reuse is reported, once an interval";
pub(crate) const USES_GO_FORWARDS: &str = "a last use goes forwards only";
pub(crate) const USES_ARE_REAL: &str = "a last use is one that was let in";
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
            Change::Narrow(grant) => Some(grant.access()),
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

/// Whether a superseded token was presented.
fn is_reuse(event: &Event) -> bool {
    matches!(event.deed, Deed::Authenticate { .. })
        && matches!(event.answer, Err(Refusal::Ended(Superseded)))
}
