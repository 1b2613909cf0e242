//! What a host asks for ([`NewToken`], [`Rotation`]), and what it shows once ([`IssuedToken`]).

use std::fmt;
use std::time::Duration;

use crate::access::Access;
use crate::attributes::Attributes;
use crate::error::{ChangeError, IssueError, LifeError};
use crate::policy::Policy;
use crate::record::{CLOCK_TOLERANCE, Expires, Lifetime, TokenRecord};
use crate::text::{InvalidText, Label, Operator, Owner};
use crate::timestamp::Timestamp;
use crate::token::{Token, TokenId};
use crate::view::TokenView;

/// Describes a token to be issued.
///
/// If no end is given, it lives for the policy's default life. What is wrong with the owner or the
/// label is reported by [`issue`](crate::TokenAuthority::issue).
///
/// ```
/// use std::time::Duration;
/// use app_tokens::{Access, NewToken};
/// let new = NewToken::new("alice", "Backup", Access::scopes(["files:read"])?)
///     .expires_in(Duration::from_secs(30 * 86_400));
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "no token exists until it is issued"]
pub struct NewToken {
    owner: Result<Owner, InvalidText>,
    label: Result<Label, InvalidText>,
    access: Access,
    attributes: Attributes,
    issued_by: Option<Operator>,
    /// `None` for the policy's default life.
    life: Option<Lifetime>,
}

impl NewToken {
    /// Describes a token of `owner`, the host's stable account id.
    ///
    /// The owner is a text, a number or an [`Owner`]. The label is what lists show: see [`Label`].
    /// The access is all that the token may do; [`Access::full`] gives all that the owner may do.
    pub fn new(
        owner: impl TryInto<Owner, Error: Into<InvalidText>>,
        label: impl AsRef<str>,
        access: Access,
    ) -> NewToken {
        NewToken {
            owner: owner.try_into().map_err(Into::into),
            label: Label::new(label),
            access,
            attributes: Attributes::new(),
            issued_by: None,
            life: None,
        }
    }

    /// Sets the host's own facts about the token, replacing those set before.
    pub fn attributes(self, attributes: Attributes) -> NewToken {
        NewToken { attributes, ..self }
    }

    /// Sets the life, counted from when it is issued. Fractions of a second are cut.
    pub fn expires_in(self, life: Duration) -> NewToken {
        NewToken { life: Some(Lifetime::For(life)), ..self }
    }

    /// Sets the instant at which the token expires.
    pub fn expires_at(self, end: Timestamp) -> NewToken {
        NewToken { life: Some(Lifetime::Until(end)), ..self }
    }

    /// Lets the token never expire, if the policy allows it.
    pub fn never_expires(self) -> NewToken {
        NewToken { life: Some(Lifetime::Forever), ..self }
    }

    /// Names the operator who issues the token for the owner. Rows and events keep the name.
    pub fn issued_by(self, operator: &Operator) -> NewToken {
        NewToken { issued_by: Some(operator.clone()), ..self }
    }

    /// Checks the request against the policy at `now`. Pure.
    pub(crate) fn grant(self, policy: &Policy, now: Timestamp) -> Result<Granted, IssueError> {
        Ok(Granted {
            owner: self.owner?,
            label: self.label?,
            access: self.access,
            attributes: self.attributes,
            issued_by: self.issued_by,
            expires: end(self.life.unwrap_or(policy.default_life().into()), policy, now, now)?,
            family: None,
            derived_from: None,
        })
    }

