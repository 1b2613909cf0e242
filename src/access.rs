//! What a token may do: scopes on resources, from networks; and what an action requires.
//!
//! A token has an [`Access`]; an action of the host has a [`Requirement`]. [`Access::allows`] and
//! [`Access::allows_from`] are the only places where they meet. What a scope implies ("write
//! implies read") travels with the requirement, so a host can change it without touching a stored
//! token.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::text::{InvalidText, TextProblem};

mod network;
mod requirement;
mod resource;
mod scope;

pub use network::Network;
pub use requirement::Requirement;
pub use resource::{Resource, ResourceKind};
pub use scope::{AsScope, Scope, ScopeList, ScopeName};
pub(crate) use scope::{ScopeImplication, is_of_scope_token};

/// What a token may do: some scopes, or all, on some resources, or all, from some networks, or all.
///
/// An empty set allows nothing.
///
/// ```
/// use app_tokens::{Access, Requirement, Resource};
/// let access = Access::scopes(["files:read"])?
///     .on([Resource::exact("photos")?, Resource::under("docs")?])?
///     .from_networks(["10.0.0.0/8".parse()?])?;
/// assert!(access.allows(&Requirement::one_of(&["files:read"]).on("docs/taxes")));
/// assert!(!access.allows(&Requirement::one_of(&["files:read"]).on("music")));
/// // A token that is bound to resources does nothing where none is named.
/// assert!(!access.allows(&Requirement::one_of(&["files:read"])));
/// # Ok::<(), app_tokens::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Access {
    scopes: Selection<Scope>,
    resources: MostlyAll<Resource>,
    networks: MostlyAll<Network>,
}

/// A selection that is everything in most rows: one pointer, where [`Selection`] takes two. A store
/// in memory holds one of it for each row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct MostlyAll<T>(Option<Arc<Selection<T>>>);

/// Everything, or only what is listed: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection<T> {
    /// Everything of its kind, also what is added later.
    All,
    /// Only these. An empty list is nothing.
    Only(Arc<[T]>),
}

/// What an access lacks for an action. The first that is missing, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The client's address: it is outside the token's networks, or unknown.
    Network,
    /// A scope.
    Scope,
    /// The resource; or the token is bound to resources, and none was named.
    Resource,
}

impl<T: Ord> Selection<T> {
    /// Makes a selection of only these, sorted, each once.
    pub fn only(items: impl IntoIterator<Item = T>) -> Selection<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Selection::Only(items.into())
    }
}

impl<T: Ord + Clone> Selection<T> {
    /// Sorts what a host or a store listed, unless it is sorted already.
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

impl<T> Selection<T> {
    /// Returns whether everything that `other` selects is selected, by a rule for two items.
    fn includes(&self, other: &Selection<T>, includes: impl Fn(&T, &T) -> bool) -> bool {
        match (self, other) {
            (Selection::All, _) => true,
            (Selection::Only(_), Selection::All) => false,
            (Selection::Only(mine), Selection::Only(theirs)) => {
                theirs.iter().all(|theirs| mine.iter().any(|mine| includes(mine, theirs)))
            }
        }
    }

    fn is_nothing(&self) -> bool {
        matches!(self, Selection::Only(items) if items.is_empty())
    }
}

impl Access {
    /// How many scopes, resources and networks one token may list, of each.
    pub const MAX_LISTED: usize = 256;

    /// Gives everything that the owner may do, from everywhere.
    pub const fn full() -> Access {
        let (resources, networks) = (MostlyAll(None), MostlyAll(None));
        Access { scopes: Selection::All, resources, networks }
    }

    /// Gives the named scopes, on all resources, from everywhere.
    ///
    /// # Errors
    /// [`InvalidText`] for a name that is no scope, or more than [`Access::MAX_LISTED`] of them.
    pub fn scopes(scopes: impl ScopeList) -> Result<Access, InvalidText> {
        let scopes = at_most_listed(scopes.into_scopes(), SCOPES)?;
        Ok(Access { scopes, ..Access::full() })
    }

    /// Limits the access to these resources, in place of those it had.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] of them.
    pub fn on(self, resources: impl IntoIterator<Item = Resource>) -> Result<Access, InvalidText> {
        let resources = at_most_listed(resources.into_iter().map(Ok), RESOURCES)?;
        Ok(Access { resources: resources.into(), ..self })
    }

    /// Limits the access to clients in these networks, in place of those it had.
    ///
    /// A client whose address the host doesn't know is outside.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] of them.
    pub fn from_networks(
        self,
        networks: impl IntoIterator<Item = Network>,
    ) -> Result<Access, InvalidText> {
        let networks = at_most_listed(networks.into_iter().map(Ok), NETWORKS)?;
        Ok(Access { networks: networks.into(), ..self })
    }

