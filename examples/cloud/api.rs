//! App passwords by JSON. The main password only (HTTP Basic): a token never makes, lists or ends tokens.

use std::time::Duration;

use app_tokens::error::Failed;
use app_tokens::store::{Filter, Page};
use app_tokens::web::{self, Accept};
use app_tokens::{By, Grant, ManageError, NewToken, Owner, Reason, TokenView};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Cloud;
use crate::problem::Problem;

pub fn routes(cloud: &Cloud) -> Router {
    Router::new()
        .route("/api/tokens", get(list).post(create))
        .route("/api/tokens/{id}", delete(revoke))
        .route(
            "/api/{*path}",
            any(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing here")),
        )
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this can't be done here")
        })
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(cloud.clone())
}

/// What is asked for. An unknown field is refused: a mistyped `expires_in_days` must not make a token that lives for a year.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    label: String,
    expires_in_days: Option<u64>,
    scopes: Option<Vec<String>>,
}

async fn create(
    State(cloud): State<Cloud>,
    SignedIn(owner): SignedIn,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body =
        body.map_err(|rejection| Problem::new(rejection.status(), "the body can't be read"))?;
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let issued = cloud
        .tokens
        .issue(new_token(&owner, &wish.label, wish.expires_in_days, wish.scopes)?)
        .await?;
    let mut answer = describe(issued.view());
    answer["token"] = issued.expose_secret().into();
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// The token that is asked for: no scopes at all mean full access, an empty list is a mistake.
pub fn new_token(
    owner: &Owner,
    label: &str,
    expires_in_days: Option<u64>,
    scopes: Option<Vec<String>>,
) -> Result<NewToken, Problem> {
    let mut new = NewToken::new(owner, label);
    if let Some(days) = expires_in_days {
        new = new.expires_in(Duration::from_secs(days.saturating_mul(86_400)));
    }
    let Some(scopes) = scopes else {
        return Ok(new);
    };
    let known = |scope: &String| ["files:read", "files:write"].contains(&scope.as_str());
    if scopes.is_empty() || !scopes.iter().all(known) {
        let reason =
            "scopes are files:read and files:write, at least one; leave them out for full access";
        return Err(Problem::new(StatusCode::BAD_REQUEST, reason));
    }
    Ok(new.scopes(scopes))
}

async fn list(State(cloud): State<Cloud>, SignedIn(owner): SignedIn) -> Result<Response, Problem> {
    let tokens: Vec<Value> = all_of(&cloud, &owner).await?.iter().map(describe).collect();
    Ok(([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response())
}

/// Every token of an owner, the newest first.
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

async fn revoke(
    State(cloud): State<Cloud>,
    SignedIn(owner): SignedIn,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or(ManageError::Unknown)?;
    cloud.tokens.revoke(By::Owner(&owner), id, Reason::REQUESTED).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn describe(token: &TokenView) -> Value {
    let scopes = match token.access().granted_scopes() {
        Grant::All => Value::Null,
        Grant::Only(scopes) => scopes.iter().map(app_tokens::Scope::as_str).collect(),
    };
    json!({
        "id": token.id().to_string(),
        "label": token.label().as_str(),
        "scopes": scopes,
        "created_at": token.created_at().to_string(),
        "expires_at": token.expires().at().map(|at| at.to_string()),
        "last_used_at": token.last_use().map(|last_use| last_use.at.to_string()),
        "revoked_at": token.revocation().map(|revocation| revocation.at.to_string()),
        "status": token.status().map_or("unknown", |status| status.as_str()),
    })
}

/// Whoever has shown the main password of an account.
struct SignedIn(Owner);

impl FromRequestParts<Cloud> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, cloud: &Cloud) -> Result<SignedIn, Problem> {
        // A page of somebody else's may send a browser here, with the password that it remembers.
        if parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(Problem::new(StatusCode::FORBIDDEN, "another site sent this"));
        }
        match signed_in(&parts.headers, cloud) {
            Some(owner) => Ok(SignedIn(owner)),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "the account's name and main password are needed",
            )),
        }
    }
}

fn signed_in(headers: &HeaderMap, cloud: &Cloud) -> Option<Owner> {
    let values = headers.get_all(AUTHORIZATION).into_iter().map(HeaderValue::as_bytes);
    let credentials = web::credentials(values, &Accept::new(cloud.tokens.policy())).ok()??;
    cloud.accounts.sign_in(credentials.user()?, credentials.expose_secret())
}
