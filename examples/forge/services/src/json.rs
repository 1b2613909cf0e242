//! What the API's requests have in common: bodies of JSON, and lists with pages.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A body of JSON, of at most 64 KiB.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, Problem> {
        let body = Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::new(rejection.status(), "the body can't be read; send at most 64 KiB")
        })?;
        let parsed = serde_json::from_slice(&body);
        // The parser's words name the field and the place, and may repeat what was sent there.
        parsed.map(JsonBody).map_err(|error| {
            let place = (error.line(), error.column());
            let message =
                format!("the body is not as documented, at line {} column {}", place.0, place.1);
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message)
        })
    }
}

/// Which part of a list is wanted. As in Forgejo, a number that can't be read counts as none.
#[derive(Deserialize)]
pub struct Paging {
    page: Option<String>,
    limit: Option<String>,
}

impl Paging {
    /// Forgejo's numbers: 30 on a page, or up to 50.
    pub fn part_of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let number = |text: &Option<String>| text.as_deref()?.parse().ok().filter(|n| *n > 0);
        let limit: usize = number(&self.limit).unwrap_or(30).min(50);
        let page: usize = number(&self.page).unwrap_or(1);
        all.chunks(limit).nth(page - 1).unwrap_or_default()
    }
}
