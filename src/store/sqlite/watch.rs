//! [`Watch`]: checks that the file that was opened is still the one at its path.
//!
//! If the file was deleted, moved or replaced, the system lets this process write into it all the
//! same. No other process opens that file again, so a revocation would be lost there, and another
//! process would accept the token.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ffi;

use super::error::SqliteStoreError;

/// For how many milliseconds readers trust the last check. A check for each look-up would cost more
/// than the look-up itself.
const TRUSTED_MILLIS: u64 = 1000;

/// Watches the file, its write-ahead log and the log's index. SQLite leaves all three in place
/// while any process has the file open.
#[derive(Clone)]
pub(super) struct Watch(Arc<Watched>);

struct Watched {
    files: Vec<(PathBuf, Identity)>,
    begun: Instant,
    /// Until when the last check is trusted, in milliseconds since `begun`; 0 if it found a file
    /// missing or replaced.
    ///
    /// One number that all readers share, without a lock. `Relaxed` is enough: it guards no other
    /// memory, and a reader that sees an old number checks once too often.
    trusted_until: AtomicU64,
}

/// The device and inode of a file, on Unix.
type Identity = (u64, u64);

impl Watch {
    /// Opens a database, and watches it from then on.
    ///
    /// # Errors
    /// The errors of opening it. [`SqliteStoreError::Replaced`] if the file was replaced meanwhile:
    /// the watch would be on another file than the one that was opened.
    pub(super) fn open<T>(
        path: &Path,
        open: impl FnOnce() -> Result<T, SqliteStoreError>,
    ) -> Result<(T, Watch), SqliteStoreError> {
        let before = identity(path);
        let opened = open()?;
        let files = files_of(path).map_err(|error| SqliteStoreError::Failed {
            path: path.into(),
            source: error.into(),
        })?;
        // `before` is an error if the file did not exist and SQLite itself has just made it.
        if before.is_ok_and(|before| before != files[0].1) {
            return Err(SqliteStoreError::new(path, gone()));
        }
        Ok((opened, Watch::new(files.into())))
    }

    /// Makes a watch of no file, for a database in memory.
    pub(super) fn none() -> Watch {
        Watch::new(Vec::new())
    }

    fn new(files: Vec<(PathBuf, Identity)>) -> Watch {
        let (begun, trusted_until) = (Instant::now(), AtomicU64::new(0));
        Watch(Arc::new(Watched { files, begun, trusted_until }))
    }

    /// Checks the files now.
    pub(super) fn check(&self) -> rusqlite::Result<()> {
        self.check_at(self.0.begun.elapsed())
    }

    /// Checks the files, unless a check within the last second found all of them in place.
    pub(super) fn check_cached(&self) -> rusqlite::Result<()> {
        self.check_cached_at(self.0.begun.elapsed())
    }

    /// Replaces an error by its cause if the file is gone: SQLite itself rarely reports that.
    pub(super) fn explain(&self, error: rusqlite::Error) -> rusqlite::Error {
        self.check().err().unwrap_or(error)
    }

    /// Checks the files, at an instant since `begun`.
    fn check_at(&self, now: Duration) -> rusqlite::Result<()> {
        let is_same =
            |(path, known): &(PathBuf, Identity)| identity(path).is_ok_and(|found| found == *known);
        let is_there = self.0.files.iter().all(is_same);
        // 0 ends the trust of all readers at once. The next look-up checks for itself, and finds
        // the file again if it is back.
        let trusted_until = if is_there { milliseconds(now) + TRUSTED_MILLIS } else { 0 };
        self.0.trusted_until.store(trusted_until, Ordering::Relaxed);
        if is_there { Ok(()) } else { Err(gone()) }
    }

