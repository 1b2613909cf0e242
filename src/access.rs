//! What a token may do: scopes on resources, and what an action requires.
//!
//! A token has an [`Access`]; an action of the host's has a [`Requirement`]; [`Access::allows`] is the only
//! place where the two meet. What a scope implies ("write implies read") travels with the requirement,
//! so a host can change it without touching a stored token.

use std::fmt;
use std::sync::Arc;

use crate::text::{InvalidText, TextProblem};

/// What a token may do: some scopes, or all, on some resources, or all.
///
/// An empty set allows nothing.
///
/// ```
/// use app_tokens::{Access, Requirement};
/// let access = Access::scopes(["files:read"])?.on_resources(["photos", "docs/*"])?;
/// assert!(access.allows(&Requirement::one_of(&["files:read"]).on("docs/taxes")));
/// assert!(!access.allows(&Requirement::one_of(&["files:read"]).on("music")));
/// // A token that is bound to resources does nothing where none is named.
/// assert!(!access.allows(&Requirement::one_of(&["files:read"])));
/// # Ok::<(), app_tokens::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    scopes: Selection<Scope>,
    resources: Selection<ResourcePattern>,
}

/// Everything, or just what is listed: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection<T> {
    /// Everything of its kind, also what is added later.
    All,
    /// Just these. None of them: nothing.
    Only(Arc<[T]>),
}

impl<T: Ord> Selection<T> {
    /// Just these, sorted, each once.
    pub fn only(items: impl IntoIterator<Item = T>) -> Selection<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Selection::Only(items.into())
    }
}

impl<T: Ord + Clone> Selection<T> {
    fn listed(self, what: &'static str) -> Result<Selection<T>, InvalidText> {
        let max = Access::MAX_LISTED;
        match self {
            Selection::Only(items) if items.len() > max => {
                Err(InvalidText::new(what, TextProblem::TooMany { max }))
            }
            Selection::Only(items) if !items.is_sorted_by(|one, next| one < next) => {
                Ok(Selection::only(items.iter().cloned()))
            }
            listed => Ok(listed),
        }
    }
}

impl Access {
    /// The most scopes, and the most resources, that one token may list.
    pub const MAX_LISTED: usize = 256;

    /// Everything that its owner may do.
    pub const fn full() -> Access {
        Access { scopes: Selection::All, resources: Selection::All }
    }

    /// The named scopes on all resources.
    ///
    /// # Errors
    /// [`InvalidText`] for a name that is no scope, or more than [`Access::MAX_LISTED`] of them.
    pub fn scopes<S: AsScope>(scopes: impl IntoIterator<Item = S>) -> Result<Access, InvalidText> {
        let scopes = checked(
            scopes.into_iter().map(|scope| Scope::new(scope.scope_name())),
            "list of scopes",
        )?;
        Ok(Access { scopes, resources: Selection::All })
    }

    /// The same scopes on the named resources only. A pattern that ends in `*` means every name that
    /// begins with what stands before it.
    ///
    /// # Errors
    /// [`InvalidText`] for a pattern that is none, or more than [`Access::MAX_LISTED`] of them.
    pub fn on_resources<R: AsRef<str>>(
        self,
        patterns: impl IntoIterator<Item = R>,
    ) -> Result<Access, InvalidText> {
        let resources =
            checked(patterns.into_iter().map(ResourcePattern::new), "list of resources")?;
        Ok(Access { resources, ..self })
    }

    /// From the two selections, as a store reads them back. They are sorted, and each item is there once, whatever they were.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] items in one of them.
    pub fn from_selections(
        scopes: Selection<Scope>,
        resources: Selection<ResourcePattern>,
    ) -> Result<Access, InvalidText> {
        Ok(Access {
            scopes: scopes.listed("list of scopes")?,
            resources: resources.listed("list of resources")?,
        })
    }

    /// Which scopes.
    pub const fn granted_scopes(&self) -> &Selection<Scope> {
        &self.scopes
    }

    /// On which resources.
    pub const fn granted_resources(&self) -> &Selection<ResourcePattern> {
        &self.resources
    }

