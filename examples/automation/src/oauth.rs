//! Token introspection (RFC 7662) and token revocation (RFC 7009), for programs that know OAuth.

use app_tokens::access::Selection;
use app_tokens::error::AuthError;
use app_tokens::store::Filter;
use app_tokens::{Reason, Requirement, Timestamp, TokenView};
use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::accounts::Account;
use shared::token_api::{Problem, answer};

use crate::Server;
use crate::role::Role;
use crate::who::guard;

pub fn routes(server: &Server) -> Router {
    Router::new()
        // RFC 7662, 2.1: the caller is authorized, so that nobody tries tokens in secret.
        .route("/oauth/introspect", guard(server, Some(Role::Reader), post(introspect)))
        // RFC 7009, 2.1: the holder of a token may end it. Its secret is the proof.
        .route("/oauth/revoke", post(revoke))
        .with_state(server.clone())
}

/// The form of both requests. Other fields are ignored, as both RFCs ask.
#[derive(Deserialize)]
struct Asked {
    token: String,
}

type Sent = Result<Form<Asked>, FormRejection>;

/// Says what a token is, to a program that was shown its whole text. It counts as no use.
async fn introspect(State(server): State<Server>, asked: Sent) -> Result<Response, Problem> {
    let Ok(Form(Asked { token })) = asked else {
        return Ok(invalid_request());
    };
    // RFC 7662, 2.2: why a token is not active is not said.
    let inactive = || answer(StatusCode::OK, json!({ "active": false }));
    let Some(view) = active(&server, &token).await? else {
        return Ok(inactive());
    };
    // The server that asks doesn't say where its client is.
    if *view.access().granted_networks() != Selection::All {
        return Ok(inactive());
    }
    let account = server.accounts.by_owner(view.owner()).filter(Account::is_active);
    Ok(match account {
        Some(account) => answer(StatusCode::OK, describe(&server, &view, &account)),
        None => inactive(),
    })
}

fn describe(server: &Server, token: &TokenView, account: &Account) -> Value {
    // Only what the identity has today: a token can do no more.
    let has = |role: &&Role| role.is_had_by(account);
    let granted = |role: &&Role| token.access().allows(&Requirement::scope(*role));
    let roles = server.roles.iter().filter(granted).filter(has);
    let names: Vec<&str> = roles.map(app_tokens::access::ScopeName::name).collect();
    json!({
        "active": true,
        "scope": names.join(" "),
        "username": account.name,
        "sub": token.owner().as_str(),
        "token_type": "Bearer",
        "iat": token.created_at().as_unix(),
        "exp": token.expires().at().map(Timestamp::as_unix),
    })
}

/// Revokes exactly the token that is shown. RFC 7009, 2.2: a token that is not valid is no error.
async fn revoke(State(server): State<Server>, asked: Sent) -> Result<Response, Problem> {
    let Ok(Form(Asked { token })) = asked else {
        return Ok(invalid_request());
    };
    if let Some(view) = active(&server, &token).await? {
        let this = Filter::of_id(view.id());
        server.tokens.revoke_matching(view.owner(), &this, Reason::REQUESTED).await?;
    }
    Ok((StatusCode::OK, [(CACHE_CONTROL, "no-store")]).into_response())
}

/// Finds the token of a text. `None` unless it is in force.
async fn active(server: &Server, text: &str) -> Result<Option<TokenView>, Problem> {
    match server.tokens.examine(text).await {
        Ok(examined) => Ok(examined.token().cloned()),
        Err(AuthError::NotOurs(_) | AuthError::Denied(_)) => Ok(None),
        Err(AuthError::Failed(failed)) => Err(failed.into()),
    }
}

/// RFC 6749, 5.2: the only error that a client can make here.
fn invalid_request() -> Response {
    let hint = "send the field token, once, in application/x-www-form-urlencoded";
    let body = json!({ "error": "invalid_request", "error_description": hint });
    answer(StatusCode::BAD_REQUEST, body)
}
