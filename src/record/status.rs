//! Whether a token is good at a given instant: the only rule of validity, and that of what is live.

use std::fmt;
use std::time::Duration;

use super::TokenRecord;
use crate::key::KeyId;
use crate::timestamp::Timestamp;

/// Whether a token is good, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It authenticates.
    Active,
    /// Not used for longer than the policy's idle time-out.
    Idle,
    /// Its time is over.
    Expired,
    /// A rotation replaced it, and the overlap is over.
    Superseded,
    /// Its row is not as the engine wrote it.
    Tampered,
    /// Somebody ended it.
    Revoked,
}

impl Status {
    /// `active`, `idle`, `expired`, `superseded`, `tampered` or `revoked`.
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

impl TokenRecord {
    /// Whether the token is good at `now`, and if not, why.
    ///
    /// `own_use` is a use that this process saw and has not written yet; `idle_after` is the policy's. The first
    /// that holds, in this order: revoked, tampered, superseded, expired, idle, active.
    ///
    /// # Errors
    /// [`StatusUnclear`] where the seal can't be checked, or where `now` is more than five minutes before the token
    /// was made: a missing key and a broken clock say nothing about a token.
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

    /// The later of stored and own use, and at least when it was made. A stored use in the future is
    /// not believed: it isn't sealed.
    fn last_sign_of_life(&self, now: Timestamp, own_use: Option<Timestamp>) -> Timestamp {
        let stored = self.last_use().map(|last_use| last_use.at);
        let believed = stored.filter(|at| *at <= now.saturating_add(CLOCK_TOLERANCE));
        self.created_at().max(believed.max(own_use).unwrap_or(Timestamp::MIN))
    }

    /// Whether the row counts for an owner's limit and unique labels: no revocation, no successor, and `expires` not come.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revocation().is_none() && self.successor().is_none() && !self.expires().has_come(now)
    }

    /// When it was last used, so far as that is stored, and at least when it was made.
    pub fn last_seen(&self) -> Timestamp {
        self.last_use().map_or(self.created_at(), |last_use| last_use.at.max(self.created_at()))
    }
}

/// How far clocks of one deployment may be apart.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What the look at a row's seal said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealCheck {
    /// The row is as the engine wrote it.
    Right,
    /// It is not, or has no seal.
    Wrong,
    /// It is sealed under a key that the ring lacks.
    KeyMissing,
}

/// Why it can't be told whether a token is good. A failure, never a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusUnclear {
    /// The row is sealed under a key that the ring lacks: a key that is not rolled out everywhere, or lost.
    #[error("a token is sealed under key {0}, which the key ring lacks")]
    KeyMissing(KeyId),
    /// The clock is more than five minutes before the instant at which the token was made.
    #[error("the clock says {now}, but a token was made at {created_at}")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the token was made.
        created_at: Timestamp,
    },
}
