//! The users' files, calendars and contacts by WebDAV, CalDAV and CardDAV.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::Owner;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HOST, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, any};
use dav_server::{DavConfig, DavHandler, memls::MemLs};
use folders::{Folder, Holds};

use crate::door::Door;
use crate::scope::Scope;

/// A kind of data, each with scopes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    Files,
    Calendar,
    Contacts,
}

impl Space {
    /// Returns the scopes that a method needs. PROPPATCH and LOCK change things, and a lock on
    /// nothing makes an empty file (RFC 4918, 7.3). An unknown method may do anything.
    pub fn needed_for(self, method: &Method) -> impl Iterator<Item = Scope> {
        let (read, write) = match self {
            Space::Files => (Scope::FilesRead, Scope::FilesWrite),
            Space::Calendar => (Scope::CalendarRead, Scope::CalendarWrite),
            Space::Contacts => (Scope::ContactsRead, Scope::ContactsWrite),
        };
        let (reads, writes) = match method.as_str() {
            "OPTIONS" => (false, false),
            "GET" | "HEAD" | "PROPFIND" | "REPORT" => (true, false),
            "PUT" | "PATCH" | "DELETE" | "MKCOL" | "PROPPATCH" | "LOCK" | "UNLOCK"
            | "MKCALENDAR" | "MKADDRESSBOOK" => (false, true),
            _ => (true, true), // COPY and MOVE, and any unknown method
        };
        reads.then_some(read).into_iter().chain(writes.then_some(write))
    }
}

/// Serves the data of all owners. Cheap to clone.
#[derive(Clone)]
pub struct Dav {
    pub door: Door,
    /// Where each owner has a folder.
    root: Arc<PathBuf>,
    homes: Arc<Mutex<HashMap<Owner, Home>>>,
    /// This server's name in `--public-url`.
    authority: Option<Authority>,
}

/// The data of one owner.
#[derive(Clone)]
struct Home {
    files: Served,
    calendar: Served,
    contacts: Served,
}

/// A folder, and what answers requests to it. Locks are kept in the handler.
#[derive(Clone)]
pub struct Served {
    pub folder: Folder,
    handler: DavHandler,
}

/// Where a request leads.
pub struct Place {
    pub served: Served,
    /// What `dav-server` strips from the path.
    pub prefix: String,
}

impl Place {
    /// Returns the path of a request below the prefix, percent-encoded as it came.
    pub fn path<'r>(&self, request: &'r Request) -> &'r str {
        let path = request.uri().path();
        // The prefix is decoded, the path is not: count the segments.
        let segments = self.prefix.matches('/').count();
        match path.match_indices('/').nth(segments) {
            Some((at, _)) => &path[at..],
            None => "/",
        }
    }
}

impl Dav {
    pub fn new(door: Door, root: PathBuf, public_url: &str) -> Dav {
        let authority = public_url.parse::<Uri>().ok().and_then(|url| url.into_parts().authority);
        Dav { door, root: Arc::new(root), homes: Arc::default(), authority }
    }

    /// Serves a request to the data of the token's owner.
    pub async fn serve(&self, space: Space, prefix: &str, mut request: Request) -> Response {
        let entered = self.door.enter(&mut request).await;
        match entered.and_then(|user| user.require(space.needed_for(request.method()))) {
            Ok(owner) => match self.place(&owner, space, prefix) {
                Ok(place) => self.answer(&place, request).await,
                Err(error) => unavailable(&error),
            },
            Err(refusal) => self.door.answer(&refusal),
        }
    }

    pub fn place(&self, owner: &Owner, space: Space, prefix: &str) -> std::io::Result<Place> {
        let home = self.home(owner)?;
        let served = match space {
            Space::Files => home.files,
            Space::Calendar => home.calendar,
            Space::Contacts => home.contacts,
        };
        Ok(Place { served, prefix: prefix.to_owned() })
    }

    /// Answers a request whose sender may do what it asks for.
    pub async fn answer(&self, place: &Place, request: Request) -> Response {
        let method = request.method().clone();
        if self.leads_elsewhere(request.headers()) {
            let reason = "the destination is on another server; copy within this one\n";
            return (StatusCode::BAD_GATEWAY, reason).into_response();
        }
        if method == Method::GET || method == Method::HEAD {
            match place.served.folder.list(place.path(&request)) {
                Ok(Some(names)) => return guarded(names.into_response()),
                Ok(None) => {}
                Err(error) => return unavailable(&error),
            }
        }
        let config = DavConfig::new().strip_prefix(&*place.prefix);
        let answer = place.served.handler.handle_with(config, request).await;
        let mut answer = answer.map(Body::new);
        if matches!(method.as_str(), "PROPFIND" | "REPORT") {
            answer = with_quoted_etags(answer).await;
        }
        if matches!(method, Method::GET | Method::HEAD) && answer.status().is_success() {
            let attachment = HeaderValue::from_static("attachment");
            answer.headers_mut().insert(CONTENT_DISPOSITION, attachment);
        }
        guarded(answer)
    }