    /// Checks the request against the policy and the parent: it may do no more, and ends no later.
    /// Pure.
    ///
    /// It takes over the parent's attributes.
    pub(crate) fn grant_under(
        self,
        parent: &TokenRecord,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Granted, IssueError> {
        if parent.derived_from().is_some() {
            return Err(IssueError::NotUnderThis);
        }
        if !self.attributes.is_empty() {
            return Err(IssueError::AttributesUnderToken);
        }
        let by_default = self.life.is_none();
        let mut granted = self.grant(policy, now)?;
        if granted.owner != *parent.owner() {
            return Err(IssueError::OtherOwner);
        }
        if !policy.includes(parent.access(), &granted.access) {
            return Err(IssueError::MoreAccess);
        }
        if granted.expires.is_later_than(parent.expires()) {
            if let Expires::At(end) = parent.expires()
                && !by_default
            {
                return Err(LifeError::TooLong { max: end.since(now) }.into());
            }
            // The default life was not asked for, so it is shortened without an error.
            granted.expires = parent.expires();
        }
        Ok(Granted {
            attributes: parent.attributes().clone(),
            derived_from: Some(parent.family()),
            ..granted
        })
    }
}

/// A [`NewToken`] or a rotation that the policy allows.
pub(crate) struct Granted {
    pub(crate) owner: Owner,
    pub(crate) label: Label,
    pub(crate) access: Access,
    pub(crate) attributes: Attributes,
    pub(crate) issued_by: Option<Operator>,
    pub(crate) expires: Expires,
    /// The line of rotations that it continues; `None` begins one.
    pub(crate) family: Option<TokenId>,
    pub(crate) derived_from: Option<TokenId>,
}

/// Describes what a rotation changes besides the secret. By default it changes nothing else.
///
/// ```
/// use std::time::Duration;
/// use app_tokens::Rotation;
/// let rotation = Rotation::new().overlap(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing changes until the token is rotated"]
pub struct Rotation {
    access: Option<Access>,
    life: Option<Lifetime>,
    overlap: Option<Duration>,
}

impl Rotation {
    /// Keeps access and end, with the policy's overlap.
    ///
    /// - If the new token has less access than the old one, there is no overlap.
    /// - An end that today's policy would not allow becomes the latest one that it allows.
    /// - A token that never expires, although today's policy forbids it, gets the policy's default
    ///   life.
    /// - If an unused successor is replaced, its label and end are kept, and the smaller access of
    ///   the two tokens.
    pub fn new() -> Rotation {
        Rotation::default()
    }

    /// Takes access away; the given access is what remains. There is no overlap then.
    pub fn narrowed_to(self, access: Access) -> Rotation {
        Rotation { access: Some(access), ..self }
    }

    /// Sets another end, which the policy must allow: a `Duration` from now, an instant, or never.
    ///
    /// Use it for a person who asks, not for a client that rotates unattended.
    pub fn expires(self, life: impl Into<Lifetime>) -> Rotation {
        Rotation { life: Some(life.into()), ..self }
    }

    /// Sets the overlap: how long the old token lives on, up to the policy's maximum.
    ///
    /// The old token never outlives its own end or the new token's. An overlap under a second ends
    /// it at once, also on hosts whose clocks are up to five minutes behind. A rotation to less
    /// access can't have an overlap.
    pub fn overlap(self, overlap: Duration) -> Rotation {
        Rotation { overlap: Some(overlap), ..self }
    }

