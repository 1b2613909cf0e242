//! What an audit log hears, and a mail to the owner is written from.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

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

pub(crate) fn emit(observer: Option<&dyn Observer>, event: &Event<'_>) {
    if let Some(observer) = observer {
        // ignored: a panic of the observer must not fail the call that it observes.
        _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    }
}

/// Tells of a change once, at its end: also where the store's answer was lost, or the caller gave up. Whoever asks again hears that
/// nothing was left to do.
pub(crate) struct ChangeEvent<F: Fn(u64, bool)> {
    emit: F,
    /// How many rows, for certain.
    count: u64,
    is_certain: bool,
}

impl<F: Fn(u64, bool)> ChangeEvent<F> {
    /// `emit` is told how many rows were changed for certain, and whether that is all.
    pub(crate) fn new(emit: F) -> ChangeEvent<F> {
        ChangeEvent { emit, count: 0, is_certain: true }
    }

    /// Waits for the store's answer, and counts the rows that it stands for.
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

/// Something that happened. Never holds a secret, a digest or a seal.
///
/// Where `is_certain` is false, nobody can say whether it happened, or whether the last of many did: the store's answer was lost, or
/// the caller gave up before it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was issued.
    Issued {
        /// The new token.
        token: &'a TokenView,
        /// By whom.
        by: &'a Actor,
        /// If not, there may be a token whose text nobody saw.
        is_certain: bool,
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
        /// If not, the old one may be as it was.
        is_certain: bool,
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
        /// If not, it may be as it was.
        is_certain: bool,
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
        /// How many for certain, with those that were issued under them.
        count: u64,
        /// If not, all of them may be revoked.
        is_certain: bool,
        /// Why.
        reason: &'a Reason,
        /// By whom.
        by: &'a Actor,
    },
    /// Tokens were erased.
    Forgotten {
        /// Which.
        filter: &'a Filter,
        /// How many rows for certain.
        count: u64,
        /// If not, there may be more.
        is_certain: bool,
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
        /// How many for certain.
        count: u64,
        /// If not, there may be more.
        is_certain: bool,
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

/// Where the events of a transaction wait.
#[derive(Default)]
pub(crate) struct EventBuffer(Mutex<Vec<BufferedEvent>>);

impl EventBuffer {
    pub(crate) fn push(&self, event: &Event<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(BufferedEvent::of(event));
    }

    pub(crate) fn take(&self) -> Vec<BufferedEvent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What can happen in a transaction.
pub(crate) enum BufferedEvent {
    Issued { token: TokenView, by: Actor, is_certain: bool },
    Revoked { filter: Filter, count: u64, is_certain: bool, reason: Reason, by: Actor },
}

impl BufferedEvent {
    fn of(event: &Event<'_>) -> Option<BufferedEvent> {
        match *event {
            Event::Issued { token, by, is_certain } => {
                Some(BufferedEvent::Issued { token: token.clone(), by: by.clone(), is_certain })
            }
            Event::Revoked { filter, count, is_certain, reason, by } => {
                Some(BufferedEvent::Revoked {
                    filter: filter.clone(),
                    count,
                    is_certain,
                    reason: reason.clone(),
                    by: by.clone(),
                })
            }
            _ => None,
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