    /// Whether this is enough for an action. The only such decision.
    pub fn allows(&self, requirement: &Requirement<'_>) -> bool {
        let scope_granted = match (&self.scopes, requirement.sufficient) {
            (Selection::All, _) | (_, None) => true,
            (Selection::Only(scopes), Some(sufficient)) => {
                sufficient.names().any(|name| scopes.iter().any(|scope| scope.as_str() == name))
            }
        };
        let resource_granted = match (&self.resources, requirement.resource) {
            (Selection::All, _) => true,
            // What needs no scope and names no resource is about nothing but the token itself.
            (Selection::Only(_), None) => requirement.sufficient.is_none(),
            (Selection::Only(patterns), Some(name)) => {
                patterns.iter().any(|pattern| pattern.matches(name))
            }
        };
        scope_granted && resource_granted
    }

    /// Whether everything that `other` allows is allowed by this, too: the subset law of narrowing,
    /// rotation and derived tokens. What a scope implies is the policy's to say
    /// ([`Policy::with_scopes`](crate::Policy::with_scopes)); here each scope stands for itself.
    pub fn includes(&self, other: &Access) -> bool {
        self.includes_by(other, &[])
    }

    /// Like [`Access::includes`], with what implies each of the host's scopes.
    pub(crate) fn includes_by(&self, other: &Access, implications: &[ScopeImplication]) -> bool {
        let is_granted = |mine: &[Scope], theirs: &Scope| {
            let known = implications.iter().find(|(name, _)| *name == theirs.as_str());
            let implied_by = known.map_or(&[][..], |(_, implied_by)| *implied_by);
            mine.iter().any(|mine| mine == theirs || implied_by.contains(&mine.as_str()))
        };
        let scopes_included = match (&self.scopes, &other.scopes) {
            (Selection::All, _) => true,
            (Selection::Only(_), Selection::All) => false,
            (Selection::Only(mine), Selection::Only(theirs)) => {
                theirs.iter().all(|s| is_granted(mine, s))
            }
        };
        let resources_included = match (&self.resources, &other.resources) {
            (Selection::All, _) => true,
            (Selection::Only(_), Selection::All) => false,
            (Selection::Only(mine), Selection::Only(theirs)) => {
                theirs.iter().all(|theirs| mine.iter().any(|mine| mine.includes(theirs)))
            }
        };
        scopes_included && resources_included
    }

    /// Whether it allows nothing at all, because a set is empty.
    pub fn is_empty(&self) -> bool {
        matches!(&self.scopes, Selection::Only(scopes) if scopes.is_empty())
            || matches!(&self.resources, Selection::Only(patterns) if patterns.is_empty())
    }
}

/// A scope's name, and the names of the scopes that imply it.
pub(crate) type ScopeImplication = (&'static str, &'static [&'static str]);

/// The host's own enum of scopes.
///
/// ```
/// use app_tokens::ScopeName;
///
/// #[derive(Clone, Copy)]
/// enum Files { Read, Write }
///
/// impl ScopeName for Files {
///     fn name(&self) -> &'static str {
///         match self { Files::Read => "files:read", Files::Write => "files:write" }
///     }
///     fn implied_by(&self) -> &'static [&'static str] {
///         match self { Files::Read => &["files:write"], Files::Write => &[] }
///     }
/// }
/// ```
pub trait ScopeName {
    /// The scope's name, by RFC 6749's `scope-token`.
    fn name(&self) -> &'static str;

    /// Returns every scope that implies this one. The list must be complete: it isn't followed further.
    fn implied_by(&self) -> &'static [&'static str] {
        &[]
    }
}

/// What names a scope where a token is given some: a [`ScopeName`], a [`Scope`] or a text.
pub trait AsScope {
    /// The scope's name.
    fn scope_name(&self) -> &str;
}

impl<S: ScopeName> AsScope for S {
    fn scope_name(&self) -> &str {
        self.name()
    }
}

impl AsScope for &str {
    fn scope_name(&self) -> &str {
        self
    }
}

impl AsScope for String {
    fn scope_name(&self) -> &str {
        self
    }
}

impl AsScope for Scope {
    fn scope_name(&self) -> &str {
        self.as_str()
    }
}

/// What an action needs: one of some scopes, on a resource if there is one; or just any valid token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'a> {
    sufficient: Option<Sufficient<'a>>,
    resource: Option<&'a str>,
}

/// Scope names of which each is enough. The first may stand apart, as a [`ScopeName`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sufficient<'a> {
    first: Option<&'a str>,
    others: &'a [&'a str],
}

