//! An npm registry: one JSON document for each package, and its archives.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Host, Shelf, Shown, malformed};

pub(super) fn routes<H: Host>() -> Router<H> {
    Router::new().route("/{*path}", get(read).put(publish))
}

/// Returns a package's document, or with `/-/` an archive.
async fn read(shelf: Shelf) -> Result<Response, Shown> {
    if shelf.path.contains("/-/") {
        return shelf.send(&format!("npm/{}", shelf.path)).await;
    }
    let document = shelf.read(&document(&shelf.path)).await?;
    Ok(([(CONTENT_TYPE, "application/json")], document).into_response())
}

fn document(name: &str) -> String {
    format!("npm/{name}/document.json")
}

/// Takes what `npm publish` sends: a document with the new version, and its archive in base64.
async fn publish(shelf: Shelf, body: Bytes) -> Result<(StatusCode, Json<Value>), Shown> {
    let unreadable = || malformed("package");
    let mut sent: Value = serde_json::from_slice(&body).map_err(|_| unreadable())?;
    let name = &shelf.path;
    let facts = sent.as_object_mut().ok_or_else(unreadable)?;
    let archives = facts.remove("_attachments").unwrap_or_default();
    let archives: Map<String, Value> =
        serde_json::from_value(archives).map_err(|_| unreadable())?;
    // Before anything is written: what is no object can't be indexed below.
    let is_version = |version: &Value| version.is_object() && version["dist"].is_object();
    let versions = sent["versions"].as_object().ok_or_else(unreadable)?;
    if sent["name"] != json!(name) || archives.len() != 1 || !versions.values().all(is_version) {
        return Err(unreadable());
    }
    let _one_at_a_time = shelf.place.index.lock().await;
    let mut whole = match shelf.read_index(&document(name)).await? {
        Some(whole) => serde_json::from_slice(&whole).map_err(|_| unreadable())?,
        None => json!({ "name": name, "versions": {}, "dist-tags": {} }),
    };
    for (file, archive) in archives {
        // A scope in the name is not in the file's: `@alice/tool` has `tool-1.0.0.tgz`.
        let file = file.rsplit('/').next().unwrap_or_default();
        let archive = archive["data"].as_str().and_then(|data| STANDARD.decode(data).ok());
        let archive = archive.ok_or_else(unreadable)?;
        shelf.write(&format!("npm/{name}/-/{file}"), archive, false).await?;
        for version in sent["versions"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            version["dist"]["tarball"] = format!("{}/npm/{name}/-/{file}", shelf.place.url).into();
        }
    }
    for part in ["versions", "dist-tags"] {
        if let (Some(whole), Some(sent)) = (whole[part].as_object_mut(), sent[part].as_object()) {
            whole.extend(sent.clone());
        }
    }
    shelf.write(&document(name), whole.to_string().into_bytes(), true).await?;
    Ok((StatusCode::CREATED, Json(json!({ "ok": true }))))
}
