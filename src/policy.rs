//! What the host allows: data only.

use std::time::Duration;

use crate::access::{Access, ScopeInclusion, ScopeName};
use crate::record::{Expires, Status};
use crate::timestamp::Timestamp;
use crate::token::{InvalidPrefix, Prefix};
use crate::view::TokenView;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the host allows. Data only; [`TokenAuthority`](crate::TokenAuthority) acts by it.
///
/// | | default |
/// |---|---|
/// | life of a token that asks for none | 365 days |
/// | longest life | none |
/// | tokens that never expire | not allowed |
/// | idle time-out | none |
/// | overlap of a rotation | none; 7 days at most where one is asked for |
/// | a superseded token that is presented again | is reported |
/// | live tokens per owner | 100 |
/// | labels | need not be unique |
/// | last use | noted once per 60 seconds |
/// | dead rows | are kept for 90 days |
/// | addresses and clients | are not recorded |
///
/// ```
/// use std::time::Duration;
/// use app_tokens::Policy;
/// let policy = Policy::new("acme")?
///     .with_max_life(Duration::from_secs(90 * 86_400))?
///     .with_unique_labels();
/// assert_eq!(policy.default_life(), policy.max_life().unwrap(), "the default life is cut to the longest");
/// # Ok::<(), app_tokens::PolicyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The one that new tokens get first, then those that are accepted, too.
    prefixes: Vec<Prefix>,
    realm: Box<str>,
    default_life: Duration,
    max_life: Option<Duration>,
    never_expiring: bool,
    idle_timeout: Option<Duration>,
    overlap: Duration,
    max_overlap: Duration,
    reuse: Reuse,
    max_per_owner: Option<u32>,
    unique_labels: bool,
    usage_interval: Duration,
    retention: Duration,
    record_origin: bool,
    scopes: Vec<ScopeInclusion>,
}

/// What happens when a superseded token is presented with its right secret: two hold it, or a client
/// missed the rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reuse {
    /// An event says so.
    #[default]
    Report,
    /// And the whole family is revoked (RFC 9700, 4.14.2).
    RevokeFamily,
}

impl Policy {
    /// The defaults, for tokens with this prefix. The realm is the prefix, too.
    ///
    /// # Errors
    /// [`PolicyError::Prefix`] for a text that is no prefix.
    pub fn new(prefix: impl AsRef<str>) -> Result<Policy, PolicyError> {
        let prefix = Prefix::new(prefix)?;
        Ok(Policy {
            prefixes: vec![prefix],
            realm: prefix.as_str().into(),
            default_life: 365 * DAY,
            max_life: None,
            never_expiring: false,
            idle_timeout: None,
            overlap: Duration::ZERO,
            max_overlap: 7 * DAY,
            reuse: Reuse::Report,
            max_per_owner: Some(100),
            unique_labels: false,
            usage_interval: Duration::from_secs(60),
            retention: 90 * DAY,
            record_origin: false,
            scopes: Vec::new(),
        })
    }

    /// Accepts tokens with this prefix, too: the brand's former name.
    ///
    /// # Errors
    /// [`PolicyError::Prefix`] for a text that is no prefix.
    pub fn with_former_prefix(mut self, prefix: impl AsRef<str>) -> Result<Policy, PolicyError> {
        let prefix = Prefix::new(prefix)?;
        if !self.prefixes.contains(&prefix) {
            self.prefixes.push(prefix);
        }
        Ok(self)
    }

    /// Names the realm that the seals are bound to. Two tables or tenants that share a key ring need two realms, else a row of one
    /// is good in the other. Once rows are sealed it must not change.
    ///
    /// # Errors
    /// [`PolicyError::Realm`] unless it has 1 to 128 characters of printable ASCII without `"` and `\`.
    pub fn with_realm(mut self, realm: &str) -> Result<Policy, PolicyError> {
        Policy::check_realm(realm)?;
        self.realm = realm.into();
        Ok(self)
    }

    pub(crate) fn check_realm(realm: &str) -> Result<(), PolicyError> {
        let allowed = |c: u8| (c == b' ' || c.is_ascii_graphic()) && c != b'"' && c != b'\\';
        let fits = !realm.trim().is_empty() && realm.len() <= 128 && realm.bytes().all(allowed);
        if fits { Ok(()) } else { Err(PolicyError::Realm) }
    }

