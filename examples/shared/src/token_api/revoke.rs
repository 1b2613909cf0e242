//! Revoking tokens by JSON: one, or all but one.

use app_tokens::Reason;
use app_tokens::error::ManageError;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::request::{ByPassword, Named};
use super::{Problem, TokenApi, answer};

pub(super) async fn revoke(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    Named(id): Named,
) -> Result<StatusCode, Problem> {
    api.tokens.revoke(&owner, id, Reason::REQUESTED).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The one that stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    except: String,
}

/// Revokes every token of the account but one. If the one that stays isn't good, it revokes
/// none, so that a slip can't take all.
pub(super) async fn revoke_others(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    kept: Result<Query<Kept>, QueryRejection>,
) -> Result<Response, Problem> {
    let reason = "name the token that stays: ?except=ID, and nothing else";
    let Query(kept) = kept.map_err(|_| Problem::bad(reason))?;
    let kept = kept.except.parse().map_err(|_| ManageError::Unknown)?;
    let by = &owner;
    let revoked = api.tokens.revoke_others(by, kept, Reason::REQUESTED).await?;
    // The whole line stays, and so a rotation that came meanwhile.
    let mut stays = api.tokens.find(by, kept).await?;
    if let Some(successor) = stays.successor() {
        stays = api.tokens.find(by, successor).await?;
    }
    let kept = stays.revocation().is_none().then(|| stays.id().to_string());
    Ok(answer(StatusCode::OK, json!({ "revoked": revoked, "kept": kept })))
}