    /// Returns whether COPY or MOVE would leave this server.
    fn leads_elsewhere(&self, headers: &HeaderMap) -> bool {
        let destination = headers.get("destination").and_then(|value| value.to_str().ok());
        let destination = destination.and_then(|value| value.parse::<Uri>().ok());
        let Some(authority) = destination.as_ref().and_then(Uri::authority) else { return false };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host != Some(authority.as_str()) && self.authority.as_ref() != Some(authority)
    }

    fn home(&self, owner: &Owner) -> std::io::Result<Home> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = homes.get(owner) {
            return Ok(home.clone());
        }
        let folder = self.root.join(folder_name(owner));
        let serve = |name, mount, holds, principal: &str| {
            let folder = Folder::open(&folder, name, mount, holds)?;
            let handler = DavHandler::builder()
                .filesystem(Box::new(folder.clone()))
                .principal(principal)
                .locksystem(MemLs::new())
                .build_handler();
            Ok::<_, std::io::Error>(Served { folder, handler })
        };
        // Clients begin with a calendar and an address book, and not all can make one.
        std::fs::create_dir_all(folder.join("calendars/personal"))?;
        std::fs::create_dir_all(folder.join("contacts/personal"))?;
        let home = Home {
            files: serve("files", "", Holds::Files, owner.as_str())?,
            // `dav-server` leaves its prefix out of the links in a REPORT. So there is none.
            calendar: serve("calendars", "/calendars", Holds::Calendars, "/calendars/")?,
            contacts: serve("contacts", "/contacts", Holds::AddressBooks, "/contacts/")?,
        };
        homes.insert(owner.clone(), home.clone());
        Ok(home)
    }
}

/// Returns the name of an owner's folder. What could leave the root is written as `%` and digits.
fn folder_name(owner: &Owner) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_@".contains(c);
    let mut name = String::new();
    for c in owner.as_str().chars() {
        match c {
            '.' if !name.is_empty() => name.push(c),
            c if is_plain(c) => name.push(c),
            c => name.push_str(&format!("%{:X}", u32::from(c))),
        }
    }
    name
}

pub fn routes(dav: &Dav) -> Router {
    let space = |space, prefix| -> MethodRouter<Dav> {
        any(move |State(dav): State<Dav>, request: Request| async move {
            dav.serve(space, prefix, request).await
        })
    };
    let mut router = Router::new();
    for (path, served) in [
        ("/dav", space(Space::Files, "/dav")),
        ("/calendars", space(Space::Calendar, "")),
        ("/contacts", space(Space::Contacts, "")),
    ] {
        router = router
            .route(path, served.clone())
            .route(&format!("{path}/"), served.clone())
            .route(&format!("{path}/{{*path}}"), served);
    }
    // RFC 6764: how a client finds them by the server's name alone.
    let redirect = |to| any(async move || Redirect::permanent(to));
    router
        .route("/.well-known/caldav", redirect("/calendars/"))
        .route("/.well-known/carddav", redirect("/contacts/"))
        .with_state(dav.clone())
}

/// Guards the host's pages against what users have uploaded: a browser runs nothing of it, guesses
/// no type, and saves files instead of showing them. Better still, serve it from another origin.
fn guarded(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Puts the quotes around ETags that `dav-server` 0.11 leaves out of its XML. Without them they
/// differ from those in headers (RFC 4918, 15.6), and clients think that everything changed.
async fn with_quoted_etags(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    // Our own answer, as long as a folder's list.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let (open, close) = ("<D:getetag>", "</D:getetag>");
    let text = String::from_utf8_lossy(&body);
    let mut parts_of_text = text.split(open);
    let mut quoted = parts_of_text.next().unwrap_or_default().to_owned();
    for part in parts_of_text {
        let (etag, rest) = part.split_once(close).unwrap_or(("", part));
        quoted += &format!("{open}&quot;{etag}&quot;{close}{rest}");
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, quoted.into())
}

/// Logs what failed. The client only learns that something did.
pub fn unavailable(error: &std::io::Error) -> Response {
    eprintln!("cloud: files can't be reached: {error}");
    (StatusCode::SERVICE_UNAVAILABLE, "files can't be reached right now; try again\n")
        .into_response()
}
