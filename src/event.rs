//! Events for an audit log or mails to owners, and the buffer of a transaction's events.

mod display;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::error::{DenialReason, Failed};
use crate::record::Actor;
use crate::store::Filter;
use crate::text::{Owner, Reason};
use crate::token::TokenId;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use crate::tracing_observer::TracingObserver;
use crate::view::TokenView;

/// Receives events, after the fact. Any `Fn(&Event<'_>)` is an observer.
///
/// An observer can't fail or change a call. A panic in it is caught and dropped. It runs on the
/// caller's thread, so hand slow work, such as a mail, to another task.
///
/// ```
/// use app_tokens::event::{Event, Observer};
/// struct Mailer;
/// impl Observer for Mailer {
///     fn observe(&self, event: &Event<'_>) {
///         if let Event::NewAddress { token, address } = event {
///             println!("mail to {}: {} was used from {address}", token.owner(), token.label());
///         }
///     }
/// }
/// ```
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

/// Hands an event to the observer, if there is one.
pub(crate) fn emit(observer: Option<&dyn Observer>, event: &Event<'_>) {
    if let Some(observer) = observer {
        // ignored: a panic of the observer must not fail the call that it observes.
        _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
    }
}

/// Emits one event per change when it ends, even if the store's reply was lost or the future was
/// dropped.
///
/// It emits when dropped, since nothing else runs in all of these cases. A later event could not
/// make up for it: the caller who tries again is answered that nothing was left to do.
pub(crate) struct ChangeEvent<F: Fn(u64, bool)> {
    emit: F,
    /// How many rows were changed for certain.
    count: u64,
    /// False from the moment the store is called until it has answered.
    is_certain: bool,
}

