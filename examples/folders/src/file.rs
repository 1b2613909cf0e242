//! A file while it is read, and a new version while it is written.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use dav_server::fs::{DavFile, DavMetaData, FsError, FsFuture, FsResult, OpenOptions};
use tempfile::NamedTempFile;

use crate::{Folder, blocking};

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
            Ok(self.written.as_mut().ok_or(FsError::GeneralFailure)?.seek(position)?)
        })
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        blocking(|| self.complete())
    }
}
