//! Revoking tokens by JSON: one, or all but one.

use app_tokens::Reason;
use app_tokens::error::{ChangeError, ManageError};
use app_tokens::record::Status;
use app_tokens::store::Filter;
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
    let Query(kept) = kept.map_err(|_| Problem::new(StatusCode::BAD_REQUEST, reason))?;
    let kept = kept.except.parse().map_err(|_| ManageError::Unknown)?;
    let by = &owner;
    let stays = api.tokens.find(by, kept).await?;
    match stays.status() {
        // In an overlap. The token ends soon, and its successor must be the one that stays.
        Some(Status::Active) => {
            if let Some(current) = stays.successor() {
                return Err(ChangeError::Rotated { current }.into());
            }
        }
        Some(ended) => return Err(ChangeError::NotActive(ended).into()),
        None => return Err(Problem::unclear()),
    }
    let others = Filter { except_family: Some(stays.family()), ..Filter::of_owner(&owner) };
    let revoked = api.tokens.revoke_matching(by, &others, Reason::REQUESTED).await?;
    // The filter spares the whole line, and so a rotation that came after the look-up above.
    let mut stays = api.tokens.find(by, kept).await?;
    if let Some(successor) = stays.successor() {
        stays = api.tokens.find(by, successor).await?;
    }
    let kept = stays.revocation().is_none().then(|| stays.id().to_string());
    Ok(answer(StatusCode::OK, json!({ "revoked": revoked, "kept": kept })))
}
