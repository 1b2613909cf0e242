//! The whole way in: [`Login`], and what the host's [`Directory`] is asked on it.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::answer::{Answer, Refusal, answer};
use super::credentials::{Accept, Credentials, credentials};
use super::resemblance::claims_to_be_a_token;
use crate::authority::TokenAuthority;
use crate::error::{AuthError, DenialReason};
use crate::policy::{Policy, PolicyError};
use crate::present::{Authenticated, Presented};
use crate::store::TokenStore;
use crate::text::Owner;

/// The host's accounts. Both questions are asked only after a token has proved itself, so nobody learns from them which accounts
/// there are.
///
/// ```
/// use app_tokens::{Owner, web::{Directory, DirectoryError}};
/// # struct Database;
/// # struct Account { id: String, disabled: bool }
/// # impl Database {
/// #     async fn account_by_name(&self, _: &str) -> Result<Option<Account>, std::io::Error> { Ok(None) }
/// #     async fn account(&self, _: &str) -> Result<Option<Account>, std::io::Error> { Ok(None) }
/// # }
/// struct Accounts(Database);
///
/// impl Directory for Accounts {
///     async fn resolve(&self, name: &str) -> Result<Option<Owner>, DirectoryError> {
///         let account = self.0.account_by_name(name).await?;
///         Ok(account.map(|account| Owner::new(account.id)).transpose()?)
///     }
///     async fn may_enter(&self, owner: &Owner) -> Result<bool, DirectoryError> {
///         let account = self.0.account(owner.as_str()).await?;
///         Ok(account.is_some_and(|account| !account.disabled))
///     }
/// }
/// ```
pub trait Directory: Send + Sync {
    /// Whose account has this login name. Asked where a user name stands beside the token, to compare the two owners. The name is
    /// as the client sent it; it is never a token nor nearly one.
    ///
    /// # Errors
    /// Where it can't be told: HTTP 503. Not where there is no such account; that is `None`. *Dangerous: the owner of another
    /// account; a former user's account id for a name that somebody else has now.*
    fn resolve(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Owner>, DirectoryError>> + Send;

    /// Whether this account may enter at all: `false` where it is disabled or gone. Asked on every way in. Its tokens are then
    /// denied like revoked ones, with 401, and clients forget them (OWASP ASVS 5.0, 7.4.2). *Dangerous: `true` from a stale copy.*
    ///
    /// # Errors
    /// Where it can't be told, or nobody may enter for a while: HTTP 503, and clients keep their tokens.
    fn may_enter(&self, owner: &Owner)
    -> impl Future<Output = Result<bool, DirectoryError>> + Send;
}

/// What a directory says when it fails: any error. It is for the host's log; no client sees it.
pub type DirectoryError = Box<dyn Error + Send + Sync>;

/// For hosts whose login names are the stable account ids that they issue tokens for. It turns nobody away: such a host revokes
/// all tokens of an account when it disables or deletes it, and never gives a name to somebody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameIsOwner;

impl Directory for NameIsOwner {
    async fn resolve(&self, name: &str) -> Result<Option<Owner>, DirectoryError> {
        Ok(Owner::new(name).ok())
    }

    async fn may_enter(&self, _: &Owner) -> Result<bool, DirectoryError> {
        Ok(true)
    }
}

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn resolve(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<Owner>, DirectoryError>> + Send {
        (**self).resolve(name)
    }

    fn may_enter(
        &self,
        owner: &Owner,
    ) -> impl Future<Output = Result<bool, DirectoryError>> + Send {
        (**self).may_enter(owner)
    }
}

/// From where a request comes, so far as the host says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    address: Option<IpAddr>,
    client: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// … from this address, which the host has resolved behind its own proxies.
    #[must_use]
    pub const fn from_address(self, address: IpAddr) -> Origin<'a> {
        Origin { address: Some(address), ..self }
    }

    /// … from this program, as it named itself in `User-Agent`.
    #[must_use]
    pub const fn from_client(self, client: &'a str) -> Origin<'a> {
        Origin { client: Some(client), ..self }
    }
}

/// The whole way in, without a framework: reads the header, asks the authority, then the directory.
///
/// See [the module](super) for an example.
#[derive(Clone)]
pub struct Login<S, D> {
    tokens: TokenAuthority<S>,
    directory: D,
    accept: Accept,
    realm: Arc<str>,
}

