//! The status of a token at a given instant: the only rule of validity, and the rule for live rows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::TokenRecord;
use crate::key::KeyId;
use crate::timestamp::Timestamp;

/// The status of a token: active, or why it is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The token authenticates.
    Active,
    /// The token was not used for longer than the policy's idle time-out.
    Idle,
    /// The token's end has come.
    Expired,
    /// A rotation replaced the token, and the overlap is over.
    Superseded,
    /// The token's row is not as the engine wrote it.
    Tampered,
    /// The token was revoked.
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

/// A text that is not a [`Status`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a status; write `active`, `idle`, `expired`, `superseded`, `tampered` or `revoked`")]
pub struct InvalidStatus;

impl TokenRecord {
    /// Decides the status at `now`: the first that holds of revoked, tampered, superseded, expired,
    /// idle, active.
    ///
    /// `own_use` is the last use that this process has not written yet. `idle_after` is the
    /// policy's idle time-out.
    ///
    /// # Errors
    /// [`StatusUnclear`] if the key is unknown, if a newer build wrote the row, or if the clock is
    /// more than five minutes behind `created_at`. None of these says anything about the token.
    pub(crate) fn status(
        &self,
        seal: SealCheck,
        now: Timestamp,
        own_use: Option<Timestamp>,
        idle_after: Option<Duration>,
    ) -> Result<Status, StatusUnclear> {
        // Looked at before the seal, which a revocation clears.
        if self.revocation().is_some() {
            return Ok(Status::Revoked);
        }
        match seal {
            SealCheck::Right => {}
            SealCheck::Wrong => return Ok(Status::Tampered),
            SealCheck::KeyMissing => return Err(StatusUnclear::KeyMissing(self.key_id())),
            SealCheck::UnknownVersion(newer) => return Err(newer.into()),
        }
        // Only after the seal was found right: until then `created_at` may be forged.
        if now < self.created_at().saturating_sub(CLOCK_TOLERANCE) {
            return Err(StatusUnclear::ClockBehind { now, created_at: self.created_at() });
        }
        if self.expires().has_come(now) {
            let superseded = self.successor().is_some();
            return Ok(if superseded { Status::Superseded } else { Status::Expired });
        }
        // An instant past the calendar never comes, so such a token does not go idle.
        let idle = idle_after
            .and_then(|idle_after| self.last_sign_of_life(now, own_use).checked_add(idle_after))
            .is_some_and(|goes_idle| now >= goes_idle);
        Ok(if idle { Status::Idle } else { Status::Active })
    }

    /// Returns the latest of stored use, own use and `created_at`.
    ///
    /// A stored use that is more than five minutes in the future counts as none. It isn't sealed: a
    /// row that was tampered with, or that a broken clock wrote, would otherwise never go idle.
    fn last_sign_of_life(&self, now: Timestamp, own_use: Option<Timestamp>) -> Timestamp {
        let stored = self.last_use().map(|last_use| last_use.at);
        let believed = stored.filter(|at| *at <= now.saturating_add(CLOCK_TOLERANCE));
        self.created_at().max(believed.max(own_use).unwrap_or(Timestamp::MIN))
    }

    /// Returns whether the row is live.
    ///
    /// A live row has no revocation and no successor, and is not expired at `live.now`. If
    /// `live.used_after` is given, it was last seen after that.
    ///
    /// Live rows count towards the limit per owner, and hold their labels if labels are unique. The
    /// seal is not looked at.
    pub fn is_live(&self, live: LiveAt) -> bool {
        let LiveAt { now, used_after } = live;
        self.revocation().is_none()
            && self.successor().is_none()
            && !self.expires().has_come(now)
            && used_after.is_none_or(|limit| self.last_seen(now) > limit)
    }

    /// Returns whether this stored record is still the one that a form was made from. A request
    /// about any other is stale.
    pub(crate) fn is_current_for(&self, form: &TokenRecord) -> bool {
        self.revocation().is_none()
            && self.revision() == form.revision()
            && self.revision() < TokenRecord::MAX_REVISION
    }

    /// Returns whether a second rotation may still replace this token.
    pub(crate) fn is_unused(&self) -> bool {
        self.last_use().is_none() && self.successor().is_none()
    }

    /// Returns the later of the stored last use and `created_at`.
    ///
    /// A stored use that is more than five minutes after `now` counts as none, since a broken clock
    /// wrote it.
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
    /// Takes the present instant, without an idle time-out.
    pub fn now(now: Timestamp) -> LiveAt {
        LiveAt { now, used_after: None }
    }
}

/// How far the clocks of one deployment may be apart: five minutes.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The result of checking a row's seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealCheck {
    /// The row is as the engine wrote it.
    Right,
    /// The row was changed, or has no seal.
    Wrong,
    /// The row is sealed under a key that the ring lacks.
    KeyMissing,
    /// A newer build wrote the seal or the digest.
    UnknownVersion(Newer),
}

/// What a newer build wrote of a row, with the version that this build doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newer {
    /// The seal has this version.
    Seal(u8),
    /// The digest has this scheme.
    Digest(u8),
}

impl From<Newer> for StatusUnclear {
    fn from(newer: Newer) -> StatusUnclear {
        match newer {
            Newer::Seal(version) => StatusUnclear::SealVersion(version),
            Newer::Digest(scheme) => StatusUnclear::DigestScheme(scheme),
        }
    }
}

/// Why the status of a token can't be decided. A failure, never a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusUnclear {
    /// The row is sealed under a key that the ring lacks. The key is lost, or not rolled out
    /// everywhere yet.
    #[error(
        "a token is sealed under key {0}, which the key ring lacks; bring that key back, \
         or revoke the tokens under it"
    )]
    KeyMissing(KeyId),
    /// The seal has a version that this build doesn't know. Another host of the fleet is newer.
    #[error("a token has a seal of version {0}, which this program does not know; update it")]
    SealVersion(u8),
    /// The digest has a scheme that this build doesn't know. Another host of the fleet is newer.
    #[error("a token has a digest of scheme {0}, which this program does not know; update it")]
    DigestScheme(u8),
    /// The clock is more than five minutes before the instant at which the token was issued.
    #[error("the clock says {now}, but a token was issued at {created_at}; set the clock")]
    ClockBehind {
        /// What the clock says.
        now: Timestamp,
        /// When the token was issued.
        created_at: Timestamp,
    },
}
