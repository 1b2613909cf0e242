//! What a token may do ([`Access`]), and what an action needs ([`Requirement`]).
//!
//! A token has an [`Access`]: scopes on resources, from networks. An action of the host has a
//! [`Requirement`]. The two meet only in [`Access::allows`], for scopes and resources, and in
//! [`Access::allows_from`], for networks.
//!
//! What a scope implies ("write implies read") belongs to the requirement. So a host can change it
//! without touching a stored token.

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

/// Limits a token to scopes, resources and networks, each "everything" or a list.
///
/// An action is allowed only if all three allow it. An empty list allows nothing. Stored in the row
/// and sealed with it.
///
/// ```
/// use app_tokens::access::Resource;
/// use app_tokens::{Access, Requirement};
/// let access = Access::scopes(["files:read"])?
///     .on([Resource::exact("photos")?, Resource::under("docs")?])?
///     .from_networks(["10.0.0.0/8".parse()?])?;
/// assert!(access.allows(&Requirement::one_of(&["files:read"]).on("docs/taxes")));
/// assert!(!access.allows(&Requirement::one_of(&["files:read"]).on("music")));
/// // A token that is bound to resources does nothing where none is named.
/// assert!(!access.allows(&Requirement::one_of(&["files:read"])));
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Access {
    scopes: Selection<Scope>,
    resources: MostlyAll<Resource>,
    networks: MostlyAll<Network>,
}

/// Holds a selection that is "everything" in most rows, in one pointer.
///
/// [`Selection`] takes two pointers. A store in memory holds two of these for each row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct MostlyAll<T>(Option<Arc<Selection<T>>>);

/// Selects everything of a kind, or only what is listed: sorted, without duplicates.
///
/// What was built with [`Selection::only`], or is part of an [`Access`], is sorted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection<T> {
    /// Everything of the kind, including what the host adds later.
    All,
    /// Only the listed items. An empty list selects nothing.
    Only(Arc<[T]>),
}

/// Names what an access lacks for an action.
///
/// If several are missing, the first in this order is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Missing {
    /// The client's address is outside the token's networks, or the host did not name it.
    Network,
    /// The token has none of the scopes that are enough.
    Scope,
    /// The resource is not among the token's. Or the token is bound to resources and the host named
    /// none.
    Resource,
}

impl<T: Ord> Selection<T> {
    /// Makes a selection of these items only. It sorts them and drops duplicates.
    pub fn only(items: impl IntoIterator<Item = T>) -> Selection<T> {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_unstable();
        items.dedup();
        Selection::Only(items.into())
    }
}

impl<T: Ord + Clone> Selection<T> {
    /// Checks the length of a selection that a host or a store made, and sorts it if it must.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] items.
    fn listed(self, what: &'static str) -> Result<Selection<T>, InvalidText> {
        let max = Access::MAX_LISTED;
        match self {
            Selection::Only(items) if items.len() > max => {
                Err(InvalidText::new(what, TextProblem::TooMany { max }))
            }
            // What a store reads back is sorted already, and is then kept without a copy.
            Selection::Only(items) if !items.is_sorted_by(|one, next| one < next) => {
                Ok(Selection::only(items.iter().cloned()))
            }
            listed => Ok(listed),
        }
    }
}

impl<T> Selection<T> {
    /// Returns whether this selects everything that `other` selects.
    ///
    /// `includes` decides it for two items.
    fn includes(&self, other: &Selection<T>, includes: impl Fn(&T, &T) -> bool) -> bool {
        match (self, other) {
            (Selection::All, _) => true,
            // Even if the list names all that there is today: more may be added later.
            (Selection::Only(_), Selection::All) => false,
            (Selection::Only(mine), Selection::Only(theirs)) => {
                theirs.iter().all(|theirs| mine.iter().any(|mine| includes(mine, theirs)))
            }
        }
    }

    /// Returns whether this is an empty list.
    fn is_nothing(&self) -> bool {
        matches!(self, Selection::Only(items) if items.is_empty())
    }
}

impl Access {
    /// The most scopes, resources or networks that one token may list: 256 of each.
    pub const MAX_LISTED: usize = 256;

    /// Allows everything that the owner may do, from everywhere.
    ///
    /// Also what the host adds later: its future scopes and resources.
    pub const fn full() -> Access {
        let (resources, networks) = (MostlyAll(None), MostlyAll(None));
        Access { scopes: Selection::All, resources, networks }
    }

    /// Allows the named scopes, on all resources, from everywhere.
    ///
    /// An empty list allows nothing.
    ///
    /// # Errors
    /// [`InvalidText`] for a name that is no `scope-token` of RFC 6749, section 3.3, or is longer
    /// than [`Scope::MAX_CHARS`]. Also for more than [`Access::MAX_LISTED`] scopes.
    pub fn scopes(scopes: impl ScopeList) -> Result<Access, InvalidText> {
        let scopes = at_most_listed(scopes.into_scopes(), SCOPES)?;
        Ok(Access { scopes, ..Access::full() })
    }