    /// Makes an access of three selections, as a store reads them back. It sorts them, and keeps
    /// each item once.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] items in one of them.
    pub fn from_selections(
        scopes: Selection<Scope>,
        resources: Selection<Resource>,
        networks: Selection<Network>,
    ) -> Result<Access, InvalidText> {
        Ok(Access {
            scopes: scopes.listed(SCOPES)?,
            resources: resources.listed(RESOURCES)?.into(),
            networks: networks.listed(NETWORKS)?.into(),
        })
    }

    /// Returns which scopes it gives.
    pub const fn granted_scopes(&self) -> &Selection<Scope> {
        &self.scopes
    }

    /// Returns on which resources.
    pub fn granted_resources(&self) -> &Selection<Resource> {
        self.resources.get()
    }

    /// Returns from which networks.
    pub fn granted_networks(&self) -> &Selection<Network> {
        self.networks.get()
    }

    /// Returns whether its scopes and resources are enough for an action.
    pub fn allows(&self, requirement: &Requirement<'_>) -> bool {
        self.missing_for(requirement).is_none()
    }

    /// Returns whether only clients from certain networks may use it.
    pub(crate) fn is_bound_to_networks(&self) -> bool {
        matches!(self.granted_networks(), Selection::Only(_))
    }

    /// Returns whether a client at this address may use it. `None` is an unknown address.
    pub fn allows_from(&self, address: Option<IpAddr>) -> bool {
        match (self.granted_networks(), address) {
            (Selection::All, _) => true,
            (Selection::Only(_), None) => false,
            (Selection::Only(networks), Some(address)) => {
                networks.iter().any(|network| network.contains(address))
            }
        }
    }

    /// Returns the first of scope and resource that is missing for an action.
    pub(crate) fn missing_for(&self, requirement: &Requirement<'_>) -> Option<Missing> {
        let has_scope = match (&self.scopes, requirement.sufficient) {
            (Selection::All, _) | (_, None) => true,
            (Selection::Only(scopes), Some(sufficient)) => {
                sufficient.names().any(|name| scopes.iter().any(|scope| scope.as_str() == name))
            }
        };
        let has_resource = match (self.granted_resources(), requirement.resource) {
            (Selection::All, _) => true,
            // What needs no scope and names no resource is about nothing but the token itself.
            (Selection::Only(_), None) => requirement.sufficient.is_none(),
            (Selection::Only(resources), Some(name)) => {
                resources.iter().any(|resource| resource.matches(name))
            }
        };
        match (has_scope, has_resource) {
            (false, _) => Some(Missing::Scope),
            (true, false) => Some(Missing::Resource),
            (true, true) => None,
        }
    }

    /// Returns whether it allows everything that `other` allows: the subset law of narrowing,
    /// rotation and derived tokens.
    ///
    /// Each scope stands for itself here. What a scope implies is the policy's to say
    /// ([`Policy::with_scopes`](crate::Policy::with_scopes)). Items are compared one by one, so two
    /// halves of a network don't include the whole.
    pub fn includes(&self, other: &Access) -> bool {
        self.includes_by(other, &[])
    }

    /// Decides like [`Access::includes`], with what implies each of the host's scopes.
    pub(crate) fn includes_by(&self, other: &Access, implications: &[ScopeImplication]) -> bool {
        let is_given_by = |mine: &Scope, theirs: &Scope| {
            let known = implications.iter().find(|(name, _)| **name == *theirs.as_str());
            let implied_by = known.map_or(&[][..], |(_, implied_by)| implied_by);
            mine == theirs || implied_by.iter().any(|name| **name == *mine.as_str())
        };
        self.scopes.includes(&other.scopes, is_given_by)
            && self.granted_resources().includes(other.granted_resources(), Resource::includes)
            && self.granted_networks().includes(other.granted_networks(), Network::includes)
    }

    /// Returns whether it allows nothing at all, because a set is empty.
    pub fn is_empty(&self) -> bool {
        self.scopes.is_nothing()
            || self.granted_resources().is_nothing()
            || self.granted_networks().is_nothing()
    }
}

impl<T: 'static> MostlyAll<T> {
    const ALL: &'static Selection<T> = &Selection::All;

    fn get(&self) -> &Selection<T> {
        self.0.as_deref().unwrap_or(MostlyAll::ALL)
    }
}

impl<T> From<Selection<T>> for MostlyAll<T> {
    fn from(selection: Selection<T>) -> MostlyAll<T> {
        match selection {
            Selection::All => MostlyAll(None),
            only => MostlyAll(Some(Arc::new(only))),
        }
    }
}

impl<T: fmt::Debug + 'static> fmt::Debug for MostlyAll<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(feature = "serde")]
impl<T: 'static> serde::Serialize for MostlyAll<T>
where
    Selection<T>: serde::Serialize,
{
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

const SCOPES: &str = "list of scopes";
const RESOURCES: &str = "list of resources";
const NETWORKS: &str = "list of networks";

fn at_most_listed<T: Ord>(
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

#[cfg(test)]
mod tests;
