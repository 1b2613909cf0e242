//! The stored row, [`TokenRecord`], and its [`Status`] at a given instant: the only rule of validity.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::access::Access;
use crate::digest::Digest;
use crate::key::{KeyId, Seal};
use crate::text::{InvalidText, Label, Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// Everything that is kept of one token. It never holds the secret.
///
/// Made from [`RecordParts`] and taken apart into them; what lies between is free to change.
#[derive(Clone, PartialEq, Eq)]
#[repr(C)] // In this order: what every authentication reads comes first, and so fewer lines of memory are waited for.
pub struct TokenRecord {
    digest: Digest,
    created_at: Timestamp,
    expires: Expires,
    rare: Option<Box<Rare>>,
    last_use: Option<Box<LastUse>>,
    access: Access,
    id: TokenId,
    owner: Owner,
    label: Label,
    revision: u64,
    key_id: KeyId,
    seal: Option<Seal>,
}

/// What few records have: apart, so that the others need no room for it.
#[derive(Clone, Default, PartialEq, Eq)]
struct Rare {
    issued_by: Option<Operator>,
    /// `None` where it is the record's own id.
    family: Option<TokenId>,
    successor: Option<TokenId>,
    derived_from: Option<TokenId>,
    revocation: Option<Revocation>,
}

/// A [`TokenRecord`] taken apart, for stores.
///
/// A field that is added here breaks every store that builds or takes apart a record, and that is meant: a
/// store that forgot a field would lose it. Destructure without `..` to hear of it from the compiler.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordParts {
    /// The public half of the token's text; the key of the row.
    pub id: TokenId,
    /// What is kept instead of the secret.
    pub digest: Digest,
    /// Whose token it is.
    pub owner: Owner,
    /// What its owner calls it.
    pub label: Label,
    /// What it may do.
    pub access: Access,
    /// The operator who issued it for its owner; `None` where that was himself.
    pub issued_by: Option<Operator>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires: Expires,
    /// The id of the first token of its line of rotations; its own if it is that.
    pub family: TokenId,
    /// The token that superseded it.
    pub successor: Option<TokenId>,
    /// The family of the token under which it was issued.
    pub derived_from: Option<TokenId>,
    /// When, why and by whom it was revoked.
    pub revocation: Option<Revocation>,
    /// When, and where policy says so from where, it was last used, so far as that has been written.
    pub last_use: Option<LastUse>,
    /// Counts the changes; at most [`TokenRecord::MAX_REVISION`].
    pub revision: u64,
    /// The key of the ring under which it is sealed.
    pub key_id: KeyId,
    /// The seal; wiped by a revocation.
    pub seal: Option<Seal>,
}

impl TokenRecord {
    /// The greatest revision: 2^63 - 1. A row that has reached it can only be revoked.
    pub const MAX_REVISION: u64 = i64::MAX as u64;

    /// Puts a record together.
    pub fn from_parts(parts: RecordParts) -> TokenRecord {
        let rare = Rare {
            issued_by: parts.issued_by,
            family: (parts.family != parts.id).then_some(parts.family),
            successor: parts.successor,
            derived_from: parts.derived_from,
            revocation: parts.revocation,
        };
        TokenRecord {
            id: parts.id,
            digest: parts.digest,
            owner: parts.owner,
            label: parts.label,
            access: parts.access,
            created_at: parts.created_at,
            expires: parts.expires,
            revision: parts.revision,
            key_id: parts.key_id,
            seal: parts.seal,
            last_use: parts.last_use.map(Box::new),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    /// Takes it apart.
    pub fn into_parts(self) -> RecordParts {
        let rare = self.rare.map(|rare| *rare).unwrap_or_default();
        RecordParts {
            id: self.id,
            digest: self.digest,
            owner: self.owner,
            label: self.label,
            access: self.access,
            issued_by: rare.issued_by,
            created_at: self.created_at,
            expires: self.expires,
            family: rare.family.unwrap_or(self.id),
            successor: rare.successor,
            derived_from: rare.derived_from,
            revocation: rare.revocation,
            last_use: self.last_use.map(|last_use| *last_use),
            revision: self.revision,
            key_id: self.key_id,
            seal: self.seal,
        }
    }

    /// The record with some parts changed.
    pub(crate) fn changed(self, change: impl FnOnce(&mut RecordParts)) -> TokenRecord {
        let mut parts = self.into_parts();
        change(&mut parts);
        TokenRecord::from_parts(parts)
    }

    /// The public half of the token's text.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// What is kept instead of the secret.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whose token it is.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What its owner calls it.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// What it may do.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The operator who issued it for its owner.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.rare()?.issued_by.as_ref()
    }

    /// When it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ends.
    pub fn expires(&self) -> Expires {
        self.expires
    }

    /// The id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.rare().and_then(|rare| rare.family).unwrap_or(self.id)
    }

