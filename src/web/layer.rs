//! [`TokenLayer`]: the whole login, in front of any tower service.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;
use http::{Extensions, HeaderMap, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::accounts::{Accounts, AccountsError};
use super::answer::{Answer, Shown};
use super::credentials::{Credentials, CredentialsError};
use super::login::{Entry, Login};
use super::refusal::Refusal;
use crate::present::{Authenticated, Caller, Origin};
use crate::store::TokenStore;

/// Lets in requests with a valid token, and answers all others itself.
///
/// It adds an [`Authenticated`] to the extensions of each request that it lets in. What the token
/// may do is checked on each route by a layer, [`require`](super::require()), or in the handler.
///
/// **Put `require` on every route.** This layer runs first, and can't see what a route inside
/// requires. A handler that takes a [`Caller`] gets no request without it. Any other handler, such
/// as one with `Path(id)` alone, then runs for every valid token, whatever its scopes. To find such
/// a route, send a token without scopes to each route in a test. Each must answer 403, except those
/// that require [`ANY_VALID_TOKEN`](crate::Requirement::ANY_VALID_TOKEN). A handler that checks by
/// itself may answer 400 or 404 before.
///
/// It removes `Authorization` and the [host's own header](Login::with_token_header), so that no
/// inner service, log or upstream sees the token. Place it inside layers that answer requests
/// without a token, such as CORS or a status page.
///
/// It works with axum routers, and with any tower service with a response body that can be made
/// from a `String`. Its refusals are plain text. [`Answer::into_response`] says how to send others,
/// such as JSON.
///
/// ```
/// use app_tokens::{Caller, Requirement, TokenAuthority};
/// use app_tokens::web::{Login, NamesAreOwners, TokenLayer, require};
/// use axum::{Router, routing::get};
///
/// async fn download(caller: Caller) -> String {
///     format!("hello, {}", caller.owner())
/// }
///
/// let tokens = TokenAuthority::in_memory("acme")?;
/// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
/// let read = require(Requirement::one_of(&["files:read"]));
/// let app: Router = Router::new()
///     .route("/", get(download).layer(read))
///     .layer(TokenLayer::new(login));
/// # Ok::<(), app_tokens::error::SetupError>(())
/// ```
#[doc(alias = "middleware")]
pub struct TokenLayer<S, A> {
    gate: Gate<S, A>,
}

impl<S: TokenStore, A: Accounts> TokenLayer<S, A> {
    /// Makes a layer that lets in the tokens that the login lets in, and no other requests.
    pub fn new(login: Login<S, A>) -> TokenLayer<S, A> {
        let login = Arc::new(login);
        let (other_way, origin, on_refusal) = (None, None, None);
        TokenLayer { gate: Gate { login, other_way, origin, on_refusal, optional: false } }
    }

    /// Calls a function of the host for a secret that is no token: it may be a password.
    ///
    /// - `Ok(Some(extension))` lets the request in with this extension, and without
    ///   [`Authenticated`].
    /// - `Ok(None)` refuses it with 401.
    /// - `Err` refuses it with 503.
    ///
    /// [`beside_passwords`](super::beside_passwords) says what such a host must take care of.
    ///
    /// The function is never called for a denied or mistyped token. So a password can't begin with
    /// an accepted prefix, `_` and twenty letters or digits. It gets the request's
    /// [`origin`](Self::origin), so that it can limit guesses by address.
    ///
    /// ```
    /// # use std::net::IpAddr;
    /// # use app_tokens::web::{AccountsError, Credentials, Login, NamesAreOwners, TokenLayer};
    /// # use app_tokens::{Origin, TokenAuthority};
    /// # async fn check_password(
    /// #     _: Option<&str>, _: &str, _: Option<IpAddr>,
    /// # ) -> Result<bool, AccountsError> {
    /// #     Ok(false)
    /// # }
    /// #[derive(Clone)]
    /// struct SignedIn(String);
    ///
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
    /// let layer = TokenLayer::new(login)
    ///     .or_else(|login: Credentials<'static>, origin: Origin<'_>| {
    ///         let from = origin.known_address();
    ///         async move {
    ///             let right = check_password(login.user(), login.expose_secret(), from).await?;
    ///             Ok(right.then(|| SignedIn(login.user().unwrap_or_default().to_owned())))
    ///         }
    ///     });
    /// # Ok::<(), app_tokens::error::SetupError>(())
    /// ```
    #[must_use]
    pub fn or_else<F, E>(
        mut self,
        host: impl Fn(Credentials<'static>, Origin<'_>) -> F + Send + Sync + 'static,
    ) -> TokenLayer<S, A>
    where
        F: Future<Output = Result<Option<E>, AccountsError>> + Send + 'static,
        E: Clone + Send + Sync + 'static,
    {
        self.gate.other_way = Some(Arc::new(move |credentials, origin| {
            let asked = host(credentials, origin);
            Box::pin(async move {
                let found = asked.await?;
                Ok(found.map(|found| {
                    Box::new(|extensions: &mut Extensions| {
                        extensions.insert(found);
                    }) as Extend
                }))
            })
        }));
        self
    }

    /// Sets a function that returns where a request comes from: its address and client program.
    ///
    /// If it is not set, the address is unknown, and tokens that are limited to networks are
    /// forbidden. If the policy records origins and no client program is named, it is the
    /// `User-Agent`.
    ///
    /// **An unknown address is no error:** nothing reports it, and last uses are recorded without
    /// one. axum has a `ConnectInfo` only if the router is served by
    /// `into_make_service_with_connect_info`.
    ///
    /// ```
    /// # use app_tokens::{Origin, TokenAuthority, web::{Login, NamesAreOwners, TokenLayer}};
    /// use app_tokens::access::Network;
    /// use app_tokens::web::client_address;
    /// use axum::extract::ConnectInfo;
    /// use std::net::SocketAddr;
    ///
    /// // Behind a proxy, the TCP peer is the proxy, not the client.
    /// let proxies: Vec<Network> = vec!["10.0.0.1".parse()?];
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
    /// let layer = TokenLayer::new(login)
    ///     .origin(move |request| {
    ///         let Some(ConnectInfo(peer)) = request.extensions.get::<ConnectInfo<SocketAddr>>()
    ///         else {
    ///             return Origin::unknown();
    ///         };
    ///         let forwarded: Vec<&[u8]> = request.headers.get_all("x-forwarded-for").iter()
    ///             .map(|line| line.as_bytes())
    ///             .collect();
    ///         let client = client_address(peer.ip(), forwarded, &proxies);
    ///         client.map_or(Origin::unknown(), Origin::from)
    ///     });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn origin(
        mut self,
        origin: impl for<'r> Fn(&'r Parts) -> Origin<'r> + Send + Sync + 'static,
    ) -> TokenLayer<S, A> {
        self.gate.origin = Some(Arc::new(origin));
        self
    }

    /// Calls a function of the host for each request that this layer refuses, for its log.
    ///
    /// It gets the request, its [`origin`](Self::origin) and the refusal. `Authorization` and the
    /// [host's own header](Login::with_token_header) were removed from the request, so that no log
    /// can hold what was sent.
    ///
    /// A denied token is also an [event](crate::event::Event::Denied), with the token's id. The
    /// other refusals are no events, such as a secret that is no token. What `require` or a handler
    /// refuses is not reported here.
    ///
    /// A router that nests routes may cut off the beginning of the path. In axum, `OriginalUri` in
    /// the extensions has the whole.
    ///
    /// ```
    /// # use app_tokens::{TokenAuthority, web::{Login, NamesAreOwners, Refusal, TokenLayer}};
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// # let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
    /// let layer = TokenLayer::new(login).on_refusal(|request, origin, refusal| {
    ///     let why = match refusal {
    ///         // Most clients begin without credentials.
    ///         Refusal::NoCredentials => return,
    ///         // Printed, every denied token is only "not valid". The reason is for logs alone.
    ///         Refusal::Denied(denied) => denied.reason().as_str().to_owned(),
    ///         refusal => refusal.to_string(),
    ///     };
    ///     eprintln!("{:?} {}: {why}", origin.known_address(), request.uri.path());
    /// });
    /// # Ok::<(), app_tokens::error::SetupError>(())
    /// ```
    #[must_use]
    pub fn on_refusal(
        mut self,
        report: impl Fn(&Parts, Origin<'_>, &Refusal) + Send + Sync + 'static,
    ) -> TokenLayer<S, A> {
        self.gate.on_refusal = Some(Arc::new(report));
        self
    }

    /// Also lets in requests without any credentials. They have no [`Authenticated`].
    ///
    /// Wrong credentials are still refused.
    #[must_use]
    pub fn optional(mut self) -> TokenLayer<S, A> {
        self.gate.optional = true;
        self
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
        // tower's contract: only the service that was polled is ready. So the clone stays here for
        // the next request, and this request takes the one that was polled.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let gate = self.gate.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let shown = gate.login.shown().to(pairs(&parts.headers));
            match gate.open(&mut parts, &shown).await {
                Ok(()) => {
                    let mut response = inner.call(Request::from_parts(parts, body)).await?;
                    shown.show_in(&mut response);
                    Ok(response)
                }
                Err(refusal) => {
                    if let Some(report) = &gate.on_refusal {
                        // A log may print the whole request.
                        gate.remove_secrets(&mut parts.headers);
                        report(&parts, gate.origin_of(&parts), &refusal);
                    }
                    Ok(shown.answer(&refusal).into_response())
                }
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

/// The settings of a layer, which its services share.
struct Gate<S, A> {
    login: Arc<Login<S, A>>,
    other_way: Option<Arc<OtherWay>>,
    origin: Option<Arc<OriginOf>>,
    on_refusal: Option<Arc<OnRefusal>>,
    optional: bool,
}

type OtherWay = dyn Fn(Credentials<'static>, Origin<'_>) -> BoxFuture<OtherAnswer> + Send + Sync;
/// What the host's function for passwords answers.
type OtherAnswer = Result<Option<Extend>, AccountsError>;
/// Adds the token, or what the host's function for passwords returned, to the extensions.
type Extend = Box<dyn FnOnce(&mut Extensions) + Send>;
type OriginOf = dyn for<'r> Fn(&'r Parts) -> Origin<'r> + Send + Sync;
type OnRefusal = dyn Fn(&Parts, Origin<'_>, &Refusal) + Send + Sync;
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Marks a request after a route has required something of it. Without the mark, a handler with a
/// [`Caller`] gets no request.
#[derive(Clone, Copy)]
pub(crate) struct Required;

/// Marks a request that came through a [`TokenLayer`]. It holds what answers show.
#[derive(Clone)]
pub(crate) struct Passed(pub(crate) Shown);

impl Passed {
    /// Returns what answers show, or the answer of a server without the layer.
    pub(crate) fn shown(extensions: &Extensions) -> Result<&Shown, Answer> {
        let body = "The server is not set up: this route is not inside a `TokenLayer`.\n";
        let passed = extensions.get::<Passed>();
        passed.map(|passed| &passed.0).ok_or_else(|| Answer::new(500, "not_set_up", body))
    }
}

/// Returns the headers as [`Login`] takes them.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

impl<S: TokenStore, A: Accounts> Gate<S, A> {
    /// Prepares a request for the inner service, or refuses it.
    async fn open(&self, parts: &mut Parts, shown: &Shown) -> Result<(), Refusal> {
        // What an outer layer let in doesn't count inside this one. Otherwise a request without a
        // token, let in here as optional, would keep the token of the outer layer.
        parts.extensions.remove::<Authenticated>();
        parts.extensions.remove::<Caller>();
        parts.extensions.remove::<Required>();
        let extend = self.judge(parts).await?;
        // Also removed if the request is let in without a token. What the layer has not accepted
        // must not be accepted further in.
        self.remove_secrets(&mut parts.headers);
        parts.extensions.insert(Passed(shown.clone()));
        if let Some(extend) = extend {
            extend(&mut parts.extensions);
        }
        Ok(())
    }

    /// Removes the headers in which a token may be.
    fn remove_secrets(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
        if let Some(header) = self.login.token_header() {
            headers.remove(header);
        }
    }

    /// Decides whether a request is let in. Returns what is added to its extensions.
    async fn judge(&self, parts: &Parts) -> Result<Option<Extend>, Refusal> {
        let origin = self.origin_of(parts);
        let entry = self.login.try_enter(pairs(&parts.headers), origin).await?;
        let (credentials, other_way) = match (entry, &self.other_way) {
            (Entry::Token(token), _) => {
                return Ok(Some(Box::new(|extensions: &mut Extensions| {
                    extensions.insert(token);
                })));
            }
            (Entry::Nothing, _) if self.optional => return Ok(None),
            (Entry::Nothing, _) => return Err(Refusal::NoCredentials),
            (Entry::OtherScheme, _) => return Err(CredentialsError::UnsupportedScheme.into()),
            (Entry::NotOurs(_), None) => return Err(Refusal::NotOurs),
            (Entry::NotOurs(credentials), Some(other_way)) => (credentials, other_way),
        };
        let found = other_way(credentials.into_owned(), origin).await.map_err(Refusal::Accounts)?;
        found.map(Some).ok_or(Refusal::NotOurs)
    }

    /// Returns where a request comes from.
    fn origin_of<'r>(&self, parts: &'r Parts) -> Origin<'r> {
        let origin = self.origin.as_ref().map_or(Origin::unknown(), |origin| origin(parts));
        if !self.login.tokens().policy().records_origin() {
            return origin;
        }
        let client = parts.headers.get(USER_AGENT).and_then(|client| client.to_str().ok());
        origin.or_client(client)
    }
}

impl<S, A> Clone for Gate<S, A> {
    fn clone(&self) -> Gate<S, A> {
        Gate {
            login: self.login.clone(),
            other_way: self.other_way.clone(),
            origin: self.origin.clone(),
            on_refusal: self.on_refusal.clone(),
            optional: self.optional,
        }
    }
}
