//! The acts of a sequence, and the policy under which they are done.

use std::net::IpAddr;

use app_tokens::record::{Actor, Expires, Status};
use app_tokens::store::Filter;
use app_tokens::{Attributes, Label, Operator, Owner, Reason, Timestamp, TokenId, event};

use super::answers::Line;
use super::held::{Held, Need};

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