impl<S: TokenStore, D: Directory> Login<S, D> {
    /// With the policy's realm in the challenges, and nothing accepted beside `Basic`, `Bearer` and `token`.
    pub fn new(tokens: TokenAuthority<S>, directory: D) -> Login<S, D> {
        let accept = Accept::new(tokens.policy());
        let realm = tokens.policy().realm().into();
        Login { tokens, directory, accept, realm }
    }

    /// Takes more ways of sending a token.
    ///
    /// ```
    /// use app_tokens::{TokenAuthority, web::{Login, NameIsOwner}};
    /// let tokens = TokenAuthority::in_memory("acme")?;
    /// let login = Login::new(tokens, NameIsOwner).accept(|accept| accept.bare_token().placeholder("__token__"));
    /// # Ok::<(), app_tokens::SetupError>(())
    /// ```
    #[must_use]
    pub fn accept(self, more: impl FnOnce(Accept) -> Accept) -> Login<S, D> {
        Login { accept: more(self.accept), ..self }
    }

    /// Shows another realm than the policy's in the challenges. Browsers show it to people. The seals don't depend on it.
    ///
    /// # Errors
    /// [`PolicyError::Realm`] unless it has 1 to 128 characters of printable ASCII without `"` and `\`.
    pub fn with_realm(self, realm: &str) -> Result<Login<S, D>, PolicyError> {
        Policy::check_realm(realm)?;
        Ok(Login { realm: realm.into(), ..self })
    }

    /// The whole way in, from the values of all `Authorization` headers.
    ///
    /// # Errors
    /// [`Refusal`], which [`Login::answer`] makes an answer of.
    pub async fn authenticate<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
        origin: Origin<'_>,
    ) -> Result<Authenticated, Refusal> {
        let credentials = self.credentials(values)?.ok_or(Refusal::NoCredentials)?;
        self.enter(&credentials, origin).await
    }

    /// The first half of it: what the client sent, if anything.
    ///
    /// # Errors
    /// [`Refusal::Credentials`] if it can't be read.
    pub fn credentials<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Option<Credentials<'h>>, Refusal> {
        Ok(credentials(values, &self.accept)?)
    }

    /// The second half: whether that lets somebody in.
    ///
    /// # Errors
    /// [`Refusal::NotOurs`] for a secret that is no token nor nearly one: only then may the host try it as a password. Any other
    /// [`Refusal`] is final.
    pub async fn enter(
        &self,
        credentials: &Credentials<'_>,
        origin: Origin<'_>,
    ) -> Result<Authenticated, Refusal> {
        let text = credentials.expose_secret();
        let presented = Presented { text, address: origin.address, client: origin.client };
        let proven = match self.tokens.prove(&presented).await {
            Err(AuthError::NotOurs(_)) if claims_to_be_a_token(text, self.accept.prefixes()) => {
                return Err(self
                    .tokens
                    .deny(&presented, DenialReason::Mistyped, None, None)
                    .into());
            }
            proven => proven?,
        };
        // An unknown name, another's name and a disabled account are denied in the same way.
        let mut denial = None;
        if let Some(name) = credentials.user() {
            let named = self.directory.resolve(name).await.map_err(Refusal::Directory)?;
            if named.as_ref() != Some(proven.owner()) {
                denial = Some(DenialReason::OtherOwner);
            }
        }
        let may_enter = self.directory.may_enter(proven.owner()).await;
        if !may_enter.map_err(Refusal::Directory)? {
            denial = Some(DenialReason::OwnerTurnedAway);
        }
        match denial {
            Some(reason) => Err(self.tokens.turn_away(&proven, &presented, reason).into()),
            None => Ok(self.tokens.admit(proven, &presented)),
        }
    }

    /// What the client is told of a refusal: [`answer()`] with this realm.
    pub fn answer(&self, refusal: &Refusal) -> Answer {
        answer(refusal, &self.realm)
    }

    /// The authority that is asked.
    pub fn tokens(&self) -> &TokenAuthority<S> {
        &self.tokens
    }

    #[cfg(feature = "tower")]
    pub(crate) fn realm(&self) -> &Arc<str> {
        &self.realm
    }
}

impl<S, D> fmt::Debug for Login<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("tokens", &self.tokens)
            .field("accept", &self.accept)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