    /// The life of a token that asks for none.
    ///
    /// # Errors
    /// [`PolicyError::Zero`] for less than a second; [`PolicyError::PastMaximum`] past the longest life.
    pub fn with_default_life(mut self, life: Duration) -> Result<Policy, PolicyError> {
        at_least_a_second(life, "default life")?;
        if self.max_life.is_some_and(|max| life > max) {
            return Err(PolicyError::PastMaximum("default life"));
        }
        self.default_life = life;
        Ok(self)
    }

    /// The longest life. A longer default life is cut to it, and never-expiring tokens are off again.
    ///
    /// # Errors
    /// [`PolicyError::Zero`] for less than a second.
    pub fn with_max_life(mut self, max: Duration) -> Result<Policy, PolicyError> {
        at_least_a_second(max, "maximum life")?;
        self.max_life = Some(max);
        self.default_life = self.default_life.min(max);
        self.never_expiring = false;
        Ok(self)
    }

    /// Allows tokens that never expire, where they are asked for by that word.
    ///
    /// # Errors
    /// [`PolicyError::NeverWithMaximum`] where there is a longest life.
    pub fn with_never_expiring(mut self) -> Result<Policy, PolicyError> {
        if self.max_life.is_some() {
            return Err(PolicyError::NeverWithMaximum);
        }
        self.never_expiring = true;
        Ok(self)
    }

    /// Denies a token that was not used for so long. It needs a
    /// [`UsageFlusher`](crate::usage::UsageFlusher): until one is attached, nothing is issued or authenticated.
    ///
    /// # Errors
    /// [`PolicyError::IdleTooShort`] under a day.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Result<Policy, PolicyError> {
        if timeout < DAY {
            return Err(PolicyError::IdleTooShort);
        }
        self.idle_timeout = Some(timeout);
        Ok(self)
    }

    /// How long the old token lives on beside the new one after a rotation that doesn't say; zero ends it at once.
    ///
    /// # Errors
    /// [`PolicyError::PastMaximum`] past the longest overlap.
    pub fn with_overlap(mut self, overlap: Duration) -> Result<Policy, PolicyError> {
        if overlap > self.max_overlap {
            return Err(PolicyError::PastMaximum("overlap"));
        }
        self.overlap = overlap;
        Ok(self)
    }

    /// The longest overlap that a rotation may ask for. A longer default is cut to it. Old tokens in their overlap don't count towards
    /// the limit per owner, so this is also for how long there may be more of them than that.
    #[must_use]
    pub fn with_max_overlap(mut self, max: Duration) -> Policy {
        self.max_overlap = max;
        self.overlap = self.overlap.min(max);
        self
    }

    /// What happens when a superseded token is presented again.
    #[must_use]
    pub fn with_reuse(self, reuse: Reuse) -> Policy {
        Policy { reuse, ..self }
    }

    /// How many live tokens an owner may have. A line of rotations counts once, also while old tokens of it live on in their overlap.
    ///
    /// # Errors
    /// [`PolicyError::Zero`] for none.
    pub fn with_max_per_owner(mut self, max: u32) -> Result<Policy, PolicyError> {
        if max == 0 {
            return Err(PolicyError::Zero("limit per owner"));
        }
        self.max_per_owner = Some(max);
        Ok(self)
    }

    /// Any number of live tokens per owner. Whoever has an owner's main password can then fill the store.
    #[must_use]
    pub fn with_no_limit_per_owner(self) -> Policy {
        Policy { max_per_owner: None, ..self }
    }

    /// No two live tokens of an owner have the same label. Labels are compared byte for byte: see
    /// [`Label`](crate::Label).
    #[must_use]
    pub fn with_unique_labels(self) -> Policy {
        Policy { unique_labels: true, ..self }
    }

    /// How often a token's last use is noted at most. Zero notes every use; with an idle time-out the longest is a 24th of that.
    #[must_use]
    pub fn with_usage_interval(self, interval: Duration) -> Policy {
        Policy { usage_interval: interval, ..self }
    }

    /// How long dead rows are kept, for lists, reuse detection and audits.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Policy {
        Policy { retention, ..self }
    }

    /// Names the host's scopes, so that narrowing, rotating and issuing under a token know which includes which: a token to write may be
    /// narrowed to one that reads.
    ///
    /// # Errors
    /// [`PolicyError::ScopeLeftOut`] where reading is included in writing, writing in administering, and reading not in that: narrowed,
    /// a token could do more.
    pub fn with_scopes(mut self, scopes: &[impl ScopeName]) -> Result<Policy, PolicyError> {
        self.scopes = scopes.iter().map(|scope| (scope.name(), scope.included_in())).collect();
        for (scope, included_in) in &self.scopes {
            for (_, more) in self.scopes.iter().filter(|(name, _)| included_in.contains(name)) {
                let left_out =
                    more.iter().find(|more| *more != scope && !included_in.contains(more));
                if let Some(including) = left_out {
                    return Err(PolicyError::ScopeLeftOut { scope, including });
                }
            }
        }
        Ok(self)
    }

    pub(crate) fn includes(&self, access: &Access, other: &Access) -> bool {
        access.includes_by(other, &self.scopes)
    }

    /// Keeps the address and the client of the last use. They are personal data.
    #[must_use]
    pub fn with_recorded_origin(self) -> Policy {
        Policy { record_origin: true, ..self }
    }

    /// The prefix of new tokens.
    pub fn prefix(&self) -> Prefix {
        self.prefixes[0]
    }

    /// The accepted prefixes: that of new tokens first.
    pub fn accepted_prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// What the seals are bound to.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The life of a token that asks for none.
    pub fn default_life(&self) -> Duration {
        self.default_life
    }

    /// The longest life, if there is one.
    pub fn max_life(&self) -> Option<Duration> {
        self.max_life
    }

    /// Whether tokens may never expire.
    pub fn allows_never_expiring(&self) -> bool {
        self.never_expiring
    }

    /// After how long without a use a token is denied.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// How long a rotated token lives on, if the rotation doesn't say.
    pub fn overlap(&self) -> Duration {
        self.overlap
    }

    /// How long a rotated token may live on.
    pub fn max_overlap(&self) -> Duration {
        self.max_overlap
    }

    /// What happens when a superseded token is presented again.
    pub fn reuse(&self) -> Reuse {
        self.reuse
    }

    /// How many live tokens an owner may have.
    pub fn max_per_owner(&self) -> Option<u32> {
        self.max_per_owner
    }

    /// Whether an owner's live labels differ.
    pub fn has_unique_labels(&self) -> bool {
        self.unique_labels
    }

    /// How often a token's last use is noted at most.
    pub fn usage_interval(&self) -> Duration {
        // A use that is not noted would not keep a token alive.
        let longest = self.idle_timeout.map_or(Duration::MAX, |timeout| timeout / 24);
        self.usage_interval.min(longest)
    }

    /// How long dead rows are kept.
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// Whether the address and the client of the last use are kept.
    pub fn records_origin(&self) -> bool {
        self.record_origin
    }
}

