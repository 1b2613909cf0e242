//! What a new policy would do to tokens that were issued under another: [`PolicyConflict`].

use crate::policy::Policy;
use crate::record::{Expires, Status};
use crate::timestamp::Timestamp;
use crate::view::TokenView;

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
        let goes_idle = self.idle_timeout().and_then(|timeout| last_use.checked_add(timeout));
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
