//! `/api/v1/signin`: a session for a program, by the main password.
//!
//! Browsers get another cookie from the settings page. So a page of another site can't make a
//! browser send this one, not even to a GET that changes something.
//!
//! Behind a login proxy, the proxy names the person, who may have signed in there long ago. Such a
//! session grants only if the proxy says when that was: `--sso-time-header`. And it counts only in
//! requests in which the proxy still names this person.

use std::net::SocketAddr;

use app_tokens::clock::{Clock as _, SystemClock};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Deserialize;
use shared::accounts::{Account, SignInRefused};
use shared::front::Visitor;
use shared::token_api::{Problem, answer, read_json};

use crate::Server;
use crate::apptoken::identity;

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
    let (account, has_just_signed_in) = match &server.front.login_proxy {
        Some(proxy) => {
            let named = proxy.user(&headers, peer).and_then(|name| server.accounts.by_name(name));
            let account = named.filter(Account::is_active).ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "sign in at the proxy in front first")
            })?;
            let says_when = proxy.time_header.is_some();
            (account, says_when && proxy.has_just_asked(&headers, SystemClock.now()))
        }
        None => (by_password(&server, &headers, body, &visitor).await?, true),
    };
    let cookie = if has_just_signed_in {
        server.sessions.begin(&account.owner, &visitor).await?
    } else {
        server.sessions.begin_named(&account.owner, &visitor).await?
    };
    let mut answer = answer(StatusCode::OK, identity(Some(&account), &account.owner));
    answer.headers_mut().insert(SET_COOKIE, cookie);
    Ok(answer)
}

async fn by_password(
    server: &Server,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
    visitor: &Visitor,
) -> Result<Account, Problem> {
    let Credentials { username, password } = read_json(headers, body)?;
    let signed_in = server.accounts.sign_in(&username, &password, visitor.address).await;
    signed_in.map_err(|refused| match (refused, refused.unchecked()) {
        (_, Some((status, reason, wait))) => Problem::later(status, reason, wait),
        (SignInRefused::Token, None) => {
            Problem::forbidden("an App Token opens no session; send the main password")
        }
        (_, None) => {
            Problem::new(StatusCode::UNAUTHORIZED, "the name or the password is wrong; try again")
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
