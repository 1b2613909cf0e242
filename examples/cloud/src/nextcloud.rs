//! What Nextcloud's own clients ask for beside plain WebDAV.

use app_tokens::web::{Accounts as _, Refusal};
use app_tokens::{Owner, Reason, Requirement};
use axum::extract::{Path, Request, State};
use axum::http::header::{ETAG, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get};
use axum::{Json, Router};
use folders::Place;
use serde_json::{Value, json};
use shared::token_api::Problem;

use crate::door::User;
use crate::files::{Dav, Space, unavailable};

/// The version that clients take this for, and so expect no more of it.
const VERSION: &str = "27.1.0";

pub fn routes(dav: &Dav) -> Router {
    let mut router = Router::new()
        .route("/status.php", get(status))
        .route("/remote.php/webdav", any(own_files))
        .route("/remote.php/webdav/", any(own_files))
        .route("/remote.php/webdav/{*path}", any(own_files))
        .route("/remote.php/dav/files/{user}", any(files_of))
        .route("/remote.php/dav/files/{user}/", any(files_of))
        .route("/remote.php/dav/files/{user}/{*path}", any(files_of));
    for version in ["/ocs/v1.php", "/ocs/v2.php"] {
        router = router
            .route(&format!("{version}/cloud/capabilities"), get(capabilities))
            .route(&format!("{version}/cloud/user"), get(user))
            .route(&format!("{version}/core/apppassword"), delete(disconnect));
    }
    router.with_state(dav.clone())
}

async fn status() -> Json<Value> {
    Json(json!({
        "installed": true,
        "maintenance": false,
        "needsDbUpgrade": false,
        "version": format!("{VERSION}.1"),
        "versionstring": VERSION,
        "edition": "",
        "productname": "cloud",
        "extendedSupport": false,
    }))
}

fn ocs(data: &Value) -> Response {
    let meta = json!({ "status": "ok", "statuscode": 100, "message": "OK" });
    Json(json!({ "ocs": { "meta": meta, "data": data } })).into_response()
}

/// Without credentials too: a client looks here before it has any. Wrong ones are refused, as this
/// is the first place where a client shows its app password.
async fn capabilities(State(dav): State<Dav>, mut request: Request) -> Response {
    match dav.door.enter(&mut request).await {
        Ok(_) | Err(Refusal::NoCredentials) => ocs(&json!({
            "version": {
                "major": 27, "minor": 1, "micro": 0, "string": VERSION, "edition": "",
            },
            "capabilities": {
                "core": { "pollinterval": 60, "webdav-root": "remote.php/webdav" },
                "dav": {},
                "files": { "bigfilechunking": false },
            },
        })),
        Err(refusal) => dav.door.answer(&refusal),
    }
}

async fn user(State(dav): State<Dav>, mut request: Request) -> Response {
    match dav.door.enter(&mut request).await.and_then(|user| user.require([])) {
        Ok(owner) => {
            let id = owner.as_str();
            ocs(&json!({ "id": id, "display-name": id, "email": null }))
        }
        Err(refusal) => dav.door.answer(&refusal),
    }
}

/// A client that is removed from a device revokes its own app password. A token may end itself, and
/// nothing else.
async fn disconnect(State(dav): State<Dav>, mut request: Request) -> Response {
    let caller = match dav.door.enter(&mut request).await {
        Ok(User::Token(token)) => {
            token.require(Requirement::ANY_VALID_TOKEN).map_err(Refusal::from)
        }
        Ok(User::Password(_)) => return StatusCode::FORBIDDEN.into_response(),
        Err(refusal) => Err(refusal),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return dav.door.answer(&refusal),
    };
    match dav.door.tokens().revoke(caller.owner(), caller.id(), Reason::REQUESTED).await {
        Ok(_) => ocs(&json!([])),
        Err(error) => Problem::from(error).into_response(),
    }
}

async fn own_files(State(dav): State<Dav>, request: Request) -> Response {
    serve(&dav, "/remote.php/webdav", None, request).await
}

async fn files_of(
    State(dav): State<Dav>,
    Path(path): Path<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let user = path.into_iter().next().map(|(_, user)| user).unwrap_or_default();
    serve(&dav, &format!("/remote.php/dav/files/{user}"), Some(&user), request).await
}

/// Serves the owner's files, with the headers that a sync client needs after a change.
async fn serve(dav: &Dav, prefix: &str, user: Option<&str>, mut request: Request) -> Response {
    let entered = dav.door.enter(&mut request).await;
    let needed = Space::Files.needed_for(request.method());
    let owner = match entered.and_then(|user| user.require(needed)) {
        Ok(owner) => owner,
        Err(refusal) => return dav.door.answer(&refusal),
    };
    match is_of(dav, user, &owner).await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NOT_FOUND.into_response(),
        Err(refusal) => return dav.door.answer(&refusal),
    }
    let place = match dav.place(&owner, Space::Files, prefix) {
        Ok(place) => place,
        Err(error) => return unavailable(&error),
    };
    let modified =
        request.headers().get(&MTIME).and_then(|value| value.to_str().ok()?.parse().ok());
    let (method, path) = (request.method().clone(), place.path(&request).to_owned());
    let mut answer = match place.answer(request).await {
        Ok(answer) => answer,
        Err(error) => return unavailable(&error),
    };
    if answer.status().is_success() && (method == Method::PUT || method.as_str() == "MKCOL") {
        describe(&place, &path, modified, &mut answer);
    }
    answer
}

/// Returns whether the path's user is the token's owner: by the id or by the login name.
async fn is_of(dav: &Dav, user: Option<&str>, owner: &Owner) -> Result<bool, Refusal> {
    match user {
        None => Ok(true),
        Some(user) if user == owner.as_str() => Ok(true),
        Some(user) => {
            let named = dav.door.accounts().owner_of(user).await.map_err(Refusal::Accounts)?;
            Ok(named.as_ref() == Some(owner))
        }
    }
}

const MTIME: HeaderName = HeaderName::from_static("x-oc-mtime");
const FILE_ID: HeaderName = HeaderName::from_static("oc-fileid");
const OC_ETAG: HeaderName = HeaderName::from_static("oc-etag");

/// Sets the time that the client remembers, and then says the id and the ETag: the time is part of
/// the ETag.
fn describe(place: &Place, path: &str, modified: Option<u64>, answer: &mut Response) {
    let folder = &place.served.folder;
    let headers = answer.headers_mut();
    if let Some(seconds) = modified
        && folder.set_modified(path, seconds).is_ok()
    {
        headers.insert(MTIME, HeaderValue::from_static("accepted"));
    }
    if let Some((id, etag)) = folder.id_and_etag(path)
        && let (Ok(id), Ok(etag)) = (HeaderValue::try_from(id), HeaderValue::try_from(etag))
    {
        headers.insert(FILE_ID, id);
        headers.insert(OC_ETAG, etag.clone());
        headers.insert(ETAG, etag);
    }
}
