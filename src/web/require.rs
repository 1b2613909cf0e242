//! What a route asks of a token: [`require`].

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

/// Makes a layer for a route, which lets in only tokens whose access is enough.
///
/// Place it inside a [`TokenLayer`](super::TokenLayer). A request that is let in has a
/// [`Caller`](crate::Caller) among its extensions, which axum handlers take as an argument.
///
/// Name the scope by what the route does, not by its HTTP method. A handler that needs more, such
/// as WebDAV's COPY and MOVE, asks again by [`Caller::require`](crate::Caller::require).
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
pub fn require(requirement: impl Into<Requirement<'static>>) -> RequireLayer {
    let rule = Rule { requirement: requirement.into(), resource: None, without_token: None };
    RequireLayer { rule: Arc::new(rule) }
}

/// Lets in only tokens whose access is enough. Made by [`require`].
///
/// It answers 403 to a token whose access is not enough, and 401 to a request that an
/// [optional](super::TokenLayer::optional) layer let in without a token. Without a
/// [`TokenLayer`](super::TokenLayer) around it, it answers 500 to every request.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is on a route"]
pub struct RequireLayer {
    rule: Arc<Rule>,
}

impl RequireLayer {
    /// Says which resource a request is about. The function returns its name, or `None` if it names
    /// none; then only tokens that are not bound to resources are let in.
    ///
    /// Return the name as the handler understands it. The name is compared as it is, and what a
    /// handler decodes later is another name; see [`decoded_path`](super::decoded_path). A router
    /// that nests routes may cut off the beginning of the path.
    pub fn on<R: Into<Option<String>>>(
        self,
        resource: impl Fn(&Parts) -> R + Send + Sync + 'static,
    ) -> RequireLayer {
        let resource: Arc<ResourceOf> = Arc::new(move |parts| resource(parts).into());
        RequireLayer { rule: Arc::new(Rule { resource: Some(resource), ..(*self.rule).clone() }) }
    }

    /// Also lets in requests without a token that have this extension: what the host's
    /// [other way](super::TokenLayer::or_else) returns for a password.
    ///
    /// The handler then takes `Option<Caller>`, and decides by the extension what its user may do.
    pub fn or_signed_in<E: Send + Sync + 'static>(self) -> RequireLayer {
        let without_token: Arc<WithoutToken> =
            Arc::new(|extensions| extensions.get::<E>().is_some());
        let rule = Rule { without_token: Some(without_token), ..(*self.rule).clone() };
        RequireLayer { rule: Arc::new(rule) }
    }
}

#[derive(Clone)]
struct Rule {
    requirement: Requirement<'static>,
    resource: Option<Arc<ResourceOf>>,
    without_token: Option<Arc<WithoutToken>>,
}

type ResourceOf = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type WithoutToken = dyn Fn(&Extensions) -> bool + Send + Sync;

impl Rule {
    /// Adds the caller to the request's extensions, or answers instead of the route.
    fn apply(&self, parts: &mut Parts) -> Result<(), Answer> {
        let shown = Passed::shown(&parts.extensions)?;
        let Some(token) = parts.extensions.get::<Authenticated>().cloned() else {
            if !self.without_token.as_ref().is_some_and(|admits| admits(&parts.extensions)) {
                return Err(shown.answer(&Refusal::NoCredentials));
            }
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
        // The service that was polled is ready; a clone of it may not be.
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
