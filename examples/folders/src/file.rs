//! A file while it is read, and a new version while it is written.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use dav_server::fs::{DavFile, DavMetaData, FsError, FsFuture, FsResult, OpenOptions};
use tempfile::NamedTempFile;

use crate::{Folder, blocking};

/// How many bytes a request may still read. `None` is any number.
///
/// A REPORT reads files whole, and `dav-server` keeps all of them in memory. A request may name a
/// file a thousand times.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadLimit(Option<Arc<Mutex<Left>>>);

#[derive(Debug)]
struct Left {
    bytes: usize,
    is_exceeded: bool,
}

impl ReadLimit {
    pub(crate) fn of(bytes: usize) -> ReadLimit {
        ReadLimit(Some(Arc::new(Mutex::new(Left { bytes, is_exceeded: false }))))
    }

    /// Returns whether the request wanted more. What it read then is not all.
    pub(crate) fn is_exceeded(&self) -> bool {
        let left = self.0.as_ref().map(|left| left.lock().unwrap_or_else(PoisonError::into_inner));
        left.is_some_and(|left| left.is_exceeded)
    }

    fn take(&self, count: usize) -> FsResult<()> {
        let Some(left) = &self.0 else { return Ok(()) };
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        match left.bytes.checked_sub(count) {
            Some(bytes) => left.bytes = bytes,
            None => {
                left.is_exceeded = true;
                return Err(FsError::TooLarge);
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) file: fs::File,
    pub(crate) folder: Folder,
    pub(crate) at: PathBuf,
}

impl DavFile for Download {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        // Of the file that is open: the path may have a newer one.
        blocking(|| Ok(Box::new(self.folder.describe(&self.at, self.file.metadata()?)) as _))
    }

    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        blocking(move || {
            // Before there is room for it: a file may be longer than the memory.
            self.folder.1.take(count)?;
            let mut buffer = vec![0; count];
            let length = self.file.read(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer.into())
        })
    }

    fn seek(&mut self, position: SeekFrom) -> FsFuture<'_, u64> {
        blocking(move || Ok(self.file.seek(position)?))
    }

    fn write_buf(&mut self, _: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        blocking(|| Err(FsError::Forbidden))
    }

    fn write_bytes(&mut self, _: Bytes) -> FsFuture<'_, ()> {
        blocking(|| Err(FsError::Forbidden))
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        blocking(|| Ok(()))
    }
}

/// A new version of a file. It becomes the file when it is complete. If it is dropped before, the
/// old version stays, and what was written is removed.
#[derive(Debug)]
pub(crate) struct Upload {
    written: Option<NamedTempFile>,
    folder: Folder,
    at: PathBuf,
    /// How many bytes were announced, and how many have come.
    announced: Option<u64>,
    count: u64,
    /// Whether there must be no file yet.
    is_new: bool,
}

impl Upload {
    pub(crate) fn begin(folder: Folder, at: PathBuf, options: &OpenOptions) -> FsResult<Upload> {
        let target = folder.0.root.join(&at);
        if target.is_dir() {
            return Err(FsError::Forbidden);
        }
        if !target.parent().is_some_and(Path::is_dir) {
            return Err(FsError::NotFound);
        }
        match target.exists() {
            true if options.create_new => return Err(FsError::Exists),
            false if !options.create && !options.create_new => return Err(FsError::NotFound),
            // LOCK makes an empty file this way, and never says that it is complete.
            false if !options.truncate => drop(fs::File::create_new(&target)?),
            _ => {}
        }
        let mut written = NamedTempFile::new_in(&folder.0.uploads)?;
        if !options.truncate {
            std::io::copy(&mut fs::File::open(&target)?, &mut written)?;
            if !options.append {
                written.rewind()?;
            }
        }
        let (announced, is_new) = (options.size, options.create_new);
        Ok(Upload { written: Some(written), folder, at, announced, count: 0, is_new })
    }

    fn write(&mut self, bytes: &[u8]) -> FsResult<()> {
        self.count += bytes.len() as u64;
        self.written.as_mut().ok_or(FsError::GeneralFailure)?.write_all(bytes)?;
        Ok(())
    }

    fn complete(&mut self) -> FsResult<()> {
        let Some(written) = self.written.take() else { return Ok(()) };
        if self.announced.is_some_and(|announced| announced != self.count) {
            return Err(FsError::GeneralFailure);
        }
        // Otherwise a power failure could leave an empty file under the old name.
        written.as_file().sync_data()?;
        let target = self.folder.0.root.join(&self.at);
        let placed =
            if self.is_new { written.persist_noclobber(target) } else { written.persist(target) };
        placed.map_err(|error| error.error)?;
        self.folder.notes().changed(&self.at);
        Ok(())
    }
}

impl DavFile for Upload {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        blocking(|| Ok(Box::new(self.folder.meta(&self.at)?) as _))
    }

    fn write_buf(&mut self, mut buffer: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        blocking(move || {
            while buffer.has_remaining() {
                self.write(buffer.chunk())?;
                buffer.advance(buffer.chunk().len());
            }
            Ok(())
        })
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        blocking(move || self.write(&bytes))
    }

    fn read_bytes(&mut self, _: usize) -> FsFuture<'_, Bytes> {
        blocking(|| Err(FsError::Forbidden))
    }

    fn seek(&mut self, position: SeekFrom) -> FsFuture<'_, u64> {
        blocking(move || {
            let written = self.written.as_mut().ok_or(FsError::GeneralFailure)?;
            // A byte behind a hole would make a file of any length, which the next copy fills.
            let length = written.as_file().metadata()?.len();
            if matches!(position, SeekFrom::Start(start) if start > length) {
                return Err(FsError::TooLarge);
            }
            Ok(written.seek(position)?)
        })
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        blocking(|| self.complete())
    }
}
