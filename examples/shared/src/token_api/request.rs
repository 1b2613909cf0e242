//! The parts of a request to the JSON API: the account, the token, the body.

use std::time::Duration;

use app_tokens::error::ManageError;
use app_tokens::web::{self, Accept};
use app_tokens::{Owner, TokenId};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderValue, StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use super::{Problem, TokenApi};
use crate::accounts::SignInRefused;
use crate::{gate, log};

/// The account that has shown its main password.
pub(super) struct ByPassword(pub(super) Owner);

impl FromRequestParts<TokenApi> for ByPassword {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &TokenApi) -> Result<ByPassword, Problem> {
        // Another site's page may send a browser here with the password that it remembers.
        if api.front.is_from_another_site(&parts.headers) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "another site sent this request; send it from this site",
            ));
        }
        let unknown = Problem::new(
            StatusCode::UNAUTHORIZED,
            "sign in with the account's name and main password",
        );
        let from = api.front.visitor(&parts.headers, gate::peer(&parts.extensions)).address;
        let values = parts.headers.get_all(AUTHORIZATION).into_iter().map(HeaderValue::as_bytes);
        let credentials = match web::credentials(values, &Accept::new(api.tokens.policy())) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Err(unknown),
            Err(error) => {
                gate::note_refusal(from, &error.into());
                return Err(unknown);
            }
        };
        // Nobody has an empty name, so a secret that came alone is refused there, too.
        let name = credentials.user().unwrap_or_default();
        if api.front.login_proxy.is_some() {
            log::refused(from, name, "no main passwords behind a login proxy");
            return Err(unknown);
        }
        match api.accounts.sign_in(name, credentials.expose_secret(), from).await {
            Ok(account) => Ok(ByPassword(account.owner)),
            Err(SignInRefused::Wrong { .. } | SignInRefused::Token) => Err(unknown),
            Err(SignInRefused::Stopped { wait }) => Err(Problem::later(
                StatusCode::TOO_MANY_REQUESTS,
                "there were too many wrong passwords; wait before you try again",
                wait,
            )),
            Err(SignInRefused::Busy) => Err(Problem::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many sign in at this moment; try again",
                Duration::from_secs(1),
            )),
        }
    }
}

/// The token that the path names. A text that is no id names none.
pub(super) struct Named(pub(super) TokenId);

impl FromRequestParts<TokenApi> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &TokenApi) -> Result<Named, Problem> {
        let id = Path::<String>::from_request_parts(parts, api).await;
        let id = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or(ManageError::Unknown)?;
        Ok(Named(id))
    }
}

/// Returns the body, if it is within its limit.
pub(super) fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        Problem::new(rejection.status(), "the body can't be read; send at most 64 KiB")
    })
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))
}
