//! A token as its owner may see it: [`TokenView`], without digest and seal.

use std::fmt;

use crate::access::Access;
use crate::key::KeyId;
use crate::record::{Expires, LastUse, Revocation, Status, TokenRecord};
use crate::text::{Label, Operator, Owner};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A token as its owner may see it: everything but digest and seal, with its status at the instant of the call and with the uses
/// that this process has not written yet.
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

    /// The public half of the token's text, by which its holder can match a token in hand with this line.
    pub fn id(&self) -> TokenId {
        self.record.id()
    }

    /// Whose token it is.
    pub fn owner(&self) -> &Owner {
        self.record.owner()
    }

    /// What its owner calls it.
    pub fn label(&self) -> &Label {
        self.record.label()
    }

    /// What it may do.
    pub fn access(&self) -> &Access {
        self.record.access()
    }

    /// The operator who issued it for its owner.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.record.issued_by()
    }

    /// When it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.record.created_at()
    }

    /// When it ends.
    pub fn expires(&self) -> Expires {
        self.record.expires()
    }

    /// The id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.record.family()
    }

    /// The token that superseded it.
    pub fn successor(&self) -> Option<TokenId> {
        self.record.successor()
    }

    /// The family of the token under which it was issued.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.record.derived_from()
    }

    /// When, why and by whom it was revoked.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.record.revocation()
    }

    /// When it was last used; `None` if never.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.record.last_use()
    }

    /// Whether it would authenticate now. `None` if that can't be told: it is sealed under a key that the ring lacks, or the
    /// clock is before its making.
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

/// How far a reseal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResealProgress {
    /// How many rows were looked at, whatever became of them.
    pub done: u64,
    /// How many rows other keys sealed when it began. Rows that come and go meanwhile, or can't be read, are not in it: `done` may
    /// end a little above or below.
    pub total: u64,
}

/// What a reseal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResealReport {
    /// The tokens whose rows are sealed under the active key now, and were not before.
    pub moved: u64,
    /// The ids of those among them whose old seals could not be checked, as the key is lost.
    pub trusted: Vec<TokenId>,
    /// The ids of rows that are not as the engine wrote them, or can't be read. They were left alone; they never authenticate.
    pub tampered: Vec<TokenId>,
    /// How many rows each other key still seals. A key may be retired when it is not here.
    pub left: Vec<(KeyId, u64)>,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct TokenPage {
    /// The tokens, in order of id, which is random: sort by [`TokenView::created_at`] to show them.
    pub tokens: Vec<TokenView>,
    /// The ids of rows that can't be read. They never authenticate; revoke or forget them.
    pub damaged: Vec<TokenId>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<TokenId>,
}