/// What a policy would do to a token that was issued under another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyConflict {
    /// Its idle time-out would deny the token from this instant, if it is not used before.
    GoesIdle {
        /// From when.
        at: Timestamp,
    },
    /// It would not issue a token with so late an end. This one keeps its end all the same.
    EndsTooLate {
        /// The end that the policy would allow it.
        latest: Timestamp,
    },
    /// It would not issue a token without an end. This one stays without all the same.
    NeverExpires,
}

impl Policy {
    /// What this policy, if it took the present one's place, would do to a token: a preview for an operator, over a list. Pure.
    ///
    /// A dead token has no conflicts. A changed realm (every seal is wrong) and a prefix that is no longer accepted (the text is not ours)
    /// are not seen: no row has either. A last use that a broken clock wrote in the future is believed, so such a token may go idle sooner than foretold.
    ///
    /// ```
    /// use std::time::Duration;
    /// use app_tokens::{NewToken, Policy, PolicyConflict, TokenAuthority};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let issued = tokens.blocking().issue(NewToken::new("alice", "My phone"))?;
    /// let stricter = Policy::new("acme")?.with_max_life(Duration::from_secs(90 * 86_400))?;
    /// let conflicts = stricter.conflicts_with(issued.view());
    /// assert!(matches!(conflicts[..], [PolicyConflict::EndsTooLate { .. }]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn conflicts_with(&self, token: &TokenView) -> Vec<PolicyConflict> {
        let mut conflicts = Vec::new();
        if token.status() != Some(Status::Active) {
            return conflicts;
        }
        let last_use = token.last_use().map_or(token.created_at(), |last_use| last_use.at);
        let last_use = last_use.max(token.created_at());
        let goes_idle = self.idle_timeout.and_then(|timeout| last_use.checked_add(timeout));
        if let Some(at) = goes_idle.filter(|at| !token.expires().has_come(*at)) {
            conflicts.push(PolicyConflict::GoesIdle { at });
        }
        let latest = self.max_life.map(|max| token.created_at().saturating_add(max));
        if let Some(latest) = latest
            && token.expires().is_later_than(Expires::At(latest))
        {
            conflicts.push(PolicyConflict::EndsTooLate { latest });
        }
        if token.expires() == Expires::Never && !self.never_expiring {
            conflicts.push(PolicyConflict::NeverExpires);
        }
        conflicts
    }
}

