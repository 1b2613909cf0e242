//! Draws the acts of a sequence from a seed, and names what can be seen of them.

use std::convert::Infallible;
use std::net::IpAddr;

use app_tokens::error::{DenialReason, Missing};
use app_tokens::event::Event;
use app_tokens::rand_core::{TryCryptoRng, TryRng};
use app_tokens::record::{Actor, Expires, LastUse, Revocation, Status};
use app_tokens::report::LeakOutcome;
use app_tokens::store::Filter;
use app_tokens::{
    Attributes, Label, Operator, Owner, Reason, Timestamp, TokenId, TokenView, event,
};

use super::draw::Draw;
use super::held::{Held, Need};
use super::reference::{Model, Row, TOLERANCE};
use super::texts;

/// The parts of a policy; times are seconds.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) default_life: i64,
    pub(crate) max_life: Option<i64>,
    pub(crate) never: bool,
    pub(crate) idle: Option<i64>,
    pub(crate) limit: Option<u32>,
    pub(crate) unique_labels: bool,
    pub(crate) interval: i64,
    pub(crate) retention: i64,
    pub(crate) origins: bool,
    pub(crate) overlap: i64,
    pub(crate) max_overlap: i64,
    pub(crate) reuse_ends_family: bool,
}

/// One step of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Issue(Wish),
    /// By the holder of this token, as they were let in the last time.
    IssueUnder(TokenId, Wish),
    Authenticate {
        text: String,
        means: Means,
        as_owner: Option<Owner>,
        address: Option<IpAddr>,
        client: Option<&'static str>,
        need: Need,
    },
    Examine {
        text: String,
        means: Means,
    },
    List {
        filter: Filter,
        after: Option<TokenId>,
        limit: u32,
    },
    Find {
        who: Who,
        id: TokenId,
    },
    /// The list of a settings page.
    AllOf(Owner),
    /// What expires within this many seconds.
    Expiring(i64, u32),
    Change {
        who: Who,
        id: TokenId,
        change: Change,
    },
    Rotate {
        who: Who,
        id: TokenId,
        turn: Turn,
    },
    EndOverlap {
        who: Who,
        id: TokenId,
    },
    Revoke {
        who: Who,
        id: TokenId,
        reason: Reason,
    },
    RevokeMatching {
        who: Who,
        filter: Filter,
        reason: Reason,
    },
    /// A text, and the tokens in it, each with whether its secret is right.
    RevokeLeaked(String, Vec<(TokenId, bool)>, Who),
    Forget {
        who: Who,
        id: TokenId,
    },
    ForgetOwner {
        owner: Owner,
        who: Who,
    },
    FlushUsage,
    Purge,
    /// By an authority with this key active.
    Reseal(u32),
    /// `danger_reseal_without_proof` of the lost key, by an authority that has only the other.
    Trust {
        lost: u32,
        only: u32,
        who: Who,
    },
    KeysInUse,
    MayRetire(u32),
    SetClock(i64),
}

/// A change of a token.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Label(Label),
    Access(Held),
    End(Expires),
}

impl Change {
    pub(crate) fn kind(&self) -> event::ChangeKind {
        match self {
            Change::Label(_) => event::ChangeKind::Renamed,
            Change::Access(_) => event::ChangeKind::Narrowed,
            Change::End(_) => event::ChangeKind::Extended,
        }
    }
}

/// What a rotation asks for beside a new secret.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) access: Option<Held>,
    pub(crate) end: Option<Expires>,
    pub(crate) overlap: Option<i64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) owner: &'static str,
    pub(crate) label: &'static str,
    pub(crate) access: Held,
    pub(crate) attributes: Pairs,
    pub(crate) life: Life,
    pub(crate) operator: Option<&'static str>,
}

/// The host's own facts about a token, in the order of their keys.
pub(crate) type Pairs = &'static [(&'static str, &'static str)];

const ATTRIBUTES: [Pairs; 3] =
    [&[("device", "NAS")], &[("device", "NAS"), ("ticket", "OPS 1")], &[("client", "é")]];

/// Makes the engine's form, of pairs in the wrong order.
pub(crate) fn attributes_of(pairs: Pairs) -> Attributes {
    let with = |made: Attributes, pair: &(&str, &str)| made.with(pair.0, pair.1).unwrap();
    pairs.iter().rev().fold(Attributes::new(), with)
}

