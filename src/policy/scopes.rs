//! The host's scopes in a [`Policy`], and what they imply.

use std::collections::{BTreeMap, BTreeSet};

use super::{Policy, PolicyError};
use crate::access::{Access, ScopeImplication, ScopeName};

impl Policy {
    /// Names the host's scopes, so that narrowing, rotating and issuing under a token know which
    /// scope implies which. A token that may write can then be narrowed to one that may read.
    ///
    /// ```
    /// # use app_tokens::access::ScopeName;
    /// # use app_tokens::Policy;
    /// # enum Files { Read, Write }
    /// # impl ScopeName for Files {
    /// #     fn name(&self) -> &'static str {
    /// #         match self { Files::Read => "files:read", Files::Write => "files:write" }
    /// #     }
    /// # }
    /// let policy = Policy::new("acme")?.with_scopes(&[Files::Read, Files::Write])?;
    /// # Ok::<(), app_tokens::error::PolicyError>(())
    /// ```
    ///
    /// This does not limit what is issued. [`issue`](crate::TokenAuthority::issue) takes any scope,
    /// also one that is not named here, and access that allows nothing. If users choose scopes,
    /// check their choice first: [`Policy::scopes`] shows how.
    ///
    /// # Errors
    /// [`PolicyError::ScopeLeftOut`] if a scope implies a second one, but not all that this
    /// implies. For example, "admin" implies "write" and "write" implies "read", but "admin" does
    /// not imply "read". A narrowed token could then do more.
    pub fn with_scopes(self, scopes: &[impl ScopeName]) -> Result<Policy, PolicyError> {
        let implied_by = |scope: &[&str]| scope.iter().map(|name| (*name).into()).collect();
        let scopes =
            scopes.iter().map(|scope| (scope.name().into(), implied_by(scope.implied_by())));
        self.with_implications(scopes.collect())
    }

    /// Sets what implies each scope, if that is complete.
    pub(crate) fn with_implications(
        mut self,
        scopes: Vec<ScopeImplication>,
    ) -> Result<Policy, PolicyError> {
        let mut sorted: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for (scope, mut implied_by) in scopes {
            implied_by.retain(|implying| *implying != scope);
            sorted.entry(scope).or_default().extend(implied_by);
        }
        let listed = |(scope, implied_by): (_, BTreeSet<_>)| (scope, Vec::from_iter(implied_by));
        self.scopes = sorted.into_iter().map(listed).collect();
        for (scope, implied_by) in &self.scopes {
            // `more` implies what implies `scope`, so it must imply `scope`, too.
            for (_, more) in self.scopes.iter().filter(|(name, _)| implied_by.contains(name)) {
                let left_out =
                    more.iter().find(|more| *more != scope && !implied_by.contains(more));
                if let Some(implying) = left_out.cloned() {
                    let scope = scope.clone();
                    return Err(PolicyError::ScopeLeftOut { scope, implying });
                }
            }
        }
        Ok(self)
    }

    /// Returns whether `access` allows everything that `other` allows, by what the host's scopes
    /// imply.
    ///
    /// The engine narrows and rotates by this rule. A page can ask it which choices to offer.
    pub fn includes(&self, access: &Access, other: &Access) -> bool {
        access.includes_by(other, &self.scopes)
    }

    /// Returns the names of the host's scopes, sorted.
    ///
    /// Check what a user chose against them, since [`issue`](crate::TokenAuthority::issue) doesn't:
    ///
    /// ```
    /// # use app_tokens::access::ScopeName;
    /// # use app_tokens::{Access, Policy};
    /// # struct Read;
    /// # impl ScopeName for Read { fn name(&self) -> &'static str { "files:read" } }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let policy = Policy::new("acme")?.with_scopes(&[Read])?;
    /// fn chosen(policy: &Policy, names: &[&str]) -> Result<Access, String> {
    ///     let is_known = |name: &&str| policy.scopes().any(|known| known == *name);
    ///     if names.is_empty() || !names.iter().all(is_known) {
    ///         return Err("choose what the token may do".into());
    ///     }
    ///     Access::scopes(names).map_err(|error| error.to_string())
    /// }
    /// assert!(chosen(&policy, &["files:read"]).is_ok());
    /// assert!(chosen(&policy, &["files:raed"]).is_err() && chosen(&policy, &[]).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.scopes.iter().map(|(name, _)| &**name)
    }
}
