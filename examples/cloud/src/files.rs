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
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, any};
use dav_server::{DavConfig, DavHandler, memls::MemLs};
use folders::{Folder, Holds};

use crate::door::Door;
use crate::html::escape;
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
    async fn handle(&self, request: Request) -> Response {
        let config = DavConfig::new().strip_prefix(&*self.prefix);
        self.served.handler.handle_with(config, request).await.map(Body::new)
    }

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
                Ok(Some(names)) => return guarded(listed(&names)),
                Ok(None) => {}
                Err(error) => return unavailable(&error),
            }
        }
        let mut answer = match method.as_str() {
            "MKCALENDAR" => make_calendar(place, request).await,
            _ => place.handle(request).await,
        };
        if matches!(method.as_str(), "PROPFIND" | "REPORT") {
            answer = mended(answer).await;
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
        // Some clients put their user name and app password before the host.
        let named = authority.as_str().rsplit('@').next();
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        named != host && named != self.authority.as_ref().map(Authority::as_str)
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

/// Makes a calendar with the name that the client gives it. `dav-server` 0.11 makes it without: it
/// doesn't read the body, which sets properties just as that of PROPPATCH does (RFC 4791, 5.3.1).
async fn make_calendar(place: &Place, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 64 * 1024).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let made = place.handle(Request::from_parts(parts.clone(), Body::empty())).await;
    if made.status() == StatusCode::CREATED && !body.is_empty() {
        let body = String::from_utf8_lossy(&body).replace("mkcalendar", "propertyupdate");
        let mut set = Request::from_parts(parts, body.into());
        *set.method_mut() = Method::from_bytes(b"PROPPATCH").unwrap_or_default();
        set.headers_mut().remove(CONTENT_LENGTH);
        // The calendar is there. A property that can't be set doesn't undo that.
        let _properties = place.handle(set).await;
    }
    made
}

/// Lists a folder for people, and for clients that know HTTP only.
fn listed(names: &[String]) -> Response {
    let line = |name: &String| {
        let link: String = name
            .bytes()
            .map(|byte| match byte {
                b'/' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect();
        format!("<li><a href=\"{link}\">{}</a>\n", escape(name))
    };
    let lines: String = names.iter().map(line).collect();
    Html(format!("<!doctype html>\n<meta charset=utf-8>\n<ul>\n{lines}</ul>\n")).into_response()
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

/// Mends two faults in the XML of `dav-server` 0.11.
///
/// - It leaves out the quotes around ETags. They then differ from those in headers (RFC 4918,
///   15.6), and clients think that everything changed.
/// - It uses prefixes of CalDAV and CardDAV that it has not declared, so strict readers fail.
async fn mended(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    // Our own answer, as long as a folder's list.
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&body);
    let (open, close) = ("<D:getetag>", "</D:getetag>");
    let mut pieces = text.split(open);
    let mut mended = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (etag, rest) = piece.split_once(close).unwrap_or(("", piece));
        mended += &format!("{open}&quot;{etag}&quot;{close}{rest}");
    }
    let root = "<D:multistatus ";
    for (prefix, namespace) in
        [("C", "urn:ietf:params:xml:ns:caldav"), ("CARD", "urn:ietf:params:xml:ns:carddav")]
    {
        let declared = format!("xmlns:{prefix}=\"{namespace}\" ");
        let head = mended.split_once(root).and_then(|(_, rest)| rest.split('>').next());
        if head.is_some_and(|head| !head.contains(declared.trim_end())) {
            mended = mended.replacen(root, &format!("{root}{declared}"), 1);
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, mended.into())
}

/// Logs what failed. The client only learns that something did.
pub fn unavailable(error: &std::io::Error) -> Response {
    eprintln!("cloud: files can't be reached: {error}");
    (StatusCode::SERVICE_UNAVAILABLE, "files can't be reached right now; try again\n")
        .into_response()
}
