//! [`ChallengeLayer`]: a login's challenges in the answers of handlers.

use std::fmt;
use std::task::{Context, Poll};

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::answer::{Answer, Challenge, Shown, TEXT};
use super::layer::{BoxFuture, pairs};
use super::login::Login;

/// Puts a login's challenges into 401 answers that the host writes itself.
///
/// A 401 must say how to send a token (RFC 9110, 15.5.2). This adds it to each 401 that has no
/// `WWW-Authenticate`. If the login is
/// [`without_challenges_for_scripts`](Login::without_challenges_for_scripts), it also removes that
/// header from each 401 that a script gets.
///
/// Made by [`Login::challenge_layer`]. Place it around routes that take tokens. Don't place it
/// around a page on which people sign in: a browser would open its own dialog over it.
///
/// ```
/// use app_tokens::TokenAuthority;
/// use app_tokens::web::{Login, NamesAreOwners};
/// use axum::http::StatusCode;
/// use axum::{Router, routing::get};
///
/// let tokens = TokenAuthority::in_memory("acme")?;
/// let login = Login::new(tokens, NamesAreOwners(|name| name == "alice"));
/// let app: Router = Router::new()
///     .route("/api", get(async || (StatusCode::UNAUTHORIZED, r#"{"error":"sign in"}"#)))
///     .layer(login.challenge_layer());
/// # Ok::<(), app_tokens::error::SetupError>(())
/// ```
#[derive(Clone)]
pub struct ChallengeLayer {
    shown: Shown,
}

impl<S, A> Login<S, A> {
    /// Makes a layer that puts this login's challenges into 401 answers of the host's own.
    #[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
    pub fn challenge_layer(&self) -> ChallengeLayer {
        ChallengeLayer { shown: self.shown().clone() }
    }
}

impl<I> Layer<I> for ChallengeLayer {
    type Service = ChallengeService<I>;

    fn layer(&self, inner: I) -> ChallengeService<I> {
        ChallengeService { inner, shown: self.shown.clone() }
    }
}

impl fmt::Debug for ChallengeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeLayer").field("shown", &self.shown).finish()
    }
}

/// A service behind a [`ChallengeLayer`].
#[derive(Clone)]
pub struct ChallengeService<I> {
    inner: I,
    shown: Shown,
}

impl<I, B, R> Service<Request<B>> for ChallengeService<I>
where
    I: Service<Request<B>, Response = Response<R>>,
    I::Future: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = I::Error;
    type Future = BoxFuture<Result<Response<R>, I::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let is_silent = self.shown.is_silent_to(pairs(request.headers()));
        let shown = self.shown.clone();
        let answered = self.inner.call(request);
        Box::pin(async move {
            let mut response = answered.await?;
            shown.show_in(&mut response);
            if response.status() == StatusCode::UNAUTHORIZED {
                if is_silent {
                    response.headers_mut().remove(WWW_AUTHENTICATE);
                } else if !response.headers().contains_key(WWW_AUTHENTICATE) {
                    shown.challenge(&Challenge::asks_again(None), &mut response);
                }
            }
            Ok(response)
        })
    }
}

impl<I> fmt::Debug for ChallengeService<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeService").field("shown", &self.shown).finish_non_exhaustive()
    }
}

/// Marks a response that a handler made of a refusal or of another answer.
///
/// Realm, schemes and noun are not known there, so a layer shows them on the way out.
#[derive(Clone)]
pub(crate) struct Unshown {
    /// The text that the response was made with.
    pub(crate) body: String,
    /// What its challenges say; `None` if they are right already.
    pub(crate) challenge: Option<Challenge>,
}

impl Shown {
    /// Shows realm, schemes and noun in a response that does not know them.
    pub(crate) fn show_in<R: From<String>>(&self, response: &mut Response<R>) {
        let Some(Unshown { body, challenge }) = response.extensions_mut().remove() else {
            return;
        };
        if let Some(challenge) = challenge {
            response.headers_mut().remove(WWW_AUTHENTICATE);
            self.challenge(&challenge, response);
        }
        // A layer in between may have compressed the text, or put one of another type in its place.
        // Another plain text can't be told apart, as `Login::with_noun` says.
        let headers = response.headers();
        let is_as_made = !headers.contains_key(CONTENT_ENCODING)
            && headers.get(CONTENT_TYPE).is_some_and(|value| value == TEXT);
        let Some(noun) = self.noun.as_deref() else { return };
        let body = Answer::text_with_noun(&body, noun);
        if let Some(answer) = response.extensions_mut().get_mut::<Answer>() {
            answer.body.clone_from(&body);
        }
        if is_as_made {
            response.headers_mut().remove(CONTENT_LENGTH);
            *response.body_mut() = body.into();
        }
    }

    /// Adds challenges to a response.
    #[expect(clippy::expect_used, reason = "a challenge holds only what a header can")]
    fn challenge<R>(&self, challenge: &Challenge, response: &mut Response<R>) {
        for line in challenge.lines(&self.realm, self.challenges) {
            let line = HeaderValue::try_from(line).expect("a challenge is printable ASCII");
            response.headers_mut().append(WWW_AUTHENTICATE, line);
        }
    }
}
