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
    asks_for_password: bool,
}

impl Problem {
    /// Makes a problem.
    pub fn new(status: StatusCode, reason: &str) -> Problem {
        Problem { status, reason: reason.into(), retry_after: None, asks_for_password: false }
    }

    /// Makes a problem of a request that can't be read.
    pub fn bad(reason: &str) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, reason)
    }

    /// Makes a problem of what the client may not do.
    pub fn forbidden(reason: &str) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, reason)
    }

    /// Makes a problem of a request that another site's page made a browser send.
    pub fn another_site() -> Problem {
        Problem::forbidden("another site sent this request; send it from this site")
    }

    /// Asks for HTTP Basic with the main password. A browser then asks the person.
    pub(super) fn password_needed(reason: &str) -> Problem {
        Problem { asks_for_password: true, ..Problem::new(StatusCode::UNAUTHORIZED, reason) }
    }

    /// Makes a problem that is over after this time, if there is one.
    pub fn later(status: StatusCode, reason: &str, wait: impl Into<Option<Duration>>) -> Problem {
        Problem { retry_after: wait.into(), ..Problem::new(status, reason) }
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
        if self.asks_for_password {
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
