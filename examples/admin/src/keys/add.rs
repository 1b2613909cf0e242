//! Adds a key to a key file, wholly or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use app_tokens::KeyRing;
use zeroize::Zeroizing;

use crate::problem::{Exit, Problem};

/// Adds a key for an import.
///
/// The new ring is written beside the file and takes its name then. So a crash leaves the old ring
/// or the new one, and a host that starts meanwhile reads one of them.
pub fn add_import(path: &Path) -> Result<(), Problem> {
    // A link stays one: what it leads to is replaced.
    let path = fs::canonicalize(path)
        .map_err(|why| Problem::failed(format_args!("{} can't be used: {why}", path.display())))?;
    let draft = Draft::begin(&path)?;
    // Only now, as the draft keeps others out: none of them adds a second key.
    if KeyRing::load(&path)?.has_import_key() {
        let why = "the ring has a key for an import; it never changes, so nothing was done";
        return Err(Problem::new(Exit::Refused, why));
    }
    let old = Zeroizing::new(fs::read_to_string(&path)?);
    let key = Zeroizing::new(KeyRing::new_import_text()?);
    // Allocated once, since a text that grows leaves copies behind that are not wiped.
    let mut new = Zeroizing::new(String::with_capacity(old.len() + key.len() + 2));
    new.push_str(old.trim_end().trim_end_matches(','));
    new.push(',');
    new.push_str(&key);
    new.push('\n');
    // What a host would say of it is asked before it is the host's.
    if !KeyRing::parse(&new)?.has_import_key() {
        return Err(Problem::failed("the new ring can't be read, so nothing was done"));
    }
    draft.take_the_place_of(&path, new.as_bytes())
}

/// The new file, under a name that no other run can have. Removed if it is dropped.
struct Draft {
    path: PathBuf,
    file: File,
}

impl Draft {
    fn begin(beside: &Path) -> Result<Draft, Problem> {
        let mut path = beside.as_os_str().to_owned();
        path.push(".import.new");
        let path = PathBuf::from(path);
        let file = private(OpenOptions::new().write(true).create_new(true)).open(&path);
        let file = file.map_err(|why| {
            let path = path.display();
            Problem::failed(match why.kind() {
                io::ErrorKind::AlreadyExists => format!(
                    "{path} exists: another run adds a key, or was stopped; if none runs, delete it"
                ),
                _ => format!("{path} can't be made: {why}"),
            })
        })?;
        Ok(Draft { path, file })
    }

    fn take_the_place_of(mut self, path: &Path, text: &[u8]) -> Result<(), Problem> {
        keep_owner(&self.file, path)?;
        self.file.write_all(text)?;
        // Durable before it gets its name: after a crash the path names a whole ring.
        self.file.sync_all()?;
        fs::rename(&self.path, path)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // ignored: after the rename there is none
        _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Gives the new file to the old one's owner: a host could not read a file of root.
#[cfg(unix)]
fn keep_owner(file: &File, old: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let (new, old) = (file.metadata()?, fs::metadata(old)?);
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(file, Some(old.uid()), Some(old.gid())).map_err(|why| {
        Problem::failed(format_args!(
            "the new key file can't be given to the old one's owner: {why}; run it as that user"
        ))
    })
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Path) -> Result<(), Problem> {
    Ok(())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
