//! What may change about an app password by JSON: its label, its end, its access, its secret.

use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::LifeError;
use app_tokens::record::Expires;
use app_tokens::{Access, ChangeError, OutOfCalendar, Rotation};
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::Cloud;
use crate::api::{answer, days_long, describe, known, show_once};
use crate::problem::Problem;
use crate::request::{Named, SignedIn, parse, read};

/// One change a request: the body has one of these fields and nothing else, as in `{"label": "My
/// phone"}`. Each is an act of its own of the engine's; so no answer has to say which of several
/// acts were done.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Label(String),
    /// From now on, as where a token is made.
    ExpiresInDays(u64),
    /// RFC 3339.
    ExpiresAt(String),
    /// Part of what it had, as the policy's scopes include one another.
    Scopes(Vec<String>),
}

pub async fn change(
    State(cloud): State<Cloud>,
    SignedIn(owner): SignedIn,
    Named(id): Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let (tokens, by) = (&cloud.tokens, &owner);
    let changed = match parse_change(&read(body)?)? {
        Change::Label(label) => tokens.rename(by, id, label).await?,
        Change::ExpiresInDays(days) => tokens.extend(by, id, end_in(days)?).await?,
        Change::ExpiresAt(end) => tokens.extend(by, id, end_at(&end)?).await?,
        Change::Scopes(scopes) => {
            let access = Access::scopes(known(scopes)?).map_err(ChangeError::from)?;
            tokens.narrow(by, id, access).await?
        }
    };
    Ok(answer(StatusCode::OK, describe(&changed)))
}

fn parse_change(body: &[u8]) -> Result<Change, Problem> {
    parse(body).map_err(|Problem { status, reason }| {
        let hint = "one change at a time: label, expires_in_days, expires_at or scopes";
        Problem::new(status, &format!("{hint} ({reason})"))
    })
}

fn end_in(days: u64) -> Result<Expires, ChangeError> {
    let end = SystemClock.now().checked_add(days_long(days));
    Ok(Expires::At(end.ok_or(LifeError::PastCalendar)?))
}

fn end_at(end: &str) -> Result<Expires, Problem> {
    let refused = |error: OutOfCalendar| {
        Problem::new(StatusCode::BAD_REQUEST, &format!("expires_at is {error}"))
    };
    Ok(Expires::At(end.parse().map_err(refused)?))
}

/// How a secret is replaced. Without a word the policy's overlap holds: here the old one ends at
/// once.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    overlap_seconds: Option<u64>,
}

pub async fn rotate(
    State(cloud): State<Cloud>,
    SignedIn(owner): SignedIn,
    Named(id): Named,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = read(body)?;
    let wish: Wish = if body.is_empty() { Wish::default() } else { parse(&body)? };
    let rotation = match wish.overlap_seconds {
        Some(seconds) => Rotation::new().overlap(Duration::from_secs(seconds)),
        None => Rotation::new(),
    };
    Ok(show_once(&cloud.tokens.rotate(&owner, id, rotation).await?))
}
