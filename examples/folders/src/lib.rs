//! A user's files on disk, served by `dav-server`.
//!
//! `dav-server` has a file system of its own, `LocalFs`. A cloud needs more, and [`Folder`] has it:
//! - An upload that breaks off leaves the old version as it was.
//! - Properties that clients set (PROPPATCH) are kept.
//! - The ETag of a folder changes with everything below it, so that a sync client asks for one
//!   folder and knows whether anything changed.
//! - Each file has an id that stays when it is renamed.
//!
//! [`Place`] answers requests to a folder. It keeps from `dav-server` what would make it panic, and
//! brings locks that end.
//!
//! Nothing here knows about tokens. Nor does it keep browsers from running what users upload: the
//! host does so for all its answers.

mod file;
mod guard;
mod locks;
mod meta;
mod notes;
mod serve;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavFileSystem, DavMetaData, DavProp, FsError, FsFuture, FsResult,
    FsStream, OpenOptions, ReadDirMeta,
};
use futures_util::stream;
use http::StatusCode;

use file::{Download, ReadLimit, Upload};
use meta::{Entry, Meta};
use notes::Notes;

pub use serve::{Place, Served};

/// What the folders directly below a [`Folder`]'s root are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Plain folders.
    Files,
    /// Calendars (RFC 4791).
    Calendars,
    /// Address books (RFC 6352).
    AddressBooks,
}

/// A folder on disk that `dav-server` serves. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Inner>, ReadLimit);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Beside the root, so that a finished upload is renamed within one file system.
    uploads: PathBuf,
    /// The path at which requests see the root: empty, or such as `/calendars`.
    mount: &'static str,
    holds: Holds,
    notes: Mutex<Notes>,
}

impl Folder {
    /// Opens `home/name`, and makes it if it is missing.
    ///
    /// Requests see it below `mount`, after `dav-server` has stripped its own prefix. Nothing
    /// outside of `home/name` can be reached, also not by the `Destination` of a MOVE.
    pub fn open(home: &Path, name: &str, mount: &'static str, holds: Holds) -> io::Result<Folder> {
        let (root, uploads) = (home.join(name), home.join("uploads"));
        fs::create_dir_all(&root)?;
        fs::create_dir_all(&uploads)?;
        remove_remains(&uploads)?;
        let notes = Notes::open(home.join(format!("{name}.properties.json")))?;
        let inner = Inner { root, uploads, mount, holds, notes: Mutex::new(notes) };
        Ok(Folder(Arc::new(inner), ReadLimit::default()))
    }

    /// Returns the same folder, for one request that may read only so much.
    pub(crate) fn limited(&self, limit: ReadLimit) -> Folder {
        Folder(self.0.clone(), limit)
    }

    /// Returns the names in a folder, those of folders with a slash behind, or `None` if this path
    /// is no folder.
    pub fn list(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        let at = DavPath::new(path).ok().and_then(|path| self.real(&path).ok());
        let Some(at) = at.filter(|at| at.is_dir()) else { return Ok(None) };
        let mut names = Vec::new();
        for entry in fs::read_dir(at)? {
            let entry = entry?;
            let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
            names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
        }
        names.sort();
        Ok(Some(names))
    }

    /// Returns the id and the ETag of what is at a path, for a sync client.
    pub fn id_and_etag(&self, path: &str) -> Option<(String, String)> {
        let at = self.relative(&DavPath::new(path).ok()?).ok()?;
        let etag = self.meta(&at).ok()?.etag()?;
        Some((self.id(&at), format!("\"{etag}\"")))
    }

