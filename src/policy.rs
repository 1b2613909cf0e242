//! What the host allows, as data: [`Policy`].

use std::time::Duration;

use crate::access::ScopeImplication;
use crate::token::Prefix;

mod error;
mod reuse;
mod scopes;
#[cfg(feature = "serde")]
mod shape;

pub use error::PolicyError;
pub use reuse::Reuse;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// States what the host allows. It is only data; [`TokenAuthority`](crate::TokenAuthority) acts by
/// it.
///
/// | | default |
/// |---|---|
/// | life of a token that asks for none | 365 days |
/// | maximum life | none: a user may ask for any end |
/// | tokens that never expire | not allowed |
/// | idle time-out | none |
/// | overlap of a rotation | none; at most 7 days if asked for |
/// | a superseded token that is presented again | reported |
/// | live tokens per owner | 100 |
/// | labels | need not be unique |
/// | last use | noted once per 60 seconds |
/// | dead rows | kept for 90 days |
/// | an import | not open |
/// | addresses and clients | not recorded |
///
/// ```
/// use std::time::Duration;
/// use app_tokens::Policy;
/// let policy = Policy::new("acme")?
///     .with_max_life(Duration::from_secs(90 * 86_400))?
///     .with_unique_labels();
/// assert_eq!(Some(policy.default_life()), policy.max_life(), "the default is cut to the maximum");
/// # Ok::<(), app_tokens::error::PolicyError>(())
/// ```
#[doc = ""]
#[doc = include_str!("policy/keys.md")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The prefix of new tokens first, then the former ones, sorted. Never empty.
    prefixes: Vec<Prefix>,
    /// `None` if the realm is the prefix.
    realm: Option<Box<str>>,
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
    open_import: bool,
    record_origin: bool,
    /// Sorted, so that two policies with the same scopes are equal.
    scopes: Vec<ScopeImplication>,
}

impl Policy {
    /// Makes the default policy for tokens with this prefix. The prefix is also the realm.
    ///
    /// # Errors
    /// [`PolicyError::Prefix`] if the text is not a prefix.
    pub fn new(prefix: impl AsRef<str>) -> Result<Policy, PolicyError> {
        let prefix = Prefix::new(prefix)?;
        Ok(Policy {
            prefixes: vec![prefix],
            realm: None,
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
            open_import: false,
            record_origin: false,
            scopes: Vec::new(),
        })
    }

    /// Also accepts tokens with this prefix, the brand's former name.
    ///
    /// The realm must be named first. Unless it is named, it is the prefix, and rows that are
    /// sealed already are bound to the former one. So a rename from `acme` to `brand` takes two
    /// lines:
    ///
    /// ```
    /// # use app_tokens::Policy;
    /// let policy = Policy::new("brand")?
    ///     .with_realm("acme")? // the former prefix, unless a realm was named before
    ///     .with_former_prefix("acme")?;
    /// # Ok::<(), app_tokens::error::PolicyError>(())
    /// ```
    ///
    /// # Errors
    /// - [`PolicyError::Prefix`] if the text is not a prefix.
    /// - [`PolicyError::RealmNotNamed`] if the realm is not named.
    pub fn with_former_prefix(mut self, prefix: impl AsRef<str>) -> Result<Policy, PolicyError> {
        let former = Prefix::new(prefix)?;
        if self.realm.is_none() {
            return Err(PolicyError::RealmNotNamed { prefix: self.prefix(), former });
        }
        if !self.prefixes.contains(&former) {
            self.prefixes.push(former);
            self.prefixes[1..].sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        }
        Ok(self)
    }

    /// Names the realm that seals are bound to. **Once rows are sealed, it must not change.**
    ///
    /// Tables or tenants that share a key ring need different realms. Otherwise a row that is
    /// copied from one to the other is valid there.
    ///
    /// # Errors
    /// [`PolicyError::Realm`] unless it has 1 to 128 printable ASCII characters without `"` and
    /// `\`.
    pub fn with_realm(mut self, realm: &str) -> Result<Policy, PolicyError> {
        Policy::check_realm(realm)?;
        self.realm = Some(realm.into());
        Ok(self)
    }

