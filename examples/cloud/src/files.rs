//! The users' files, calendars and contacts by WebDAV, CalDAV and CardDAV.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use app_tokens::Owner;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{MethodRouter, any};
use folders::{Holds, Place, Served};
use shared::log;

use crate::Cloud;
use crate::door::User;
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
    pub cloud: Cloud,
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

impl Dav {
    pub fn new(cloud: &Cloud, root: PathBuf, public_url: &str) -> Dav {
        let authority = public_url.parse::<Uri>().ok().and_then(|url| url.into_parts().authority);
        let (cloud, root) = (cloud.clone(), Arc::new(root));
        Dav { cloud, root, homes: Arc::default(), authority }
    }

    /// Serves a request to the data of the token's owner.
    pub async fn serve(&self, space: Space, prefix: &str, request: Request) -> Response {
        let needed = space.needed_for(request.method());
        match User::of(&request).and_then(|user| user.require(needed)) {
            Ok(owner) => match self.place(&owner, space, prefix) {
                Ok(place) => {
                    place.answer(request).await.unwrap_or_else(|error| unavailable(&error))
                }
                Err(error) => unavailable(&error),
            },
            Err(refusal) => refusal.into_response(),
        }
    }

    pub fn place(&self, owner: &Owner, space: Space, prefix: &str) -> std::io::Result<Place> {
        let home = self.home(owner)?;
        let served = match space {
            Space::Files => home.files,
            Space::Calendar => home.calendar,
            Space::Contacts => home.contacts,
        };
        Ok(Place { served, prefix: prefix.to_owned(), authority: self.authority.clone() })
    }

    fn home(&self, owner: &Owner) -> std::io::Result<Home> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(home) = homes.get(owner) {
            return Ok(home.clone());
        }
        let folder = self.root.join(folder_name(owner));
        let serve =
            |name, mount, holds, principal| Served::open(&folder, name, mount, holds, principal);
        // Clients begin with a calendar and an address book, and not all can make one.
        std::fs::create_dir_all(folder.join("calendars/personal"))?;
        std::fs::create_dir_all(folder.join("contacts/personal"))?;
        let home = Home {
            files: serve("files", "", Holds::Files, owner.as_str())?,
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

/// Logs what failed. The client only learns that something did.
pub fn unavailable(error: &std::io::Error) -> Response {
    log::say(format_args!("files can't be reached: {error}"));
    (StatusCode::SERVICE_UNAVAILABLE, "files can't be reached right now; try again\n")
        .into_response()
}