impl<F: Fn(u64, bool)> ChangeEvent<F> {
    /// Takes `emit`, which gets the number of rows that were changed for certain, and whether that
    /// is all.
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
        // Set before the first poll: from then on the store may act, even if this future is
        // dropped.
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
/// If `is_certain` is false, the change may have happened, in part or not at all. Either the
/// store's answer was lost, or the caller dropped the future before it came.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A token was issued.
    Issued {
        /// The new token.
        token: &'a TokenView,
        /// Who did it.
        by: &'a Actor,
        /// If false, there may be a token whose text nobody saw.
        is_certain: bool,
    },
    /// A token of another system was imported.
    Imported {
        /// The new token.
        token: &'a TokenView,
        /// Who did it.
        by: &'a Actor,
        /// If false, it may not have been imported.
        is_certain: bool,
    },
    /// An imported token was used, and its row got a digest of ours. What the other system kept of
    /// it is gone.
    TakenOver {
        /// The token.
        token: &'a TokenView,
        /// If false, the row may be as it was. The next use tries again.
        is_certain: bool,
    },
    /// Tokens were written into a transfer file: digests and names left this host.
    MovedOut {
        /// How many rows were written.
        count: u64,
        /// Whose; `None` for those of all owners.
        owner: Option<&'a Owner>,
        /// Who did it.
        by: &'a Actor,
        /// If false, the file was not finished.
        is_certain: bool,
    },
    /// A token without a revocation was taken in from a transfer file.
    MovedIn {
        /// The token.
        token: &'a TokenView,
        /// Who did it.
        by: &'a Actor,
        /// If false, it may not have been taken in.
        is_certain: bool,
    },
    /// A token was used for the first time.
    ///
    /// Sent at least once per token, and at most once by each process. A process that sees 16,384
    /// first uses before it writes one of them may send that one again.
    FirstUse {
        /// The token.
        token: &'a TokenView,
        /// The client's address; `None` if the host did not name it.
        address: Option<IpAddr>,
    },
    /// A token was used from another address than at its last noted use, also within the usage
    /// interval.
    ///
    /// Sent only if the policy [records origins](crate::Policy::with_recorded_origin), and at most
    /// once a day per token and address by each process.
    NewAddress {
        /// The token.
        token: &'a TokenView,
        /// The client's new address.
        address: IpAddr,
    },
    /// An active token was presented from outside the networks that it is bound to.
    ///
    /// The call is forbidden, and no use of the token is noted. Sent once per usage interval and
    /// token.
    OutsideNetwork {
        /// The token.
        token: &'a TokenView,
        /// The client's address; `None` if the host did not name it.
        address: Option<IpAddr>,
    },
    /// A text that has the form of our tokens was refused.
    Denied {
        /// The id in the text; `None` if the text was mistyped.
        id: Option<TokenId>,
        /// Why it was refused.
        reason: DenialReason,
        /// The token, if the secret was right. `None` if this build can't compare it, since the
        /// digest has an unknown scheme; the token is then revoked.
        ///
        /// Its seal was checked, unless the reason is [`DenialReason::Revoked`] or
        /// [`DenialReason::Tampered`]. Then its fields are unproven.
        token: Option<&'a TokenView>,
        /// The client's address; `None` if the host did not name it.
        address: Option<IpAddr>,
        /// The client's program, if the host named it: at most 200 characters, without control
        /// characters.
        client: Option<&'a str>,
    },
    /// A token was superseded by a new one.
    Rotated {
        /// The old token.
        old: TokenId,
        /// The unused successor that the new token replaced. It is revoked.
        replaced: Option<TokenId>,
        /// Whether what was issued under its line is revoked with it.
        revoked_derived: bool,
        /// The token.
        token: &'a TokenView,
        /// Who did it.
        by: &'a Actor,
        /// If false, the old token may be as it was.
        is_certain: bool,
    },
    /// A superseded token was presented with its right secret. Sent once per usage interval and
    /// token.
    ///
    /// Either a second holder has it, or its client missed the rotation.
    Reused {
        /// The token. If its status is revoked or tampered, its fields are unproven.
        token: &'a TokenView,
    },
    /// A holder of a token's whole secret examined it. Sent once per usage interval and token.
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
        /// Whether what was issued under its line is revoked with it.
        revoked_derived: bool,
        /// Who did it.
        by: &'a Actor,
        /// If false, the token may be as it was.
        is_certain: bool,
    },
    /// Rows were resealed under the active key.
    Resealed {
        /// How many rows were resealed; 0 only if `trusted` names rows.
        count: u64,
        /// The rows whose old seals could not be checked, because their key is lost.
        ///
        /// If the store failed, the last of them may not have been resealed.
        trusted: &'a [TokenId],
        /// Who trusted them; `None` if the run trusts no row.
        trusted_by: Option<&'a Actor>,
    },
    /// One call revoked one or many tokens. Not sent if it found nothing to revoke.
    Revoked {
        /// Which tokens it was about.
        filter: &'a Filter,
        /// How many were revoked for certain, including those that were issued under a match.
        count: u64,
        /// If false, more rows may have been revoked, up to all that match.
        is_certain: bool,
        /// Why they were revoked.
        reason: &'a Reason,
        /// Who did it.
        by: &'a Actor,
    },
    /// Tokens were forgotten: revoked, and their rows deleted.
    Forgotten {
        /// Which tokens it was about.
        filter: &'a Filter,
        /// How many rows were deleted for certain.
        count: u64,
        /// If false, more rows may have been deleted.
        is_certain: bool,
        /// Who did it.
        by: &'a Actor,
    },
    /// The last uses could not be written. They are kept for the next try.
    UsageNotWritten {
        /// Why not.
        error: &'a Failed,
    },
    /// The [upkeep](crate::upkeep::Upkeep) could not purge dead rows. It tries again.
    NotPurged {
        /// Why not.
        error: &'a Failed,
    },
    /// Dead rows were purged.
    Purged {
        /// How many rows were deleted for certain.
        count: u64,
        /// If false, more rows may have been deleted.
        is_certain: bool,
    },
}

/// Names what was changed of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It got another label.
    Renamed,
    /// Its access became smaller.
    Narrowed,
    /// Its end moved, to a later or an earlier instant.
    Extended,
    /// It was superseded before, and its overlap was ended.
    OverlapEnded,
    /// Another host had rotated it, and a move carried that over.
    Superseded,
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
    /// Copies an event.
    ///
    /// # Panics
    /// Panics if the event can't happen in a transaction.
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
            // Named one by one, so that a new event does not compile before it is decided whether
            // it comes here.
            Event::Imported { .. }
            | Event::TakenOver { .. }
            | Event::MovedOut { .. }
            | Event::MovedIn { .. }
            | Event::FirstUse { .. }
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

    /// Returns the event, to be sent.
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