    /// Checks the files, unless the last check is still trusted at an instant since `begun`.
    fn check_cached_at(&self, now: Duration) -> rusqlite::Result<()> {
        let is_fresh = milliseconds(now) < self.0.trusted_until.load(Ordering::Relaxed);
        if is_fresh { Ok(()) } else { self.check_at(now) }
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// Returns the files of an open database. The first is the database itself.
fn files_of(path: &Path) -> io::Result<[(PathBuf, Identity); 3]> {
    // If the path is a symbolic link, SQLite puts the other two beside the file that it leads to.
    let real = path.canonicalize()?.into_os_string();
    let beside = |suffix| {
        let mut name = real.clone();
        name.push(suffix);
        PathBuf::from(name)
    };
    let with_identity = |file: PathBuf| identity(&file).map(|identity| (file, identity));
    Ok([
        with_identity(path.into())?,
        with_identity(beside("-wal"))?,
        with_identity(beside("-shm"))?,
    ])
}

/// Makes the error that SQLite itself has for a file that was moved.
fn gone() -> rusqlite::Error {
    let text = "the file was deleted, moved or replaced while it was open";
    let code = ffi::Error::new(ffi::SQLITE_READONLY_DBMOVED);
    rusqlite::Error::SqliteFailure(code, Some(text.into()))
}

/// Reads which file is at a path.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    let file = path.metadata()?;
    Ok((file.dev(), file.ino()))
}

/// Elsewhere every file has the same identity, so the watch never notices anything.
#[cfg(not(unix))]
fn identity(_path: &Path) -> io::Result<Identity> {
    Ok((0, 0))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::rename;

    use tempfile::TempDir;

    use super::*;
    use crate::store::TableName;
    use crate::store::sqlite::open::{Settings, open_writer};
    use crate::store::sqlite::options::SqliteOptions;
    use crate::store::sqlite::reader::Readers;

    /// Makes a database, and another one to put in its place.
    fn two_databases() -> (TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("app.db"), directory.path().join("other.db"));
        for path in [&path, &other] {
            drop(open_writer(path, &SqliteOptions::new()).unwrap());
        }
        (directory, path, other)
    }

    #[test]
    fn readers_check_for_themselves_if_the_last_check_is_a_second_old() {
        let (directory, path, _) = two_databases();
        let (_connection, watch) = open_writer(&path, &SqliteOptions::new()).unwrap();
        let away = directory.path().join("away");
        let check_cached =
            |milliseconds| watch.check_cached_at(Duration::from_millis(milliseconds)).is_ok();
        assert!(check_cached(5000));
        rename(&path, &away).unwrap();
        assert!(check_cached(5999), "no look-up checks again");
        assert!(!check_cached(6000));
        rename(&away, &path).unwrap();
        assert!(check_cached(6000), "what is gone may be back at any time");
        rename(&path, &away).unwrap();
        assert!(check_cached(6999) && !check_cached(7000));
        rename(&away, &path).unwrap();
        assert!(check_cached(7000));
        rename(&path, &away).unwrap();
        assert!(watch.check_at(Duration::from_millis(7001)).is_err());
        assert!(!check_cached(7002), "a check that fails ends the trust of all readers");
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_refused() {
        let (_directory, path, other) = two_databases();
        let opened = Watch::open(&path, || {
            let opened = open_writer(&path, &SqliteOptions::new())?;
            rename(&other, &path).unwrap();
            Ok(opened)
        });
        let Err(error) = opened else { panic!("it writes into a file without a name") };
        assert!(matches!(error, SqliteStoreError::Replaced(_)), "{error}");
    }

    fn open_readers(path: &Path, watch: Watch) -> rusqlite::Result<Readers> {
        let settings = Settings::of(&SqliteOptions::new());
        Readers::open(path, &TableName::default(), settings, watch)
    }

    #[test]
    fn a_file_that_is_replaced_before_the_readers_open_it_is_refused() {
        let (_directory, path, other) = two_databases();
        let (_connection, watch) = open_writer(&path, &SqliteOptions::new()).unwrap();
        rename(&other, &path).unwrap();
        let Err(error) = open_readers(&path, watch) else {
            panic!("reads another file than it writes")
        };
        let error = SqliteStoreError::new(&path, error);
        assert!(matches!(error, SqliteStoreError::Replaced(_)), "{error}");
    }
}
