//! Events, for an audit log or mails to owners, and the buffer of a transaction's events.

mod display;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::error::{DenialReason, Failed};
use crate::record::Actor;
use crate::store::Filter;
use crate::text::Reason;
use crate::token::TokenId;
use crate::view::TokenView;

/// Receives events, after the fact.
///
/// An observer can't fail or change a call; a panic in it is caught and dropped. It runs on the
/// caller's thread, so hand slow work, such as a mail, to another task. Any `Fn(&Event<'_>)` is an
/// observer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not observe events",
    note = "take a closure with the type written out: `|event: &app_tokens::event::Event<'_>| …`, \
            or implement `Observer`"
)]
pub trait Observer: Send + Sync {
    /// Receives one event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

pub(crate) fn emit(observer: Option<&dyn Observer>, event: &Event<'_>) {
    if let Some(observer) = observer {
        // ignored: a panic of the observer must not fail the call that it observes.
        _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    }
}

/// Emits one event per change when it ends, even if the store's reply was lost or the future was
/// dropped.
///
/// It emits when dropped, since nothing else runs in all these cases. A later event could not make
/// up for it: who calls again is told that nothing was left to do.
pub(crate) struct ChangeEvent<F: Fn(u64, bool)> {
    emit: F,
    /// How many rows were changed for certain.
    count: u64,
    is_certain: bool,
}

impl<F: Fn(u64, bool)> ChangeEvent<F> {
    /// `emit` gets the number of rows that were changed for certain, and whether that is all.
    pub(crate) fn new(emit: F) -> ChangeEvent<F> {
        ChangeEvent { emit, count: 0, is_certain: true }
    }

    /// Awaits the store's answer, and adds the number of rows that it stands for.
    ///
    /// If the future is dropped meanwhile, the outcome stays uncertain.
    pub(crate) async fn await_store<T>(
        &mut self,
        answer: impl Future<Output = Result<T, Failed>>,
        count: impl FnOnce(&T) -> u64,
    ) -> Result<T, Failed> {
        self.is_certain = false;
        let answer = answer.await;
        match &answer {
            Ok(done) => {
                self.count += count(done);
                self.is_certain = true;
            }
            Err(failed) => self.is_certain = !failed.may_be_done(),
        }
        answer
    }
}

impl<F: Fn(u64, bool)> Drop for ChangeEvent<F> {
    fn drop(&mut self) {
        if self.count > 0 || !self.is_certain {
            (self.emit)(self.count, self.is_certain);
        }
    }
}

/// Something that happened. It never holds a secret, a digest or a seal.
///
/// If `is_certain` is false, it may or may not have happened, or not all of it: the store's answer
/// was lost, or the caller dropped the future before it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was issued.
    Issued {
        /// The new token.
        token: &'a TokenView,
        /// By whom.
        by: &'a Actor,
        /// If false, there may be a token whose text nobody saw.
        is_certain: bool,
    },
    /// A token was used for the first time. Sent at least once per token, and once by each process.
    FirstUse {
        /// The token.
        token: &'a TokenView,
        /// From which address, if the host named it.
        address: Option<IpAddr>,
    },
    /// A token was used from another address than at its last noted use.
    ///
    /// Sent only if the policy records origins, also within the usage interval. Sent at most once a
    /// day per token and address by each process.
    NewAddress {
        /// The token.
        token: &'a TokenView,
        /// From which address.
        address: IpAddr,
    },
    /// An active token was presented from outside the networks that it is bound to. It is forbidden,
    /// and no use of it is noted. Sent once per usage interval and token.
    OutsideNetwork {
        /// The token.
        token: &'a TokenView,
        /// From which address; `None` if the host named none.
        address: Option<IpAddr>,
    },
    /// A text that has the form of our tokens was refused.
    Denied {
        /// The id in the text; `None` if it was mistyped.
        id: Option<TokenId>,
        /// Why.
        reason: DenialReason,
        /// The token, if the secret was right.
        ///
        /// Its seal was checked, unless the reason is [`DenialReason::Revoked`] or
        /// [`DenialReason::Tampered`]: then its fields are unproven.
        token: Option<&'a TokenView>,
        /// From which address, if the host named it.
        address: Option<IpAddr>,
        /// By which program, if the host named it: at most 200 characters, and no control characters.
        client: Option<&'a str>,
    },
    /// A token was superseded by a new one.
    Rotated {
        /// The old token.
        old: TokenId,
        /// The unused successor that the new token replaced; it is revoked.
        replaced: Option<TokenId>,
        /// Whether what was issued under its line is revoked.
        revoked_derived: bool,
        /// The new token.
        token: &'a TokenView,
        /// By whom.
        by: &'a Actor,
        /// If false, the old token may be as it was.
        is_certain: bool,
    },
    /// A superseded token was presented with its right secret. Sent once per usage interval.
    Reused {
        /// The token.
        token: &'a TokenView,
    },
    /// A token was examined by a holder of its whole secret. Sent once per usage interval.
    Examined {
        /// The token, as in [`Event::Denied`]: if its status is revoked or tampered, its fields are
        /// unproven.
        token: &'a TokenView,
    },
    /// A token's label, access or end was changed.
    Changed {
        /// The token as it is now.
        token: &'a TokenView,
        /// What was changed.
        change: ChangeKind,
        /// Whether what was issued under its line is revoked.
        revoked_derived: bool,
        /// By whom.
        by: &'a Actor,
        /// If false, the token may be as it was.
        is_certain: bool,
    },
    /// Rows were resealed under the active key.
    Resealed {
        /// How many rows; 0 only if `trusted` names rows.
        count: u64,
        /// The rows whose old seals could not be checked, because the key is lost.
        ///
        /// If the store failed, the last of them may not have been resealed.
        trusted: &'a [TokenId],
        /// Who trusted them.
        trusted_by: Option<&'a Actor>,
    },
    /// One call revoked one or many tokens.
    Revoked {
        /// Which tokens.
        filter: &'a Filter,
        /// How many for certain, including those that were issued under them.
        count: u64,
        /// If false, all of them may be revoked.
        is_certain: bool,
        /// Why.
        reason: &'a Reason,
        /// By whom.
        by: &'a Actor,
    },
    /// Tokens were forgotten: revoked, and their rows deleted.
    Forgotten {
        /// Which tokens.
        filter: &'a Filter,
        /// How many rows were deleted for certain.
        count: u64,
        /// If false, there may be more.
        is_certain: bool,
        /// By whom.
        by: &'a Actor,
    },
    /// The last uses could not be written. They are kept for the next try.
    UsageNotWritten {
        /// Why.
        error: &'a Failed,
    },
    /// Dead rows could not be purged by the [upkeep](crate::upkeep::Upkeep). It tries again.
    NotPurged {
        /// Why.
        error: &'a Failed,
    },
    /// Dead rows were purged.
    Purged {
        /// How many rows for certain.
        count: u64,
        /// If false, there may be more.
        is_certain: bool,
    },
}