    /// Limits the access to these resources, replacing those it had.
    ///
    /// A token that is bound to resources can't do what names no resource, unless that needs [no
    /// scope either](Requirement::ANY_VALID_TOKEN).
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] resources.
    pub fn on(self, resources: impl IntoIterator<Item = Resource>) -> Result<Access, InvalidText> {
        let resources = at_most_listed(resources.into_iter().map(Ok), RESOURCES)?;
        Ok(Access { resources: resources.into(), ..self })
    }

    /// Limits the access to clients in these networks, replacing those it had.
    ///
    /// A client whose address the host does not name is outside.
    ///
    /// # Errors
    /// [`InvalidText`] for more than [`Access::MAX_LISTED`] networks.
    pub fn from_networks(
        self,
        networks: impl IntoIterator<Item = Network>,
    ) -> Result<Access, InvalidText> {
        let networks = at_most_listed(networks.into_iter().map(Ok), NETWORKS)?;
        Ok(Access { networks: networks.into(), ..self })
    }

    /// Makes the access of a row that lets nobody in.
    pub(crate) fn nothing() -> Access {
        #[expect(clippy::expect_used, reason = "empty selections are within every limit")]
        Access::from_selections(Selection::only([]), Selection::only([]), Selection::only([]))
            .expect("no access")
    }

    /// Makes an access from three selections, as a store reads them back.
    ///
    /// It sorts each list and drops duplicates, so that equal accesses have equal sealed bytes.
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

    /// Returns the scopes that the token has.
    pub const fn granted_scopes(&self) -> &Selection<Scope> {
        &self.scopes
    }

    /// Returns the resources that the token may act on.
    pub fn granted_resources(&self) -> &Selection<Resource> {
        self.resources.get()
    }

    /// Returns the networks that the token may be used from.
    pub fn granted_networks(&self) -> &Selection<Network> {
        self.networks.get()
    }

    /// Returns whether scopes and resources are enough for an action. Networks are not looked at:
    /// see [`allows_from`](Access::allows_from).
    pub fn allows(&self, requirement: &Requirement<'_>) -> bool {
        self.missing_for(requirement).is_none()
    }

    /// Returns whether only clients in certain networks may use the token.
    pub(crate) fn is_bound_to_networks(&self) -> bool {
        matches!(self.granted_networks(), Selection::Only(_))
    }

    /// Returns whether a client at this address may use the token. `None` is an unknown address.
    ///
    /// An unknown address is allowed only if the token is bound to no networks.
    pub fn allows_from(&self, address: Option<IpAddr>) -> bool {
        match (self.granted_networks(), address) {
            (Selection::All, _) => true,
            (Selection::Only(_), None) => false,
            (Selection::Only(networks), Some(address)) => {
                networks.iter().any(|network| network.contains(address))
            }
        }
    }

    /// Returns what is missing for an action: the scope, or if that is there, the resource.
    pub(crate) fn missing_for(&self, requirement: &Requirement<'_>) -> Option<Missing> {
        let has_scope = match (&self.scopes, requirement.sufficient) {
            (Selection::All, _) | (_, None) => true,
            (Selection::Only(scopes), Some(sufficient)) => {
                sufficient.names().any(|name| scopes.iter().any(|scope| scope.as_str() == name))
            }
        };
        let has_resource = match (self.granted_resources(), requirement.resource) {
            (Selection::All, _) => true,
            // An action that needs no scope and names no resource concerns only the token itself.
            (Selection::Only(_), None) => requirement.sufficient.is_none(),
            (Selection::Only(resources), Some(name)) => {
                resources.iter().any(|resource| resource.matches(name))
            }
        };
        match (has_scope, has_resource) {
            // The scope first, since a client can ask for one by the challenge (RFC 6750, section
            // 3.1).
            (false, _) => Some(Missing::Scope),
            (true, false) => Some(Missing::Resource),
            (true, true) => None,
        }
    }

    /// Returns whether this allows everything that `other` allows.
    ///
    /// This is the subset rule for narrowing, for rotation and for tokens that are issued under
    /// another. Two limits:
    /// - Each scope stands for itself. A host that names its scopes by
    ///   [`Policy::with_scopes`](crate::Policy::with_scopes) has a policy that also knows what they
    ///   imply.
    /// - Items are compared one by one. Two halves of a network do not include the whole.
    ///
    /// ```
    /// use app_tokens::access::Resource;
    /// use app_tokens::Access;
    /// let docs = Access::full().on([Resource::under("docs")?])?;
    /// let taxes = Access::scopes(["files:read"])?.on([Resource::exact("docs/taxes")?])?;
    /// assert!(docs.includes(&taxes) && !taxes.includes(&docs));
    /// # Ok::<(), app_tokens::error::InvalidText>(())
    /// ```
    pub fn includes(&self, other: &Access) -> bool {
        self.includes_by(other, &[])
    }

    /// Decides like [`Access::includes`], and also knows which scopes imply each of the host's
    /// scopes.
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

    /// Returns whether it allows nothing at all, because one of its lists is empty.
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

/// Collects a list, and refuses it if it is too long.
fn at_most_listed<T: Ord>(
    items: impl Iterator<Item = Result<T, InvalidText>>,
    what: &'static str,
) -> Result<Selection<T>, InvalidText> {
    let max = Access::MAX_LISTED;
    // One more than the limit is enough to see that there are too many. An endless iterator ends
    // here.
    let items: Vec<T> = items.take(max + 1).collect::<Result<_, _>>()?;
    if items.len() > max {
        return Err(InvalidText::new(what, TextProblem::TooMany { max }));
    }
    Ok(Selection::only(items))
}

#[cfg(test)]
mod tests;
