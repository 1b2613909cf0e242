//! What answers requests to a folder: `dav-server`, with what it lacks.

use std::fmt;
use std::io;
use std::path::Path;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use dav_server::{DavConfig, DavHandler};
use maud::{DOCTYPE, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::file::ReadLimit;
use crate::guard::{ELSEWHERE, guard};
use crate::locks::Locks;
use crate::{Folder, Holds};

/// A folder, and what answers requests to it. Cheap to clone. Locks are kept here.
#[derive(Clone)]
pub struct Served {
    /// The folder.
    pub folder: Folder,
    handler: DavHandler,
    locks: Locks,
}

impl Served {
    /// Opens a folder, as [`Folder::open`] does. `principal` is the user, or where a calendar
    /// client finds what the user has.
    pub fn open(
        home: &Path,
        name: &str,
        mount: &'static str,
        holds: Holds,
        principal: &str,
    ) -> io::Result<Served> {
        let folder = Folder::open(home, name, mount, holds)?;
        let handler = DavHandler::builder()
            .filesystem(Box::new(folder.clone()))
            .principal(principal)
            .build_handler();
        let locks = Locks::new(folder.clone());
        Ok(Served { folder, handler, locks })
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// How many bytes of files a REPORT reads at most: some ten thousand events or contacts.
const MAX_REPORT: usize = 32 * 1024 * 1024;

/// Where a request leads.
#[derive(Debug)]
pub struct Place {
    /// The folder, and what answers requests to it.
    pub served: Served,
    /// The beginning of the path that is no part of the folder. `dav-server` leaves it out of the
    /// links in a REPORT, so it must be empty where there are calendars or address books.
    pub prefix: String,
    /// This server's public name. COPY may name it as the destination.
    pub authority: Option<Authority>,
}

impl Place {
    fn config(&self, request: &Request) -> DavConfig {
        let locks = self.served.locks.asked_by(request.headers());
        DavConfig::new().strip_prefix(&*self.prefix).locksystem(locks)
    }

    async fn handle(&self, request: Request) -> Response {
        let config = self.config(&request);
        self.served.handler.handle_with(config, request).await.map(Body::new)
    }

    /// Answers a REPORT. An answer that left something out would look as if it had been deleted.
    async fn report(&self, request: Request) -> Response {
        let limit = ReadLimit::of(MAX_REPORT);
        let folder = self.served.folder.limited(limit.clone());
        let config = self.config(&request).filesystem(Box::new(folder));
        let answer = self.served.handler.handle_with(config, request).await.map(Body::new);
        if limit.is_exceeded() {
            let reason = "this is too much for one answer; ask for fewer\n";
            return (StatusCode::INSUFFICIENT_STORAGE, reason).into_response();
        }
        answer
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

    /// Answers a request whose sender may do what it asks for.
    ///
    /// # Errors
    /// An error if a folder can't be listed. It is for the log.
    pub async fn answer(&self, request: Request) -> io::Result<Response> {
        let method = request.method().clone();
        if self.leads_elsewhere(request.headers()) {
            return Ok(ELSEWHERE.into_response());
        }
        let request = match guard(request, &self.prefix, &self.served.folder).await {
            Ok(request) => request,
            Err(refused) => return Ok(refused.into_response()),
        };
        let makes_lock = method.as_str() == "LOCK" && !request.body().is_end_stream();
        if makes_lock && !self.served.locks.have_room() {
            let reason = "there are too many locks; remove some, or wait until they end\n";
            return Ok((StatusCode::INSUFFICIENT_STORAGE, reason).into_response());
        }
        if matches!(method, Method::GET | Method::HEAD)
            && let Some(names) = self.served.folder.list(self.path(&request))?
        {
            return Ok(listed(request.uri().path(), &names));
        }
        let mut answer = match method.as_str() {
            "MKCALENDAR" => make_calendar(self, request).await,
            "REPORT" => self.report(request).await,
            _ => self.handle(request).await,
        };
        if matches!(method.as_str(), "PROPFIND" | "REPORT") && answer.status().is_success() {
            answer = mended(answer).await;
        }
        Ok(answer)
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
        *set.method_mut() = Method::from_bytes(b"PROPPATCH").expect("a method");
        set.headers_mut().remove(CONTENT_LENGTH);
        // The calendar is there. A property that can't be set doesn't undo that.
        let _properties = place.handle(set).await;
    }
    made
}

/// What may stand in a link as it is.
const IN_LINK: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// Lists a folder for people, and for clients that know HTTP only. A browser may show it: names are
/// escaped.
///
/// A link is read from the last slash of the folder's path, so what is behind it comes first.
fn listed(path: &str, names: &[String]) -> Response {
    let last = path.rsplit('/').next().filter(|last| !last.is_empty());
    let folder = last.map(|last| format!("./{last}/")).unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        meta charset="utf-8";
        ul {
            @for name in names {
                li { a href={ (folder) (utf8_percent_encode(name, IN_LINK)) } { (name) } }
            }
        }
    };
    ([(CONTENT_DISPOSITION, "inline")], Html(page.into_string())).into_response()
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
