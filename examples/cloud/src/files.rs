//! The users' files by WebDAV, with app tokens only: the main password is refused here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::access::ScopeName;
use app_tokens::error::Forbidden;
use app_tokens::web::{Login, Refusal, TokenLayer};
use app_tokens::{Authenticated, Caller, Owner, Requirement};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use dav_server::{DavHandler, localfs::LocalFs, memfs::MemFs, memls::MemLs};
use shared::log;

use crate::{Cloud, Error};

/// What a token may do with files.
#[derive(Clone, Copy)]
pub enum Files {
    Read,
    Write,
}

impl ScopeName for Files {
    fn name(&self) -> &'static str {
        match self {
            Files::Read => "files:read",
            Files::Write => "files:write",
        }
    }

    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Files::Read => &["files:write"],
            Files::Write => &[],
        }
    }
}

/// Returns the scopes that a WebDAV method needs. PROPPATCH and LOCK change things, and a lock on
/// nothing makes an empty file (RFC 4918, 7.3). An unknown method may do anything.
fn needed_for(method: &Method) -> &'static [Files] {
    match method.as_str() {
        "OPTIONS" => &[],
        "GET" | "HEAD" | "PROPFIND" => &[Files::Read],
        "PUT" | "PATCH" | "DELETE" | "MKCOL" | "PROPPATCH" | "LOCK" | "UNLOCK" => &[Files::Write],
        _ => &[Files::Read, Files::Write], // COPY and MOVE, and any unknown method
    }
}

fn caller(token: Authenticated, method: &Method) -> Result<Caller, Forbidden> {
    let caller = token.require(Requirement::ANY_VALID_TOKEN)?;
    for scope in needed_for(method) {
        caller.require(*scope)?;
    }
    Ok(caller)
}

/// The folders of the owners, each made when its owner first comes.
#[derive(Clone)]
struct Folders {
    files: Option<Arc<PathBuf>>,
    open: Arc<Mutex<HashMap<Owner, DavHandler>>>,
}

pub fn routes(cloud: &Cloud, files: Option<&Path>) -> Router {
    let folders =
        Folders { files: files.map(|files| Arc::new(files.into())), open: Arc::default() };
    Router::new()
        .route("/dav", any(serve))
        .route("/dav/", any(serve))
        .route("/dav/{*path}", any(serve))
        .route_layer(TokenLayer::new(Login::new(cloud.tokens.clone(), cloud.accounts.clone())))
        .with_state(folders)
}

async fn serve(
    State(folders): State<Folders>,
    token: Authenticated,
    request: Request,
) -> Result<Response, Refusal> {
    let caller = caller(token, request.method())?;
    match folders.of(caller.owner()) {
        Ok(folder) => Ok(folder.handle(request).await.map(Body::new)),
        Err(error) => {
            log::say(error);
            Ok(StatusCode::SERVICE_UNAVAILABLE.into_response())
        }
    }
}

impl Folders {
    fn of(&self, owner: &Owner) -> Result<DavHandler, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = open.get(owner) {
            return Ok(folder.clone());
        }
        let folder = folder_of(owner, self.files.as_ref().map(|files| &***files))?;
        open.insert(owner.clone(), folder.clone());
        Ok(folder)
    }
}

fn folder_of(owner: &Owner, files: Option<&Path>) -> Result<DavHandler, Error> {
    let dav = DavHandler::builder()
        .strip_prefix("/dav")
        .principal(owner.as_str())
        .locksystem(MemLs::new());
    let Some(files) = files else {
        return Ok(dav.filesystem(MemFs::new()).build_handler());
    };
    let folder = files.join(owner.as_str());
    crate::make_folder(files)?;
    crate::make_folder(&folder)?;
    Ok(dav.filesystem(LocalFs::new(folder, false, false, false)).build_handler())
}
