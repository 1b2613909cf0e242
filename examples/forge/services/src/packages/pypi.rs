//! A Python index: the simple pages of PEP 503, and uploads as twine sends them.

use std::io::ErrorKind;

use axum::Router;
use axum::extract::Multipart;
use axum::extract::multipart::MultipartRejection;
use axum::http::StatusCode;
use axum::response::{Html, Response};
use axum::routing::{get, post};
use tokio::fs;

use super::{Host, Shelf, Shown, failed, malformed, not_found, sha256};

pub(super) fn routes<H: Host>() -> Router<H> {
    Router::new()
        .route("/", post(upload))
        .route("/simple/{path}/", get(list))
        .route("/files/{*path}", get(download))
}

/// Writes a project's name in its one form (PEP 503).
fn normalised(name: &str) -> String {
    let lower = name.to_lowercase().replace(['_', '.'], "-");
    lower.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

async fn list(shelf: Shelf) -> Result<Html<String>, Shown> {
    let project = normalised(&shelf.path);
    let mut entries =
        fs::read_dir(shelf.file(&format!("pypi/{project}"))?).await.map_err(|error| {
            if error.kind() == ErrorKind::NotFound { not_found() } else { failed(&error) }
        })?;
    let mut page = String::from("<!doctype html>\n");
    while let Some(entry) = entries.next_entry().await.map_err(|error| failed(&error))? {
        // Names were checked when they were uploaded: none needs escaping.
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Ok(file) = shelf.read(&format!("pypi/{project}/{name}")).await {
            let url = format!("{}/pypi/files/{project}/{name}", shelf.place.url);
            page += &format!("<a href=\"{url}#sha256={}\">{name}</a>\n", sha256(&file));
        }
    }
    Ok(Html(page))
}

async fn download(shelf: Shelf) -> Result<Response, Shown> {
    shelf.send(&format!("pypi/{}", shelf.path)).await
}

async fn upload(
    shelf: Shelf,
    form: Result<Multipart, MultipartRejection>,
) -> Result<StatusCode, Shown> {
    let unreadable = || malformed("upload");
    let mut form = form.map_err(|_| unreadable())?;
    let (mut project, mut file) = (None, None);
    while let Some(field) = form.next_field().await.map_err(|_| unreadable())? {
        match field.name() {
            Some("name") => project = Some(field.text().await.map_err(|_| unreadable())?),
            Some("content") => {
                let name = field.file_name().map(str::to_owned).ok_or_else(unreadable)?;
                file = Some((name, field.bytes().await.map_err(|_| unreadable())?));
            }
            _ => {}
        }
    }
    let (Some(project), Some((name, bytes))) = (project, file) else { return Err(unreadable()) };
    let path = format!("pypi/{}/{name}", normalised(&project));
    if name.contains('/') {
        return Err(unreadable());
    }
    shelf.write(&path, bytes.into(), false).await?;
    Ok(StatusCode::OK)
}
