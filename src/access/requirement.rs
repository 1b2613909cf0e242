//! What an action needs: [`Requirement`].

use super::ScopeName;

/// What an action needs: one of some scopes, on a resource if it has one; or any valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'a> {
    pub(super) sufficient: Option<Sufficient<'a>>,
    pub(super) resource: Option<&'a str>,
}

/// Scope names of which each is enough. The first may stand apart, as a [`ScopeName`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sufficient<'a> {
    first: Option<&'a str>,
    others: &'a [&'a str],
}

impl<'a> Sufficient<'a> {
    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl<'a> Requirement<'a> {
    /// Requires any valid token, whatever its scopes: "who am I?".
    pub const ANY_VALID_TOKEN: Requirement<'static> =
        Requirement { sufficient: None, resource: None };

    /// Requires a scope of the host's enum, or one that implies it.
    pub fn scope(scope: &impl ScopeName) -> Requirement<'static> {
        let sufficient = Sufficient { first: Some(scope.name()), others: scope.implied_by() };
        Requirement { sufficient: Some(sufficient), resource: None }
    }

    /// Requires any one of these scopes, for a table of roles that is known only at run time.
    ///
    /// An empty list is satisfied only by a token with all scopes.
    pub const fn one_of(names: &'a [&'a str]) -> Requirement<'a> {
        Requirement { sufficient: Some(Sufficient { first: None, others: names }), resource: None }
    }

    /// Names the resource that the action is about. Without it, a token that is bound to resources
    /// is not enough.
    pub const fn on(self, resource: &'a str) -> Requirement<'a> {
        Requirement { sufficient: self.sufficient, resource: Some(resource) }
    }

    /// Returns the scope that a client should ask for, as RFC 6750, 3.1 has it in the challenge.
    pub fn wanted_scope(&self) -> Option<&'a str> {
        self.sufficient.and_then(|sufficient| sufficient.names().next())
    }
}

impl<S: ScopeName> From<S> for Requirement<'static> {
    fn from(scope: S) -> Requirement<'static> {
        Requirement::scope(&scope)
    }
}

/// Requires this scope, and no other will do. [`Requirement::one_of`] takes several.
impl<'a> From<&'a str> for Requirement<'a> {
    fn from(scope: &'a str) -> Requirement<'a> {
        Requirement {
            sufficient: Some(Sufficient { first: Some(scope), others: &[] }),
            resource: None,
        }
    }
}