    /// Sets when a file was last modified, as its client remembers it.
    pub fn set_modified(&self, path: &str, seconds: u64) -> io::Result<()> {
        let path = DavPath::new(path).map_err(io::Error::other)?;
        let at = self.relative(&path).map_err(io::Error::from)?;
        let file = fs::File::options().write(true).open(self.0.root.join(&at))?;
        // A time far ahead can't be written in a header any more.
        let seconds = u32::try_from(seconds).map_err(io::Error::other)?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.into()))?;
        self.notes().changed(&at);
        Ok(())
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the path below the root, unless it is too deep. `dav-server` has removed every `..`
    /// before.
    fn relative(&self, path: &DavPath) -> FsResult<PathBuf> {
        self.below_mount(path.as_rel_ospath())
    }

    fn below_mount(&self, path: &Path) -> FsResult<PathBuf> {
        let whole = Path::new("/").join(path);
        let mount = if self.0.mount.is_empty() { "/" } else { self.0.mount };
        let below = whole.strip_prefix(mount).map_err(|_| FsError::NotFound)?;
        match below.components().count() {
            0..=MAX_DEPTH => Ok(below.to_owned()),
            _ => Err(FsError::PathTooLong),
        }
    }

    fn real(&self, path: &DavPath) -> FsResult<PathBuf> {
        Ok(self.0.root.join(self.relative(path)?))
    }

    /// Returns whether a copy or a move makes folders that are too deep. Both paths are as requests
    /// have them, without a prefix. What is not there is not for this to refuse.
    fn is_too_deep(&self, from: &Path, to: &Path) -> bool {
        let (Ok(from), Ok(to)) = (self.below_mount(from), self.below_mount(to)) else {
            return false;
        };
        let mut found = vec![(self.0.root.join(from), to.components().count())];
        while let Some((at, depth)) = found.pop() {
            if depth > MAX_DEPTH {
                return true;
            }
            if fs::symlink_metadata(&at).is_ok_and(|found| found.is_dir())
                && let Ok(entries) = fs::read_dir(at)
            {
                found.extend(entries.flatten().map(|entry| (entry.path(), depth + 1)));
            }
        }
        false
    }

    fn id(&self, at: &Path) -> String {
        format!("{:016x}", self.notes().id(at))
    }

    fn meta(&self, at: &Path) -> io::Result<Meta> {
        let found = fs::metadata(self.0.root.join(at))?;
        Ok(self.describe(at, found))
    }

    fn describe(&self, at: &Path, found: fs::Metadata) -> Meta {
        let stamp = found.is_dir().then(|| self.notes().stamp(at));
        let is_collection = found.is_dir() && at.components().count() == 1;
        Meta { found, stamp, holds: if is_collection { self.0.holds } else { Holds::Files } }
    }

    /// Returns the properties that a client may read but not set.
    fn live(&self, at: &Path, name: &str) -> Option<DavProp> {
        let make = |prefix: &str, namespace: &str, value: String| {
            DavProp::new(name.into(), prefix.into(), namespace.into(), value)
        };
        let is_dir = || self.0.root.join(at).is_dir();
        match name {
            "id" | "fileid" => Some(make("oc", OWNCLOUD, self.id(at))),
            // Read, share-less: delete, rename, move, write; in a folder create files and folders.
            "permissions" if is_dir() => Some(make("oc", OWNCLOUD, "RGDNVCK".into())),
            "permissions" => Some(make("oc", OWNCLOUD, "RGDNVW".into())),
            "getctag" if self.0.holds != Holds::Files => {
                Some(make("cs", CALENDAR_SERVER, self.meta(at).ok()?.etag()?))
            }
            "addressbook-home-set"
                if self.0.holds == Holds::AddressBooks && at.as_os_str().is_empty() =>
            {
                let home = format!("<D:href xmlns:D=\"DAV:\">{}/</D:href>", self.0.mount);
                Some(make("CARD", CARDDAV, home))
            }
            _ => None,
        }
    }
}

const OWNCLOUD: &str = "http://owncloud.org/ns";
const CALENDAR_SERVER: &str = "http://calendarserver.org/ns/";
const CARDDAV: &str = "urn:ietf:params:xml:ns:carddav";

/// How deep folders may lie in each other. `dav-server` calls itself for each, so a thousand would
/// end the process.
const MAX_DEPTH: usize = 100;