    /// The token that superseded it.
    pub fn successor(&self) -> Option<TokenId> {
        self.rare()?.successor
    }

    /// The family of the token under which it was issued.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.rare()?.derived_from
    }

    /// When, why and by whom it was revoked.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.rare()?.revocation.as_ref()
    }

    /// When it was last used, so far as that has been written.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.last_use.as_deref()
    }

    /// Counts the changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The key of the ring under which it is sealed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The seal.
    pub fn seal(&self) -> Option<&Seal> {
        self.seal.as_ref()
    }

    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

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
}

/// How far clocks of one deployment may be apart.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Without the digest and the seal: nothing that a log should not have.
impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.clone().into_parts(), f)
    }
}

impl fmt::Debug for RecordParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("label", &self.label)
            .field("access", &self.access)
            .field("issued_by", &self.issued_by)
            .field("created_at", &self.created_at)
            .field("expires", &self.expires)
            .field("family", &self.family)
            .field("successor", &self.successor)
            .field("derived_from", &self.derived_from)
            .field("revocation", &self.revocation)
            .field("last_use", &self.last_use)
            .field("revision", &self.revision)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expires {
    /// It is valid before this instant, and no longer at it.
    At(Timestamp),
    /// It doesn't end by itself.
    Never,
}

impl Expires {
    /// Whether the token has ended at `now`. The one place that says so: valid while `now < expires`.
    pub fn has_come(self, now: Timestamp) -> bool {
        match self {
            Expires::At(at) => now >= at,
            Expires::Never => false,
        }
    }

    /// Whether this is after the other; [`Expires::Never`] is after everything else.
    pub fn is_later_than(self, other: Expires) -> bool {
        match (self, other) {
            (Expires::At(this), Expires::At(other)) => this > other,
            (Expires::Never, other) => other != Expires::Never,
            (Expires::At(_), Expires::Never) => false,
        }
    }

    /// The instant, if there is one.
    pub fn at(self) -> Option<Timestamp> {
        match self {
            Expires::At(at) => Some(at),
            Expires::Never => None,
        }
    }
}

impl fmt::Display for Expires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expires::At(at) => at.fmt(f),
            Expires::Never => f.write_str("never"),
        }
    }
}

/// When, why and by whom a token was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Reason,
    /// By whom.
    pub by: Actor,
}

/// Whose act a stored change was.
///
/// It prints as `owner`, `engine` or `operator NAME` and parses from that: the form to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The token's owner.
    Owner,
    /// Somebody of the host's operators.
    Operator(Operator),
    /// The engine, by policy.
    Engine,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Owner => f.write_str("owner"),
            Actor::Engine => f.write_str("engine"),
            Actor::Operator(name) => write!(f, "operator {name}"),
        }
    }
}

impl std::str::FromStr for Actor {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Actor, InvalidText> {
        match text {
            "owner" => Ok(Actor::Owner),
            "engine" => Ok(Actor::Engine),
            _ => Operator::new(text.strip_prefix("operator ").unwrap_or_default())
                .map(Actor::Operator),
        }
    }
}

