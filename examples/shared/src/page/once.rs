//! The one-use text in a form, so that sending the form again makes nothing.
//!
//! It is a token of an authority in memory: bound to its owner, and taken by revoking it. Of two
//! requests that bring the same text, one revokes it.

use std::time::Duration;

use app_tokens::error::{IssueError, SetupError};
use app_tokens::store::{Filter, MemoryStore};
use app_tokens::{Access, KeyRing, NewToken, Owner, Policy, Reason, Requirement, TokenAuthority};

use crate::session;

/// More open forms than this, and the oldest are forgotten with all others.
const MOST_PER_OWNER: u32 = 500;

/// The open forms of all owners.
pub(super) struct Onces(TokenAuthority<MemoryStore>);

impl Onces {
    pub(super) fn new() -> Result<Onces, SetupError> {
        let policy = Policy::new("once")?
            .with_retention(Duration::ZERO)
            .with_max_per_owner(MOST_PER_OWNER)?;
        Ok(Onces(TokenAuthority::new(MemoryStore::new(), KeyRing::ephemeral()?, policy)))
    }

    /// Makes a text for a form of this owner. It lasts as long as a session.
    pub(super) async fn make(&self, owner: &Owner) -> Result<String, IssueError> {
        self.0.purge().await?;
        let new = || NewToken::new(owner, "form", Access::full()).expires_in(session::LIFE);
        let made = match self.0.issue(new()).await {
            Err(IssueError::LimitReached { .. }) => {
                let all = Filter::of_owner(owner);
                // ignored: the next call says whether there is room now.
                _ = self.0.revoke_matching(owner, &all, Reason::REQUESTED).await;
                self.0.issue(new()).await?
            }
            made => made?,
        };
        Ok(made.expose_secret().to_owned())
    }

    /// Takes the text. Returns whether this is the first time.
    pub(super) async fn take(&self, owner: &Owner, text: &str) -> bool {
        let Ok(found) = self.0.authenticate(text).await else {
            return false;
        };
        let Ok(form) = found.require(Requirement::ANY_VALID_TOKEN) else {
            return false;
        };
        // Another owner's revocation finds nothing.
        matches!(self.0.revoke(owner, form.id(), Reason::REQUESTED).await, Ok(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_text_is_taken_once_and_only_by_its_owner() {
        let onces = Onces::new().unwrap();
        let [alice, bob] = ["alice", "bob"].map(|name| Owner::new(name).unwrap());
        let text = onces.make(&alice).await.unwrap();
        assert!(!onces.take(&bob, &text).await && !onces.take(&alice, "").await);
        assert!(onces.take(&alice, &text).await);
        assert!(!onces.take(&alice, &text).await, "again");
    }

    #[tokio::test]
    async fn any_number_of_forms_can_be_opened() {
        let onces = Onces::new().unwrap();
        let alice = Owner::new("alice").unwrap();
        let mut last = String::new();
        for _ in 0..=MOST_PER_OWNER {
            last = onces.make(&alice).await.unwrap();
        }
        assert!(onces.take(&alice, &last).await);
    }
}
