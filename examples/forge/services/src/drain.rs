//! Reads what a client still sends when it is refused.
//!
//! A server may answer and close while the client sends. The client then reports a broken pipe,
//! and nobody reads why. `app_tokens::web::beside_passwords` tells more.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How much of a refused upload is read.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// How long it is read.
const MAX_TIME: Duration = Duration::from_secs(30);
/// How long a client may pause. One that sends nothing already waits for the answer.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Answers a request. If the answer is an error, reads the rest of the body first.
pub async fn drain(request: Request, next: Next) -> Response {
    // Such a client waits to be asked for the body, and reading would ask.
    if request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (give_back, mut rest) = oneshot::channel();
    let request = request.map(|body| Body::new(Lent { body, give_back: Some(give_back) }));
    let response = next.run(request).await;
    if response.status().as_u16() >= 400
        && let Ok(body) = rest.try_recv()
    {
        let mut body = Limited::new(body, MAX_BYTES);
        let read = async { while let Ok(Some(Ok(_))) = timeout(MAX_PAUSE, body.frame()).await {} };
        // ignored: what is left then is cut off.
        _ = timeout(MAX_TIME, read).await;
    }
    response
}

/// A body that is given back when its reader drops it.
struct Lent {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            // ignored: nobody wants it where the answer was no error.
            _ = give_back.send(std::mem::take(&mut self.body));
        }
    }
}
