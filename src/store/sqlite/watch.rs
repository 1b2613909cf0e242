//! Whether the file that was opened is still the one at its path. If it was deleted, moved or replaced, the system lets this process
//! write on into a file that nobody will open again: a revocation would be lost, and another process would let the token in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::ffi;

/// How often the file is looked at while nothing is written.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the file, its write-ahead log and the log's index, which all stay in their place while one process has the file open.
#[derive(Clone)]
pub(super) struct Watch(Arc<Watched>);

struct Watched {
    files: Vec<(PathBuf, Identity)>,
    is_gone: AtomicBool,
}

/// Device and number of a file.
type Identity = (u64, u64);

impl Watch {
    /// Of a database that is open.
    pub(super) fn of(path: &Path) -> io::Result<Watch> {
        let mut files = Vec::new();
        if cfg!(unix) {
            // SQLite puts the others beside the file that a symbolic link leads to.
            let real = path.canonicalize()?;
            let beside = |suffix| {
                let mut name = real.clone().into_os_string();
                name.push(suffix);
                PathBuf::from(name)
            };
            for file in [path.to_owned(), beside("-wal"), beside("-shm")] {
                let identity = identity(&file)?;
                files.push((file, identity));
            }
        }
        Ok(Watch(Arc::new(Watched { files, is_gone: AtomicBool::new(false) })))
    }

    /// Of a database that has no file.
    pub(super) fn of_nothing() -> Watch {
        Watch(Arc::new(Watched { files: Vec::new(), is_gone: AtomicBool::new(false) }))
    }

    /// Looks, and notes what it saw for [`Watch::recall`].
    pub(super) fn look(&self) -> rusqlite::Result<()> {
        let is_same =
            |(path, known): &(PathBuf, Identity)| identity(path).is_ok_and(|found| found == *known);
        let is_gone = !self.0.files.iter().all(is_same);
        self.0.is_gone.store(is_gone, Ordering::Relaxed);
        self.recall()
    }

    /// An error, or what is behind it: SQLite hardly ever says that a file is gone.
    pub(super) fn explain(&self, error: rusqlite::Error) -> rusqlite::Error {
        self.look().err().unwrap_or(error)
    }

    /// What the last look saw.
    pub(super) fn recall(&self) -> rusqlite::Result<()> {
        if self.0.is_gone.load(Ordering::Relaxed) { Err(gone()) } else { Ok(()) }
    }
}

/// What SQLite calls it, too.
fn gone() -> rusqlite::Error {
    let text = "the file was deleted, moved or replaced while it was open";
    let code = ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED);
    rusqlite::Error::SqliteFailure(code, Some(text.into()))
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let file = path.metadata()?;
    Ok((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_path: &Path) -> io::Result<Identity> {
    Ok((0, 0))
}
