//! What can be seen of an act: its answer, the events, and a token as a list shows it.

use std::net::IpAddr;

use app_tokens::error::{DenialReason, Missing};
use app_tokens::event::{self, Event};
use app_tokens::record::{Actor, Expires, LastUse, Revocation, Status};
use app_tokens::report::LeakOutcome;
use app_tokens::store::Filter;
use app_tokens::{Label, Operator, Owner, Reason, Timestamp, TokenId, TokenView};

use super::acts::shown_pairs;
use super::held::Held;

/// The answer of an act.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Issued(Box<Line>),
    Refused(&'static str),
    /// What the caller is shown, and what of scope and resource is missing for the need.
    Authenticated(Box<Shown>, Option<Missing>),
    /// The token is good, but not from this address.
    Outside,
    /// What the holder is shown, and the token if it is active.
    Examined(TokenId, Status, Option<Revocation>, Option<Box<Line>>),
    NotOurs,
    Denied {
        id: Option<TokenId>,
        reason: DenialReason,
    },
    Failed,
    Page {
        lines: Vec<Line>,
        next: Option<TokenId>,
    },
    All(Vec<Line>),
    Found(Box<Line>),
    Count(u64),
    /// How many overlaps were ended.
    OverlapsEnded(u64),
    /// The token doesn't authenticate any more, so it isn't changed.
    NotActive(Status),
    /// The token was rotated; this is the current one of its line.
    RotatedTo(TokenId),
    Leaks(Vec<(TokenId, LeakOutcome)>),
    Keys(Vec<(u32, u64)>),
    Trusted(Vec<TokenId>),
    Unknown,
    Done,
}

impl Answer {
    pub(crate) fn kind(&self) -> String {
        match self {
            Answer::Refused(why) => format!("Refused({why})"),
            Answer::Authenticated(shown, missing) => {
                let facts = if shown.attributes.is_empty() { "" } else { ", with attributes" };
                format!("Authenticated(lacks {missing:?}{facts})")
            }
            Answer::Examined(_, status, ..) => format!("Examined({status:?})"),
            Answer::OverlapsEnded(count) => format!("OverlapsEnded({count})"),
            Answer::Denied { reason, .. } => format!("Denied({reason:?})"),
            Answer::Found(line) => format!("Found({:?})", line.status),
            Answer::NotActive(status) => format!("NotActive({status:?})"),
            Answer::RotatedTo(_) => "Refused(rotated)".to_owned(),
            Answer::Leaks(leaks) => {
                format!("Leaks({:?})", leaks.first().map(|(_, outcome)| outcome))
            }
            other => first_word(other),
        }
    }
}

/// What a caller is shown of the token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) id: TokenId,
    pub(crate) owner: Owner,
    pub(crate) label: Label,
    pub(crate) access: Held,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) expires: Expires,
}

/// An event that the observer hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    Issued(TokenId, Actor),
    FirstUse(TokenId, Option<IpAddr>),
    NewAddress(TokenId, IpAddr),
    OutsideNetwork(TokenId, Option<IpAddr>),
    Examined(TokenId),
    Denied {
        id: Option<TokenId>,
        reason: DenialReason,
        with_token: bool,
    },
    Rotated {
        old: TokenId,
        replaced: Option<TokenId>,
        revoked_derived: bool,
        new: TokenId,
        by: Actor,
    },
    Reused(TokenId),
    /// The token, what was changed, whether what was issued under it was revoked, and who did it.
    Changed(TokenId, event::ChangeKind, bool, Actor),
    /// How many, and which of them were trusted, by whom.
    Resealed(u64, Option<(Vec<TokenId>, Actor)>),
    Revoked(u64, Reason, Actor),
    Forgotten(u64, Actor),
    Purged(u64),
    Other(String),
}

impl Told {
    pub(crate) fn kind(&self) -> String {
        match self {
            Told::Changed(_, kind, ..) => format!("Changed({kind:?})"),
            other => format!("told {}", first_word(other)),
        }
    }

