//! Compares a policy with tokens that were issued under another one: [`PolicyConflict`].

use crate::policy::Policy;
use crate::record::{Expires, Status};
use crate::timestamp::Timestamp;
use crate::view::TokenView;

/// A conflict of a policy with a token that was issued under another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyConflict {
    /// The idle time-out would deny the token from this instant on, unless it is used before.
    GoesIdle {
        /// The first instant at which it would be denied.
        at: Timestamp,
    },
    /// The policy would not issue a token with so late an end. This token keeps its end.
    EndsTooLate {
        /// The latest end that the policy would allow.
        latest: Timestamp,
    },
    /// The policy would not issue a token that never expires. This token stays so.
    NeverExpires,
}

impl Policy {
    /// Returns the conflicts of a token with this policy, as a preview before the policy is
    /// changed.
    ///
    /// A token that isn't active has none. Three things are not seen:
    /// - A changed realm, since no row holds it. Every token would be denied.
    /// - A prefix that is no longer accepted, since no row holds it. Its tokens would no longer be
    ///   ours.
    /// - A last use in the future, which a broken clock wrote. It is believed here, so such a token
    ///   may go idle earlier.
    ///
    /// ```
    /// use std::time::Duration;
    /// use app_tokens::report::PolicyConflict;
    /// use app_tokens::{Access, NewToken, Policy, TokenAuthority};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let new = NewToken::new("alice", "My phone", Access::full());
    /// # let issued = tokens.block_on(tokens.issue(new))?;
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
        let last_use = token.last_use().map(|last_use| last_use.at);
        let last_use = last_use.unwrap_or(Timestamp::MIN).max(token.created_at());
        let goes_idle = self.idle_timeout().and_then(|timeout| last_use.checked_add(timeout));
        // A token that ends first never goes idle.
        if let Some(at) = goes_idle.filter(|at| !token.expires().has_come(*at)) {
            conflicts.push(PolicyConflict::GoesIdle { at });
        }
        let latest = self.max_life().map(|max| token.created_at().saturating_add(max));
        if let Some(latest) = latest
            && token.expires().is_later_than(Expires::At(latest))
        {
            conflicts.push(PolicyConflict::EndsTooLate { latest });
        }
        if token.expires() == Expires::Never && !self.allows_never_expiring() {
            conflicts.push(PolicyConflict::NeverExpires);
        }
        conflicts
    }
}
