//! What an audit log hears, and a mail to the owner is written from.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{DenialReason, Failed};
use crate::record::Actor;
use crate::store::Filter;
use crate::text::Reason;
use crate::token::TokenId;
use crate::view::TokenView;

/// Hears of what happened, after the fact. It can't fail or change a call; a panic in it is caught and dropped.
///
/// It is called on the caller's thread: hand slow work, such as a mail, to somebody else. Any `Fn(&Event<'_>)` is one.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// A panic in the observer is its own.
pub(crate) fn tell(observer: Option<&dyn Observer>, event: &Event<'_>) {
    if let Some(observer) = observer {
        let _a_panic_is_the_observers_own =
            catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    }
}

/// Something that happened. Never holds a secret, a digest or a seal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was issued.
    Issued {
        /// The new token.
        token: &'a TokenView,
        /// By whom.
        by: &'a Actor,
    },
    /// A token was used for the first time; at least once.
    FirstUse {
        /// The token.
        token: &'a TokenView,
        /// From where, if the host said.
        address: Option<IpAddr>,
    },
    /// A token was used from another address than the last time that its use was noted; only where the policy records origins.
    NewAddress {
        /// The token.
        token: &'a TokenView,
        /// From where.
        address: IpAddr,
    },
    /// A text that has the form of our tokens was refused.
    Denied {
        /// The id in the text; `None` where it was mistyped.
        id: Option<TokenId>,
        /// Why.
        reason: DenialReason,
        /// The token, where its secret was right. Its fields were proven by its seal unless the reason is
        /// [`DenialReason::Revoked`] or [`DenialReason::Tampered`].
        token: Option<&'a TokenView>,
        /// From where, if the host said.
        address: Option<IpAddr>,
        /// By which program, if the host said.
        client: Option<&'a str>,
    },
    /// A token was superseded by a new one.
    Rotated {
        /// The old token.
        old: TokenId,
        /// Its unused successor, which the new one took the place of: it is revoked.
        replaced: Option<TokenId>,
        /// Whether what was issued under the line is revoked.
        ended_derived: bool,
        /// The new one.
        token: &'a TokenView,
        /// By whom.
        by: &'a Actor,
    },
    /// A superseded token was presented with its right secret; once per usage interval.
    Reused {
        /// The token.
        token: &'a TokenView,
    },
    /// A token's label, access or end was changed.
    Changed {
        /// The token as it is now.
        token: &'a TokenView,
        /// What was changed.
        change: Change,
        /// Whether what was issued under its line is revoked.
        ended_derived: bool,
        /// By whom.
        by: &'a Actor,
    },
    /// Rows were sealed anew under the active key.
    Resealed {
        /// How many; 0 only where `trusted` names rows.
        count: u64,
        /// Those whose old seals could not be checked, as the key is lost. Where the store failed, the last may not have been sealed.
        trusted: &'a [TokenId],
        /// By whom they were trusted.
        trusted_by: Option<&'a Actor>,
    },
    /// One or many tokens were revoked by one act.
    Revoked {
        /// Which.
        filter: &'a Filter,
        /// How many, with those that were issued under them; never 0. `None` where nobody can say whether it was done: the store's
        /// answer was lost, or the caller gave up.
        count: Option<u64>,
        /// Why.
        reason: &'a Reason,
        /// By whom.
        by: &'a Actor,
    },
    /// Tokens were erased.
    Forgotten {
        /// Which.
        filter: &'a Filter,
        /// How many rows.
        count: u64,
        /// By whom.
        by: &'a Actor,
    },
    /// The last uses could not be written; they are kept and tried again.
    UsageNotWritten {
        /// What the store said.
        error: &'a Failed,
    },
    /// Dead rows were deleted.
    Purged {
        /// How many; never 0.
        count: u64,
    },
}

/// What of a token was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Its label.
    Renamed,
    /// Its access became smaller.
    Narrowed,
    /// Its end moved.
    Extended,
}
