//! A Maven repository: files that Maven puts and gets, checksums and metadata among them.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::{Host, Shelf, Shown};

pub(super) fn routes<H: Host>() -> Router<H> {
    Router::new().route("/{*path}", get(read).put(deploy))
}

async fn read(shelf: Shelf) -> Result<Response, Shown> {
    shelf.send(&format!("maven/{}", shelf.path)).await
}

/// Deploys a file. A release never changes; Maven's metadata and snapshots do.
async fn deploy(shelf: Shelf, body: Bytes) -> Result<StatusCode, Shown> {
    let name = shelf.path.rsplit('/').next().unwrap_or_default();
    let may_change = name.starts_with("maven-metadata.xml") || shelf.path.contains("-SNAPSHOT/");
    shelf.write(&format!("maven/{}", shelf.path), body.into(), may_change).await?;
    Ok(StatusCode::CREATED)
}
