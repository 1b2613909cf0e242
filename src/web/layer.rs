//! The whole way in, in front of any tower service: [`TokenLayer`].

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, USER_AGENT, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Extensions, HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::accounts::{Accounts, AccountsError};
use super::answer::{Answer, Refusal};
use super::credentials::Credentials;
use super::login::{Login, Origin};
use crate::authority::TokenAuthority;
use crate::present::Authenticated;
use crate::store::TokenStore;

/// Lets in requests with a valid token, and answers the others itself.
///
/// A request that is let in has an [`Authenticated`] among its extensions. Its `Authorization`
/// header is removed, so that no inner service, log or upstream sees the token. Place the layer
/// inside those that answer requests without a token, such as a CORS layer or a status page.
///
/// It works with axum routers, and with any tower service whose response body can be made from a
/// `String`.
///
/// ```
/// use app_tokens::{Authenticated, Requirement, TokenAuthority};
/// use app_tokens::web::{NamesAreOwners, Refusal, TokenLayer};
/// use axum::{Router, routing::get};
///
/// async fn download(token: Authenticated) -> Result<String, Refusal> {
///     let caller = token.require(Requirement::one_of(&["files:read"]))?;
///     Ok(format!("hello, {}", caller.owner()))
/// }
///
/// let tokens = TokenAuthority::in_memory("acme")?;
/// let layer = TokenLayer::new(tokens, NamesAreOwners);
/// let app: Router = Router::new().route("/", get(download)).layer(layer);
/// # Ok::<(), app_tokens::SetupError>(())
/// ```
///
/// For more ways of sending a token, or another realm, make it from a [`Login`]:
/// `TokenLayer::from(Login::new(tokens, accounts).accept(|accept| accept.bare_token()))`.
pub struct TokenLayer<S, A> {
    gate: Gate<S, A>,
}

impl<S: TokenStore, A: Accounts> TokenLayer<S, A> {
    /// Lets in tokens of this authority whose owners are active accounts.
    pub fn new(tokens: TokenAuthority<S>, accounts: A) -> TokenLayer<S, A> {
        TokenLayer::from(Login::new(tokens, accounts))
    }

    /// Asks the host about a secret that is no token: it may be the account's password.
    ///
    /// If the host returns an extension, the request goes inward with it and without
    /// [`Authenticated`]. An error is answered with HTTP 503.
    ///
    /// The host is never asked about a denied or mistyped token. So a password can't begin with an
    /// accepted prefix, `_` and twenty letters or digits.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{Credentials, NamesAreOwners, TokenLayer}};
    /// # async fn check_password(_: Option<&str>, _: &str) -> Result<bool, std::io::Error> {
    /// #     Ok(false)
    /// # }
    /// #[derive(Clone)]
    /// struct SignedIn(String);
    ///
    /// let layer = TokenLayer::new(TokenAuthority::in_memory("acme")?, NamesAreOwners)
    ///     .or_else(|login: Credentials<'static>| async move {
    ///         let right = check_password(login.user(), login.expose_secret()).await?;
    ///         Ok(right.then(|| SignedIn(login.user().unwrap_or_default().to_owned())))
    ///     });
    /// # Ok::<(), app_tokens::SetupError>(())
    /// ```
    #[must_use]
    pub fn or_else<F, E>(
        mut self,
        host: impl Fn(Credentials<'static>) -> F + Send + Sync + 'static,
    ) -> TokenLayer<S, A>
    where
        F: Future<Output = Result<Option<E>, AccountsError>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        self.gate.other_way = Some(Arc::new(move |credentials| {
            let asked = host(credentials);
            Box::pin(async move {
                let found = asked.await?;
                Ok(found.map(|entry| {
                    Box::new(|extensions: &mut Extensions| {
                        extensions.insert(entry);
                    }) as Entry
                }))
            })
        }));
        self
    }

    /// Says from where a request comes: its address and its program. Behind a proxy, the host must
    /// take the address from the proxy's header.
    ///
    /// If not set, there is no address. The program is then the `User-Agent`, if the policy records
    /// origins.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{NamesAreOwners, Origin, TokenLayer}};
    /// use axum::extract::ConnectInfo;
    /// use std::net::SocketAddr;
    ///
    /// let layer = TokenLayer::new(TokenAuthority::in_memory("acme")?, NamesAreOwners)
    ///     .origin(|request| match request.extensions.get::<ConnectInfo<SocketAddr>>() {
    ///         Some(ConnectInfo(peer)) => Origin::default().from_address(peer.ip()),
    ///         None => Origin::default(),
    ///     });
    /// # Ok::<(), app_tokens::SetupError>(())
    /// ```
    #[must_use]
    pub fn origin(
        mut self,
        origin: impl for<'r> Fn(&'r Parts) -> Origin<'r> + Send + Sync + 'static,
    ) -> TokenLayer<S, A> {
        self.gate.origin = Some(Arc::new(origin));
        self
    }

    /// Also lets in requests without any credentials, without [`Authenticated`]. Bad credentials
    /// are still refused.
    #[must_use]
    pub fn optional(mut self) -> TokenLayer<S, A> {
        self.gate.optional = true;
        self
    }
}

impl<S: TokenStore, A: Accounts> From<Login<S, A>> for TokenLayer<S, A> {
    fn from(login: Login<S, A>) -> TokenLayer<S, A> {
        let login = Arc::new(login);
        TokenLayer { gate: Gate { login, other_way: None, origin: None, optional: false } }
    }
}

impl<I, S, A> Layer<I> for TokenLayer<S, A> {
    type Service = TokenService<I, S, A>;

    fn layer(&self, inner: I) -> TokenService<I, S, A> {
        TokenService { inner, gate: self.gate.clone() }
    }
}

