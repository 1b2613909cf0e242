//! What a host asks for, [`NewToken`], and what it shows once, [`IssuedToken`].

use std::fmt;
use std::time::Duration;

use crate::access::{Access, AsScope};
use crate::error::IssueError;
use crate::policy::Policy;
use crate::record::Expires;
use crate::text::{InvalidText, Label, Operator, Owner};
use crate::timestamp::Timestamp;
use crate::token::{Token, TokenId};
use crate::view::TokenView;

/// The token that is to be issued.
///
/// Without more words it may do whatever its owner may, and lives as long as the policy's default. What is wrong with
/// the texts is said by [`issue`](crate::TokenAuthority::issue).
///
/// ```
/// use std::time::Duration;
/// use app_tokens::NewToken;
/// let new = NewToken::new("alice", "Backup")
///     .scopes(["files:read"])
///     .expires_in(Duration::from_secs(30 * 86_400));
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is only a wish until it is issued"]
pub struct NewToken {
    owner: Result<Owner, InvalidText>,
    label: Result<Label, InvalidText>,
    access: Result<Access, InvalidText>,
    issued_by: Result<Option<Operator>, InvalidText>,
    life: Life,
}

#[derive(Clone, Copy, Debug)]
enum Life {
    Default,
    For(Duration),
    Until(Timestamp),
    Forever,
}

impl NewToken {
    /// A token of `owner`, the host's stable account id, which he calls `label`.
    pub fn new(owner: impl AsRef<str>, label: impl AsRef<str>) -> NewToken {
        NewToken {
            owner: Owner::new(owner),
            label: Label::new(label),
            access: Ok(Access::full()),
            issued_by: Ok(None),
            life: Life::Default,
        }
    }

    /// … that may only do this. No scope at all allows nothing.
    pub fn scopes<S: AsScope>(self, scopes: impl IntoIterator<Item = S>) -> NewToken {
        let granted = Access::scopes(scopes);
        let access = self.access.and_then(|access| {
            Ok(Access::from_grants(
                granted?.granted_scopes().clone(),
                access.granted_resources().clone(),
            ))
        });
        NewToken { access, ..self }
    }

    /// … only on these resources.
    pub fn on_resources<R: AsRef<str>>(self, patterns: impl IntoIterator<Item = R>) -> NewToken {
        NewToken { access: self.access.and_then(|access| access.on_resources(patterns)), ..self }
    }

    /// … with this access.
    pub fn access(self, access: Access) -> NewToken {
        NewToken { access: Ok(access), ..self }
    }

    /// … that ends after so long. Fractions of a second are cut.
    pub fn expires_in(self, life: Duration) -> NewToken {
        NewToken { life: Life::For(life), ..self }
    }

    /// … that ends at this instant.
    pub fn expires_at(self, end: Timestamp) -> NewToken {
        NewToken { life: Life::Until(end), ..self }
    }

    /// … that never expires, where the policy allows it.
    pub fn never_expires(self) -> NewToken {
        NewToken { life: Life::Forever, ..self }
    }

    /// … issued by an operator for the owner.
    pub fn issued_by(self, operator: impl AsRef<str>) -> NewToken {
        NewToken { issued_by: Operator::new(operator).map(Some), ..self }
    }

    /// What the policy makes of it at `now`. Pure.
    pub(crate) fn grant(self, policy: &Policy, now: Timestamp) -> Result<Granted, IssueError> {
        Ok(Granted {
            owner: self.owner?,
            label: self.label?,
            access: self.access?,
            issued_by: self.issued_by?,
            expires: self.life.end(policy, now)?,
        })
    }
}

/// A [`NewToken`] within the policy.
pub(crate) struct Granted {
    pub(crate) owner: Owner,
    pub(crate) label: Label,
    pub(crate) access: Access,
    pub(crate) issued_by: Option<Operator>,
    pub(crate) expires: Expires,
}

impl Life {
    fn end(self, policy: &Policy, now: Timestamp) -> Result<Expires, IssueError> {
        let end = match self {
            Life::Default => {
                now.checked_add(policy.default_life()).ok_or(IssueError::PastCalendar)?
            }
            Life::For(life) => now.checked_add(life).ok_or(IssueError::PastCalendar)?,
            Life::Until(end) => end,
            Life::Forever if policy.allows_never_expiring() => return Ok(Expires::Never),
            Life::Forever => return Err(IssueError::NeverNotAllowed),
        };
        if end <= now {
            return Err(IssueError::NoLife);
        }
        match policy.max_life() {
            Some(max) if end.since(now) > max => Err(IssueError::LifeTooLong { max }),
            _ => Ok(Expires::At(end)),
        }
    }
}