impl<'a> Sufficient<'a> {
    fn names(self) -> impl Iterator<Item = &'a str> {
        self.first.into_iter().chain(self.others.iter().copied())
    }
}

impl<'a> Requirement<'a> {
    /// Any valid token will do, whatever its access: "who am I?".
    pub const ANY_VALID_TOKEN: Requirement<'static> =
        Requirement { sufficient: None, resource: None };

    /// Requires a scope of the host's enum, or one that implies it.
    pub fn scope(scope: &impl ScopeName) -> Requirement<'static> {
        let sufficient = Sufficient { first: Some(scope.name()), others: scope.implied_by() };
        Requirement { sufficient: Some(sufficient), resource: None }
    }

    /// Any one of these scopes: for a table of roles that is known only at run time. None of them means
    /// that nothing but a token with all scopes is enough.
    pub const fn one_of(names: &'a [&'a str]) -> Requirement<'a> {
        Requirement { sufficient: Some(Sufficient { first: None, others: names }), resource: None }
    }

    /// … on this resource. Without it only tokens that are not bound to resources are enough.
    pub const fn on(self, resource: &'a str) -> Requirement<'a> {
        Requirement { sufficient: self.sufficient, resource: Some(resource) }
    }

    /// The scope that a client should ask for, as RFC 6750 3.1 has it in the challenge.
    pub fn wanted_scope(&self) -> Option<&'a str> {
        self.sufficient.and_then(|sufficient| sufficient.names().next())
    }
}

impl<S: ScopeName> From<S> for Requirement<'static> {
    fn from(scope: S) -> Requirement<'static> {
        Requirement::scope(&scope)
    }
}

/// The name of a scope: RFC 6749's `scope-token`, at most 128 characters.
///
/// Printable ASCII without space, `"` and `\`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`InvalidText`] if it is empty, too long or has a character that no scope may have.
    pub fn new(name: impl AsRef<str>) -> Result<Scope, InvalidText> {
        let name = name.as_ref();
        // RFC 6749, 3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
        let allowed = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        check_name(name, Scope::MAX_CHARS, allowed).map_err(|p| InvalidText::new("scope", p))?;
        Ok(Scope(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The name of a resource, or, ending in `*`, of every resource whose name begins so.
///
/// 1 to 255 characters, no control characters. A `*` stands at the end only. A token that is bound to
/// paths should name them with the separator, `docs/*`, since `docs*` takes `docs-private`, too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourcePattern(Box<str>);

impl ResourcePattern {
    /// The longest pattern, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// [`InvalidText`] if it is empty, too long, or has a control character or an inner `*`.
    pub fn new(pattern: impl AsRef<str>) -> Result<ResourcePattern, InvalidText> {
        let pattern = pattern.as_ref();
        let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
        let allowed = |c: char| !c.is_control();
        check_name(pattern, ResourcePattern::MAX_CHARS, allowed)
            .and_then(|()| match beginning.chars().position(|c| c == '*') {
                Some(position) => Err(TextProblem::ForbiddenCharacter { position }),
                None => Ok(()),
            })
            .map_err(|problem| InvalidText::new("resource", problem))?;
        Ok(ResourcePattern(pattern.into()))
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the resource with this name is meant. Compared byte for byte: a host that has several
    /// names for one thing makes one of them first.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *self.0 == *name,
        }
    }

    fn includes(&self, other: &ResourcePattern) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(mine), Some(theirs)) => theirs.starts_with(mine),
            (Some(mine), None) => other.0.starts_with(mine),
            (None, _) => self == other,
        }
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

fn checked<T: Ord>(
    items: impl Iterator<Item = Result<T, InvalidText>>,
    what: &'static str,
) -> Result<Selection<T>, InvalidText> {
    let max = Access::MAX_LISTED;
    let items: Vec<T> = items.take(max + 1).collect::<Result<_, _>>()?;
    if items.len() > max {
        return Err(InvalidText::new(what, TextProblem::TooMany { max }));
    }
    Ok(Selection::only(items))
}

fn check_name(name: &str, max: usize, allowed: fn(char) -> bool) -> Result<(), TextProblem> {
    if name.is_empty() {
        return Err(TextProblem::Empty);
    }
    if name.len() > 4 * max || name.chars().count() > max {
        return Err(TextProblem::TooLong { max });
    }
    match name.chars().position(|c| !allowed(c)) {
        Some(position) => Err(TextProblem::ForbiddenCharacter { position }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
