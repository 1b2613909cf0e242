//! Package registries: Maven, cargo, npm and PyPI, each as small as its client allows.
//!
//! `/api/packages/{owner}/{kind}/…`, as in Forgejo. The [`Host`] says who may.

mod cargo;
mod maven;
mod npm;
mod pypi;

use std::collections::HashMap;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use app_tokens::Owner;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path as UrlPath};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tokio::fs;
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use crate::Host;
use crate::problem::Problem;

/// The largest upload, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Where an owner's packages are.
pub struct Place {
    folder: PathBuf,
    /// Held while an index is read and written again.
    index: Arc<Mutex<()>>,
    url: String,
}

/// The packages of all owners. Clones share everything.
#[derive(Clone)]
pub struct Packages {
    root: Arc<PathBuf>,
    index: Arc<Mutex<()>>,
}

impl Packages {
    /// Keeps packages in a folder, which need not be there yet.
    pub fn new(root: PathBuf) -> Packages {
        Packages { root: root.into(), index: Arc::default() }
    }

    /// Returns where an owner's are. `url` has no slash at the end.
    pub fn of(&self, owner: &Owner, url: String) -> Place {
        Place { folder: self.root.join(owner.as_str()), index: self.index.clone(), url }
    }
}

/// Returns the routes of all four.
pub fn routes<H: Host>() -> Router<H> {
    Router::new()
        .nest("/api/packages/{owner}/maven", maven::routes())
        .nest("/api/packages/{owner}/cargo", cargo::routes())
        .nest("/api/packages/{owner}/npm", npm::routes())
        .nest("/api/packages/{owner}/pypi", pypi::routes())
        .layer(DefaultBodyLimit::max(MAX_BYTES))
}

/// A problem as plain text: package clients show it to their user.
#[derive(Debug)]
struct Shown(Problem);

impl From<Problem> for Shown {
    fn from(problem: Problem) -> Shown {
        Shown(problem)
    }
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        self.0.into_text()
    }
}

fn not_found() -> Shown {
    Problem::not_found("package").into()
}

fn malformed(what: &str) -> Shown {
    let message = format!("the {what} can't be read; publish with its usual client");
    Problem::new(StatusCode::BAD_REQUEST, message).into()
}

fn failed(error: &io::Error) -> Shown {
    Problem::failed("a package", error).into()
}

/// The packages of an owner, and what a request wants of them.
struct Shelf {
    place: Place,
    /// The rest of the URL's path, decoded.
    path: String,
}

impl<H: Host> FromRequestParts<H> for Shelf {
    type Rejection = Response;

    /// As in Forgejo, the method decides: GET and HEAD read, all others write.
    async fn from_request_parts(parts: &mut Parts, host: &H) -> Result<Shelf, Response> {
        let names = UrlPath::<HashMap<String, String>>::from_request_parts(parts, host).await;
        let mut names = names.map_err(|_| not_found().into_response())?.0;
        let owner = names.remove("owner").unwrap_or_default();
        let writes = !matches!(parts.method, Method::GET | Method::HEAD);
        let place = host.packages(parts, &owner, writes).await;
        let place = place.map_err(Problem::into_text)?;
        Ok(Shelf { place, path: names.remove("path").unwrap_or_default() })
    }
}

impl Shelf {
    /// Returns the file at a client's path. A path that leads elsewhere, or that a file system may
    /// read in another way, names nothing.
    fn file(&self, path: &str) -> Result<PathBuf, Shown> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+@".contains(c);
        let is_name = |part: &str| {
            (1..=128).contains(&part.len()) && part.chars().all(is_plain) && !part.starts_with('.')
        };
        if !path.split('/').all(is_name) || path.len() > 512 {
            return Err(not_found());
        }
        Ok(self.place.folder.join(path))
    }

    async fn read(&self, path: &str) -> Result<Vec<u8>, Shown> {
        match fs::read(self.file(path)?).await {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                Err(not_found())
            }
            read => read.map_err(|error| failed(&error)),
        }
    }

    /// Sends a file piece by piece: a client that reads slowly must not keep it in memory.
    async fn send(&self, path: &str) -> Result<Response, Shown> {
        let file = match fs::File::open(self.file(path)?).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(not_found()),
            file => file.map_err(|error| failed(&error))?,
        };
        let facts = file.metadata().await.map_err(|error| failed(&error))?;
        if !facts.is_file() {
            return Err(not_found());
        }
        let kind = [(CONTENT_TYPE, "application/octet-stream")];
        let body = Body::from_stream(ReaderStream::new(file));
        Ok((kind, [(CONTENT_LENGTH, facts.len())], body).into_response())
    }

    /// Reads an index that may not be there yet.
    async fn read_index(&self, path: &str) -> Result<Option<Vec<u8>>, Shown> {
        match self.read(path).await {
            Err(problem) if problem.0.status == StatusCode::NOT_FOUND => Ok(None),
            read => read.map(Some),
        }
    }

    /// Writes a file whole or not at all. Unless it may be replaced, there must be none.
    async fn write(&self, path: &str, bytes: Vec<u8>, replaces: bool) -> Result<(), Shown> {
        let file = self.file(path)?;
        let written = tokio::task::spawn_blocking(move || {
            let folder = file.parent().ok_or(ErrorKind::InvalidInput)?;
            std::fs::create_dir_all(folder)?;
            let mut part = tempfile::NamedTempFile::new_in(folder)?;
            part.write_all(&bytes)?;
            let kept = if replaces { part.persist(&file) } else { part.persist_noclobber(&file) };
            kept.map(drop).map_err(|error| error.error)
        });
        let written: io::Result<()> = written.await.map_err(|error| failed(&error.into()))?;
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                let message = "this version is there already; publish another version";
                Problem::new(StatusCode::CONFLICT, message).into()
            }
            _ => failed(&error),
        })
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
