//! The whole way in: [`Login`].

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::accounts::Accounts;
use super::answer::{Answer, Refusal, answer};
use super::credentials::{Accept, Credentials, credentials};
use super::resemblance::claims_to_be_a_token;
use crate::authority::TokenAuthority;
use crate::error::{AuthError, DenialReason};
use crate::policy::{Policy, PolicyError};
use crate::present::{Authenticated, Presented};
use crate::store::TokenStore;

/// From where a request comes, as far as the host says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin<'a> {
    address: Option<IpAddr>,
    client: Option<&'a str>,
}

impl<'a> Origin<'a> {
    /// Sets the client's address. Behind a proxy, the host must take it from the proxy's header.
    #[must_use]
    pub const fn from_address(self, address: IpAddr) -> Origin<'a> {
        Origin { address: Some(address), ..self }
    }

    /// Sets the client program, as it named itself in `User-Agent`.
    #[must_use]
    pub const fn from_client(self, client: &'a str) -> Origin<'a> {
        Origin { client: Some(client), ..self }
    }
}

/// The whole way in, without a framework. It reads the header, asks the authority, then the
/// accounts.
///
/// See [the module](super) for an example.
#[derive(Clone)]
pub struct Login<S, A> {
    tokens: TokenAuthority<S>,
    accounts: A,
    accept: Accept,
    realm: Arc<str>,
}

impl<S: TokenStore, A: Accounts> Login<S, A> {
    /// Makes a login that accepts `Basic`, `Bearer` and `token`, and shows the policy's realm in
    /// challenges.
    pub fn new(tokens: TokenAuthority<S>, accounts: A) -> Login<S, A> {
        let accept = Accept::new(tokens.policy());
        let realm = tokens.policy().realm().into();
        Login { tokens, accounts, accept, realm }
    }

    /// Accepts more ways of sending a token.
    ///
    /// ```
    /// use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners}};
    /// let tokens = TokenAuthority::in_memory("acme")?;
    /// let login = Login::new(tokens, NamesAreOwners)
    ///     .accept(|accept| accept.bare_token().placeholder("__token__"));
    /// # Ok::<(), app_tokens::SetupError>(())
    /// ```
    #[must_use]
    pub fn accept(self, more: impl FnOnce(Accept) -> Accept) -> Login<S, A> {
        Login { accept: more(self.accept), ..self }
    }

    /// Shows another realm than the policy's in challenges. Browsers show it to people; seals don't
    /// depend on it.
    ///
    /// # Errors
    /// [`PolicyError::Realm`] unless it has 1 to 128 printable ASCII characters without `"` and
    /// `\`.
    pub fn with_realm(self, realm: &str) -> Result<Login<S, A>, PolicyError> {
        Policy::check_realm(realm)?;
        Ok(Login { realm: realm.into(), ..self })
    }

    /// Authenticates a request by the values of all its `Authorization` headers.
    ///
    /// # Errors
    /// [`Refusal`], which [`Login::answer`] turns into an answer.
    pub async fn authenticate<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
        origin: Origin<'_>,
    ) -> Result<Authenticated, Refusal> {
        let credentials = self.credentials(values)?.ok_or(Refusal::NoCredentials)?;
        self.enter(&credentials, origin).await
    }

    /// Reads what the client sent; `None` if nothing. The first half of [`Login::authenticate`].
    ///
    /// # Errors
    /// [`Refusal::Credentials`] if it can't be read.
    pub fn credentials<'h>(
        &self,
        values: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Option<Credentials<'h>>, Refusal> {
        Ok(credentials(values, &self.accept)?)
    }

    /// Authenticates what the client sent. The second half of [`Login::authenticate`].
    ///
    /// # Errors
    /// [`Refusal::NotOurs`] if the secret is no token and doesn't resemble one. Only then may the
    /// host try it as a password. Any other [`Refusal`] is final.
    pub async fn enter(
        &self,
        credentials: &Credentials<'_>,
        origin: Origin<'_>,
    ) -> Result<Authenticated, Refusal> {
        let text = credentials.expose_secret();
        let presented = Presented { text, address: origin.address, client: origin.client };
        let verified = match self.tokens.verify(&presented).await {
            Err(AuthError::NotOurs(_)) if claims_to_be_a_token(text, self.accept.prefixes()) => {
                return Err(self
                    .tokens
                    .deny(&presented, DenialReason::Mistyped, None, None)
                    .into());
            }
            verified => verified?,
        };
        // An unknown name, another owner's name and a disabled account must look alike to the
        // client.
        let mut denial = None;
        if let Some(name) = credentials.user() {
            let named = self.accounts.owner_of(name).await.map_err(Refusal::Accounts)?;
            if named.as_ref() != Some(verified.owner()) {
                denial = Some(DenialReason::OtherOwner);
            }
        }
        let is_active = self.accounts.is_active(verified.owner()).await;
        if !is_active.map_err(Refusal::Accounts)? {
            denial = Some(DenialReason::OwnerTurnedAway);
        }
        match denial {
            Some(reason) => Err(self.tokens.turn_away(&verified, &presented, reason).into()),
            None => Ok(self.tokens.admit(verified, &presented)),
        }
    }

    /// Turns a refusal into the answer for the client, by [`answer()`] with this realm.
    pub fn answer(&self, refusal: &Refusal) -> Answer {
        answer(refusal, &self.realm)
    }

    /// Returns the authority.
    pub fn tokens(&self) -> &TokenAuthority<S> {
        &self.tokens
    }

    #[cfg(feature = "tower")]
    pub(crate) fn realm(&self) -> &Arc<str> {
        &self.realm
    }
}

impl<S, A> fmt::Debug for Login<S, A> {
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
