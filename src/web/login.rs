//! [`Login`]: lets requests in by their tokens.

use std::fmt;
use std::sync::Arc;

use super::accounts::Accounts;
use super::answer::{Answer, Challenges, Shown};
#[cfg(feature = "import")]
use super::credentials::NO_PASSWORD;
use super::credentials::{Accept, Credentials, CredentialsError, named};
use super::headers::{check_name, read};
use super::refusal::Refusal;
use super::resemblance::claims_to_be_a_token;
use crate::authority::{TokenAuthority, Verified};
use crate::error::{AuthError, DenialReason};
#[cfg(feature = "import")]
use crate::import::{ForeignText, Import};
use crate::policy::{Policy, PolicyError};
use crate::present::{Authenticated, Origin};
use crate::store::TokenStore;
use crate::text::InvalidText;
use crate::token::ParseError;

/// Lets requests in by their tokens, without a framework.
///
/// It reads the headers, verifies the token with the authority, and then asks the host's
/// [`Accounts`]. [The module](super) has an example.
#[derive(Clone)]
pub struct Login<S, A> {
    tokens: TokenAuthority<S>,
    accounts: A,
    accept: Accept,
    token_header: Option<Arc<str>>,
    shown: Shown,
    #[cfg(feature = "import")]
    import: Option<Import>,
}

/// Says what a request brought, for a host that has passwords of its own beside tokens.
#[derive(Debug)]
#[must_use = "only a token was let in"]
pub enum Entry<'h> {
    /// A valid token. Require a scope next.
    Token(Authenticated),
    /// A secret that is no token and does not resemble one, with a user name if one was sent.
    ///
    /// The host may try it as a password. It is exactly as sent, and never empty or white space
    /// only.
    NotOurs(Credentials<'h>),
    /// A scheme in which no token is accepted, such as `Digest` or `Negotiate`, without a token in
    /// it. The host may read the header itself.
    OtherScheme,
    /// No credentials. Most clients begin so: it is not a failed attempt.
    Nothing,
}

impl<S: TokenStore, A: Accounts> Login<S, A> {
    /// Makes a login that accepts `Basic`, `Bearer` and `token` in `Authorization`.
    ///
    /// It shows the policy's realm, and both challenges to every client.
    pub fn new(tokens: TokenAuthority<S>, accounts: A) -> Login<S, A> {
        let accept = Accept::new(tokens.policy());
        let shown = Shown {
            realm: tokens.policy().realm().into(),
            challenges: Challenges::default(),
            challenges_scripts: true,
            noun: None,
        };
        Login {
            tokens,
            accounts,
            accept,
            token_header: None,
            shown,
            #[cfg(feature = "import")]
            import: None,
        }
    }

    /// Accepts more ways of sending a token.
    ///
    /// ```
    /// use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners}};
    /// let tokens = TokenAuthority::in_memory("acme")?;
    /// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"))
    ///     .accept(|accept| accept.bare_token().placeholder("__token__"));
    /// # Ok::<(), app_tokens::error::SetupError>(())
    /// ```
    #[must_use]
    pub fn accept(self, more: impl FnOnce(Accept) -> Accept) -> Login<S, A> {
        Login { accept: more(self.accept), ..self }
    }

    /// Also reads tokens from a header of the host's own, for a host with a proxy that needs
    /// `Authorization` for itself.
    ///
    /// The header holds the token alone, or a scheme and the token. If it is not empty, it decides
    /// who logs in; otherwise `Authorization` does, as usual. If it is not empty and
    /// `Authorization` holds a different token, the request is refused. A `TokenLayer` removes both
    /// headers.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners}};
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"))
    ///     .with_token_header("x-acme-token")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidText`] if the name is not a header's name (RFC 9110, 5.1), or if it is longer than
    /// 64 characters.
    pub fn with_token_header(self, name: &str) -> Result<Login<S, A>, InvalidText> {
        check_name(name)?;
        Ok(Login { token_header: Some(name.into()), ..self })
    }

