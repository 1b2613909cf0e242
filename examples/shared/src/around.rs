//! What stands around a host's routes.
//!
//! A host puts [`as_data`] around the routes that serve what users have uploaded. And
//! [`serve`](crate::serve::serve) puts [`drain`](crate::drain) around all.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::Response;

/// Guards the host's pages against what users have uploaded: a browser runs nothing of it, guesses
/// no type, and saves files instead of showing them. Better still, serve it from another origin.
///
/// An answer that is no upload may say `inline` before.
pub async fn as_data(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_DISPOSITION).or_insert(HeaderValue::from_static("attachment"));
    response
}
