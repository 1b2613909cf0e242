//! App passwords by JSON, with the main password only (HTTP Basic). A token never makes, lists,
//! changes or ends tokens.
//!
//! `openapi.json` describes it; tests check that the two agree.

use std::time::Duration;

use app_tokens::access::{ScopeName as _, Selection};
use app_tokens::error::{Failed, IssueError};
use app_tokens::record::Lifetime;
use app_tokens::store::{Filter, Page};
use app_tokens::{Access, IssuedToken, NewToken, Owner, TokenView};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, patch, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Cloud;
use crate::change::{self, asked_end};
use crate::end;
use crate::problem::Problem;
use crate::request::{SignedIn, parse, read};
use crate::scope::Scope;

pub fn routes(cloud: &Cloud) -> Router {
    Router::new()
        .route("/api/openapi.json", get(describe_routes))
        .route("/api/tokens", get(list).post(create).delete(end::revoke_others))
        .route("/api/tokens/{id}", patch(change::change).delete(end::revoke))
        .route("/api/tokens/{id}/rotate", post(change::rotate))
        .route("/api", any(nothing))
        .route("/api/", any(nothing))
        .route("/api/{*path}", any(nothing))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here")
        })
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(cloud.clone())
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "this path does not exist")
}

async fn describe_routes() -> Response {
    ([(CONTENT_TYPE, "application/json")], include_str!("../openapi.json")).into_response()
}

/// What a client asks for. Unknown fields are refused: a mistyped `expires_in_days` must not make a
/// token that lives for a year.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    label: String,
    expires_in_days: Option<u64>,
    expires_at: Option<String>,
    scopes: Option<Vec<String>>,
}

async fn create(
    State(cloud): State<Cloud>,
    SignedIn(owner): SignedIn,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wish: Wish = parse(&read(body)?)?;
    // No list of scopes means full access; an empty list is an error.
    let access = match wish.scopes {
        Some(scopes) => Access::scopes(known(scopes)?).map_err(IssueError::from)?,
        None => Access::full(),
    };
    let new = NewToken::new(&owner, &wish.label, access);
    let new = match asked_end(wish.expires_in_days, wish.expires_at.as_deref())? {
        Some(Lifetime::For(life)) => new.expires_in(life),
        Some(Lifetime::Until(end)) => new.expires_at(end),
        _ => new,
    };
    Ok(show_once(&cloud.tokens.issue(new).await?))
}

pub fn days_long(days: u64) -> Duration {
    Duration::from_secs(days.saturating_mul(86_400))
}

/// Checks that there is a scope, and that the cloud knows each.
pub fn known(scopes: Vec<String>) -> Result<Vec<String>, Problem> {
    let is_known = |scope: &String| Scope::ALL.iter().any(|known| known.name() == scope);
    if scopes.is_empty() || !scopes.iter().all(is_known) {
        let reason = "scopes must name read or write of files, calendar or contacts, such as \
                      files:read; leave it out for full access";
        return Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    }
    Ok(scopes)
}

async fn list(State(cloud): State<Cloud>, SignedIn(owner): SignedIn) -> Result<Response, Problem> {
    let tokens: Vec<Value> = all_of(&cloud, &owner).await?.iter().map(describe).collect();
    Ok(answer(StatusCode::OK, tokens.into()))
}

/// Returns every token of an owner, the newest first.
pub async fn all_of(cloud: &Cloud, owner: &Owner) -> Result<Vec<TokenView>, Failed> {
    let (mut all, mut page) = (Vec::new(), Page::first(1000));
    loop {
        let listed = cloud.tokens.list(&Filter::of_owner(owner), page).await?;
        all.extend(listed.tokens);
        if listed.next.is_none() {
            break;
        }
        page.after = listed.next;
    }
    all.sort_by_key(|token| (std::cmp::Reverse(token.created_at()), token.id()));
    Ok(all)
}

/// Makes an answer about tokens, which no cache may keep.
pub fn answer(status: StatusCode, body: Value) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// Makes the only answer that holds a token's text.
pub fn show_once(issued: &IssuedToken) -> Response {
    let mut shown = describe(issued.view());
    shown["token"] = issued.expose_secret().into();
    answer(StatusCode::CREATED, shown)
}

pub fn describe(token: &TokenView) -> Value {
    let scopes = match token.access().granted_scopes() {
        Selection::All => Value::Null,
        Selection::Only(scopes) => scopes.iter().map(app_tokens::access::Scope::as_str).collect(),
    };
    json!({
        "id": token.id().to_string(),
        "label": token.label().as_str(),
        "scopes": scopes,
        "created_at": token.created_at().to_string(),
        "expires_at": token.expires().at().map(|at| at.to_string()),
        "last_used_at": token.last_use().map(|last_use| last_use.at.to_string()),
        "successor": token.successor().map(|id| id.to_string()),
        "revoked_at": token.revocation().map(|revocation| revocation.at.to_string()),
        "status": token.status().map_or("unknown", |status| status.as_str()),
    })
}
