//! A cargo registry with a sparse index. Its `config.json` says that all of it needs a token, so
//! cargo sends one: alone in the header, without a scheme.

use axum::body::Bytes;
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Host, Shelf, Shown, malformed, not_found, sha256};

pub(super) fn routes<H: Host>() -> Router<H> {
    Router::new()
        .route("/config.json", get(config))
        .route("/api/v1/crates/new", put(publish))
        .route("/api/v1/crates/{*path}", get(download))
        .route("/{*path}", get(index))
}

async fn config(shelf: Shelf) -> Json<Value> {
    let url = format!("{}/cargo", shelf.place.url);
    Json(json!({ "dl": format!("{url}/api/v1/crates"), "api": url, "auth-required": true }))
}

/// Returns a crate's place in the index: by the length and the first letters of its name.
fn place(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match name.len() {
        _ if !is_name => None,
        0 => None,
        1 | 2 => Some(format!("{}/{name}", name.len())),
        3 => Some(format!("3/{}/{name}", &name[..1])),
        _ => Some(format!("{}/{}/{name}", &name[..2], &name[2..4])),
    }
}

async fn index(shelf: Shelf) -> Result<Vec<u8>, Shown> {
    shelf.read(&format!("cargo/index/{}", shelf.path)).await
}

/// `NAME/VERSION/download`.
async fn download(shelf: Shelf) -> Result<Response, Shown> {
    let name = shelf.path.strip_suffix("/download");
    let name = name.ok_or_else(not_found)?;
    shelf.send(&format!("cargo/crates/{name}.crate")).await
}

/// Takes what `cargo publish` sends: the length and text of its JSON, then those of the crate.
async fn publish(shelf: Shelf, body: Bytes) -> Result<Json<Value>, Shown> {
    let unreadable = || malformed("crate");
    let (facts, rest) = framed(&body).ok_or_else(unreadable)?;
    let (archive, _) = framed(rest).ok_or_else(unreadable)?;
    let facts: Value = serde_json::from_slice(facts).map_err(|_| unreadable())?;
    let (Some(name), Some(version)) = (facts["name"].as_str(), facts["vers"].as_str()) else {
        return Err(unreadable());
    };
    let place = place(name).ok_or_else(unreadable)?;
    let line = json!({
        "name": name,
        "vers": version,
        "deps": facts["deps"].as_array().into_iter().flatten().map(dependency).collect::<Value>(),
        "cksum": sha256(archive),
        "features": facts["features"],
        "yanked": false,
    });
    let _one_at_a_time = shelf.place.index.lock().await;
    let crate_file = format!("cargo/crates/{name}/{version}.crate");
    shelf.write(&crate_file, archive.to_vec(), false).await?;
    let mut lines = shelf.read_index(&format!("cargo/index/{place}")).await?.unwrap_or_default();
    lines.extend(format!("{line}\n").into_bytes());
    shelf.write(&format!("cargo/index/{place}"), lines, true).await?;
    Ok(Json(json!({})))
}

/// Cuts off a part that stands behind its length.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)
}

/// Writes a dependency as the index has it: there the name is the one that the crate uses.
fn dependency(sent: &Value) -> Value {
    let mut dependency = sent.as_object().cloned().unwrap_or_default();
    dependency.insert("req".into(), sent["version_req"].clone());
    if sent["explicit_name_in_toml"].is_string() {
        dependency.insert("package".into(), sent["name"].clone());
        dependency.insert("name".into(), sent["explicit_name_in_toml"].clone());
    }
    dependency.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_has_one_place_and_a_name_that_is_none_has_no_place() {
        for (name, expected) in
            [("a", "1/a"), ("ab", "2/ab"), ("Abc", "3/a/abc"), ("ab-cd", "ab/-c/ab-cd")]
        {
            assert_eq!(place(name).as_deref(), Some(expected));
        }
        for bad in ["", "..", "a/b", "é", "a.b"] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_body_that_is_shorter_than_it_says_is_not_read() {
        assert_eq!(framed(&[2, 0, 0, 0, 7, 8, 9]), Some((&[7, 8][..], &[9][..])));
        for bad in [&[][..], &[1, 0, 0], &[1, 0, 0, 0], &[255, 255, 255, 255, 1]] {
            assert_eq!(framed(bad), None);
        }
    }
}
