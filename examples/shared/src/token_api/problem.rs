//! Errors as JSON with a reason.

use std::time::Duration;

use app_tokens::error::{ChangeError, Failed, IssueError, ManageError};
use axum::Json;
use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::log;

/// An error as JSON: `{"error": "Not Found", "reason": "…"}`.
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong, and what to do.
    pub reason: String,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Makes a problem.
    pub fn new(status: StatusCode, reason: &str) -> Problem {
        Problem { status, reason: reason.into(), retry_after: None }
    }

    /// Makes a problem that is over after this time.
    pub(super) fn later(status: StatusCode, reason: &str, wait: Duration) -> Problem {
        Problem { retry_after: Some(wait), ..Problem::new(status, reason) }
    }

    /// Logs what failed; the client only learns that something did.
    fn unavailable(failed: &Failed) -> Problem {
        log::say(format_args!("app tokens failed: {failed}"));
        Problem::unclear()
    }

    /// Makes the answer for a token that can't be checked.
    pub(super) fn unclear() -> Problem {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "tokens can't be reached right now; try again",
        )
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Problem {
        let status = match &error {
            IssueError::LimitReached { .. } | IssueError::LabelTaken => StatusCode::CONFLICT,
            IssueError::Failed(failed) => return Problem::unavailable(failed),
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, &error.to_string())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        let status = match &error {
            ChangeError::Unknown => StatusCode::NOT_FOUND,
            ChangeError::NotActive(_)
            | ChangeError::Rotated { .. }
            | ChangeError::Overlapping { .. }
            | ChangeError::DamagedRow(_)
            | ChangeError::Conflict
            | ChangeError::LabelTaken => StatusCode::CONFLICT,
            ChangeError::Failed(failed) => return Problem::unavailable(failed),
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, &error.to_string())
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Problem {
        match &error {
            ManageError::Failed(failed) => Problem::unavailable(failed),
            _ => Problem::new(StatusCode::NOT_FOUND, &error.to_string()),
        }
    }
}

impl From<Failed> for Problem {
    fn from(error: Failed) -> Problem {
        Problem::unavailable(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = self.status.canonical_reason();
        let body = Json(json!({ "error": error, "reason": self.reason }));
        let mut response = (self.status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"account\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.retry_after {
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}
