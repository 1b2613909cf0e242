//! What a client presents, from where ([`Origin`]), and what it becomes: [`Authenticated`], then
//! [`Caller`].

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::access::{Access, Missing, Requirement};
use crate::attributes::Attributes;
use crate::digest::Sha256Digest;
use crate::error::Forbidden;
use crate::record::{Expires, TokenRecord};
use crate::row::{ReadableRow, Row};
use crate::text::{Label, Owner, clean_client};
use crate::token::{ParseError, Prefix, Token, TokenId};

/// From where a text comes, if the host says so: the client's address and program.
///
/// An address converts into it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    address: Option<IpAddr>,
    client: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// Says nothing about the origin. A token that is bound to networks is then forbidden.
    pub const fn unknown() -> Origin<'a> {
        Origin { address: None, client: None }
    }

    /// Sets the client's address.
    ///
    /// **Behind a proxy the peer is the proxy**: take the address from the proxy's header, with
    /// [`client_address`](fn@crate::web::client_address).
    ///
    /// An IPv4-mapped address (`::ffff:192.0.2.7`) becomes the IPv4 address.
    #[must_use]
    pub const fn address(self, address: IpAddr) -> Origin<'a> {
        Origin { address: Some(address.to_canonical()), ..self }
    }

    /// Sets the client's program, as it named itself in `User-Agent`.
    #[must_use]
    pub const fn client(self, client: &'a str) -> Origin<'a> {
        Origin { client: Some(client), ..self }
    }

    /// Sets the client's program, unless the host named one.
    #[cfg(feature = "tower")]
    pub(crate) fn or_client(self, client: Option<&'a str>) -> Origin<'a> {
        Origin { client: self.client.or(client), ..self }
    }

    /// Returns whether the host named an address.
    pub(crate) fn has_address(&self) -> bool {
        self.address.is_some()
    }

    /// Returns the client's address; `None` if the host did not name it.
    pub fn known_address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the client's program without what could act on a terminal or a list; `None` if the
    /// host did not name it.
    pub fn known_client(&self) -> Option<Cow<'a, str>> {
        self.client.map(clean_client)
    }
}

impl From<IpAddr> for Origin<'_> {
    fn from(address: IpAddr) -> Self {
        Origin::unknown().address(address)
    }
}

/// A token that was presented: what its row is found and compared by. Holds no secret.
pub(crate) struct Presented {
    id: TokenId,
    digest: Sha256Digest,
}

/// Why a presented token has no row of its own.
pub(crate) enum Unmatched {
    /// No row has its id.
    NoRow,
    /// The row with its id can't be read.
    DamagedRow { is_revoked: bool },
    /// The row with its id has a digest of a scheme that this build doesn't know. Its secret may be
    /// right.
    UnknownScheme { scheme: u8, is_revoked: bool },
    /// The row with its id has another secret.
    OtherSecret,
}

impl Presented {
    /// Takes what its row is found and compared by.
    pub(crate) fn new(token: &Token) -> Presented {
        Presented { id: token.id(), digest: Sha256Digest::of(token) }
    }

    /// Reads a presented text.
    ///
    /// # Errors
    /// [`ParseError`] if the text is not a token.
    pub(crate) fn read(text: &str, accepted: &[Prefix]) -> Result<Presented, ParseError> {
        let (id, digest) = Sha256Digest::of_presented(text, accepted)?;
        Ok(Presented { id, digest })
    }

    pub(crate) fn id(&self) -> TokenId {
        self.id
    }

    pub(crate) fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// Takes the row that was found by the id, if its digest is the right one.
    pub(crate) fn matched(&self, found: Option<Row>) -> Result<ReadableRow, Unmatched> {
        // Compared even if there is no row, so that the time taken does not reveal which ids exist.
        let record = found.as_ref().and_then(Row::record);
        let stored = record.map_or(&Sha256Digest::OF_NO_TOKEN, TokenRecord::sha_256);
        let secret_is_right = self.digest == *stored;
        let Some(found) = found else {
            return Err(Unmatched::NoRow);
        };
        let is_revoked = found.is_revoked();
        match found.into_readable() {
            Some(row) if secret_is_right => Ok(row),
            Some(row) => Err(match row.record().digest_of_other_scheme() {
                Some(newer) if newer.is_newer() => {
                    Unmatched::UnknownScheme { scheme: newer.scheme(), is_revoked }
                }
                // A digest of a text that another system issued is of no token of ours.
                Some(_) | None => Unmatched::OtherSecret,
            }),
            None => Err(Unmatched::DamagedRow { is_revoked }),
        }
    }
}