    /// Checks the form of a realm.
    pub(crate) fn check_realm(realm: &str) -> Result<(), PolicyError> {
        let allowed = |c: u8| (c == b' ' || c.is_ascii_graphic()) && c != b'"' && c != b'\\';
        let fits = !realm.trim().is_empty() && realm.len() <= 128 && realm.bytes().all(allowed);
        if fits { Ok(()) } else { Err(PolicyError::Realm) }
    }

    /// Sets the life of a token that asks for none. Fractions of a second are cut.
    ///
    /// # Errors
    /// - [`PolicyError::Zero`] if it is under a second.
    /// - [`PolicyError::PastMaximum`] if it is longer than the maximum life.
    pub fn with_default_life(mut self, life: Duration) -> Result<Policy, PolicyError> {
        at_least_a_second(life, "default life")?;
        if self.max_life.is_some_and(|max| life > max) {
            return Err(PolicyError::PastMaximum("default life"));
        }
        self.default_life = life;
        Ok(self)
    }

    /// Sets the maximum life. A longer default life is cut to it, and tokens must have an end.
    ///
    /// Tokens that were issued before keep their ends: see [`Policy::conflicts_with`].
    ///
    /// # Errors
    /// [`PolicyError::Zero`] if it is under a second.
    pub fn with_max_life(mut self, max: Duration) -> Result<Policy, PolicyError> {
        at_least_a_second(max, "maximum life")?;
        self.max_life = Some(max);
        self.default_life = self.default_life.min(max);
        self.never_expiring = false;
        Ok(self)
    }

    /// Allows tokens that never expire. They must still be asked for explicitly.
    ///
    /// # Errors
    /// [`PolicyError::NeverWithMaximum`] if there is a maximum life.
    pub fn with_never_expiring(mut self) -> Result<Policy, PolicyError> {
        if self.max_life.is_some() {
            return Err(PolicyError::NeverWithMaximum);
        }
        self.never_expiring = true;
        Ok(self)
    }

