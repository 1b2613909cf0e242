//! What a host is shown: [`TokenView`], pages of them, and reports on a reseal.

use std::fmt;

use crate::access::Access;
use crate::attributes::Attributes;
use crate::key::KeyId;
use crate::record::{Expires, LastUse, Revocation, Status, TokenRecord};
use crate::text::{Label, Operator, Owner};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A token as its owner may see it: everything but digest and seal.
///
/// The status is that at the instant of the call. Uses that this process has not written yet are
/// included.
#[derive(Clone)]
pub struct TokenView {
    record: TokenRecord,
    status: Option<Status>,
}

impl TokenView {
    pub(crate) fn new(
        record: &TokenRecord,
        status: Option<Status>,
        own_use: Option<LastUse>,
    ) -> TokenView {
        let stored_at = record.last_use().map(|last_use| last_use.at);
        let own_use_is_later = own_use.as_ref().map(|own_use| own_use.at) > stored_at;
        let record = record.clone().changed(|parts| {
            parts.seal = None;
            if own_use_is_later {
                parts.last_use = own_use;
            }
        });
        TokenView { record, status }
    }

    /// The public half of the token's text. By it, a holder finds their token in a list.
    pub fn id(&self) -> TokenId {
        self.record.id()
    }

    /// The owner.
    pub fn owner(&self) -> &Owner {
        self.record.owner()
    }

    /// The label that the owner gave it.
    pub fn label(&self) -> &Label {
        self.record.label()
    }

    /// The access: what it may do.
    pub fn access(&self) -> &Access {
        self.record.access()
    }

    /// The host's own facts about it.
    pub fn attributes(&self) -> &Attributes {
        self.record.attributes()
    }

    /// The operator who issued it for its owner; `None` if the owner did.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.record.issued_by()
    }

    /// When it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.record.created_at()
    }

    /// When it expires.
    pub fn expires(&self) -> Expires {
        self.record.expires()
    }

    /// The id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.record.family()
    }

    /// The token that superseded it, if it was rotated.
    pub fn successor(&self) -> Option<TokenId> {
        self.record.successor()
    }

    /// The family of the token under which it was issued, if there is one.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.record.derived_from()
    }

    /// When, why and by whom it was revoked; `None` if it was not.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.record.revocation()
    }

    /// When it was last used; `None` if never.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.record.last_use()
    }

    /// Whether it would authenticate now, and if not, why.
    ///
    /// `None` if the engine can't tell: the ring lacks the key of the row's seal, or the clock is
    /// more than five minutes before `created_at`.
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}

impl fmt::Debug for TokenView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenView")
            .field("status", &self.status)
            .field("record", &self.record)
            .finish()
    }
}

/// How far a reseal has come, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResealProgress {
    /// How many rows were looked at, whatever the outcome.
    pub done: u64,
    /// How many rows other keys sealed when it began.
    ///
    /// Damaged rows, and rows that come and go meanwhile, are not counted. So `done` may end a
    /// little above or below.
    pub total: u64,
}

/// What a reseal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealReport {
    /// How many rows were resealed under the active key.
    pub moved: u64,
    /// The ids of those among them whose old seals could not be checked, because the key is lost.
    pub trusted: Vec<TokenId>,
    /// The ids of rows that are damaged or not as the engine wrote them.
    ///
    /// They were left as they are, and never authenticate.
    pub tampered: Vec<TokenId>,
    /// How many rows each other key still seals. A key that is not listed may be retired.
    pub left: Vec<(KeyId, u64)>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct TokenPage {
    /// The tokens, in order of id. Ids are random: to show them, sort by [`TokenView::created_at`].
    pub tokens: Vec<TokenView>,
    /// The ids of damaged rows. They never authenticate: revoke or forget them.
    pub damaged: Vec<TokenId>,
    /// The `after` of the next [`Page`](crate::store::Page); `None` after the last.
    pub next: Option<TokenId>,
}