    pub(crate) fn of(event: &Event<'_>) -> Told {
        match event {
            Event::Issued { token, by, is_certain: true } => {
                Told::Issued(token.id(), (*by).clone())
            }
            Event::FirstUse { token, address } => Told::FirstUse(token.id(), *address),
            Event::NewAddress { token, address } => Told::NewAddress(token.id(), *address),
            Event::OutsideNetwork { token, address } => Told::OutsideNetwork(token.id(), *address),
            Event::Examined { token } => Told::Examined(token.id()),
            Event::Denied { id, reason, token, .. } => {
                Told::Denied { id: *id, reason: *reason, with_token: token.is_some() }
            }
            Event::Rotated { old, replaced, revoked_derived, token, by, is_certain: true } => {
                Told::Rotated {
                    old: *old,
                    replaced: *replaced,
                    revoked_derived: *revoked_derived,
                    new: token.id(),
                    by: (*by).clone(),
                }
            }
            Event::Reused { token } => Told::Reused(token.id()),
            Event::Changed { token, change, revoked_derived, by, is_certain: true } => {
                Told::Changed(token.id(), *change, *revoked_derived, (*by).clone())
            }
            Event::Resealed { count, trusted, trusted_by } => {
                let trusted_by = trusted_by.cloned();
                Told::Resealed(*count, trusted_by.map(|actor| (trusted.to_vec(), actor)))
            }
            Event::Revoked { count, reason, by, is_certain: true, .. } => {
                Told::Revoked(*count, (*reason).clone(), (*by).clone())
            }
            Event::Forgotten { count, by, is_certain: true, .. } => {
                Told::Forgotten(*count, (*by).clone())
            }
            Event::Purged { count, is_certain: true } => Told::Purged(*count),
            other => Told::Other(format!("{other:?}")),
        }
    }
}

fn first_word(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").split([' ', '(']).next().unwrap_or_default().to_owned()
}

/// A token as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) id: TokenId,
    pub(crate) owner: Owner,
    pub(crate) label: Label,
    pub(crate) access: Held,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) issued_by: Option<Operator>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires: Expires,
    pub(crate) family: TokenId,
    pub(crate) successor: Option<TokenId>,
    pub(crate) derived_from: Option<TokenId>,
    pub(crate) revocation: Option<Revocation>,
    pub(crate) last_use: Option<LastUse>,
    pub(crate) status: Option<Status>,
}

impl Line {
    pub(crate) fn of(view: &TokenView) -> Line {
        Line {
            id: view.id(),
            owner: view.owner().clone(),
            label: view.label().clone(),
            access: Held::of(view.access()),
            attributes: shown_pairs(view.attributes()),
            issued_by: view.issued_by().cloned(),
            created_at: view.created_at(),
            expires: view.expires(),
            family: view.family(),
            successor: view.successor(),
            derived_from: view.derived_from(),
            revocation: view.revocation().cloned(),
            last_use: view.last_use().cloned(),
            status: view.status(),
        }
    }

    /// Whether a token with this access and end has less.
    pub(crate) fn is_more(&self, access: &Held, expires: Expires) -> bool {
        !access.includes(&self.access) || self.expires.is_later_than(expires)
    }

    pub(crate) fn end(&self) -> Option<i64> {
        self.expires.at().map(Timestamp::as_unix)
    }

    /// Returns when it was last used by what is written, or else made.
    pub(crate) fn last_seen(&self) -> i64 {
        let last_use = self.last_use.as_ref().map_or(self.created_at, |last| last.at);
        last_use.max(self.created_at).as_unix()
    }

    pub(crate) fn is_spared_by(&self, filter: &Filter) -> bool {
        let family = filter.except_family;
        family.is_some() && (family == Some(self.family) || family == self.derived_from)
    }

    /// Whether a filter matches the row, which this key seals.
    pub(crate) fn is_meant_by(&self, filter: &Filter, key: u32) -> bool {
        let before = |limit: Timestamp, at: i64| at < limit.as_unix();
        let keys = &filter.except_key_ids;
        let contradicted = [
            filter.id.is_some_and(|id| id != self.id),
            filter.owner.as_ref().is_some_and(|owner| *owner != self.owner),
            filter.family.is_some_and(|family| family != self.family),
            self.is_spared_by(filter),
            filter.key_id.is_some_and(|other| other.as_u32() != key),
            keys.iter().any(|other| other.as_u32() == key),
            filter.revoked.is_some_and(|revoked| revoked != self.revocation.is_some()),
            filter.superseded.is_some_and(|superseded| superseded != self.successor.is_some()),
            filter.expires_before.is_some_and(|t| !self.end().is_some_and(|end| before(t, end))),
            filter.expires_from.is_some_and(|t| self.end().is_none_or(|end| before(t, end))),
            filter.created_before.is_some_and(|t| !before(t, self.created_at.as_unix())),
            filter.last_used_before.is_some_and(|t| !before(t, self.last_seen())),
        ];
        !contradicted.contains(&true)
    }
}