    /// Denies tokens that were not used for this long, a day or more.
    ///
    /// It needs an [`Upkeep`](crate::upkeep::Upkeep): until one is attached, nothing is issued or
    /// authenticated. Last uses are not sealed, so those who can write the database can keep a
    /// token from going idle.
    ///
    /// # Errors
    /// [`PolicyError::IdleTooShort`] if it is under a day.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Result<Policy, PolicyError> {
        if timeout < DAY {
            return Err(PolicyError::IdleTooShort);
        }
        self.idle_timeout = Some(timeout);
        Ok(self)
    }

    /// Sets how long the old token stays valid after a rotation that names no overlap. Zero ends it
    /// at once.
    ///
    /// # Errors
    /// [`PolicyError::PastMaximum`] if it is longer than the maximum overlap.
    pub fn with_overlap(mut self, overlap: Duration) -> Result<Policy, PolicyError> {
        if overlap > self.max_overlap {
            return Err(PolicyError::PastMaximum("overlap"));
        }
        self.overlap = overlap;
        Ok(self)
    }

    /// Sets the maximum overlap that a rotation may ask for. A longer default is cut to it.
    ///
    /// Old tokens in their overlap don't count towards the limit per owner. So this also bounds how
    /// long an owner may have more valid tokens than the limit.
    #[must_use]
    pub fn with_max_overlap(mut self, max: Duration) -> Policy {
        self.max_overlap = max;
        self.overlap = self.overlap.min(max);
        self
    }

    /// Sets what happens if a superseded token is presented again.
    #[must_use]
    pub fn with_reuse(self, reuse: Reuse) -> Policy {
        Policy { reuse, ..self }
    }

    /// Sets how many live tokens an owner may have. A line of rotations counts once, also during an
    /// overlap.
    ///
    /// # Errors
    /// [`PolicyError::Zero`] if it is 0.
    pub fn with_max_per_owner(mut self, max: u32) -> Result<Policy, PolicyError> {
        if max == 0 {
            return Err(PolicyError::Zero("limit per owner"));
        }
        self.max_per_owner = Some(max);
        Ok(self)
    }

    /// Allows any number of live tokens per owner.
    ///
    /// Those who know an owner's main password can then fill the store.
    #[must_use]
    pub fn with_no_limit_per_owner(self) -> Policy {
        Policy { max_per_owner: None, ..self }
    }

    /// Refuses a label that another live token of the owner has.
    ///
    /// Labels are compared byte for byte: see [`Label`](crate::Label). Labels that are not unique
    /// already stay as they are.
    #[must_use]
    pub fn with_unique_labels(self) -> Policy {
        Policy { unique_labels: true, ..self }
    }

    /// Sets how often a token's last use is noted: at most once per interval. Zero notes every use.
    ///
    /// With an idle time-out, the interval is at most a 24th of it.
    #[must_use]
    pub fn with_usage_interval(self, interval: Duration) -> Policy {
        Policy { usage_interval: interval, ..self }
    }

    /// Sets how long dead rows are kept, for lists, reports of reuse and audits.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Policy {
        Policy { retention, ..self }
    }

    /// Keeps all dead rows while tokens of another system are imported.
    ///
    /// The rows stand for tokens that must not come back by a second run. Once the last run is
    /// over, take this out again.
    #[must_use]
    pub fn with_open_import(self) -> Policy {
        Policy { open_import: true, ..self }
    }

    /// Records the address and the client of the last use. They are personal data.
    ///
    /// What the host's [`Origin`](crate::Origin) doesn't name is missing, and nothing reports that.
    /// Over HTTP, [`client_address`](fn@crate::web::client_address) says when the address is not
    /// known. After the set-up, look at one last use.
    #[must_use]
    pub fn with_recorded_origin(self) -> Policy {
        Policy { record_origin: true, ..self }
    }

    /// Returns the prefix of new tokens.
    pub fn prefix(&self) -> Prefix {
        self.prefixes[0]
    }

    /// Returns the accepted prefixes, the one of new tokens first.
    pub fn accepted_prefixes(&self) -> &[Prefix] {
        &self.prefixes
    }

    /// Returns the realm that seals are bound to.
    pub fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or(self.prefixes[0].as_str())
    }

    /// Returns the life of a token that asks for none.
    pub fn default_life(&self) -> Duration {
        self.default_life
    }

    /// Returns the maximum life; `None` if there is none.
    pub fn max_life(&self) -> Option<Duration> {
        self.max_life
    }

    /// Returns whether tokens may never expire.
    pub fn allows_never_expiring(&self) -> bool {
        self.never_expiring
    }

    /// Returns after how long without a use a token is denied; `None` if never.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout
    }

    /// Returns how long a rotated token stays valid if the rotation names no overlap.
    pub fn overlap(&self) -> Duration {
        self.overlap
    }

    /// Returns how long a rotated token may stay valid at most.
    pub fn max_overlap(&self) -> Duration {
        self.max_overlap
    }

    /// Returns what happens if a superseded token is presented again.
    pub fn reuse(&self) -> Reuse {
        self.reuse
    }

    /// Returns how many live tokens an owner may have; `None` if any number.
    pub fn max_per_owner(&self) -> Option<u32> {
        self.max_per_owner
    }

    /// Returns whether an owner's live tokens must have different labels.
    pub fn has_unique_labels(&self) -> bool {
        self.unique_labels
    }

    /// Returns the interval in which a token's last use is noted at most once.
    ///
    /// With an idle time-out, at most a 24th of that.
    pub fn usage_interval(&self) -> Duration {
        // A use that is not noted doesn't keep a token from going idle. So a token in steady use is
        // noted 24 times before it could.
        let maximum = self.idle_timeout.map_or(Duration::MAX, |timeout| timeout / 24);
        self.usage_interval.min(maximum)
    }

    /// Returns how long dead rows are kept.
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// Returns whether all dead rows are kept, for an import.
    pub fn has_open_import(&self) -> bool {
        self.open_import
    }

    /// Returns whether the address and the client of the last use are recorded.
    pub fn records_origin(&self) -> bool {
        self.record_origin
    }
}

/// Refuses a length of time that is zero in whole seconds.
fn at_least_a_second(life: Duration, what: &'static str) -> Result<(), PolicyError> {
    if life.as_secs() == 0 { Err(PolicyError::Zero(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
