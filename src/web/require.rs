//! [`require`]: what a route requires of a token.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Extensions, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::answer::Answer;
use super::layer::{BoxFuture, Passed, Required};
use super::refusal::Refusal;
use crate::access::Requirement;
use crate::present::Authenticated;

/// Makes a layer for a route. It lets in only tokens with enough access.
///
/// Place it inside a [`TokenLayer`](super::TokenLayer). It adds a [`Caller`](crate::Caller) to the
/// extensions of each request that it lets in. In axum, a handler takes it as an argument.
///
/// **A handler that doesn't take a `Caller` is guarded by this layer alone.** If its route lacks
/// `require`, it runs for every valid token.
///
/// The requirement must be `'static`. [`Requirement::one_of`] says how, for names that are read at
/// run time.
///
/// Choose the scope by what the route does, not by its HTTP method. If a handler needs more, as for
/// WebDAV's COPY and MOVE, it calls [`Caller::require`](crate::Caller::require).
///
/// ```
/// use app_tokens::{Caller, Requirement};
/// use app_tokens::web::{decoded_path, require};
/// use axum::{Router, routing::get};
///
/// async fn download(caller: Caller) -> String {
///     format!("hello, {}", caller.owner())
/// }
///
/// let read = require(Requirement::one_of(&["files:read"]))
///     .on(|request| decoded_path(request.uri.path()));
/// let app: Router = Router::new().route("/{*path}", get(download).layer(read));
/// ```
///
/// # Two methods on one path
///
/// In axum, give each handler its own layer, by `Handler::layer`:
///
/// ```
/// use app_tokens::web::require;
/// use app_tokens::{Caller, Requirement};
/// use axum::{Router, handler::Handler, routing::get};
///
/// async fn list(caller: Caller) -> String {
///     format!("the notes of {}", caller.owner())
/// }
/// async fn add(caller: Caller, text: String) -> String {
///     format!("{} notes {text}", caller.owner())
/// }
///
/// let read = require(Requirement::one_of(&["notes:read"]));
/// let write = require(Requirement::one_of(&["notes:write"]));
/// let app: Router = Router::new()
///     .route("/notes", get(list.layer(read)).post(add.layer(write)));
/// ```
///
/// `.layer` after `get(…)` covers all methods that were added before it, and none that is added
/// later. **So `get(list).layer(read).post(add)` requires nothing of POST.** That answers 500 if
/// `add` takes a `Caller`, and otherwise runs for every valid token. In
/// `get(list).post(add).layer(read)` both methods require reading only.
pub fn require(requirement: impl Into<Requirement<'static>>) -> RequireLayer {
    let rule = Rule { requirement: requirement.into(), resource: None, without_token: None };
    RequireLayer { rule: Arc::new(rule) }
}

/// Lets in only tokens with enough access. Made by [`require`].
///
/// It answers:
///
/// - 403 to a token without enough access;
/// - 401 to a request without a token, if an [`optional`](super::TokenLayer::optional) layer let it
///   in;
/// - 500 to every request if there is no [`TokenLayer`](super::TokenLayer) around it.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is on a route"]
pub struct RequireLayer {
    rule: Arc<Rule>,
}

impl RequireLayer {
    /// Sets a function that returns the resource of a request, by its name.
    ///
    /// If it returns `None`, only tokens that are not limited to resources are let in.
    ///
    /// **Return the name as the handler reads it.** It is compared as it is. If the handler decodes
    /// it later, it opens another resource than the one that was checked: see
    /// [`decoded_path`](super::decoded_path). A router that nests routes may cut off the beginning
    /// of the path.
    pub fn on<R: Into<Option<String>>>(
        self,
        resource: impl Fn(&Parts) -> R + Send + Sync + 'static,
    ) -> RequireLayer {
        let resource: Arc<ResourceOf> = Arc::new(move |parts| resource(parts).into());
        // The requirement's own resource would stand in for a request that has none.
        let requirement = self.rule.requirement.on_nothing();
        let rule = Rule { requirement, resource: Some(resource), ..(*self.rule).clone() };
        RequireLayer { rule: Arc::new(rule) }
    }

    /// Also lets in requests without a token that have an extension of type `E`.
    ///
    /// That is what the host's function for [`or_else`](super::TokenLayer::or_else) returns for a
    /// password. The handler then takes `Option<Caller>`. If it is `None`, the handler decides by
    /// the extension what the user may do.
    pub fn or_signed_in<E: Send + Sync + 'static>(self) -> RequireLayer {
        let without_token: Arc<WithoutToken> =
            Arc::new(|extensions| extensions.get::<E>().is_some());
        let rule = Rule { without_token: Some(without_token), ..(*self.rule).clone() };
        RequireLayer { rule: Arc::new(rule) }
    }
}

/// What a route requires, and how to find the resource of a request.
#[derive(Clone)]
struct Rule {
    requirement: Requirement<'static>,
    resource: Option<Arc<ResourceOf>>,
    without_token: Option<Arc<WithoutToken>>,
}

type ResourceOf = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type WithoutToken = dyn Fn(&Extensions) -> bool + Send + Sync;

impl Rule {
    /// Adds the caller to the request's extensions, or returns the answer of a refusal.
    fn apply(&self, parts: &mut Parts) -> Result<(), Answer> {
        let shown = Passed::shown(&parts.extensions)?;
        let Some(token) = parts.extensions.get::<Authenticated>().cloned() else {
            if !self.without_token.as_ref().is_some_and(|admits| admits(&parts.extensions)) {
                return Err(shown.answer(&Refusal::NoCredentials));
            }
            // Marked all the same: the handler then gets `None`, and not an answer of 500.
            parts.extensions.insert(Required);
            return Ok(());
        };
        let resource = self.resource.as_ref().and_then(|resource| resource(parts));
        let requirement = match &resource {
            Some(resource) => self.requirement.on(resource),
            None => self.requirement,
        };
        let caller =
            token.require(requirement).map_err(|forbidden| shown.answer(&forbidden.into()))?;
        parts.extensions.insert(caller);
        parts.extensions.insert(Required);
        Ok(())
    }
}

impl<I> Layer<I> for RequireLayer {
    type Service = RequireService<I>;

    fn layer(&self, inner: I) -> RequireService<I> {
        RequireService { inner, rule: self.rule.clone() }
    }
}

impl fmt::Debug for RequireLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule.requirement;
        f.debug_struct("RequireLayer").field("requirement", rule).finish_non_exhaustive()
    }
}

/// A service behind a [`RequireLayer`].
#[derive(Clone)]
pub struct RequireService<I> {
    inner: I,
    rule: Arc<Rule>,
}

impl<I, B, R> Service<Request<B>> for RequireService<I>
where
    I: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    I::Future: Send,
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
        let (mut parts, body) = request.into_parts();
        let applied = self.rule.apply(&mut parts);
        Box::pin(async move {
            match applied {
                Ok(()) => inner.call(Request::from_parts(parts, body)).await,
                Err(answer) => Ok(answer.into_response()),
            }
        })
    }
}

impl<I> fmt::Debug for RequireService<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = &self.rule.requirement;
        f.debug_struct("RequireService").field("requirement", rule).finish_non_exhaustive()
    }
}