/// A use of a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// From which address, where policy says that it is kept.
    pub address: Option<IpAddr>,
    /// By which program, as it named itself, where policy says that it is kept.
    pub client: Option<Box<str>>,
}

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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::token::Token;

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_772_366_400 + seconds).unwrap()
    }

    pub(crate) fn example() -> RecordParts {
        let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
        let token = Token::parse_any_prefix(text).unwrap();
        RecordParts {
            id: token.id(),
            digest: Digest::of(&token),
            owner: Owner::new("alice").unwrap(),
            label: Label::new("My phone").unwrap(),
            access: Access::full(),
            issued_by: None,
            created_at: at(0),
            expires: Expires::At(at(1000)),
            family: token.id(),
            successor: None,
            derived_from: None,
            revocation: None,
            last_use: None,
            revision: 0,
            key_id: KeyId::new(1).unwrap(),
            seal: None,
        }
    }

    fn used_at(seconds: i64) -> Option<LastUse> {
        Some(LastUse { at: at(seconds), address: None, client: None })
    }

    const IDLE: Option<Duration> = Some(Duration::from_secs(100));

    #[track_caller]
    fn assert_status(parts: RecordParts, seconds: i64, expected: Status) {
        let status =
            TokenRecord::from_parts(parts).status(SealCheck::Right, at(seconds), None, IDLE);
        assert_eq!(status, Ok(expected));
    }

    #[test]
    fn a_token_is_valid_before_its_expiry_and_not_at_it() {
        let parts = || RecordParts { last_use: used_at(950), ..example() };
        assert_status(parts(), 999, Status::Active);
        assert_status(parts(), 1000, Status::Expired);
        assert_status(parts(), 1001, Status::Expired);
    }

    #[test]
    fn never_means_never_and_only_by_its_own_word() {
        let record = TokenRecord::from_parts(RecordParts { expires: Expires::Never, ..example() });
        assert_eq!(record.status(SealCheck::Right, Timestamp::MAX, None, None), Ok(Status::Active));
        let zero = RecordParts { expires: Expires::At(Timestamp::MIN), ..example() };
        assert_status(zero, 0, Status::Expired);
    }

    #[test]
    fn the_order_is_revoked_tampered_superseded_expired_idle_active() {
        let revocation =
            Some(Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::Owner });
        let all = RecordParts { revocation, successor: Some(TokenId::MAX), ..example() };
        let status = |parts: &RecordParts, seal, seconds| {
            TokenRecord::from_parts(parts.clone()).status(seal, at(seconds), None, IDLE).unwrap()
        };
        assert_eq!(status(&all, SealCheck::Wrong, 2000), Status::Revoked);
        let unrevoked = RecordParts { revocation: None, ..all };
        assert_eq!(status(&unrevoked, SealCheck::Wrong, 2000), Status::Tampered);
        assert_eq!(status(&unrevoked, SealCheck::Right, 2000), Status::Superseded);
        assert_eq!(
            status(&unrevoked, SealCheck::Right, 999),
            Status::Idle,
            "in the overlap it lives on"
        );
        let unrotated = RecordParts { successor: None, ..unrevoked };
        assert_eq!(status(&unrotated, SealCheck::Right, 2000), Status::Expired);
        assert_eq!(status(&unrotated, SealCheck::Right, 100), Status::Idle);
        assert_eq!(status(&unrotated, SealCheck::Right, 99), Status::Active);
    }

    #[test]
    fn idle_counts_from_the_later_of_stored_and_own_use() {
        assert_status(RecordParts { last_use: used_at(50), ..example() }, 149, Status::Active);
        assert_status(RecordParts { last_use: used_at(50), ..example() }, 150, Status::Idle);
        let record = TokenRecord::from_parts(RecordParts { last_use: used_at(50), ..example() });
        assert_eq!(
            record.status(SealCheck::Right, at(150), Some(at(51)), IDLE),
            Ok(Status::Active)
        );
        assert_eq!(record.status(SealCheck::Right, at(150), Some(at(49)), IDLE), Ok(Status::Idle));
    }

    #[test]
    fn a_stored_use_in_the_future_is_not_believed() {
        let ahead = |seconds: i64| RecordParts { last_use: used_at(150 + seconds), ..example() };
        assert_status(ahead(300), 150, Status::Active);
        assert_status(ahead(301), 150, Status::Idle);
        let before_creation = RecordParts { last_use: used_at(-500), ..example() };
        assert_status(before_creation, 99, Status::Active);
    }

    #[test]
    fn a_clock_far_behind_is_a_failure_and_not_a_denial() {
        let record = TokenRecord::from_parts(example());
        assert_eq!(record.status(SealCheck::Right, at(-300), None, IDLE), Ok(Status::Active));
        let behind = StatusUnclear::ClockBehind { now: at(-301), created_at: at(0) };
        assert_eq!(record.status(SealCheck::Right, at(-301), None, IDLE), Err(behind));
        assert_eq!(record.status(SealCheck::Wrong, at(-301), None, IDLE), Ok(Status::Tampered));
    }

    #[test]
    fn a_missing_key_is_a_failure_unless_the_token_is_revoked() {
        let status = |parts| {
            TokenRecord::from_parts(parts).status(SealCheck::KeyMissing, at(2000), None, IDLE)
        };
        let key_id = example().key_id;
        assert_eq!(status(example()), Err(StatusUnclear::KeyMissing(key_id)));
        let revocation =
            Some(Revocation { at: at(1), reason: Reason::REQUESTED, by: Actor::Owner });
        assert_eq!(status(RecordParts { revocation, ..example() }), Ok(Status::Revoked));
    }

    #[test]
    fn an_idle_time_out_past_the_calendar_never_comes() {
        let record = TokenRecord::from_parts(RecordParts { expires: Expires::Never, ..example() });
        let status = record.status(SealCheck::Right, Timestamp::MAX, None, Some(Duration::MAX));
        assert_eq!(status, Ok(Status::Active));
    }

    #[test]
    fn actors_print_and_parse_back() {
        let operator = Actor::Operator(Operator::new("owner").unwrap());
        for actor in [Actor::Owner, Actor::Engine, operator] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        assert!("".parse::<Actor>().is_err());
        assert!("operator ".parse::<Actor>().is_err());
        assert!("somebody".parse::<Actor>().is_err());
    }
}
