//! For axum: [`Caller`] and [`Authenticated`] as arguments of a handler, and [`Refusal`] as its
//! error.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::answer::{Answer, Challenge, Challenges, answer};
use super::challenge_layer::Unshown;
use super::layer::{Passed, Required};
use super::refusal::Refusal;
use crate::error::Forbidden;
use crate::present::{Authenticated, Caller};

/// Extracts the caller that met what the route [requires](super::require()).
///
/// If the route requires nothing, every request gets 500: if `require` was forgotten, no request
/// reaches this handler. A handler that takes no `Caller` is not protected so: see
/// [`TokenLayer`](super::TokenLayer). If the layer let the request in without a token, it gets 401.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Answer> {
        let shown = Passed::shown(&parts.extensions)?;
        let caller = caller(parts)?;
        caller.ok_or_else(|| shown.answer(&Refusal::NoCredentials))
    }
}

/// Extracts the caller that met what the route [requires](super::require()), if there is one.
///
/// It is `None` for a request that
/// [`or_signed_in`](super::RequireLayer::or_signed_in) lets in without a token. If the route
/// requires nothing, every request gets 500.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Caller>, Answer> {
        Passed::shown(&parts.extensions)?;
        caller(parts)
    }
}

/// Returns the caller, or the answer for a route that requires nothing.
fn caller(parts: &Parts) -> Result<Option<Caller>, Answer> {
    if parts.extensions.get::<Required>().is_none() {
        let body = "The server is not set up: this route has no `require` layer.\n";
        return Err(Answer::new(500, "not_set_up", body));
    }
    Ok(parts.extensions.get::<Caller>().cloned())
}

/// Extracts the token that the [`TokenLayer`](super::TokenLayer) let in, for a handler that
/// requires access itself.
///
/// A request without a token, let in by [`optional`](super::TokenLayer::optional) or
/// [`or_else`](super::TokenLayer::or_else), gets 401. Without the layer, every request gets 500.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Authenticated, Answer> {
        let shown = Passed::shown(&parts.extensions)?;
        let token = parts.extensions.get::<Authenticated>().cloned();
        token.ok_or_else(|| shown.answer(&Refusal::NoCredentials))
    }
}

/// Extracts the token that the [`TokenLayer`](super::TokenLayer) let in, or `None` if it let the
/// request in without one.
///
/// Without the layer, every request gets 500.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> OptionalFromRequestParts<S> for Authenticated {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Authenticated>, Answer> {
        Passed::shown(&parts.extensions)?;
        Ok(parts.extensions.get::<Authenticated>().cloned())
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let unshown = Unshown { body: self.body.clone(), challenge: None };
        let mut response = Answer::into_response::<Body>(self);
        response.extensions_mut().insert(unshown);
        response
    }
}

/// Makes the response of a refusal, so that a handler can return one with `?`.
///
/// A refusal knows no realm, schemes and noun. The [`TokenLayer`](super::TokenLayer), or a
/// [`ChallengeLayer`](super::ChallengeLayer), puts in the login's on the way out. Without them,
/// both schemes are shown, with the realm `app tokens`.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let answer = answer(&self, "app tokens", Challenges::default());
        let unshown = Unshown { body: answer.body.clone(), challenge: Challenge::of(&self) };
        let mut response = IntoResponse::into_response(answer);
        response.extensions_mut().insert(unshown);
        response
    }
}

/// Makes the response of [`Refusal::Forbidden`].
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Forbidden {
    fn into_response(self) -> Response {
        IntoResponse::into_response(Refusal::from(self))
    }
}
