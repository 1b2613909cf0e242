//! `/api/v1/apptoken/grant`: a new App Token, for the caller or for another identity.
//!
//! The documents grant by GET. That works for programs that signed in by `/api/v1/signin`, and for
//! no browser. A POST does the same, and takes wishes.

use std::time::Duration;

use app_tokens::{Access, NewToken, Owner, Timestamp};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use shared::accounts::Account;
use shared::page::times;
use shared::token_api::{Problem, answer, read_json};

use crate::Server;
use crate::apptoken::describe;
use crate::role::Role;
use crate::who::{By, Who};

/// What a POST may ask for. Unknown fields are refused: a mistyped end must not make a token that
/// lives for a year.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wish {
    /// A part of the identity's role, instead of all of it.
    #[serde(alias = "Role")]
    role: Option<String>,
    /// An instant, or the last day on which it works.
    #[serde(alias = "Expiration")]
    expiration: Option<String>,
    #[serde(alias = "LifespanDays")]
    lifespan_days: Option<u64>,
}

pub async fn to_caller(
    State(server): State<Server>,
    Extension(who): Extension<Who>,
    method: Method,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wish = read(&method, &headers, body)?;
    grant(&server, &who, &who.account, wish).await
}

/// Behind a guard for administrators.
pub async fn to_identity(
    State(server): State<Server>,
    Extension(who): Extension<Who>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wish = read(&method, &headers, body)?;
    let found = Owner::new(id).ok().and_then(|owner| server.accounts.by_owner(&owner));
    let identity = found
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no identity with this id"))?;
    grant(&server, &who, &identity, wish).await
}

fn read(
    method: &Method,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Wish, Problem> {
    if method == Method::GET {
        // Browsers say so about themselves. They must not grant by a link or an image. Without TLS
        // they send no Sec-Fetch-Site, but a language, which no program of the document sends.
        if ["sec-fetch-site", "origin", "accept-language"].iter().any(|h| headers.contains_key(*h))
        {
            return Err(Problem::forbidden("a browser sent this GET; grant by POST"));
        }
        return Ok(Wish::default());
    }
    if method == Method::HEAD {
        // The text would be lost.
        return Err(Problem::forbidden("a HEAD shows no token; grant by POST"));
    }
    match body {
        Ok(body) if body.is_empty() => Ok(Wish::default()),
        body => read_json(headers, body),
    }
}

async fn grant(
    server: &Server,
    who: &Who,
    identity: &Account,
    wish: Wish,
) -> Result<Response, Problem> {
    let By::Session(session) = &who.by else {
        return Err(Problem::forbidden(
            "an App Token can't grant App Tokens; sign in by /api/v1/signin",
        ));
    };
    if !server.sessions.is_fresh(session) {
        return Err(Problem::forbidden(match server.front.login_proxy {
            None => "the sign-in is too old for this; sign in again",
            Some(_) => "the proxy in front must say that you signed in just now; sign in again",
        }));
    }
    let roles = Role::of(identity, &server.roles);
    if roles.is_empty() || !identity.is_active() {
        return Err(Problem::forbidden(
            "this identity has no role, or is disabled; give it a role first",
        ));
    }
    let access = match &wish.role {
        None => Access::scopes(roles),
        Some(asked) => {
            let role = Role::named(asked, &server.roles).filter(|role| role.is_had_by(identity));
            Access::scopes(role.map(|role| vec![role]).ok_or_else(|| {
                Problem::bad("role must be one that the identity has, or one that this includes")
            })?)
        }
    };
    let access = access.map_err(|error| Problem::bad(&error.to_string()))?;
    let mut new = NewToken::new(&identity.owner, "App Token", access);
    if identity.owner != who.account.owner {
        new = new.issued_by(&who.operator()?);
    }
    new = match (&wish.expiration, wish.lifespan_days) {
        (None, None) => new,
        (None, Some(days)) => new.expires_in(Duration::from_secs(days.saturating_mul(86_400))),
        (Some(end), None) => new.expires_at(parse_end(end)?),
        (Some(_), Some(_)) => {
            return Err(Problem::bad("send expiration or lifespanDays, not both"));
        }
    };
    let issued = server.tokens.issue(new).await?;
    // Shown in this answer, and nowhere else.
    let mut shown = describe(server, issued.view());
    shown["token"] = issued.expose_secret().into();
    Ok(answer(StatusCode::OK, shown))
}

/// Reads the end of a token. A day is the last one on which it works, in UTC.
fn parse_end(text: &str) -> Result<Timestamp, Problem> {
    times::end_of_day(text).or_else(|| text.parse().ok()).ok_or_else(|| {
        Problem::bad("expiration must be a day (2026-12-31) or an instant (2026-12-31T12:00:00Z)")
    })
}
