//! Answers to requests that fail, in Forgejo's form: `{"message": "…"}`. git and the package
//! clients get the same sentence as plain text, which they show to their user.

use std::fmt::Display;

use app_tokens::web::Answer;
use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use shared::log;

/// Why a request failed, for the client. It never holds a secret, or another owner's facts.
#[derive(Debug)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// What is wrong, and what to do.
    pub message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// Makes an answer that no cache may keep.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        let headers = vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
        Problem { status, message: message.into(), headers }
    }

    /// Makes the answer for what is not there.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, format!("there is no such {what}; check its name"))
    }

    /// Logs what failed. The client learns only that something did, and may try again.
    pub fn failed(what: &str, why: &dyn Display) -> Problem {
        log::say(format_args!("{what}: {why}"));
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this can't be done right now; try again")
            .with("retry-after", "5")
    }

    /// Says why tokens can't be listed, made or deleted. Logs it if the store failed.
    pub fn refused<E: Display>(error: E) -> Problem
    where
        for<'e> Answer: From<&'e E>,
    {
        let answer = Answer::from(&error).with_noun("access token");
        if answer.status >= 500 {
            log::say(format_args!("access tokens failed: {error}"));
        }
        answer.into()
    }

    /// Adds a header. One that can't be written is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Problem {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }

    /// Writes it as plain text, for git and the package clients.
    pub fn into_text(self) -> Response {
        let text = format!("{}\n", self.message);
        self.around(text.into_response())
    }

    fn around(self, mut response: Response) -> Response {
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "message": self.message });
        self.around(Json(body).into_response())
    }
}

/// The library's answer.
impl From<Answer> for Problem {
    fn from(answer: Answer) -> Problem {
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
        let mut problem = Problem::new(status, answer.body.trim());
        problem.headers.clear();
        for (name, value) in answer.headers {
            if name != CONTENT_TYPE.as_str() {
                problem = problem.with(name, &value);
            }
        }
        problem
    }
}
