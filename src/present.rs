//! What a client presents, and what it becomes: [`Authenticated`], then [`Caller`].

use std::fmt;
use std::net::IpAddr;

use crate::access::{Access, Requirement};
use crate::error::Forbidden;
use crate::record::{Expires, TokenRecord};
use crate::row::ReadableRow;
use crate::text::{Label, Owner};
use crate::token::TokenId;

/// A text as a client presented it, and where it came from. A `&str` converts into it.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    pub(crate) text: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) client: Option<&'a str>,
}

impl<'a> Presented<'a> {
    /// A text of unknown origin.
    pub const fn new(text: &'a str) -> Presented<'a> {
        Presented { text, address: None, client: None }
    }

    /// Sets the client's address, which the host has resolved behind its own proxies.
    #[must_use]
    pub const fn from_address(self, address: IpAddr) -> Presented<'a> {
        Presented { address: Some(address), ..self }
    }

    /// Sets the client's program, as it named itself.
    #[must_use]
    pub const fn from_client(self, client: &'a str) -> Presented<'a> {
        Presented { client: Some(client), ..self }
    }
}

impl<'a> From<&'a str> for Presented<'a> {
    fn from(text: &'a str) -> Presented<'a> {
        Presented::new(text)
    }
}

impl<'a> From<&'a String> for Presented<'a> {
    fn from(text: &'a String) -> Presented<'a> {
        Presented::new(text)
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented")
            .field("address", &self.address)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// An active token. It reveals nothing until you [`require`](Self::require) a scope, which yields a
/// [`Caller`] with the owner.
///
/// ```compile_fail,E0599
/// # fn f(authenticated: app_tokens::Authenticated) {
/// println!("{}", authenticated.owner()); // require a scope first
/// # }
/// ```
#[derive(Clone)]
#[must_use = "an active token may still lack access: require a scope"]
pub struct Authenticated {
    row: ReadableRow,
}

impl Authenticated {
    pub(crate) fn new(row: ReadableRow) -> Authenticated {
        Authenticated { row }
    }

    /// Requires access, and yields the caller.
    ///
    /// ```
    /// # use app_tokens::{Authenticated, Caller, Forbidden, Requirement};
    /// # fn f(authenticated: Authenticated) -> Result<Caller, Forbidden> {
    /// authenticated.require(Requirement::one_of(&["files:read"]).on("photos/"))
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Forbidden`] if the token's access is not enough.
    pub fn require<'r>(self, requirement: impl Into<Requirement<'r>>) -> Result<Caller, Forbidden> {
        let caller = Caller { row: self.row };
        caller.require(requirement)?;
        Ok(caller)
    }

    pub(crate) fn record(&self) -> &TokenRecord {
        self.row.record()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticated({})", self.record().id())
    }
}

/// The holder of an active token whose access was enough for what was required.
#[derive(Clone)]
pub struct Caller {
    row: ReadableRow,
}

impl Caller {
    /// The token's owner.
    pub fn owner(&self) -> &Owner {
        self.row.record().owner()
    }

    /// The public half of the token's text.
    pub fn id(&self) -> TokenId {
        self.row.record().id()
    }

    /// The label that the owner gave the token.
    pub fn label(&self) -> &Label {
        self.row.record().label()
    }

    /// What the token may do.
    pub fn access(&self) -> &Access {
        self.row.record().access()
    }

    /// When the token expires. A session that it opens should not outlive it.
    pub fn expires(&self) -> Expires {
        self.row.record().expires()
    }

    /// Requires more access, for an action that needs two scopes.
    ///
    /// # Errors
    /// [`Forbidden`] if the token's access is not enough.
    pub fn require<'r>(&self, requirement: impl Into<Requirement<'r>>) -> Result<(), Forbidden> {
        let requirement = requirement.into();
        if self.access().allows(&requirement) {
            return Ok(());
        }
        Err(Forbidden::new(requirement.wanted_scope()))
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("id", &self.id())
            .field("owner", self.owner())
            .field("access", self.access())
            .finish_non_exhaustive()
    }
}
