//! The status of a token at a given instant: the only rule of validity, and the rule of what is
//! live.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::TokenRecord;
use crate::key::KeyId;
use crate::timestamp::Timestamp;

/// The status of a token: active, or why it is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It authenticates.
    Active,
    /// Not used for longer than the policy's idle time-out.
    Idle,
    /// Its end has come.
    Expired,
    /// A rotation replaced it, and the overlap is over.
    Superseded,
    /// Its row is not as the engine wrote it.
    Tampered,
    /// It was revoked.
    Revoked,
}

impl Status {
    const ALL: [Status; 6] = [
        Status::Active,
        Status::Idle,
        Status::Expired,
        Status::Superseded,
        Status::Tampered,
        Status::Revoked,
    ];

    /// Returns `active`, `idle`, `expired`, `superseded`, `tampered` or `revoked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Idle => "idle",
            Status::Expired => "expired",
            Status::Superseded => "superseded",
            Status::Tampered => "tampered",
            Status::Revoked => "revoked",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Status {
    type Err = InvalidStatus;

    fn from_str(text: &str) -> Result<Status, InvalidStatus> {
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or(InvalidStatus)
    }
}

/// A text that is no [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status is `active`, `idle`, `expired`, `superseded`, `tampered` or `revoked`")]
pub struct InvalidStatus;

impl TokenRecord {
    /// Decides the status at `now`: the first that holds of revoked, tampered, superseded, expired,
    /// idle, active.
    ///
    /// `own_use` is the last use that this process has not written yet. `idle_after` is the
    /// policy's.
    ///
    /// # Errors
    /// [`StatusUnclear`] if the key or the version of the seal is unknown, or if `now` is more than
    /// five minutes before the token was issued. None of these says anything about a token.
    pub(crate) fn status(
        &self,
        seal: SealCheck,
        now: Timestamp,
        own_use: Option<Timestamp>,
        idle_after: Option<Duration>,
    ) -> Result<Status, StatusUnclear> {
        if self.revocation().is_some() {
            return Ok(Status::Revoked);
        }
        match seal {
            SealCheck::Right => {}
            SealCheck::Wrong => return Ok(Status::Tampered),
            SealCheck::KeyMissing => return Err(StatusUnclear::KeyMissing(self.key_id())),
            SealCheck::UnknownVersion(version) => {
                return Err(StatusUnclear::SealVersion(version));
            }
        }
        if now < self.created_at().saturating_sub(CLOCK_TOLERANCE) {
            return Err(StatusUnclear::ClockBehind { now, created_at: self.created_at() });
        }
        if self.expires().has_come(now) {
            let superseded = self.successor().is_some();
            return Ok(if superseded { Status::Superseded } else { Status::Expired });
        }
        let idle = idle_after
            .and_then(|idle_after| self.last_sign_of_life(now, own_use).checked_add(idle_after))
            .is_some_and(|goes_idle| now >= goes_idle);
        Ok(if idle { Status::Idle } else { Status::Active })
    }

    /// Returns the latest of stored use, own use and `created_at`.
    ///
    /// A stored use in the future counts as none. It isn't sealed, so a row that was tampered with,
    /// or that a broken clock wrote, would otherwise never go idle.
    fn last_sign_of_life(&self, now: Timestamp, own_use: Option<Timestamp>) -> Timestamp {
        let stored = self.last_use().map(|last_use| last_use.at);
        let believed = stored.filter(|at| *at <= now.saturating_add(CLOCK_TOLERANCE));
        self.created_at().max(believed.max(own_use).unwrap_or(Timestamp::MIN))
    }

    /// Returns whether the row is live: without revocation and successor, not expired at
    /// `live.now`, and last seen after `live.used_after`, if that is given.
    ///
    /// Live rows count for the limit per owner, and hold their labels if labels are unique.
    pub fn is_live(&self, live: LiveAt) -> bool {
        let LiveAt { now, used_after } = live;
        self.revocation().is_none()
            && self.successor().is_none()
            && !self.expires().has_come(now)
            && used_after.is_none_or(|limit| self.last_seen(now) > limit)
    }

    /// Returns the later of the stored last use and `created_at`.
    ///
    /// A stored use that is more than five minutes after `now` counts as none, since a broken
    /// clock wrote it.
    pub fn last_seen(&self, now: Timestamp) -> Timestamp {
        self.last_sign_of_life(now, None)
    }
}

/// What decides which rows are [live](TokenRecord::is_live).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveAt {
    /// The engine's present instant.
    pub now: Timestamp,
    /// If there is an idle time-out: only rows that were last seen after this instant are live.
    pub used_after: Option<Timestamp>,
}

impl LiveAt {
    /// The present instant, without an idle time-out.
    pub fn now(now: Timestamp) -> LiveAt {
        LiveAt { now, used_after: None }
    }
}

/// How far the clocks of one deployment may be apart: five minutes.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The result of a check of a row's seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealCheck {
    /// The row is as the engine wrote it.
    Right,
    /// It was changed, or has no seal.
    Wrong,
    /// It is sealed under a key that the ring lacks.
    KeyMissing,
    /// Its seal has a version that this build doesn't know.
    UnknownVersion(u8),
}

/// Why the status of a token can't be decided. A failure, never a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusUnclear {
    /// The row is sealed under a key that the ring lacks: it is not rolled out everywhere yet, or
    /// lost.
    #[error("a token is sealed under key {0}, which the key ring lacks; add that key to the ring")]
    KeyMissing(KeyId),
    /// The seal has a version that this build doesn't know: another host of the fleet is newer.
    #[error("a token has a seal of version {0}, which this program does not know; update it")]
    SealVersion(u8),
    /// The clock is more than five minutes before the instant at which the token was issued.
    #[error("the clock says {now}, but a token was issued at {created_at}; set the clock")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the token was issued.
        created_at: Timestamp,
    },
}