    /// Checks the rotation against the policy, and decides the new token and when the old one ends.
    /// Pure.
    ///
    /// `old` is the token that is rotated. `last` is the newest of its line: `old` itself, or its
    /// unused successor.
    pub(crate) fn grant(
        &self,
        old: &TokenRecord,
        last: &TokenRecord,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Granted, Expires), ChangeError> {
        // Either may have been narrowed after the first rotation, so the new token must fit both.
        let both = [old.access(), last.access()];
        let within_both = |asked: &&Access| both.iter().all(|held| policy.includes(held, asked));
        let access = match &self.access {
            Some(asked) => Some(asked).filter(within_both).ok_or(ChangeError::MoreAccess)?,
            // One of the two is the smaller, unless each was narrowed in another way.
            None => both.into_iter().find(within_both).ok_or(ChangeError::NarrowedApart)?,
        };
        let expires = match self.life {
            Some(life) => extended(life, last, policy, now, now)?,
            None => allowed_today(last.expires(), policy, now),
        };
        // With an overlap, the old token would keep what is taken away for that time.
        let is_less = !both.iter().all(|held| policy.includes(access, held));
        let overlap = match self.overlap {
            Some(asked) if is_less && asked.as_secs() > 0 => {
                return Err(ChangeError::OverlapWithLess);
            }
            Some(asked) => asked,
            None if is_less => Duration::ZERO,
            None => policy.overlap(),
        };
        if overlap > policy.max_overlap() {
            return Err(ChangeError::OverlapTooLong { max: policy.max_overlap() });
        }
        let overlap_ends = match overlap.as_secs() {
            0 => ended_everywhere(now),
            _ => now.saturating_add(overlap),
        };
        // The old token must not outlive its own end or the new token's. Otherwise a rotation would
        // extend it.
        let ends = [old.expires().at(), expires.at()].into_iter().flatten();
        let old_ends = Expires::At(ends.fold(overlap_ends, Timestamp::min));
        let granted = Granted {
            owner: old.owner().clone(),
            label: last.label().clone(),
            access: access.clone(),
            attributes: last.attributes().clone(),
            issued_by: old.issued_by().cloned(),
            expires,
            family: Some(old.family()),
            derived_from: old.derived_from(),
        };
        Ok((granted, old_ends))
    }
}

/// Returns an end that has passed at `now` on every host, even if its clock is behind. Pure.
pub(crate) fn ended_everywhere(now: Timestamp) -> Timestamp {
    now.saturating_sub(CLOCK_TOLERANCE)
}

/// Returns the instant after this one, for filters that count from an instant on. Pure.
pub(crate) fn next_second(at: Timestamp) -> Timestamp {
    at.saturating_add(Duration::from_secs(1))
}

/// Returns the earlier of an end that was allowed once and what the policy allows at `now`. Pure.
pub(crate) fn allowed_today(end: Expires, policy: &Policy, now: Timestamp) -> Expires {
    match end {
        Expires::Never if policy.allows_never_expiring() => Expires::Never,
        Expires::Never => Expires::At(now.saturating_add(policy.default_life())),
        Expires::At(at) => {
            let latest = policy.max_life().map_or(Timestamp::MAX, |max| now.saturating_add(max));
            Expires::At(at.min(latest))
        }
    }
}

/// Returns whether this access and end are less than those of any of these tokens. Pure.
///
/// If they are, what was issued under such a token may do more than the new one, or outlive it.
pub(crate) fn is_less(
    access: &Access,
    expires: Expires,
    than: &[&TokenRecord],
    policy: &Policy,
) -> bool {
    than.iter().any(|than| {
        !policy.includes(access, than.access()) || than.expires().is_later_than(expires)
    })
}

/// Checks an end against the policy, for a token that was created at `created_at`. Pure.
fn within(
    end: Expires,
    policy: &Policy,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<Expires, LifeError> {
    let at = match end {
        Expires::Never if policy.allows_never_expiring() => return Ok(Expires::Never),
        Expires::Never => return Err(LifeError::NeverNotAllowed),
        Expires::At(at) => at,
    };
    if at <= now {
        return Err(LifeError::NoLife);
    }
    match policy.max_life() {
        Some(max) if at.since(created_at) > max => Err(LifeError::TooLong { max }),
        _ => Ok(end),
    }
}

/// Decides the end that was asked for, and checks it against the policy. Pure.
fn end(
    life: Lifetime,
    policy: &Policy,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<Expires, LifeError> {
    within(life.end(now).ok_or(LifeError::PastCalendar)?, policy, created_at, now)
}

/// Decides another end of a token, or of the one that replaces it. Pure.
pub(crate) fn extended(
    life: Lifetime,
    last: &TokenRecord,
    policy: &Policy,
    created_at: Timestamp,
    now: Timestamp,
) -> Result<Expires, ChangeError> {
    let asked = life.end(now).ok_or(LifeError::PastCalendar)?;
    // Its parent may have an earlier end, so a derived token never gets a later one.
    if last.derived_from().is_some() && asked.is_later_than(last.expires()) {
        return Err(ChangeError::Derived);
    }
    Ok(within(asked, policy, created_at, now)?)
}

/// A token that was just issued. Its text can be shown now and never again.
///
/// It is not `Clone`, does not print, and is wiped when dropped.
///
/// ```compile_fail,E0599
/// # use app_tokens::store::MemoryStore;
/// # use app_tokens::{Access, NewToken, TokenAuthority};
/// # async fn f(tokens: TokenAuthority<MemoryStore>) {
/// let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
/// let copy = issued.clone(); // a token is shown once
/// # }
/// ```
/// ```compile_fail,E0277
/// # use app_tokens::store::MemoryStore;
/// # use app_tokens::{Access, NewToken, TokenAuthority};
/// # async fn f(tokens: TokenAuthority<MemoryStore>) {
/// let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).await.unwrap();
/// println!("{issued}"); // call `expose_secret` to show it
/// # }
/// ```
#[must_use = "show it to its holder, or the token is lost"]
pub struct IssuedToken {
    token: Token,
    view: TokenView,
}

impl IssuedToken {
    pub(crate) fn new(token: Token, view: TokenView) -> IssuedToken {
        IssuedToken { token, view }
    }

    /// Returns the whole text, to be shown to its holder once.
    ///
    /// Send it over TLS and with `Cache-Control: no-store` (RFC 9111, section 5.2.2.5).
    pub fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// Returns the public half of the text. It may be logged.
    pub fn id(&self) -> TokenId {
        self.token.id()
    }

    /// Returns the view of the token, as lists will show it.
    pub fn view(&self) -> &TokenView {
        &self.view
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuedToken({:?})", self.token)
    }
}

#[cfg(test)]
mod tests;
