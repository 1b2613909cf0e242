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
        let verified = match self.tokens.verify(&presented).await {
            Err(AuthError::NotOurs(_)) if claims_to_be_a_token(text, self.accept.prefixes()) => {
                return Err(self
                    .tokens
                    .deny(&presented, DenialReason::Mistyped, None, None)
                    .into());
            }
            verified => verified?,
        };
        // An unknown name, another's name and a disabled account are denied in the same way.
        let mut denial = None;
        if let Some(name) = credentials.user() {
            let named = self.directory.resolve(name).await.map_err(Refusal::Directory)?;
            if named.as_ref() != Some(verified.owner()) {
                denial = Some(DenialReason::OtherOwner);
            }
        }
        let may_enter = self.directory.may_enter(verified.owner()).await;
        if !may_enter.map_err(Refusal::Directory)? {
            denial = Some(DenialReason::OwnerTurnedAway);
        }
        match denial {
            Some(reason) => Err(self.tokens.turn_away(&verified, &presented, reason).into()),
            None => Ok(self.tokens.admit(verified, &presented)),
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
mod tests {
    use std::sync::{Mutex, PoisonError};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::authority::By;
    use crate::event::Event;
    use crate::issue::{IssuedToken, NewToken};
    use crate::key_ring::KeyRing;
    use crate::store::MemoryStore;
    use crate::text::Reason;

    type Log = Arc<Mutex<Vec<String>>>;

    fn note(log: &Log, line: String) {
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// Knows the login names Alice and Bob, whose account ids are `u1` and `u2`; notes what it is asked.
    #[derive(Clone)]
    struct Accounts {
        asked: Log,
        disabled: &'static str,
        broken: bool,
    }

    impl Directory for Accounts {
        async fn resolve(&self, name: &str) -> Result<Option<Owner>, DirectoryError> {
            note(&self.asked, format!("resolve {name}"));
            match name {
                _ if self.broken => Err("no route to host".into()),
                "Alice" => Ok(Some(Owner::new("u1")?)),
                "Bob" => Ok(Some(Owner::new("u2")?)),
                _ => Ok(None),
            }
        }

        async fn may_enter(&self, owner: &Owner) -> Result<bool, DirectoryError> {
            note(&self.asked, format!("may enter {owner}"));
            if self.broken {
                return Err("no route to host".into());
            }
            Ok(owner.as_str() != self.disabled)
        }
    }

    struct World {
        login: Login<MemoryStore, Accounts>,
        token: IssuedToken,
        asked: Log,
        told: Log,
    }

    impl World {
        fn new() -> World {
            World::with("nobody", false)
        }

        /// With a token of Alice's.
        fn with(disabled: &'static str, broken: bool) -> World {
            let (asked, told) = (Log::default(), Log::default());
            let log = told.clone();
            let policy = Policy::new("acme").unwrap();
            let tokens = TokenAuthority::builder(
                MemoryStore::new(),
                KeyRing::ephemeral().unwrap(),
                policy.with_recorded_origin(),
            )
            .observer(move |event: &Event<'_>| {
                if let Event::Denied { reason, address, client, .. } = event {
                    note(&log, format!("{reason:?} {address:?} {client:?}"));
                }
            })
            .build();
            let token = tokens.blocking().issue(NewToken::new("u1", "My phone")).unwrap();
            let accounts = Accounts { asked: asked.clone(), disabled, broken };
            World { login: Login::new(tokens, accounts), token, asked, told }
        }

        fn text(&self) -> &str {
            self.token.expose_secret()
        }

        async fn send(&self, header: &str) -> Result<Authenticated, Refusal> {
            self.login.authenticate([header.as_bytes()], Origin::default()).await
        }

        async fn basic(&self, user: &str, secret: &str) -> Result<Authenticated, Refusal> {
            let header = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
            self.send(&header).await
        }

        async fn bearer(&self, secret: &str) -> Result<Authenticated, Refusal> {
            self.send(&format!("Bearer {secret}")).await
        }

        fn asked(&self) -> Vec<String> {
            std::mem::take(&mut *self.asked.lock().unwrap())
        }

        fn told(&self) -> Vec<String> {
            std::mem::take(&mut *self.told.lock().unwrap())
        }

        /// That somebody was denied, and that just this was told about it.
        #[track_caller]
        fn denies(&self, outcome: &Result<Authenticated, Refusal>, reason: DenialReason) {
            let Err(Refusal::Denied(denied)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(denied.reason(), reason);
            assert_eq!(self.told(), [format!("{reason:?} None None")]);
        }
    }

    #[track_caller]
    fn is_alices(outcome: Result<Authenticated, Refusal>) {
        assert_eq!(outcome.unwrap().record().owner().as_str(), "u1");
    }

    #[tokio::test]
    async fn a_good_token_enters_under_its_owners_name_and_under_none() {
        let world = World::new();
        is_alices(world.basic("Alice", world.text()).await);
        assert_eq!(world.asked(), ["resolve Alice", "may enter u1"]);
        is_alices(world.bearer(world.text()).await);
        is_alices(world.basic("", world.text()).await);
        assert_eq!(world.asked(), ["may enter u1", "may enter u1"]);
        assert!(world.told().is_empty());
    }

    #[tokio::test]
    async fn a_good_token_under_another_name_is_denied_whether_there_is_such_an_account_or_not() {
        let world = World::new();
        for name in ["Bob", "Mallory", "u1", "alice", "Alice ", " Alice", "Alicе", "*", "\u{feff}"]
        {
            let outcome = world.basic(name, world.text()).await;
            world.denies(&outcome, DenialReason::OtherOwner);
            assert_eq!(world.asked(), [format!("resolve {name}"), String::from("may enter u1")]);
        }
    }

    #[tokio::test]
    async fn a_disabled_owner_is_denied_on_every_way_in() {
        let world = World::with("u1", false);
        for user in ["Alice", ""] {
            world.denies(&world.basic(user, world.text()).await, DenialReason::OwnerTurnedAway);
        }
        for scheme in ["Bearer", "token"] {
            let outcome = world.send(&format!("{scheme} {}", world.text())).await;
            world.denies(&outcome, DenialReason::OwnerTurnedAway);
        }
        // Under another's name, too, so that nothing depends on the order of the two questions.
        world.denies(&world.basic("Bob", world.text()).await, DenialReason::OwnerTurnedAway);
    }

    #[tokio::test]
    async fn somebody_who_is_turned_away_has_not_used_the_token() {
        let world = World::with("u1", false);
        world.bearer(world.text()).await.unwrap_err();
        world.basic("Bob", world.text()).await.unwrap_err();
        let view = world.login.tokens().find(By::Operator("test"), world.token.id()).await.unwrap();
        assert!(view.last_use().is_none());
    }

    #[tokio::test]
    async fn the_directory_is_not_asked_about_a_token_that_is_no_good() {
        let world = World::new();
        let other = World::new();
        world.denies(&world.basic("Alice", other.text()).await, DenialReason::Unknown);
        let by = By::Operator("test");
        world.login.tokens().revoke(by, world.token.id(), Reason::LEAKED).await.unwrap();
        world.denies(&world.basic("Alice", world.text()).await, DenialReason::Revoked);
        world.denies(&world.bearer(world.text()).await, DenialReason::Revoked);
        world.basic("Alice", "hunter2").await.unwrap_err();
        world.basic("Alice", "").await.unwrap_err();
        assert!(world.asked().is_empty());
    }

    #[tokio::test]
    async fn a_directory_that_fails_is_a_failure_and_no_denial() {
        let world = World::with("nobody", true);
        for outcome in [world.basic("Alice", world.text()).await, world.bearer(world.text()).await]
        {
            assert!(matches!(outcome, Err(Refusal::Directory(_))), "{outcome:?}");
        }
        assert!(world.told().is_empty());
    }

    #[tokio::test]
    async fn a_password_is_not_ours_and_not_told() {
        let world = World::new();
        for password in ["hunter2", "", "acme_", "acme_hunter2", "a b c", "пароль"] {
            let outcome = world.basic("Alice", password).await;
            assert!(matches!(outcome, Err(Refusal::NotOurs)), "{outcome:?}");
        }
        assert!(world.told().is_empty());
    }

    #[tokio::test]
    async fn a_mistyped_token_is_denied_and_never_not_ours() {
        let world = World::new();
        let text = world.text();
        let id = &text[..15];
        for mistyped in [
            &text[..text.len() - 1],
            &text[..30],
            &format!("{text}a"),
            &format!("{text}!"),
            &format!("{text}{text}"),
            &format!("{id}u{}", &text[16..]),
            &format!("{id}é{}", &text[16..]),
            &format!("{id}--{}", &text[15..]),
            &format!("{id}_{}", &text[15..]),
            &format!("\"{text}\""),
            &format!("token {text}"),
            &format!("{text}{}", " ".repeat(200)),
        ] {
            let outcome = world.basic("Alice", mistyped).await;
            world.denies(&outcome, DenialReason::Mistyped);
        }
        assert!(world.asked().is_empty());
    }

    #[tokio::test]
    async fn a_token_typed_by_hand_enters() {
        let world = World::new();
        let digits: Vec<char> = world.text()[5..].chars().collect();
        let groups: Vec<String> = digits.chunks(5).map(String::from_iter).collect();
        is_alices(world.basic("Alice", &format!(" ACME_{} ", groups.join(" "))).await);
        is_alices(world.bearer(&format!("acme_{}", groups.join("-"))).await);
    }

    #[tokio::test]
    async fn no_token_in_the_user_name_reaches_the_directory_or_an_event() {
        let World { login, token, asked, told } = World::new();
        let text = token.expose_secret().to_owned();
        let lenient = login.clone().accept(|accept| accept.token_as_user_name().bare_token());
        for login in [login, lenient] {
            let world = World {
                login,
                token: World::new().token,
                asked: asked.clone(),
                told: told.clone(),
            };
            for name in [&*text, &text.to_uppercase(), &text[..40], &text[5..], &format!("{text}0")]
            {
                for secret in [&*text, "x", world.text()] {
                    let _ = world.basic(name, secret).await;
                }
            }
            let asked = world.asked();
            assert!(asked.iter().all(|line| line == "may enter u1"), "{asked:?}");
            assert!(world.told().is_empty());
        }
    }

    #[tokio::test]
    async fn a_token_as_user_name_and_a_bare_one_enter_only_where_the_host_says_so() {
        let mut world = World::new();
        let text = world.text().to_owned();
        assert!(world.basic(&text, "x-oauth-basic").await.is_err());
        assert!(world.send(&text).await.is_err());
        assert!(world.basic("__token__", &text).await.is_err());
        let accept =
            |accept: Accept| accept.token_as_user_name().bare_token().placeholder("__token__");
        world.login = world.login.accept(accept);
        is_alices(world.basic(&text, "x-oauth-basic").await);
        is_alices(world.send(&text).await);
        is_alices(world.basic("__token__", &text).await);
        world.told();
        let mistyped =
            format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { 1 } else { 0 });
        let outcome = world.basic(&mistyped, "").await;
        world.denies(&outcome, DenialReason::Mistyped);
        let outcome = world.send(&mistyped).await;
        world.denies(&outcome, DenialReason::Mistyped);
    }

    #[tokio::test]
    async fn nothing_sent_is_no_attempt() {
        let world = World::new();
        let nothing = world.login.authenticate([], Origin::default()).await;
        assert!(matches!(nothing, Err(Refusal::NoCredentials)), "{nothing:?}");
        assert!(matches!(world.send("").await, Err(Refusal::NoCredentials)));
        assert!(world.told().is_empty() && world.asked().is_empty());
    }

    #[tokio::test]
    async fn a_denial_tells_from_where() {
        let world = World::with("u1", false);
        let origin =
            Origin::default().from_address("192.0.2.7".parse().unwrap()).from_client("rclone");
        let header = format!("Bearer {}", world.text());
        world.login.authenticate([header.as_bytes()], origin).await.unwrap_err();
        assert_eq!(world.told(), ["OwnerTurnedAway Some(192.0.2.7) Some(\"rclone\")"]);
    }

    #[test]
    fn the_realm_shown_is_the_policys_or_another_and_never_an_illegal_one() {
        let login = World::new().login;
        let shown =
            |login: &Login<_, _>| login.answer(&Refusal::NoCredentials).headers[1].1.clone();
        assert_eq!(shown(&login), r#"Bearer realm="acme""#);
        for bad in ["", "a\"b", "a\r\nb", "é"] {
            assert_eq!(login.clone().with_realm(bad).err(), Some(PolicyError::Realm));
        }
        assert_eq!(shown(&login.with_realm("Acme Cloud").unwrap()), r#"Bearer realm="Acme Cloud""#);
    }

    #[test]
    fn debug_shows_no_directory() {
        let shown = format!("{:?}", World::new().login);
        assert!(shown.starts_with("Login") && !shown.contains("disabled"), "{shown}");
    }

    #[tokio::test]
    async fn where_the_name_is_the_owner_a_name_that_is_no_owner_is_nobodys() {
        assert_eq!(NameIsOwner.resolve("a\u{202e}b").await.unwrap(), None);
        assert_eq!(NameIsOwner.resolve(" ").await.unwrap(), None);
        let alice = NameIsOwner.resolve("alice").await.unwrap().unwrap();
        assert!(Arc::new(NameIsOwner).may_enter(&alice).await.unwrap());
    }
}
