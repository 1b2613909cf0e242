//! Whether the file that was opened is still the one at its path. If it was deleted, moved or replaced, the system lets this process
//! write on into a file that nobody will open again: a revocation would be lost, and another process would let the token in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ffi;

use super::error::SqliteStoreError;

/// For how many milliseconds those who only read trust the last look.
const FRESH: u64 = 1000;

/// Looks at the file, its write-ahead log and the log's index, which all stay in their place while one process has the file open.
#[derive(Clone)]
pub(super) struct Watch(Arc<Watched>);

struct Watched {
    files: Vec<(PathBuf, Identity)>,
    begun: Instant,
    /// In milliseconds since it was begun: how long a look that found everything in its place is trusted.
    trusted_until: AtomicU64,
}

/// Device and number of a file.
type Identity = (u64, u64);

impl Watch {
    /// Opens a database, and watches it from then on.
    ///
    /// # Errors
    /// Those of opening it, and where the file was replaced meanwhile: the watch would be over another one than was opened.
    pub(super) fn over<T>(
        path: &Path,
        open: impl FnOnce() -> Result<T, SqliteStoreError>,
    ) -> Result<(T, Watch), SqliteStoreError> {
        let before = identity(path);
        let opened = open()?;
        let files = files_of(path).map_err(|error| SqliteStoreError::Failed {
            path: path.into(),
            source: error.into(),
        })?;
        // There is none where the file could only be made by SQLite.
        if before.is_ok_and(|before| before != files[0].1) {
            return Err(SqliteStoreError::new(path, gone()));
        }
        Ok((opened, Watch::new(files.into())))
    }

    /// Of a database that has no file.
    pub(super) fn of_nothing() -> Watch {
        Watch::new(Vec::new())
    }

    fn new(files: Vec<(PathBuf, Identity)>) -> Watch {
        let (begun, trusted_until) = (Instant::now(), AtomicU64::new(0));
        Watch(Arc::new(Watched { files, begun, trusted_until }))
    }

    /// Looks.
    pub(super) fn look(&self) -> rusqlite::Result<()> {
        self.look_at(self.0.begun.elapsed())
    }

    /// Looks, unless somebody has within the last second and found everything in its place.
    pub(super) fn glance(&self) -> rusqlite::Result<()> {
        self.glance_at(self.0.begun.elapsed())
    }

    /// An error, or what is behind it: SQLite hardly ever says that a file is gone.
    pub(super) fn explain(&self, error: rusqlite::Error) -> rusqlite::Error {
        self.look().err().unwrap_or(error)
    }

    fn look_at(&self, now: Duration) -> rusqlite::Result<()> {
        let is_same =
            |(path, known): &(PathBuf, Identity)| identity(path).is_ok_and(|found| found == *known);
        let is_there = self.0.files.iter().all(is_same);
        let trusted_until = if is_there { milliseconds(now) + FRESH } else { 0 };
        self.0.trusted_until.store(trusted_until, Ordering::Relaxed);
        if is_there { Ok(()) } else { Err(gone()) }
    }

    fn glance_at(&self, now: Duration) -> rusqlite::Result<()> {
        let is_fresh = milliseconds(now) < self.0.trusted_until.load(Ordering::Relaxed);
        if is_fresh { Ok(()) } else { self.look_at(now) }
    }
}

fn milliseconds(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// The files of a database that is open, itself first.
fn files_of(path: &Path) -> io::Result<[(PathBuf, Identity); 3]> {
    // SQLite puts the others beside the file that a symbolic link leads to.
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

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::rename;

    use tempfile::TempDir;

    use super::*;
    use crate::store::TableName;
    use crate::store::sqlite::open::open_writer;
    use crate::store::sqlite::reader::Readers;

    /// A database, and another one that comes to its place.
    fn two_databases() -> (TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("app.db"), directory.path().join("other.db"));
        for path in [&path, &other] {
            drop(open_writer(path, &TableName::default()).unwrap());
        }
        (directory, path, other)
    }

    #[test]
    fn those_who_only_read_look_by_themselves_when_the_last_look_is_a_second_old() {
        let (directory, path, _) = two_databases();
        let (_connection, watch) = open_writer(&path, &TableName::default()).unwrap();
        let away = directory.path().join("away");
        let glance = |milliseconds| watch.glance_at(Duration::from_millis(milliseconds)).is_ok();
        assert!(glance(5000));
        rename(&path, &away).unwrap();
        assert!(glance(5999), "nobody looks for each look-up");
        assert!(!glance(6000));
        rename(&away, &path).unwrap();
        assert!(glance(6000), "what is gone may be back at any time");
        rename(&path, &away).unwrap();
        assert!(glance(6001) && !glance(7000));
        assert!(watch.look_at(Duration::from_millis(7000)).is_err());
        assert!(!glance(7000), "by whoever it was seen");
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_refused() {
        let (_directory, path, other) = two_databases();
        let opened = Watch::over(&path, || {
            let opened = open_writer(&path, &TableName::default())?;
            rename(&other, &path).unwrap();
            Ok(opened)
        });
        let Err(error) = opened else { panic!("it writes into a file without a name") };
        assert!(matches!(error, SqliteStoreError::Replaced(_)), "{error}");
    }

    #[test]
    fn a_file_that_is_replaced_before_the_readers_open_it_is_refused() {
        let (_directory, path, other) = two_databases();
        let (_connection, watch) = open_writer(&path, &TableName::default()).unwrap();
        rename(&other, &path).unwrap();
        let Err(error) = Readers::open(&path, &TableName::default(), watch) else {
            panic!("reads another file than it writes")
        };
        let error = SqliteStoreError::new(&path, error);
        assert!(matches!(error, SqliteStoreError::Replaced(_)), "{error}");
    }
}
