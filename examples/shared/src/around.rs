//! What stands around a host's routes.
//!
//! [`serve`](crate::serve::serve) puts [`without_dialogs`] and [`drain`](crate::drain) around those
//! of every host. A host puts [`as_data`] around the routes that serve what users have uploaded.

use app_tokens::web::is_from_script;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::Next;
use axum::response::Response;

/// Answers a script in a browser without a challenge, so that no browser opens its password dialog
/// over a page.
///
/// `Login::without_challenges_for_scripts` does so for tokens. This does it for all answers, also
/// those about main passwords.
pub async fn without_dialogs(request: Request, next: Next) -> Response {
    let headers = request.headers().iter();
    let is_from_script =
        is_from_script(headers.map(|(name, value)| (name.as_str(), value.as_bytes())));
    let mut response = next.run(request).await;
    if is_from_script {
        response.headers_mut().remove(WWW_AUTHENTICATE);
    }
    response
}

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
