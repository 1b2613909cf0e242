//! Errors of the API as JSON with a reason.

use std::borrow::Cow;

use app_tokens::error::{Failed, IssueError, ManageError};
use app_tokens::web::Answer;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use shared::log;

/// An error as JSON: `{"error": "Not Found", "reason": "…"}`.
pub struct Problem {
    status: StatusCode,
    reason: Cow<'static, str>,
    retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Problem {
        Problem { status, reason: reason.into(), retry_after: None }
    }

    pub fn bad(reason: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, reason)
    }

    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, reason)
    }

    pub fn another_site() -> Problem {
        Problem::forbidden("another site sent this request; nothing was done")
    }

    pub fn retry_after(self, seconds: u64) -> Problem {
        Problem { retry_after: Some(seconds), ..self }
    }

    /// Logs what failed. The client only learns that something did.
    pub fn failed(failed: &Failed) -> Problem {
        log::say(format_args!("app tokens failed: {failed}"));
        Problem::unavailable()
    }

    pub fn unavailable() -> Problem {
        let reason = "App Tokens can't be reached right now; try again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(5)
    }
}

/// The library knows which status and which words are safe for a client.
fn safe(answer: &Answer) -> Problem {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Problem::new(status, answer.body.trim_end().replace("app token", "App Token"))
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Problem {
        match &error {
            IssueError::Failed(failed) => Problem::failed(failed),
            other => safe(&other.into()),
        }
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Problem {
        match &error {
            ManageError::Failed(failed) => Problem::failed(failed),
            other => safe(&other.into()),
        }
    }
}

impl From<Failed> for Problem {
    fn from(error: Failed) -> Problem {
        Problem::failed(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = self.status.canonical_reason();
        let body = Json(json!({ "error": error, "reason": self.reason }));
        let mut response = (self.status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
