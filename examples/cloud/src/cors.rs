//! Lets pages of one other origin call the cloud with an app password (`--cors`).

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

const METHODS: &str = "GET, HEAD, PUT, PATCH, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, \
                       LOCK, UNLOCK, REPORT, MKCALENDAR, MKADDRESSBOOK";
const HEADERS: &str = "Authorization, Content-Type, Depth, Destination, If, If-Match, \
                       If-None-Match, Lock-Token, Overwrite, Range, Timeout";

/// Answers a preflight from the origin with 204, and marks the answers to its requests.
///
/// A preflight never has credentials, so this stands before the login. Nothing here allows cookies:
/// a page of another origin enters with an app password only.
pub async fn allow(
    State(allowed): State<Option<HeaderValue>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(allowed) = allowed.filter(|allowed| request.headers().get(ORIGIN) == Some(allowed))
    else {
        return next.run(request).await;
    };
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = if is_preflight {
        let allow = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        (StatusCode::NO_CONTENT, allow).into_response()
    } else {
        next.run(request).await
    };
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    let exposed = HeaderValue::from_static("DAV, ETag, Lock-Token");
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers.append(VARY, HeaderValue::from_static("Origin"));
    answer
}
