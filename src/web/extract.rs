//! For axum: [`Authenticated`] as an argument of a route's function, [`Refusal`] as its error.

use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;

use super::answer::{Answer, Refusal, answer};
use super::layer::{Passed, RealmMissing};
use crate::error::Forbidden;
use crate::present::Authenticated;

/// The token that the [`TokenLayer`](super::TokenLayer) let in.
///
/// A request that was let in without a token (by [`optional`](super::TokenLayer::optional) or
/// [`or_else`](super::TokenLayer::or_else)) is answered with 401. Without the layer, every request
/// is answered with 500.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Authenticated, Answer> {
        let passed = passed(parts)?;
        let token = parts.extensions.get::<Authenticated>().cloned();
        token.ok_or_else(|| answer(&Refusal::NoCredentials, &passed.realm))
    }
}

/// The token that the [`TokenLayer`](super::TokenLayer) let in; `None` if it let the request in
/// without one.
///
/// Without the layer, every request is answered with 500.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl<S: Send + Sync> OptionalFromRequestParts<S> for Authenticated {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Authenticated>, Answer> {
        passed(parts)?;
        Ok(parts.extensions.get::<Authenticated>().cloned())
    }
}

fn passed(parts: &Parts) -> Result<&Passed, Answer> {
    let missing = || Answer::new(500, "The server is not set up: there is no TokenLayer here.\n");
    parts.extensions.get::<Passed>().ok_or_else(missing)
}

#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        Answer::into_response::<Body>(self)
    }
}

/// A refusal doesn't know the realm. The [`TokenLayer`](super::TokenLayer) writes it into the
/// response on the way out; without the layer it is `app tokens`.
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = IntoResponse::into_response(answer(&self, RealmMissing::REALM));
        response.extensions_mut().insert(RealmMissing);
        response
    }
}

/// The response of [`Refusal::Forbidden`].
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for Forbidden {
    fn into_response(self) -> Response {
        IntoResponse::into_response(Refusal::from(self))
    }
}