/// Removes uploads that broke off because the program was killed. One that still runs is younger.
fn remove_remains(uploads: &Path) -> io::Result<()> {
    for entry in fs::read_dir(uploads)? {
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age > Duration::from_secs(24 * 60 * 60) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Runs blocking work beside the async tasks of this thread.
fn blocking<'a, T: Send + 'a>(work: impl FnOnce() -> FsResult<T> + Send + 'a) -> FsFuture<'a, T> {
    Box::pin(async move { tokio::task::block_in_place(work) })
}

impl DavFileSystem for Folder {
    fn open<'a>(
        &'a self,
        path: &'a DavPath,
        options: OpenOptions,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        blocking(move || {
            let at = self.relative(path)?;
            if options.write {
                return Ok(Box::new(Upload::begin(self.clone(), at, &options)?) as _);
            }
            let file = fs::File::open(self.0.root.join(&at))?;
            Ok(Box::new(Download { file, folder: self.clone(), at }) as _)
        })
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        _meta: ReadDirMeta,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        blocking(move || {
            let at = self.relative(path)?;
            let mut entries = Vec::new();
            for entry in fs::read_dir(self.0.root.join(&at))? {
                let entry = entry?;
                let found = entry.metadata()?;
                let meta = self.describe(&at.join(entry.file_name()), found);
                let entry = Entry { name: entry.file_name(), meta };
                entries.push(Ok(Box::new(entry) as Box<dyn DavDirEntry>));
            }
            Ok(Box::pin(stream::iter(entries)) as _)
        })
    }

    fn metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        blocking(move || Ok(Box::new(self.meta(&self.relative(path)?)?) as _))
    }

    fn symlink_metadata<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, Box<dyn DavMetaData>> {
        blocking(move || {
            let at = self.relative(path)?;
            let found = fs::symlink_metadata(self.0.root.join(&at))?;
            Ok(Box::new(self.describe(&at, found)) as _)
        })
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        blocking(move || {
            fs::create_dir(self.real(path)?)?;
            self.notes().changed(&self.relative(path)?);
            Ok(())
        })
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        blocking(move || {
            let at = self.relative(path)?;
            if at.as_os_str().is_empty() {
                return Err(FsError::Forbidden); // the root stays
            }
            fs::remove_dir(self.0.root.join(&at))?;
            Ok(self.notes().removed(&at)?)
        })
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath) -> FsFuture<'a, ()> {
        blocking(move || {
            fs::remove_file(self.real(path)?)?;
            Ok(self.notes().removed(&self.relative(path)?)?)
        })
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        blocking(move || {
            fs::rename(self.real(from)?, self.real(to)?)?;
            Ok(self.notes().renamed(&self.relative(from)?, &self.relative(to)?)?)
        })
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath) -> FsFuture<'a, ()> {
        blocking(move || {
            let to = self.relative(to)?;
            let mut copy = tempfile::NamedTempFile::new_in(&self.0.uploads)?;
            io::copy(&mut fs::File::open(self.real(from)?)?, &mut copy)?;
            copy.persist(self.0.root.join(&to)).map_err(|error| error.error)?;
            Ok(self.notes().copied(&self.relative(from)?, &to)?)
        })
    }

    fn have_props<'a>(
        &'a self,
        _path: &'a DavPath,
    ) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        blocking(move || {
            let at = self.relative(path)?;
            self.notes().patch(&at, &patch)?;
            let done = |prop: DavProp| (StatusCode::OK, DavProp { xml: None, ..prop });
            Ok(patch.into_iter().map(|(_, prop)| done(prop)).collect())
        })
    }

    fn get_props<'a>(&'a self, path: &'a DavPath, _do_content: bool) -> FsFuture<'a, Vec<DavProp>> {
        blocking(move || {
            let at = self.relative(path)?;
            let mut properties = self.notes().properties(&at);
            // `dav-server` asks for no property of RFC 6352 by its name.
            properties.extend(self.live(&at, "addressbook-home-set"));
            Ok(properties)
        })
    }

    fn get_prop<'a>(&'a self, path: &'a DavPath, prop: DavProp) -> FsFuture<'a, Vec<u8>> {
        blocking(move || {
            let at = self.relative(path)?;
            let found = self.notes().property(&at, &prop);
            let live =
                || self.live(&at, &prop.name).filter(|live| live.namespace == prop.namespace);
            found.or_else(live).and_then(|prop| prop.xml).ok_or(FsError::NotFound)
        })
    }
}