    /// Also lets in by tokens that another system issued, once they were
    /// [imported](crate::TokenAuthority::import).
    ///
    /// A text that is no token of ours is tried by the import's schemes, and only then is it "not
    /// ours". If a scheme finds tokens by their owner, each such text asks the accounts whose the
    /// user name is.
    ///
    /// A user name beside no password is tried first, and so is one that is also the password. If
    /// it is an imported token, it reaches no account look-up. It enters if
    /// [`Accept::token_as_user_name`] is set. A token that is found by its owner never enters so.
    ///
    /// **The key ring needs an `import` key**, as [`KeyRing::new_import_text`] makes. Without
    /// one, each text that is no token of ours is answered with 503. A main password then never
    /// reaches the host. An import without schemes needs no key, and does nothing.
    ///
    /// [`KeyRing::new_import_text`]: crate::KeyRing::new_import_text
    #[cfg(feature = "import")]
    #[must_use]
    pub fn with_import(self, import: &Import) -> Login<S, A> {
        Login { import: Some(import.clone()), ..self }
    }

    /// Sets the realm that challenges show, instead of the policy's.
    ///
    /// Browsers show it to people. Seals use the policy's realm and don't depend on this one.
    ///
    /// # Errors
    /// [`PolicyError::Realm`] unless it has 1 to 128 printable ASCII characters without `"` and
    /// `\`.
    pub fn with_realm(self, realm: &str) -> Result<Login<S, A>, PolicyError> {
        Policy::check_realm(realm)?;
        Ok(Login { shown: Shown { realm: realm.into(), ..self.shown }, ..self })
    }

    /// Sets which challenges a 401 carries.
    #[must_use]
    pub fn challenges(self, challenges: Challenges) -> Login<S, A> {
        Login { shown: Shown { challenges, ..self.shown }, ..self }
    }

    /// Shows no challenge to scripts, so that no browser opens its password dialog over a page.
    ///
    /// [`is_from_script`](super::is_from_script) recognizes them by their headers. So it works in
    /// [`Login::answer_to`] and `TokenLayer`, but not in [`Login::answer`], which gets no headers.
    #[must_use]
    pub fn without_challenges_for_scripts(self) -> Login<S, A> {
        Login { shown: Shown { challenges_scripts: false, ..self.shown }, ..self }
    }

    /// Sets what answers say in the place of "app token", such as "personal access token".
    ///
    /// It is in lower case, unless it is a name. Its plural must end in "s".
    ///
    /// `TokenLayer` also puts it into the refusals and answers that a handler returns. A layer in
    /// between that has a plain text of its own must make a new response: in the old one the text
    /// is replaced. [`Answer::with_noun`] is for answers outside of the layer.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners, Refusal}};
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"))
    ///     .with_noun("access token");
    /// let answer = login.answer(&Refusal::NotOurs);
    /// assert_eq!(answer.body, "The access token is not valid. Check it, or create a new one.\n");
    /// # Ok::<(), app_tokens::error::SetupError>(())
    /// ```
    #[must_use]
    pub fn with_noun(self, noun: &str) -> Login<S, A> {
        Login { shown: Shown { noun: Some(noun.into()), ..self.shown }, ..self }
    }

