//! What `dav-server` asks about a file or a folder.

use std::ffi::OsString;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use dav_server::davpath::DavPath;
use dav_server::fs::{DavDirEntry, DavMetaData, FsFuture, FsResult};

use crate::Holds;

#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) found: fs::Metadata,
    /// Of a folder: when something below it last changed.
    pub(crate) stamp: Option<u64>,
    /// What this folder is, if it is one.
    pub(crate) holds: Holds,
}

impl DavMetaData for Meta {
    fn len(&self) -> u64 {
        self.found.len()
    }

    fn modified(&self) -> FsResult<SystemTime> {
        Ok(self.found.modified()?)
    }

    fn is_dir(&self) -> bool {
        self.found.is_dir()
    }

    fn is_symlink(&self) -> bool {
        self.found.is_symlink()
    }

    fn created(&self) -> FsResult<SystemTime> {
        Ok(self.found.created()?)
    }

    fn is_calendar(&self, _path: &DavPath) -> bool {
        self.holds == Holds::Calendars
    }

    fn is_addressbook(&self, _path: &DavPath) -> bool {
        self.holds == Holds::AddressBooks
    }

    /// Length and time alone don't do: a sync client sets the time itself, in whole seconds. The
    /// inode tells a new version from the one that it replaced.
    fn etag(&self) -> Option<String> {
        let age = self.found.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let first = self.stamp.unwrap_or(inode(&self.found));
        let length = if self.is_dir() { 0 } else { self.len() };
        Some(format!("{first:x}-{length:x}-{:x}", age.as_nanos()))
    }
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

/// A line of a folder's list.
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) meta: Meta,
}

impl DavDirEntry for Entry {
    fn name(&self) -> Vec<u8> {
        self.name.as_encoded_bytes().to_vec()
    }

    fn metadata(&self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let meta: Box<dyn DavMetaData> = Box::new(self.meta.clone());
        Box::pin(std::future::ready(Ok(meta)))
    }
}