/// An active token. It reveals only its public id until you [`require`](Self::require) a scope,
/// which yields a [`Caller`] with the owner.
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
    /// Decided when the text was presented, because only then is the address known.
    is_outside_networks: bool,
}

impl Authenticated {
    pub(crate) fn new(row: ReadableRow, is_outside_networks: bool) -> Authenticated {
        Authenticated { row, is_outside_networks }
    }

    /// Requires access, and yields the caller.
    ///
    /// If the token is bound to networks, the client's address must be in one of them, whatever is
    /// required.
    ///
    /// ```
    /// # use app_tokens::error::Forbidden;
    /// # use app_tokens::{Authenticated, Caller, Requirement};
    /// # fn f(authenticated: Authenticated) -> Result<Caller, Forbidden> {
    /// authenticated.require(Requirement::one_of(&["files:read"]).on("photos/"))
    /// # }
    /// ```
    ///
    /// A missing scope or resource is no event for an [`Observer`](crate::event::Observer). If your
    /// log is to have it, write it here, with the token's [`id`](Self::id):
    ///
    /// ```
    /// # use app_tokens::error::Forbidden;
    /// # use app_tokens::{Authenticated, Caller};
    /// # fn f(authenticated: Authenticated) -> Result<Caller, Forbidden> {
    /// let id = authenticated.id();
    /// authenticated.require("files:write").inspect_err(|why| eprintln!("403 id={id}: {why}"))
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Forbidden`] if the client is outside the token's networks, or if the token's access is not
    /// enough.
    #[doc(alias = "owner")]
    pub fn require<'r>(self, requirement: impl Into<Requirement<'r>>) -> Result<Caller, Forbidden> {
        if self.is_outside_networks {
            return Err(Forbidden::new(Missing::Network, None));
        }
        let caller = Caller { row: self.row };
        caller.require(requirement)?;
        Ok(caller)
    }

    /// Returns the public half of the token's text, for a log. It says nothing of the owner.
    pub fn id(&self) -> TokenId {
        self.record().id()
    }

    pub(crate) fn record(&self) -> &TokenRecord {
        self.row.record()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticated({})", self.id())
    }
}

/// The holder of an active token, after its access was enough for a requirement.
#[derive(Clone)]
pub struct Caller {
    row: ReadableRow,
}

impl Caller {
    /// Returns the token's owner.
    pub fn owner(&self) -> &Owner {
        self.row.record().owner()
    }

    /// Returns the public half of the token's text.
    pub fn id(&self) -> TokenId {
        self.row.record().id()
    }

    /// Returns the label that the owner gave the token.
    pub fn label(&self) -> &Label {
        self.row.record().label()
    }

    /// Returns what the token may do.
    pub fn access(&self) -> &Access {
        self.row.record().access()
    }

    /// Returns the host's own facts about the token.
    pub fn attributes(&self) -> &Attributes {
        self.row.record().attributes()
    }

    /// Returns when the token expires. A session that it opens should not outlive it.
    pub fn expires(&self) -> Expires {
        self.row.record().expires()
    }

    /// Requires more access, for an action that needs two scopes, such as a copy from one place to
    /// another.
    ///
    /// ```
    /// # use app_tokens::error::Forbidden;
    /// # use app_tokens::{Caller, Requirement};
    /// # fn f(caller: Caller) -> Result<(), Forbidden> {
    /// caller.require(Requirement::one_of(&["files:write"]).on("backup/"))
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Forbidden`] if the token's access is not enough.
    pub fn require<'r>(&self, requirement: impl Into<Requirement<'r>>) -> Result<(), Forbidden> {
        let requirement = requirement.into();
        match self.access().missing_for(&requirement) {
            Some(missing) => Err(Forbidden::new(missing, requirement.wanted_scope())),
            None => Ok(()),
        }
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