    /// Lets a request in by its token, or refuses it.
    ///
    /// `headers` are the names and values of all headers of the request. With the `http` crate:
    /// `headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))`.
    ///
    /// `origin` is where the request comes from. If its address is unknown, a token that is limited
    /// to networks is forbidden later, by `require`.
    ///
    /// # Errors
    /// [`Refusal`] says why. [`Login::answer`] turns it into the response.
    #[doc(alias = "authenticate")]
    #[doc(alias = "verify")]
    #[doc(alias = "check")]
    pub async fn enter<'h, 'o>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        origin: impl Into<Origin<'o>>,
    ) -> Result<Authenticated, Refusal> {
        match self.try_enter(headers, origin).await? {
            Entry::Token(token) => Ok(token),
            Entry::NotOurs(_) => Err(Refusal::NotOurs),
            Entry::OtherScheme => Err(CredentialsError::UnsupportedScheme.into()),
            Entry::Nothing => Err(Refusal::NoCredentials),
        }
    }

    /// Lets a request in by its token, or returns what the host may try as a password.
    ///
    /// [`beside_passwords`](super::beside_passwords) has an example, and says what such a host must
    /// take care of. The arguments are those of [`Login::enter`].
    ///
    /// # Errors
    /// **Any [`Refusal`] is final:** the host must not try the secret in another way.
    pub async fn try_enter<'h, 'o>(
        &self,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        origin: impl Into<Origin<'o>>,
    ) -> Result<Entry<'h>, Refusal> {
        let credentials = match read(headers, self.token_header.as_deref(), &self.accept) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Ok(Entry::Nothing),
            Err(CredentialsError::UnsupportedScheme) => return Ok(Entry::OtherScheme),
            Err(error) => return Err(error.into()),
        };
        match self.enter_by(&credentials, origin.into()).await {
            Ok(token) => Ok(Entry::Token(token)),
            // An empty secret is never handed on: LDAP servers accept a name with an empty password
            // as an unauthenticated bind (RFC 4513, 5.1.2), and some hosts take that for a login.
            Err(Refusal::NotOurs) if !credentials.expose_secret().trim().is_empty() => {
                Ok(Entry::NotOurs(credentials))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Lets in by a secret and a user name, if there is one. For protocols without headers.
    ///
    /// Such are SASL PLAIN (RFC 4616) and the simple bind of LDAP (RFC 4513, 5.1). The rules are
    /// those of `Basic`. Without a name, or with a placeholder, the token alone says who logs in.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Origin, Requirement, TokenAuthority};
    /// # use app_tokens::web::{Login, NamesAreOwners};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let issued = tokens.issue(NewToken::new("alice", "Mail", Access::full())).await?;
    /// # let password = issued.expose_secret();
    /// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
    /// let token = login.enter_with(Some("alice"), password, Origin::unknown()).await?;
    /// let caller = token.require(Requirement::one_of(&["mail:read"]))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Refusal::NotOurs`] if the secret is no token and does not resemble one. Only then may
    ///   the host try it as a password.
    /// - [`Refusal::NoCredentials`] if the secret is empty or white space only.
    /// - Any other [`Refusal`] is final.
    pub async fn enter_with<'o>(
        &self,
        name: Option<&str>,
        secret: &str,
        origin: impl Into<Origin<'o>>,
    ) -> Result<Authenticated, Refusal> {
        let credentials = named(name, secret, &self.accept)?;
        match self.enter_by(&credentials, origin.into()).await {
            Err(Refusal::NotOurs) if credentials.expose_secret().trim().is_empty() => {
                Err(Refusal::NoCredentials)
            }
            entered => entered,
        }
    }

    /// Verifies a token, and asks the accounts. Denies a mistyped token.
    async fn enter_by(
        &self,
        credentials: &Credentials<'_>,
        origin: Origin<'_>,
    ) -> Result<Authenticated, Refusal> {
        let text = credentials.expose_secret();
        // A mistyped token is denied here, for good. As "not ours" it would be tried as a password,
        // and end up in the password check's log.
        let (verified, name) = match self.tokens.verify(text, &origin).await {
            Err(AuthError::NotOurs(_)) if claims_to_be_a_token(text, self.accept.prefixes()) => {
                return Err(self.tokens.deny(&origin, DenialReason::Mistyped, None, None).into());
            }
            Err(AuthError::NotOurs(error)) => {
                self.verify_foreign(credentials, &origin, error).await?
            }
            verified => (verified?, credentials.user()),
        };
        // An unknown name, another owner's name and a disabled account must look alike to the
        // client, also in time. So both questions are asked before the denial is made.
        let mut denial = None;
        if let Some(name) = name {
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
            Some(reason) => Err(self.tokens.turn_away(&verified, &origin, reason).into()),
            // The use is recorded only now, so a login that was turned away counts as no use.
            None => Ok(self.tokens.admit(verified, &origin)),
        }
    }

    /// Verifies credentials that are no token of ours by the schemes of other systems. Returns the
    /// token, and the user name beside it.
    #[cfg(feature = "import")]
    async fn verify_foreign<'c>(
        &self,
        credentials: &'c Credentials<'_>,
        origin: &Origin<'_>,
        error: ParseError,
    ) -> Result<(Verified, Option<&'c str>), Refusal> {
        let Some(import) = &self.import else { return Err(Refusal::NotOurs) };
        let (name, secret) = (credentials.user(), credentials.expose_secret());
        // Before the accounts see the name. Its form does not tell it from an account's, and hosts
        // log those. It comes without an owner, so no slow hash by owner is computed.
        if let Some(name) = name.filter(|name| stands_alone(name, secret)) {
            let presented = ForeignText::new(name, None);
            match self.tokens.verify_foreign(import, presented, origin, error).await {
                Err(AuthError::NotOurs(_)) => {}
                Ok(_) if !self.accept.token_as_user_name => {
                    return Err(CredentialsError::TokenAsUserName.into());
                }
                verified => return Ok((verified?, None)),
            }
        }
        if secret.trim().is_empty() {
            return Err(Refusal::NotOurs);
        }
        let owner = match name.filter(|_| import.needs_owner()) {
            Some(name) => self.accounts.owner_of(name).await.map_err(Refusal::Accounts)?,
            None => None,
        };
        let presented = ForeignText::new(secret, owner.as_ref());
        Ok((self.tokens.verify_foreign(import, presented, origin, error).await?, name))
    }

    #[cfg(not(feature = "import"))]
    async fn verify_foreign<'c>(
        &self,
        _: &'c Credentials<'_>,
        _: &Origin<'_>,
        _: ParseError,
    ) -> Result<(Verified, Option<&'c str>), Refusal> {
        Err(Refusal::NotOurs)
    }

    /// Turns a refusal into the answer for the client, with this login's realm and challenges.
    ///
    /// Log the refusal before: the answer leaves out its details.
    pub fn answer(&self, refusal: &Refusal) -> Answer {
        self.shown.answer(refusal)
    }

    /// Turns a refusal into the answer for the client that sent these headers.
    ///
    /// It differs from [`Login::answer`] only for scripts, and only with
    /// [`Login::without_challenges_for_scripts`].
    pub fn answer_to<'h>(
        &self,
        refusal: &Refusal,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Answer {
        self.shown.to(headers).answer(refusal)
    }

    /// Returns the authority that verifies the tokens.
    pub fn tokens(&self) -> &TokenAuthority<S> {
        &self.tokens
    }

    /// Returns the name of the host's own header for tokens, if there is one.
    pub fn token_header(&self) -> Option<&str> {
        self.token_header.as_deref()
    }
}

impl<S, A> Login<S, A> {
    /// Returns what its answers show.
    #[cfg(feature = "tower")]
    pub(crate) fn shown(&self) -> &Shown {
        &self.shown
    }
}

impl<S, A> fmt::Debug for Login<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("tokens", &self.tokens)
            .field("accept", &self.accept)
            .field("token_header", &self.token_header)
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Returns whether a user name has no password beside it. Some clients send the name once more.
#[cfg(feature = "import")]
fn stands_alone(name: &str, secret: &str) -> bool {
    secret == name || NO_PASSWORD.contains(&secret.trim_ascii())
}

#[cfg(test)]
mod tests;