fn at_least_a_second(life: Duration, what: &'static str) -> Result<(), PolicyError> {
    if life.as_secs() == 0 { Err(PolicyError::Zero(what)) } else { Ok(()) }
}

/// Why a policy was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The prefix is none.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// The realm is none.
    #[error("a realm has 1 to 128 printable ASCII characters, without \" and \\")]
    Realm,
    /// Something is zero that can't be.
    #[error("the {0} must not be zero")]
    Zero(&'static str),
    /// A default is longer than the longest.
    #[error("the {0} is longer than the maximum")]
    PastMaximum(&'static str),
    /// There is a longest life, so nothing can live for ever.
    #[error("tokens can't be never-expiring where there is a maximum life")]
    NeverWithMaximum,
    /// A scope includes another, but not all that this includes.
    #[error(
        "the scope {including} includes one that includes {scope}, so it must include {scope}, too"
    )]
    ScopeLeftOut {
        /// What is left out.
        scope: &'static str,
        /// Where it is.
        including: &'static str,
    },
    /// Under a day, weekends and flush intervals would end tokens that are in use.
    #[error("an idle time-out is a day or more")]
    IdleTooShort,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::new("acme").unwrap()
    }

    struct Named(&'static str, &'static [&'static str]);

    const READ: Named = Named("read", &["write"]);
    const WRITE: Named = Named("write", &["admin"]);
    const ADMIN: Named = Named("admin", &[]);

    impl ScopeName for Named {
        fn name(&self) -> &'static str {
            self.0
        }
        fn included_in(&self) -> &'static [&'static str] {
            self.1
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let policy = policy();
        assert_eq!(policy.default_life(), 365 * DAY);
        assert_eq!((policy.max_life(), policy.idle_timeout()), (None, None));
        assert!(
            !policy.allows_never_expiring()
                && !policy.has_unique_labels()
                && !policy.records_origin()
        );
        assert_eq!((policy.overlap(), policy.max_overlap()), (Duration::ZERO, 7 * DAY));
        assert_eq!((policy.reuse(), policy.max_per_owner()), (Reuse::Report, Some(100)));
        assert_eq!((policy.usage_interval().as_secs(), policy.retention()), (60, 90 * DAY));
        assert_eq!(policy.realm(), "acme");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let second = Duration::from_secs(1);
        assert_eq!(policy().with_default_life(second / 2), Err(PolicyError::Zero("default life")));
        assert_eq!(policy().with_max_life(Duration::ZERO), Err(PolicyError::Zero("maximum life")));
        let strict = policy().with_max_life(DAY).unwrap();
        assert_eq!(
            strict.clone().with_default_life(DAY + second),
            Err(PolicyError::PastMaximum("default life"))
        );
        assert_eq!(policy().with_overlap(8 * DAY), Err(PolicyError::PastMaximum("overlap")));
        let short = policy().with_overlap(7 * DAY).unwrap().with_max_overlap(DAY);
        assert_eq!((short.overlap(), short.max_overlap()), (DAY, DAY));
        assert_eq!(strict.clone().with_never_expiring(), Err(PolicyError::NeverWithMaximum));
        assert_eq!(strict.default_life(), DAY);
        let never = policy().with_never_expiring().unwrap().with_max_life(DAY).unwrap();
        assert!(!never.allows_never_expiring());
        assert_eq!(policy().with_idle_timeout(DAY - second), Err(PolicyError::IdleTooShort));
        assert!(policy().with_idle_timeout(DAY).is_ok());
        assert!(policy().with_max_per_owner(0).is_err());
        let left_out = PolicyError::ScopeLeftOut { scope: "read", including: "admin" };
        assert_eq!(policy().with_scopes(&[READ, WRITE, ADMIN]), Err(left_out));
        let read = Named("read", &["write", "admin"]);
        assert!(policy().with_scopes(&[read, WRITE, ADMIN]).is_ok());
        let same = [Named("one", &["other"]), Named("other", &["one"])];
        assert!(policy().with_scopes(&same).is_ok(), "two names for one thing");
        for realm in ["", " ", "a\"b", "a\\b", "a\nb", "ä", &"x".repeat(129)] {
            assert_eq!(policy().with_realm(realm), Err(PolicyError::Realm), "{realm:?}");
        }
    }
}
