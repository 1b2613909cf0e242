//! `/api/v1/signin`: a session for a program, by the main password.
//!
//! Browsers get another cookie from the settings page. So a page of another site can't make a
//! browser send this one, not even to a GET that changes something.
//!
//! Behind a login proxy, the proxy names the person. Configure it so that this path needs a fresh
//! sign-in, as for `/again`: such a session can grant tokens.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use shared::accounts::{Account, SignInRefused};
use shared::front::Visitor;

use crate::Server;
use crate::apptoken::identity;
use crate::problem::Problem;

pub fn routes(server: &Server) -> Router {
    Router::new()
        .route("/api/v1/signin", post(sign_in))
        .route("/api/v1/signout", post(sign_out))
        .with_state(server.clone())
}

/// The names are as the document writes them, or as PowerShell people do.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    #[serde(alias = "UserName", alias = "Username", alias = "userName")]
    username: String,
    #[serde(alias = "Password")]
    password: String,
}

async fn sign_in(
    State(server): State<Server>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    // A form of another site can't send JSON. What claims to be JSON is asked for its origin.
    if server.front.is_from_another_site(&headers) {
        return Err(Problem::another_site());
    }
    let peer = peer.map(|Extension(ConnectInfo(peer))| peer.ip());
    let visitor = server.front.visitor(&headers, peer);
    let account = match &server.front.login_proxy {
        Some(proxy) => {
            let named = proxy.user(&headers, peer).and_then(|name| server.accounts.by_name(name));
            named.filter(Account::is_active).ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "sign in at the proxy in front first")
            })?
        }
        None => by_password(&server, &headers, body, &visitor).await?,
    };
    let cookie = server.sessions.begin(&account.owner, &visitor).await?;
    let body = Json(identity(Some(&account), &account.owner));
    Ok(([(SET_COOKIE, cookie)], [(CACHE_CONTROL, "no-store")], body).into_response())
}

async fn by_password(
    server: &Server,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    visitor: &Visitor,
) -> Result<Account, Problem> {
    let Credentials { username, password } = json(headers, body)?;
    let signed_in = server.accounts.sign_in(&username, &password, visitor.address).await;
    signed_in.map_err(|refused| match refused {
        SignInRefused::Wrong { .. } => {
            Problem::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong; try again")
        }
        SignInRefused::Token => {
            Problem::forbidden("an App Token opens no session; send the main password")
        }
        SignInRefused::Stopped { wait } => {
            let reason = "there were too many wrong passwords; wait, then try again";
            Problem::new(StatusCode::TOO_MANY_REQUESTS, reason).retry_after(wait.as_secs() + 1)
        }
        SignInRefused::Busy => {
            let reason = "too many are signing in right now; try again";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(5)
        }
    })
}

async fn sign_out(State(server): State<Server>, headers: HeaderMap) -> Result<Response, Problem> {
    if server.front.is_from_another_site(&headers) {
        return Err(Problem::another_site());
    }
    if let Some(session) = server.sessions.find(&headers, &Visitor::default()).await {
        server.sessions.end(&session.owner, session.id).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, server.sessions.no_cookie())]).into_response())
}

/// Reads a body of JSON.
pub fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let reason = "send JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status(), "the body can't be read; send at most 64 KiB")
    })?;
    // The parser's words may repeat a value, which may be a password.
    serde_json::from_slice(&body).map_err(|error| {
        Problem::bad(format!(
            "the JSON can't be read at line {}, column {}; check its fields",
            error.line(),
            error.column()
        ))
    })
}
