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

/// Returns the route that clients ask first. It needs no credentials, and looks at none.
pub fn status_route() -> Router {
    Router::new().route("/status.php", get(status))
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
async fn capabilities() -> Response {
    ocs(&json!({
        "version": {
            "major": 27, "minor": 1, "micro": 0, "string": VERSION, "edition": "",
        },
        "capabilities": {
            "core": { "pollinterval": 60, "webdav-root": "remote.php/webdav" },
            "dav": {},
            "files": { "bigfilechunking": false },
        },
    }))
}

async fn user(request: Request) -> Result<Response, Refusal> {
    let owner = User::of(&request)?.require([])?;
    let id = owner.as_str();
    Ok(ocs(&json!({ "id": id, "display-name": id, "email": null })))
}

/// A client that is removed from a device revokes its own app password. A token may end itself, and
/// nothing else.
async fn disconnect(State(dav): State<Dav>, request: Request) -> Result<Response, Refusal> {
    let caller = match User::of(&request)? {
        User::Token(token) => token.require(Requirement::ANY_VALID_TOKEN)?,
        User::Password(_) => return Ok(StatusCode::FORBIDDEN.into_response()),
    };
    let revoked = dav.cloud.tokens.revoke(caller.owner(), caller.id(), Reason::REQUESTED).await;
    Ok(match revoked {
        Ok(_) => ocs(&json!([])),
        Err(error) => Problem::from(error).into_response(),
    })
}

async fn own_files(State(dav): State<Dav>, request: Request) -> Result<Response, Refusal> {
    serve(&dav, "/remote.php/webdav", None, request).await
}

async fn files_of(
    State(dav): State<Dav>,
    Path(path): Path<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Refusal> {
    let user = path.into_iter().next().map(|(_, user)| user).unwrap_or_default();
    serve(&dav, &format!("/remote.php/dav/files/{user}"), Some(&user), request).await
}

/// Serves the owner's files, with the headers that a sync client needs after a change.
async fn serve(
    dav: &Dav,
    prefix: &str,
    user: Option<&str>,
    request: Request,
) -> Result<Response, Refusal> {
    let owner = User::of(&request)?.require(Space::Files.needed_for(request.method()))?;
    if !is_of(dav, user, &owner).await? {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    let place = match dav.place(&owner, Space::Files, prefix) {
        Ok(place) => place,
        Err(error) => return Ok(unavailable(&error)),
    };
    let modified =
        request.headers().get(&MTIME).and_then(|value| value.to_str().ok()?.parse().ok());
    let (method, path) = (request.method().clone(), place.path(&request).to_owned());
    let mut answer = match place.answer(request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(unavailable(&error)),
    };
    if answer.status().is_success() && (method == Method::PUT || method.as_str() == "MKCOL") {
        describe(&place, &path, modified, &mut answer);
    }
    Ok(answer)
}

/// Returns whether the path's user is the token's owner: by the id or by the login name.
async fn is_of(dav: &Dav, user: Option<&str>, owner: &Owner) -> Result<bool, Refusal> {
    match user {
        None => Ok(true),
        Some(user) if user == owner.as_str() => Ok(true),
        Some(user) => {
            let named = dav.cloud.accounts.owner_of(user).await.map_err(Refusal::Accounts)?;
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
