//! What an action needs of a token: [`Requirement`].

use super::ScopeName;

/// States what an action needs: a scope, on a resource if the action has one.
///
/// A [`ScopeName`] or a `&str` converts into it. So most handlers write
/// `authenticated.require(Files::Read)`.
///
/// ```
/// use app_tokens::access::Resource;
/// use app_tokens::{Access, Requirement};
/// let photos = Access::scopes(["files:read"])?.on([Resource::under("photos")?])?;
/// let read = Requirement::one_of(&["files:read", "files:write"]);
/// assert!(photos.allows(&read.on("photos/2026")));
/// assert!(!photos.allows(&read.on("docs")));
/// assert!(photos.allows(&Requirement::ANY_VALID_TOKEN));
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'a> {
    pub(super) sufficient: Option<Sufficient<'a>>,
    pub(super) resource: Option<&'a str>,
}

/// Scope names, each of which is enough.
///
/// `first` is the name of a [`ScopeName`], and `others` are the scopes that imply it. They stand
/// apart because both are borrowed and nothing is allocated for a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sufficient<'a> {
    first: Option<&'a str>,
    others: &'a [&'a str],
}

impl<'a> Sufficient<'a> {
    /// Returns all names, the one to ask for first.
    pub(super) fn names(self) -> impl Iterator<Item = &'a str> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl<'a> Requirement<'a> {
    /// Requires any valid token, whatever its scopes, for questions such as "who am I?".
    ///
    /// With [`on`](Requirement::on) it still requires the resource.
    pub const ANY_VALID_TOKEN: Requirement<'static> =
        Requirement { sufficient: None, resource: None };

    /// Requires a scope of the host's enum, or one that implies it.
    pub fn scope(scope: &impl ScopeName) -> Requirement<'static> {
        let sufficient = Sufficient { first: Some(scope.name()), others: scope.implied_by() };
        Requirement { sufficient: Some(sufficient), resource: None }
    }

    /// Requires any one of these scopes, for a table of scopes that is known only at run time.
    ///
    /// An empty list is satisfied only by a token with all scopes.
    ///
    /// [`web::require`] keeps it for as long as the program runs, so its names must be `'static`.
    /// Take a `static` table, also in a `LazyLock`, or leak the names once at the start:
    ///
    /// ```
    /// # use app_tokens::Requirement;
    /// let names = vec![String::from("files:read")]; // from a file
    /// let names: Vec<&'static str> = names.into_iter().map(|name| &*name.leak()).collect();
    /// let read: Requirement<'static> = Requirement::one_of(names.leak());
    /// ```
    ///
    /// [`web::require`]: https://docs.rs/app-tokens/latest/app_tokens/web/fn.require.html
    pub const fn one_of(names: &'a [&'a str]) -> Requirement<'a> {
        Requirement { sufficient: Some(Sufficient { first: None, others: names }), resource: None }
    }

    /// Names the resource that the action concerns.
    ///
    /// If none is named, a token that is bound to resources is not enough.
    pub const fn on(self, resource: &'a str) -> Requirement<'a> {
        Requirement { sufficient: self.sufficient, resource: Some(resource) }
    }

    /// Names no resource.
    #[cfg(feature = "tower")]
    pub(crate) const fn on_nothing(self) -> Requirement<'a> {
        Requirement { sufficient: self.sufficient, resource: None }
    }

    /// Returns the scope that a client should ask for: the `scope` attribute of the challenge (RFC
    /// 6750, section 3).
    ///
    /// `None` if any valid token will do, or if only a token with all scopes will.
    pub fn wanted_scope(&self) -> Option<&'a str> {
        self.sufficient.and_then(|sufficient| sufficient.names().next())
    }
}

/// Requires a scope of the host's enum, like [`Requirement::scope`].
impl<S: ScopeName> From<S> for Requirement<'static> {
    fn from(scope: S) -> Requirement<'static> {
        Requirement::scope(&scope)
    }
}

/// Requires this one scope. Use [`Requirement::one_of`] if several would do.
impl<'a> From<&'a str> for Requirement<'a> {
    fn from(scope: &'a str) -> Requirement<'a> {
        Requirement {
            sufficient: Some(Sufficient { first: Some(scope), others: &[] }),
            resource: None,
        }
    }
}
