//! Package registries: Maven, cargo, npm and PyPI, each as small as its client allows.
//!
//! `/api/packages/{owner}/{kind}/…`, as in Forgejo. Packages are their owner's alone, and so need a
//! token of that owner, with `read:package` or `write:package`. They belong to no repository, so a
//! token for some repositories or for public things gets none.

mod cargo;
mod maven;
mod npm;
mod pypi;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path as UrlPath};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::sync::Mutex;

use crate::Forge;
use crate::enter::Visitor;
use crate::problem::Problem;
use crate::scopes::{PACKAGE, Scope};

/// The largest upload, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

pub fn routes() -> Router<Forge> {
    Router::new()
        .nest("/api/packages/{owner}/maven", maven::routes())
        .nest("/api/packages/{owner}/cargo", cargo::routes())
        .nest("/api/packages/{owner}/npm", npm::routes())
        .nest("/api/packages/{owner}/pypi", pypi::routes())
        .layer(DefaultBodyLimit::max(MAX_BYTES))
}

/// All packages on disk.
#[derive(Clone)]
pub struct Packages {
    root: Arc<Path>,
    /// Held while an index is read and written again.
    index: Arc<Mutex<()>>,
}

impl Packages {
    pub fn new(data: &Path) -> Packages {
        Packages { root: data.join("packages").into(), index: Arc::default() }
    }
}

/// A problem as plain text: package clients show it to their user.
struct Text(Problem);

impl From<Problem> for Text {
    fn from(problem: Problem) -> Text {
        Text(problem)
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        self.0.into_text()
    }
}

/// The packages of an owner, for a request that may read or write them.
struct Shelf {
    folder: PathBuf,
    index: Arc<Mutex<()>>,
    /// The rest of the URL's path, decoded.
    path: String,
    /// The URL of these packages, without a slash at the end.
    url: String,
}

impl FromRequestParts<Forge> for Shelf {
    type Rejection = Text;

    /// As in Forgejo, the method decides: GET and HEAD read, all others write.
    async fn from_request_parts(parts: &mut Parts, forge: &Forge) -> Result<Shelf, Text> {
        let caller = Visitor::from_request_parts(parts, forge).await?.caller(forge)?;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let scope = if is_read { Scope::Read(&PACKAGE) } else { Scope::Write(&PACKAGE) };
        caller.require(scope).map_err(|forbidden| forge.forbidden(forbidden))?;
        let names = UrlPath::<HashMap<String, String>>::from_request_parts(parts, forge).await;
        let mut names = names.map_err(|_| Problem::not_found("package"))?.0;
        let owner = names.remove("owner").unwrap_or_default();
        let account = forge.accounts.by_name(&owner);
        let is_own = account.is_some_and(|account| account.owner == *caller.owner());
        if !is_own {
            return Err(Problem::not_found("package, or it is another user's").into());
        }
        Ok(Shelf {
            folder: forge.packages.root.join(caller.owner().as_str()),
            index: forge.packages.index.clone(),
            path: names.remove("path").unwrap_or_default(),
            url: format!("{}/api/packages/{owner}", forge.url),
        })
    }
}

impl Shelf {
    /// Returns the file at a client's path. A path that leads elsewhere, or that a file system may
    /// read in another way, names nothing.
    fn file(&self, path: &str) -> Result<PathBuf, Problem> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
        let is_name = |part: &str| {
            (1..=128).contains(&part.len()) && part.chars().all(is_plain) && !part.starts_with('.')
        };
        if !path.split('/').all(is_name) || path.len() > 512 {
            return Err(Problem::not_found("package"));
        }
        Ok(self.folder.join(path))
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, Problem> {
        match fs::read(self.file(path)?).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                Err(Problem::not_found("package"))
            }
            read => read.map_err(failed),
        }
    }

    /// Reads an index that may not be there yet.
    async fn read_index(&self, path: &str) -> Result<Option<Vec<u8>>, Problem> {
        match self.read(path).await {
            Err(problem) if problem.status == StatusCode::NOT_FOUND => Ok(None),
            read => read.map(Some),
        }
    }

    /// Writes a file whole or not at all. Unless it may be replaced, there must be none.
    async fn write(&self, path: &str, bytes: Vec<u8>, replaces: bool) -> Result<(), Problem> {
        let file = self.file(path)?;
        let written = tokio::task::spawn_blocking(move || {
            let folder = file.parent().ok_or(ErrorKind::InvalidInput)?;
            std::fs::create_dir_all(folder)?;
            let mut part = tempfile::NamedTempFile::new_in(folder)?;
            part.write_all(&bytes)?;
            let kept = if replaces { part.persist(&file) } else { part.persist_noclobber(&file) };
            kept.map(drop).map_err(|error| error.error)
        });
        let written: io::Result<()> = written.await.map_err(|error| failed(error.into()))?;
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Problem::new(
                StatusCode::CONFLICT,
                "this version is there already; publish another version",
            ),
            _ => failed(error),
        })
    }
}

fn failed(error: io::Error) -> Problem {
    Problem::failed("a package", &error)
}

fn malformed(what: &str) -> Text {
    let message = format!("the {what} can't be read; publish with its usual client");
    Text(Problem::new(StatusCode::BAD_REQUEST, message))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