/// A token that was just issued: the only moment at which its text can be shown.
///
/// Not `Clone`, not printable, wiped when dropped.
///
/// ```compile_fail,E0599
/// # async fn f(tokens: app_tokens::TokenAuthority<app_tokens::MemoryStore>) {
/// let issued = tokens.issue(app_tokens::NewToken::new("alice", "My phone")).await.unwrap();
/// let copy = issued.clone(); // a token is shown once
/// # }
/// ```
/// ```compile_fail,E0277
/// # async fn f(tokens: app_tokens::TokenAuthority<app_tokens::MemoryStore>) {
/// let issued = tokens.issue(app_tokens::NewToken::new("alice", "My phone")).await.unwrap();
/// println!("{issued}"); // say `expose_secret` where it is shown
/// # }
/// ```
#[must_use = "a token that is not shown to its holder is lost"]
pub struct IssuedToken {
    token: Token,
    view: TokenView,
}

impl IssuedToken {
    pub(crate) fn new(token: Token, view: TokenView) -> IssuedToken {
        IssuedToken { token, view }
    }

    /// The whole text, to be shown to its holder once, over a connection that keeps it (TLS, `Cache-Control: no-store`).
    pub fn expose_secret(&self) -> &str {
        self.token.expose_secret()
    }

    /// The public half of the text.
    pub fn id(&self) -> TokenId {
        self.token.id()
    }

    /// The line that stays in the list.
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
mod tests {
    use super::*;
    use crate::record::tests::at;

    fn grant(new: NewToken, policy: &Policy) -> Result<Expires, String> {
        new.grant(policy, at(0)).map(|granted| granted.expires).map_err(|error| error.to_string())
    }

    fn new() -> NewToken {
        NewToken::new("alice", "My phone")
    }

    #[test]
    fn a_life_is_default_asked_for_or_never() {
        let policy = Policy::new("acme").unwrap().with_never_expiring().unwrap();
        let day = Duration::from_secs(86_400);
        assert_eq!(grant(new(), &policy), Ok(Expires::At(at(365 * 86_400))));
        assert_eq!(grant(new().expires_in(day), &policy), Ok(Expires::At(at(86_400))));
        assert_eq!(grant(new().expires_at(at(1)), &policy), Ok(Expires::At(at(1))));
        assert_eq!(grant(new().never_expires(), &policy), Ok(Expires::Never));
    }

    #[test]
    fn lives_outside_policy_and_calendar_are_refused() {
        let max = Duration::from_secs(100);
        let policy = Policy::new("acme").unwrap().with_max_life(max).unwrap();
        let ended = "the token would end as soon as it is made";
        assert_eq!(grant(new().expires_in(Duration::ZERO), &policy), Err(ended.into()));
        assert_eq!(grant(new().expires_in(Duration::from_millis(999)), &policy), Err(ended.into()));
        assert_eq!(grant(new().expires_at(at(0)), &policy), Err(ended.into()));
        assert_eq!(grant(new().expires_at(at(-5)), &policy), Err(ended.into()));
        assert_eq!(grant(new().expires_in(max), &policy), Ok(Expires::At(at(100))));
        let too_long = "the token may live for 100 seconds at most";
        assert_eq!(grant(new().expires_at(at(101)), &policy), Err(too_long.into()));
        assert_eq!(grant(new().never_expires(), &policy), Err("the token must have an end".into()));
        let calendar = "the token would end after the year 9999";
        assert_eq!(grant(new().expires_in(Duration::MAX), &policy), Err(calendar.into()));
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said() {
        let policy = Policy::new("acme").unwrap();
        let refused = |new| grant(new, &policy).unwrap_err();
        assert_eq!(refused(NewToken::new("", "x")), "the owner is empty");
        assert_eq!(refused(NewToken::new("alice", "\n")), "the label is empty");
        assert_eq!(refused(new().issued_by("")), "the operator is empty");
        assert_eq!(
            refused(new().scopes(["a b"])),
            "the scope has a forbidden character at position 1"
        );
        assert_eq!(refused(new().on_resources([""])), "the resource is empty");
    }

    #[test]
    fn scopes_and_resources_are_named_in_any_order() {
        let policy = Policy::new("acme").unwrap();
        let one = new().scopes(["r"]).on_resources(["x"]).grant(&policy, at(0)).unwrap();
        let other = new().on_resources(["x"]).scopes(["r"]).grant(&policy, at(0)).unwrap();
        assert_eq!(one.access, other.access);
        assert_eq!(one.access, Access::scopes(["r"]).unwrap().on_resources(["x"]).unwrap());
    }
}
