//! The parts of a request to the JSON API: the account, the token, the body.

use app_tokens::error::ManageError;
use app_tokens::web::{self, Accept};
use app_tokens::{Owner, TokenId};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use serde::de::DeserializeOwned;

use super::{Problem, TokenApi};
use crate::gate;

/// The account that has shown its main password.
pub(super) struct ByPassword(pub(super) Owner);

impl FromRequestParts<TokenApi> for ByPassword {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &TokenApi) -> Result<ByPassword, Problem> {
        // Another site's page may send a browser here with the password that it remembers.
        if api.front.is_from_another_site(&parts.headers) {
            return Err(Problem::another_site());
        }
        let unknown = Problem::password_needed("sign in with the account's name and main password");
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
        match api.accounts.sign_in(name, credentials.expose_secret(), from).await {
            Ok(account) => Ok(ByPassword(account.owner)),
            Err(refused) => Err(match refused.unchecked() {
                Some((status, reason, wait)) => Problem::later(status, reason, wait),
                None => unknown,
            }),
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

/// Reads a body that says it is JSON, which a form of another site can't say.
///
/// # Errors
/// A problem that repeats nothing of the body, as that may hold a password.
pub fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let reason = "send JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    serde_json::from_slice(&read(body)?).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::bad(&format!(
            "the JSON can't be read at line {line}, column {column}; check its fields"
        ))
    })
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::bad(&error.to_string()))
}