/// What was changed of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Its label.
    Renamed,
    /// Its access became smaller.
    Narrowed,
    /// Its end moved.
    Extended,
    /// It is superseded, and its overlap was ended.
    OverlapEnded,
}

/// Holds the events of a transaction until the host sends them.
#[derive(Default)]
pub(crate) struct EventBuffer(Mutex<Vec<BufferedEvent>>);

impl EventBuffer {
    pub(crate) fn push(&self, event: &Event<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(BufferedEvent::of(event));
    }

    pub(crate) fn take(&self) -> Vec<BufferedEvent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An owned copy of an event that can happen in a transaction.
pub(crate) enum BufferedEvent {
    Issued { token: TokenView, by: Actor, is_certain: bool },
    Revoked { filter: Filter, count: u64, is_certain: bool, reason: Reason, by: Actor },
}

impl BufferedEvent {
    #[expect(clippy::unreachable, reason = "a transaction offers issue and revoke alone")]
    fn of(event: &Event<'_>) -> BufferedEvent {
        match *event {
            Event::Issued { token, by, is_certain } => {
                BufferedEvent::Issued { token: token.clone(), by: by.clone(), is_certain }
            }
            Event::Revoked { filter, count, is_certain, reason, by } => BufferedEvent::Revoked {
                filter: filter.clone(),
                count,
                is_certain,
                reason: reason.clone(),
                by: by.clone(),
            },
            // Named one by one, so that a new event does not compile until it is decided on.
            Event::FirstUse { .. }
            | Event::NewAddress { .. }
            | Event::OutsideNetwork { .. }
            | Event::Denied { .. }
            | Event::Rotated { .. }
            | Event::Reused { .. }
            | Event::Examined { .. }
            | Event::Changed { .. }
            | Event::Resealed { .. }
            | Event::Forgotten { .. }
            | Event::UsageNotWritten { .. }
            | Event::NotPurged { .. }
            | Event::Purged { .. } => unreachable!("a transaction only issues and revokes"),
        }
    }

    pub(crate) fn as_event(&self) -> Event<'_> {
        match self {
            BufferedEvent::Issued { token, by, is_certain } => {
                Event::Issued { token, by, is_certain: *is_certain }
            }
            BufferedEvent::Revoked { filter, count, is_certain, reason, by } => {
                let (count, is_certain) = (*count, *is_certain);
                Event::Revoked { filter, count, is_certain, reason, by }
            }
        }
    }
}