/// Returns the pairs as a caller or a list shows them.
pub(crate) fn shown_pairs(attributes: &Attributes) -> Vec<(String, String)> {
    attributes.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl Wish {
    /// Returns the token's line in a list, if it is issued.
    pub(crate) fn granted(&self, id: TokenId, now: Timestamp, end: Option<Timestamp>) -> Line {
        Line {
            id,
            owner: self.owner.parse().unwrap(),
            label: self.label.parse().unwrap(),
            access: self.access.clone(),
            attributes: self.attributes.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            issued_by: self.operator.map(|name| name.parse().unwrap()),
            created_at: now,
            expires: end.map_or(Expires::Never, Expires::At),
            family: id,
            successor: None,
            derived_from: None,
            revocation: None,
            last_use: None,
            status: Some(Status::Active),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    Default,
    For(i64),
    Until(i64),
    Forever,
}

/// What a presented text is, known from how it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Means {
    NotOurs,
    Mistyped,
    Token { id: TokenId, secret_is_right: bool },
}

/// Who acts.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    Owner(Owner),
    Operator(&'static str),
}

impl Who {
    /// Returns the operator. Only for acts that no owner does.
    pub(crate) fn operator(&self) -> Operator {
        match self {
            Who::Owner(owner) => panic!("an act of {owner} alone"),
            Who::Operator(name) => name.parse().unwrap(),
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        match self {
            Who::Owner(owner) => Actor::from(owner),
            Who::Operator(name) => Actor::Operator(name.parse().unwrap()),
        }
    }

    pub(crate) fn may_see(&self, owner: &Owner) -> bool {
        !matches!(self, Who::Owner(acting) if acting != owner)
    }

    /// Returns the part of a filter that they may see, or `None` if that is nothing.
    pub(crate) fn limit(&self, filter: &Filter) -> Option<Filter> {
        match self {
            Who::Operator(_) => Some(filter.clone()),
            Who::Owner(acting) if filter.owner.as_ref().is_some_and(|owner| owner != acting) => {
                None
            }
            Who::Owner(acting) => Some(Filter { owner: Some(acting.clone()), ..filter.clone() }),
        }
    }
}

/// The answer of an act.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Issued(Box<Line>),
    Refused(&'static str),
    /// What the caller is shown, and what of scope and resource is missing for the need.
    Authenticated(Box<Shown>, Option<Missing>),
    /// The token is good, but not from this address.
    Outside,
    Examined(TokenId, Status, Option<Revocation>),
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
            Answer::Examined(_, status, _) => format!("Examined({status:?})"),
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

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
pub(crate) const BEGINNING: i64 = support::rows::NOW;

const OWNERS: [&str; 3] = ["alice", "bob", "Alice"];
const LABELS: [&str; 4] = ["Phone", "phone", "Backup", "NAS"];
const OPERATORS: [&str; 3] = ["eve", "eve", "nightly job"];

impl Draw {
    pub(crate) fn rules(&mut self) -> Rules {
        let max_life = self.of(&[None, None, Some(30 * DAY)]);
        Rules {
            default_life: self.of(&[30 * DAY, HOUR]),
            max_life,
            never: max_life.is_none() && self.once_in(2),
            idle: self.of(&[None, None, Some(DAY), Some(3 * DAY)]),
            limit: self.of(&[None, Some(1), Some(2), Some(4)]),
            unique_labels: self.once_in(2),
            interval: self.of(&[0, 60, 60, HOUR]),
            retention: self.of(&[0, HOUR, 10 * DAY]),
            origins: self.once_in(2),
            overlap: self.of(&[0, 60, HOUR]),
            max_overlap: self.of(&[500 * DAY, 7 * DAY, 60]),
            reuse_ends_family: self.once_in(2),
        }
    }

    /// Draws the next act. `texts` holds the texts of all tokens that the sequence issued.
    pub(crate) fn act(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Act {
        match self.below(166) {
            0..18 => Act::Issue(self.wish(model)),
            18..46 => self.authenticate(model, texts),
            46..54 => {
                let after = self.once_in(3).then(|| self.id(texts));
                Act::List {
                    filter: self.filter(model, texts),
                    after,
                    limit: self.of(&[0, 1, 2, 100, 100]),
                }
            }
            54..59 => Act::Find { who: self.who(), id: self.id(texts) },
            59..65 => Act::Revoke { who: self.who(), id: self.id(texts), reason: self.reason() },
            65..68 => {
                let filter = self.filter(model, texts);
                Act::RevokeMatching { who: self.who(), filter, reason: self.reason() }
            }
            68..70 => Act::Forget { who: self.who(), id: self.id(texts) },
            70..71 => {
                Act::ForgetOwner { owner: self.owner(), who: Who::Operator(self.of(&OPERATORS)) }
            }
            71..76 => Act::FlushUsage,
            76..80 => Act::Purge,
            80..93 if !model.entered.is_empty() => self.issue_under(model),
            80..100 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::Change { who, id, change: self.change(model, id) }
            }
            100..114 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::Rotate { who, id, turn: self.turn(model, id) }
            }
            114..116 => self.leak(texts),
            116..118 => Act::Reseal(self.of(&[1, 2])),
            118..119 => Act::KeysInUse,
            119..122 => Act::MayRetire(self.of(&[1, 2])),
            122..124 => Act::Expiring(self.of(&[0, 1, HOUR, 30 * DAY]), self.of(&[0, 1, 100, 100])),
            124..127 => {
                let (lost, only) = self.of(&[(1, 2), (2, 1), (1, 1)]);
                Act::Trust { lost, only, who: Who::Operator(self.of(&OPERATORS)) }
            }
            127..131 => {
                let (who, id) = self.who_and_id(model, texts);
                Act::EndOverlap { who, id }
            }
            131..136 => {
                let (text, means) = self.presented(model, texts);
                Act::Examine { text, means }
            }
            144..146 => Act::AllOf(self.owner()),
            136..144 if !model.entered.is_empty() => self.issue_under(model),
            _ => Act::SetClock(self.clock(model)),
        }
    }

    /// Draws an issue under a token, mostly within what the caller may ask for.
    fn issue_under(&mut self, model: &Model) -> Act {
        // Few callers are derived, as nothing is issued under those.
        let is_derived = |id: &TokenId| {
            model.rows.iter().any(|row| row.line.id == *id && row.line.derived_from.is_some())
        };
        let derived = model.entered.iter().copied().find(is_derived);
        let is_current = |id: &TokenId| {
            let its = |row: &Row| row.line.id == *id && row.line.revocation.is_none();
            model.rows.iter().any(|row| its(row) && row.line.successor.is_none())
        };
        let mut drawn = self.of(&model.entered);
        if !is_current(&drawn) {
            drawn = self.of(&model.entered);
        }
        let caller = derived.filter(|_| self.once_in(2)).unwrap_or(drawn);
        let mut wish = self.wish(model);
        let row = model.rows.iter().find(|row| row.line.id == caller);
        if let Some(row) = row.filter(|_| !self.once_in(6)) {
            let mut owners = OWNERS.into_iter();
            wish.owner = owners.find(|owner| *owner == row.line.owner.as_str()).unwrap();
            // Mostly all that the caller has, or nearly all.
            let beside = self.held_beside(&row.line.access);
            wish.access = self.of(&[row.line.access.clone(), beside]);
            wish.attributes = self.of(&[&[], &[], &[], &[], wish.attributes]);
            wish.life = self.of(&[Life::Default, Life::Default, wish.life]);
        }
        Act::IssueUnder(caller, wish)
    }

    /// Draws who acts on which token: mostly an owner on a live token of their own.
    fn who_and_id(&mut self, model: &Model, texts: &[(TokenId, String)]) -> (Who, TokenId) {
        let lives = |row: &&Row| row.line.revocation.is_none();
        let living: Vec<&Line> = model.rows.iter().filter(lives).map(|row| &row.line).collect();
        if living.is_empty() || self.once_in(4) {
            return (self.who(), self.id(texts));
        }
        let newest = living.len() - 1;
        // Few tokens are derived, and some refusals are for those alone.
        let derived = living.iter().position(|line| line.derived_from.is_some());
        let place = match derived {
            Some(derived) if self.once_in(3) => derived,
            _ if self.once_in(3) => newest,
            _ => self.below(living.len()),
        };
        let Line { id, owner, .. } = living[place];
        let who = if self.once_in(4) { self.who() } else { Who::Owner(owner.clone()) };
        (who, *id)
    }

    fn change(&mut self, model: &Model, id: TokenId) -> Change {
        match self.below(3) {
            0 => Change::Label(self.of(&LABELS).parse().unwrap()),
            1 => Change::Access(self.access(model, id)),
            _ => Change::End(self.end(model)),
        }
    }

    fn turn(&mut self, model: &Model, id: TokenId) -> Turn {
        Turn {
            access: self.once_in(4).then(|| self.access(model, id)),
            end: self.once_in(4).then(|| self.end(model)),
            overlap: self.of(&[None, None, Some(0), Some(60), Some(HOUR), Some(400 * DAY)]),
        }
    }

    /// Draws what is to remain of a token's access, or what it never had.
    fn access(&mut self, model: &Model, id: TokenId) -> Held {
        match model.rows.iter().find(|row| row.line.id == id) {
            Some(row) => self.held_beside(&row.line.access),
            None => self.held(),
        }
    }

    fn end(&mut self, model: &Model) -> Expires {
        let after = |seconds| Expires::At(Timestamp::from_unix(model.now + seconds).unwrap());
        match self.below(6) {
            0 => Expires::Never,
            1 => Expires::At(self.timestamp(model)),
            _ => after(self.of(&[60, HOUR, DAY, 20 * DAY, 30 * DAY, 30 * DAY + 1])),
        }
    }

    /// Draws a text with some tokens in it, right ones and wrong ones.
    fn leak(&mut self, texts: &[(TokenId, String)]) -> Act {
        let (mut leaked, mut found) = (String::from("see: "), Vec::new());
        for _ in 0..self.below(4) * usize::from(!texts.is_empty()) {
            let (id, text) = self.of(texts);
            let right = !self.once_in(4);
            let text = if right { text } else { texts::compose("acme", id, self.number()) };
            leaked += &match self.below(3) {
                0 => text.to_ascii_uppercase(),
                1 => texts::grouped(&text),
                _ => text,
            };
            leaked.push('\n');
            if !right || !found.contains(&(id, true)) {
                found.push((id, right));
            }
        }
        Act::RevokeLeaked(leaked, found, Who::Operator(self.of(&OPERATORS)))
    }

    fn wish(&mut self, model: &Model) -> Wish {
        let lives = [0, 1, 60, HOUR, DAY, 30 * DAY, 30 * DAY + 1, 400 * DAY, i64::MAX];
        let life = match self.below(6) {
            0..2 => Life::Default,
            2..4 => Life::For(self.of(&lives)),
            4 => Life::Until(self.instant(model)),
            _ => Life::Forever,
        };
        Wish {
            owner: self.of(&OWNERS),
            label: self.of(&LABELS),
            access: self.held(),
            attributes: if self.once_in(3) { self.of(&ATTRIBUTES) } else { &[] },
            life,
            operator: self.of(&[None, None, Some("eve")]),
        }
    }

    fn authenticate(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Act {
        let (text, means) = self.presented(model, texts);
        Act::Authenticate {
            text,
            means,
            as_owner: self.once_in(2).then(|| self.owner()),
            address: self.address(),
            client: self.of(&[None, Some("rclone/1.70")]),
            need: self.need(),
        }
    }

    fn presented(&mut self, model: &Model, texts: &[(TokenId, String)]) -> (String, Means) {
        let unknown = || {
            (
                texts::compose("acme", TokenId::MAX, 5),
                Means::Token { id: TokenId::MAX, secret_is_right: false },
            )
        };
        if texts.is_empty() || self.once_in(20) {
            return self.of(&[
                unknown(),
                (String::new(), Means::NotOurs),
                ("correct horse battery staple".to_owned(), Means::NotOurs),
                ("acme_".to_owned(), Means::NotOurs),
                ("x".repeat(4000), Means::NotOurs),
            ]);
        }
        // The newest one more often, as it is still alive.
        let newest = self.once_in(3).then(|| texts.last().cloned()).flatten();
        let (id, text) = newest.unwrap_or_else(|| self.of(texts));
        let right = Means::Token { id, secret_is_right: true };
        let wrong = Means::Token { id, secret_is_right: false };
        if self.once_in(4) {
            return match self.below(7) {
                0 => (texts::compose("acme", id, self.number()), wrong),
                1 => (texts::with_prefix("former", &text), wrong),
                2 => (texts::with_prefix("other", &text), Means::NotOurs),
                3 => (texts::mistyped(&text, self.below(28)), Means::Mistyped),
                4 => (text[..text.len() - 1].to_owned(), Means::NotOurs),
                5 => (format!("{text}\u{a0}"), Means::NotOurs),
                _ => (format!("{text}_"), Means::NotOurs),
            };
        }
        // The contract leaves open what a use means if the clock is behind one that is written, so
        // none is presented then.
        let row = model.rows.iter().find(|row| row.line.id == id);
        let written = row.and_then(|row| row.line.last_use.as_ref()).map(|last| last.at.as_unix());
        if written.is_some_and(|at| at > model.now + TOLERANCE) {
            return unknown();
        }
        let by_hand = match self.below(6) {
            0 => text.to_ascii_uppercase(),
            1 => texts::grouped(&text),
            2 => texts::look_alikes(&text),
            3 => format!(" \t{text}\r\n"),
            _ => text,
        };
        (by_hand, right)
    }

    fn filter(&mut self, model: &Model, texts: &[(TokenId, String)]) -> Filter {
        let owner = self.once_in(2).then(|| self.owner());
        let family = (owner.is_some() && self.once_in(8)).then(|| self.id(texts));
        let key = |number| app_tokens::record::KeyId::new(number).unwrap();
        Filter {
            id: self.once_in(8).then(|| self.id(texts)),
            owner,
            family,
            except_family: self.once_in(6).then(|| self.id(texts)),
            key_id: self.once_in(10).then(|| key(self.of(&[1, 2]))),
            except_key_ids: self.of(&[vec![], vec![], vec![], vec![], vec![key(2)], vec![key(1)]]),
            expires_from: self.once_in(10).then(|| self.timestamp(model)),
            revoked: self.of(&[None, None, Some(true), Some(false)]),
            superseded: self.of(&[None, None, None, None, Some(false), Some(true)]),
            expires_before: self.once_in(5).then(|| self.timestamp(model)),
            created_before: self.once_in(5).then(|| self.timestamp(model)),
            last_used_before: self.once_in(4).then(|| self.timestamp(model)),
        }
    }

    /// Draws a move of the clock: forwards by steps that matter to policies, backwards now and
    /// then, or to the very instant at which something happens.
    fn clock(&mut self, model: &Model) -> i64 {
        let forwards = [1, 30, 59, 60, 61, 300, HOUR, HOUR, DAY - 1, DAY, DAY, 3 * DAY, 10 * DAY];
        let backwards = [1, 60, TOLERANCE - 1, TOLERANCE, TOLERANCE + 1, HOUR, 2 * DAY];
        match self.below(10) {
            0..5 => model.now + self.of(&forwards),
            5..7 => model.now - self.of(&backwards),
            _ => self.instant(model),
        }
    }

    /// Draws an instant that matters to a row, or a second beside it.
    fn instant(&mut self, model: &Model) -> i64 {
        if model.rows.is_empty() {
            return model.now;
        }
        let line = &model.rows[self.below(model.rows.len())].line;
        let created = line.created_at.as_unix();
        let last = line.last_use.as_ref().map_or(created, |last| last.at.as_unix());
        let revoked =
            line.revocation.as_ref().map_or(created, |revocation| revocation.at.as_unix());
        let expires = line.expires.at().map_or(created, Timestamp::as_unix);
        let idle = last + model.rules.idle.unwrap_or(0);
        let dead = self.of(&[revoked, expires, idle]) + model.rules.retention;
        let instant = self.of(&[
            created - TOLERANCE,
            last,
            last + model.rules.interval,
            expires,
            expires,
            idle,
            dead,
        ]);
        instant + self.of(&[-1, 0, 0, 1])
    }

    fn timestamp(&mut self, model: &Model) -> Timestamp {
        Timestamp::from_unix(self.instant(model)).unwrap()
    }

    /// Draws a token of the sequence, or rarely an id that no token has.
    fn id(&mut self, texts: &[(TokenId, String)]) -> TokenId {
        if texts.is_empty() || self.once_in(20) {
            return TokenId::MAX;
        }
        texts[self.below(texts.len())].0
    }

    fn who(&mut self) -> Who {
        if self.once_in(4) { Who::Operator(self.of(&OPERATORS)) } else { Who::Owner(self.owner()) }
    }

    fn owner(&mut self) -> Owner {
        Owner::new(self.of(&OWNERS)).unwrap()
    }

    fn reason(&mut self) -> Reason {
        self.of(&[Reason::REQUESTED, Reason::LEAKED, Reason::new("password changed").unwrap()])
    }
}

/// The engine draws from it, too.
impl TryRng for Draw {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.number() as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.number())
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes
            .chunks_mut(8)
            .for_each(|chunk| chunk.copy_from_slice(&self.number().to_le_bytes()[..chunk.len()]));
        Ok(())
    }
}

impl TryCryptoRng for Draw {}
