//! Changes of a token by JSON: its label, its end, its access, its secret.

use std::time::Duration;

use app_tokens::error::{ChangeError, OutOfCalendar};
use app_tokens::record::Lifetime;
use app_tokens::{Access, Rotation, Timestamp};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::request::{ByPassword, Named, parse, read};
use super::{Problem, TokenApi, answer, days_long, describe, known, show_once};
use crate::page::times;

/// One change a request: the body has exactly one of these fields, as in `{"label": "My phone"}`.
/// Each change is a call of its own to the engine, so no answer has to say which of several were
/// done.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Label(String),
    /// Counted from now, as for a new token.
    ExpiresInDays(u64),
    /// A time as RFC 3339 writes it, or a day.
    ExpiresAt(String),
    /// A part of the scopes it has; the policy says which scopes include others.
    Scopes(Vec<String>),
}

pub(super) async fn change(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    Named(id): Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (tokens, by) = (&api.tokens, &owner);
    let changed = match parse_change(&read(body)?)? {
        Change::Label(label) => tokens.rename(by, id, label).await?,
        Change::ExpiresInDays(days) => tokens.extend(by, id, days_long(days)).await?,
        Change::ExpiresAt(end) => tokens.extend(by, id, end_at(&end)?).await?,
        Change::Scopes(scopes) => {
            let access =
                Access::scopes(known(scopes, tokens.policy())?).map_err(ChangeError::from)?;
            tokens.narrow(by, id, access).await?
        }
    };
    Ok(answer(StatusCode::OK, describe(&changed)))
}

fn parse_change(body: &[u8]) -> Result<Change, Problem> {
    parse(body).map_err(|Problem { status, reason, .. }| {
        let hint = "name exactly one change: label, expires_in_days, expires_at or scopes";
        Problem::new(status, &format!("{hint} ({reason})"))
    })
}

/// Reads the end that a request asks for: a number of days, or a time, or none of them.
pub(super) fn asked_end(days: Option<u64>, at: Option<&str>) -> Result<Option<Lifetime>, Problem> {
    match (days, at) {
        (None, None) => Ok(None),
        (Some(days), None) => Ok(Some(days_long(days).into())),
        (None, Some(at)) => end_at(at).map(|at| Some(at.into())),
        (Some(_), Some(_)) => {
            let reason = "name only one end: expires_in_days or expires_at";
            Err(Problem::new(StatusCode::BAD_REQUEST, reason))
        }
    }
}

/// Reads an instant, or a day, which means its last second in UTC.
fn end_at(end: &str) -> Result<Timestamp, Problem> {
    let refused = |error: OutOfCalendar| {
        let hint = "or a day such as 2026-12-31, which means its end in UTC";
        Problem::new(StatusCode::BAD_REQUEST, &format!("expires_at is {error}, {hint}"))
    };
    times::end_of_day(end).map_or_else(|| end.parse().map_err(refused), Ok)
}

/// How a secret is replaced. If nothing is said, the end stays, and the policy's overlap holds:
/// here, the old one ends at once.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    overlap_seconds: Option<u64>,
    expires_in_days: Option<u64>,
    expires_at: Option<String>,
}

pub(super) async fn rotate(
    State(api): State<TokenApi>,
    ByPassword(owner): ByPassword,
    Named(id): Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = read(body)?;
    let wish: Wish = if body.is_empty() { Wish::default() } else { parse(&body)? };
    let rotation = match wish.overlap_seconds {
        Some(seconds) => Rotation::new().overlap(Duration::from_secs(seconds)),
        None => Rotation::new(),
    };
    let rotation = match asked_end(wish.expires_in_days, wish.expires_at.as_deref())? {
        Some(end) => rotation.expires(end),
        None => rotation,
    };
    Ok(show_once(&api.tokens.rotate(&owner, id, rotation).await?))
}