impl<S, A> Clone for TokenLayer<S, A> {
    fn clone(&self) -> TokenLayer<S, A> {
        TokenLayer { gate: self.gate.clone() }
    }
}

impl<S, A> fmt::Debug for TokenLayer<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLayer").field("login", &self.gate.login).finish_non_exhaustive()
    }
}

/// A service behind a [`TokenLayer`].
pub struct TokenService<I, S, A> {
    inner: I,
    gate: Gate<S, A>,
}

impl<I, S, A, B, R> Service<Request<B>> for TokenService<I, S, A>
where
    I: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    I::Future: Send,
    S: TokenStore + 'static,
    A: Accounts + 'static,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = I::Error;
    type Future = BoxFuture<Result<Response<R>, I::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled is ready; a clone of it may not be.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match gate.open(&mut parts).await {
                Ok(()) => {
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    if response.extensions_mut().remove::<RealmMissing>().is_some() {
                        RealmMissing::write(gate.login.realm(), &mut response);
                    }
                    Ok(response)
                }
                Err(refusal) => Ok(gate.login.answer(&refusal).into_response()),
            }
        })
    }
}

impl<I: Clone, S, A> Clone for TokenService<I, S, A> {
    fn clone(&self) -> TokenService<I, S, A> {
        TokenService { inner: self.inner.clone(), gate: self.gate.clone() }
    }
}

impl<I, S, A> fmt::Debug for TokenService<I, S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService").field("login", &self.gate.login).finish_non_exhaustive()
    }
}

struct Gate<S, A> {
    login: Arc<Login<S, A>>,
    other_way: Option<Arc<OtherWay>>,
    origin: Option<Arc<OriginOf>>,
    optional: bool,
}

type OtherWay =
    dyn Fn(Credentials<'static>) -> BoxFuture<Result<Option<Entry>, AccountsError>> + Send + Sync;
/// Adds what the host's other way returned to the request's extensions.
type Entry = Box<dyn FnOnce(&mut Extensions) + Send>;
type OriginOf = dyn for<'r> Fn(&'r Parts) -> Origin<'r> + Send + Sync;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Marks a refusal that was made inside the layer, where the realm is not known.
#[derive(Clone, Copy)]
pub(crate) struct RealmMissing;

impl RealmMissing {
    /// The realm in the response until the layer writes the right one.
    pub(crate) const REALM: &str = "app tokens";

    fn write<R>(realm: &str, response: &mut Response<R>) {
        let missing = format!("realm=\"{}\"", RealmMissing::REALM);
        let realm = format!("realm=\"{realm}\"");
        let challenges = response.headers_mut().iter_mut();
        for (_, challenge) in challenges.filter(|(name, _)| *name == WWW_AUTHENTICATE) {
            let written = challenge.to_str().map(|text| text.replace(&missing, &realm));
            if let Some(written) = written.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
                *challenge = written;
            }
        }
    }
}

/// Marks a request that came through a [`TokenLayer`], with the realm of its challenges.
#[cfg(feature = "axum")]
#[derive(Clone)]
pub(crate) struct Passed {
    pub(crate) realm: Arc<str>,
}

impl<S: TokenStore, A: Accounts> Gate<S, A> {
    /// Prepares a request for the inner service, or refuses it.
    async fn open(&self, parts: &mut Parts) -> Result<(), Refusal> {
        // What an outer layer let in doesn't count behind this one.
        parts.extensions.remove::<Authenticated>();
        let entry = self.judge(parts).await?;
        parts.headers.remove(AUTHORIZATION);
        #[cfg(feature = "axum")]
        parts.extensions.insert(Passed { realm: self.login.realm().clone() });
        if let Some(entry) = entry {
            entry(&mut parts.extensions);
        }
        Ok(())
    }

    async fn judge(&self, parts: &Parts) -> Result<Option<Entry>, Refusal> {
        let values = parts.headers.get_all(AUTHORIZATION).into_iter().map(HeaderValue::as_bytes);
        let credentials = match self.login.credentials(values)? {
            Some(credentials) => credentials,
            None if self.optional => return Ok(None),
            None => return Err(Refusal::NoCredentials),
        };
        let refusal = match self.login.enter(&credentials, self.origin_of(parts)).await {
            Ok(token) => {
                return Ok(Some(Box::new(|extensions: &mut Extensions| {
                    extensions.insert(token);
                })));
            }
            Err(refusal) => refusal,
        };
        let (Refusal::NotOurs, Some(other_way)) = (&refusal, &self.other_way) else {
            return Err(refusal);
        };
        // LDAP servers accept an empty password as an anonymous login (RFC 4513, 5.1.2).
        if credentials.expose_secret().is_empty() {
            return Err(refusal);
        }
        let entry = other_way(credentials.into_owned()).await.map_err(Refusal::Accounts)?;
        entry.map(Some).ok_or(refusal)
    }

    fn origin_of<'r>(&self, parts: &'r Parts) -> Origin<'r> {
        if let Some(origin) = &self.origin {
            return origin(parts);
        }
        if !self.login.tokens().policy().records_origin() {
            return Origin::default();
        }
        let client = parts.headers.get(USER_AGENT).and_then(|client| client.to_str().ok());
        client.map_or(Origin::default(), |client| Origin::default().from_client(client))
    }
}

impl<S, A> Clone for Gate<S, A> {
    fn clone(&self) -> Gate<S, A> {
        Gate {
            login: self.login.clone(),
            other_way: self.other_way.clone(),
            origin: self.origin.clone(),
            optional: self.optional,
        }
    }
}

impl Answer {
    /// Makes a response of the `http` crate. An invalid status, which only a host can set, becomes
    /// 500; an invalid header value is left out.
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
