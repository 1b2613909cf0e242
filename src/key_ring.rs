//! The keys that seal rows: the ring, its text and its file. They never enter the database.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::key::{ImportKey, KeyId, SealingKey};
use crate::random::{self, RandomSourceFailed};

mod error;

pub use error::KeyRingError;

/// Holds the keys that seal rows: the active one, which seals, and retired ones, which still check.
/// Cheap to clone.
///
/// Its text is `ID:KEY,ID:KEY…`, the active key first. An id is a number from 1 to 4294967295. A
/// key is 32 bytes or more in base64. This makes one:
///
/// ```sh
/// echo "1:$(openssl rand -base64 32)"
/// ```
///
/// Keep it apart from the database, and keep a copy. Without it no token authenticates.
///
/// An entry `import:KEY` is the key by which [imported](crate#features) tokens are found. It seals
/// nothing, and **it can't be retired** while one of them is left: see
/// [`KeyRing::new_import_text`].
#[doc(alias("pepper", "master key"))]
#[derive(Clone)]
pub struct KeyRing {
    /// The active key first. Never empty.
    keys: Arc<[SealingKey]>,
    import: Option<Arc<ImportKey>>,
}

impl KeyRing {
    /// The shortest key, in bytes: the output of SHA-256 (RFC 2104, section 3).
    pub const MIN_KEY_BYTES: usize = 32;

    /// Reads the ring from a file. If there is no file, makes a new ring and writes it there,
    /// readable and writable by its owner only (mode 0600).
    ///
    /// Permissions are set and checked on Unix only. Elsewhere protect the file by other means.
    /// Processes that start at the same time agree on one ring.
    ///
    /// A new key has a random id. So if a ring is lost and a new one is made, rows under the lost
    /// one are not taken for forged ones. Their tokens fail with [`Failed`](crate::error::Failed),
    /// and nothing is issued, until the lost ring is back.
    ///
    /// ```no_run
    /// use app_tokens::KeyRing;
    /// let ring = KeyRing::load_or_create("/etc/acme/app.key")?;
    /// # Ok::<(), app_tokens::error::KeyRingError>(())
    /// ```
    ///
    /// # Errors
    /// [`KeyRingError`] if the file can't be read or written, is not a ring, or is open to other
    /// users.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<KeyRing, KeyRingError> {
        let path = path.as_ref();
        match KeyRing::load(path) {
            Err(KeyRingError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                KeyRing::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the ring from an existing file.
    ///
    /// # Errors
    /// [`KeyRingError`] if the file is missing, can't be read, is not a ring, or is open to other
    /// users. The last is checked on Unix only.
    pub fn load(path: impl AsRef<Path>) -> Result<KeyRing, KeyRingError> {
        let path = path.as_ref();
        if path.to_str().is_some_and(looks_like_a_ring) {
            return Err(KeyRingError::RingGiven("the path of a file"));
        }
        let failed = |error| KeyRingError::File { path: path.into(), error };
        // Checked before it is opened, because opening a pipe waits for a writer.
        refuse_no_file(path).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        refuse_exposed(&file, path)?;
        // Allocated once, since a buffer that grows leaves copies behind that are not wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TEXT + 64));
        // One byte more than allowed, so that a longer file is refused and not cut.
        file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let text = std::str::from_utf8(&bytes);
        text.map_err(|_| KeyRingError::Malformed("the one that is not text".into()))
            .and_then(KeyRing::parse)
            .map_err(|error| KeyRingError::InFile { path: path.into(), error: Box::new(error) })
    }

    /// Reads the ring from an environment variable.
    ///
    /// # Errors
    /// [`KeyRingError`] if the variable is missing or is not a ring.
    pub fn from_env(variable: &str) -> Result<KeyRing, KeyRingError> {
        // A ring that is passed in place of the name must not be echoed in an error. A key alone
        // also has characters that no name has.
        if looks_like_a_ring(variable) || !variable.bytes().all(is_in_names) {
            return Err(KeyRingError::RingGiven("the name of an environment variable"));
        }
        let text =
            std::env::var(variable).map_err(|_| KeyRingError::NoVariable(variable.into()))?;
        KeyRing::parse(&Zeroizing::new(text))
    }

    /// Reads the ring from its text, the active key first. The text has at most 64 KiB.
    ///
    /// # Errors
    /// [`KeyRingError`] if a key is missing, malformed, short, weak or given twice. It never shows
    /// a key.
    ///
    /// ```
    /// use app_tokens::error::KeyRingError;
    /// use app_tokens::KeyRing;
    /// let text = "2:bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE=,1:b2xkIGtleSBvbGQga2V5IG9sZCBrZXkgb2xkIGtleSE=";
    /// assert_eq!(KeyRing::parse(text)?.active_id().as_u32(), 2);
    /// assert!(matches!(KeyRing::parse("1:c2hvcnQ="), Err(KeyRingError::Short { .. })));
    /// # Ok::<(), KeyRingError>(())
    /// ```
    pub fn parse(text: &str) -> Result<KeyRing, KeyRingError> {
        if text.len() > MAX_TEXT {
            return Err(KeyRingError::TooLong);
        }
        let mut entries: Vec<(Purpose, Zeroizing<Vec<u8>>)> = Vec::new();
        for entry in text.trim_ascii().split(',') {
            let (purpose, key) = parse_entry(entry.trim_ascii())?;
            let is_same = |other: &[u8]| *padded(other) == *padded(&key);
            if entries.iter().any(|(other, bytes)| *other == purpose || is_same(bytes)) {
                return Err(KeyRingError::Repeated(purpose.name()));
            }
            entries.push((purpose, key));
        }
        let (mut keys, mut import) = (Vec::new(), None);
        for (purpose, key) in &entries {
            match purpose {
                Purpose::Seal(id) => keys.push(SealingKey::new(*id, key)),
                Purpose::Import => import = Some(Arc::new(ImportKey::new(key))),
            }
        }
        if keys.is_empty() {
            Err(KeyRingError::Empty)
        } else {
            Ok(KeyRing { keys: keys.into(), import })
        }
    }

    /// Makes a new ring in memory, for tests and for tokens that need not outlive the process.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    pub fn ephemeral() -> Result<KeyRing, RandomSourceFailed> {
        let (id, key) = random::draw_key()?;
        Ok(KeyRing { keys: [SealingKey::new(id.into(), &*key)].into(), import: None })
    }

    /// Makes a new ring of one key, as text: for a secrets manager, or to append, after a comma, to
    /// a ring being rolled out.
    ///
    /// The id of the key is random. **The text holds the key: wipe it after use.**
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    ///
    /// ```
    /// use app_tokens::KeyRing;
    /// let ring = KeyRing::parse(&KeyRing::new_text()?)?;
    /// # Ok::<(), app_tokens::error::KeyRingError>(())
    /// ```
    pub fn new_text() -> Result<String, RandomSourceFailed> {
        let (_, mut text) = draw_text()?;
        Ok(mem::take(&mut *text))
    }

    /// Makes a new key for an import, as an entry `import:KEY` to append, after a comma, to a ring.
    ///
    /// Every host needs the same key before the first import. It can't be replaced: without it, no
    /// imported token is found. `admin keys add-import` adds it to a key file. By hand, append a
    /// comma and the text by `>>`, which keeps the file's mode. **Wipe the text after use.**
    ///
    /// ```
    /// use app_tokens::KeyRing;
    /// let text = format!("{}\n,{}\n", KeyRing::new_text()?, KeyRing::new_import_text()?);
    /// assert!(KeyRing::parse(&text)?.has_import_key());
    /// # Ok::<(), app_tokens::error::KeyRingError>(())
    /// ```
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    pub fn new_import_text() -> Result<String, RandomSourceFailed> {
        let (_, key) = random::draw_key()?;
        Ok(mem::take(&mut *entry_text("import", &key)))
    }

    /// Returns whether the ring has a key for an import.
    pub fn has_import_key(&self) -> bool {
        self.import.is_some()
    }

    /// Returns the id of the active key.
    pub fn active_id(&self) -> KeyId {
        self.active().id()
    }

    /// Returns the ids of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(SealingKey::id)
    }

    /// Returns the active key.
    pub(crate) fn active(&self) -> &SealingKey {
        &self.keys[0]
    }

    /// Returns the key with this id; `None` if the ring lacks it.
    pub(crate) fn key(&self, id: KeyId) -> Option<&SealingKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// Returns the key for an import; `None` if the ring lacks it.
    #[cfg(feature = "import")]
    pub(crate) fn import_key(&self) -> Option<&ImportKey> {
        self.import.as_deref()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

/// The longest ring as text, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Standard base64 (RFC 4648, section 4), with or without padding, as `openssl rand -base64` and
/// others write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a key of the ring is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Seal(KeyId),
    Import,
}

impl Purpose {
    /// Reads what stands before the colon.
    fn read(text: &str) -> Option<Purpose> {
        let all_digits =
            !text.is_empty() && text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
        match text {
            "import" => Some(Purpose::Import),
            _ if all_digits => text.parse().ok().and_then(KeyId::new).map(Purpose::Seal),
            _ => None,
        }
    }

    fn name(self) -> Box<str> {
        match self {
            Purpose::Seal(id) => id.to_string().into(),
            Purpose::Import => "import".into(),
        }
    }
}

/// Reads one entry: `ID:KEY`, or `import:KEY`.
fn parse_entry(entry: &str) -> Result<(Purpose, Zeroizing<Vec<u8>>), KeyRingError> {
    if entry.is_empty() {
        return Err(KeyRingError::Empty);
    }
    let Some((purpose, key)) = entry.split_once(':') else {
        return Err(KeyRingError::Malformed("the one without a colon".into()));
    };
    let Some(purpose) = Purpose::read(purpose) else {
        return Err(KeyRingError::Malformed("the one without a number".into()));
    };
    let key =
        Zeroizing::new(BASE64.decode(key).map_err(|_| KeyRingError::Malformed(purpose.name()))?);
    if key.len() < KeyRing::MIN_KEY_BYTES {
        return Err(KeyRingError::Short { key: purpose.name(), bytes: key.len() });
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(KeyRingError::Weak(purpose.name()));
    }
    Ok((purpose, key))
}

/// Returns the key as HMAC uses it: hashed if it is longer than a block, and padded with zeros.
///
/// Two keys that differ only before that make the same seals, so they count as equal.
fn padded(key: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 64]);
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    block
}

/// Returns whether a text holds an entry of a ring. Such a text must not be echoed.
fn looks_like_a_ring(text: &str) -> bool {
    text.split(',').any(|entry| {
        entry.trim_ascii().split_once(':').is_some_and(|(id, key)| {
            !id.is_empty()
                && (id == "import" || id.bytes().all(|byte| byte.is_ascii_digit()))
                && key.bytes().take_while(|byte| is_base64(*byte)).count() >= MIN_ENCODED
        })
    })
}

/// How many characters of base64 the shortest key takes, without padding.
const MIN_ENCODED: usize = KeyRing::MIN_KEY_BYTES * 4 / 3;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/".contains(&byte)
}

/// Returns whether a variable's name may have this character: letters, digits and `_`.
fn is_in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Refuses what is not a file: a folder, a pipe, or a link to nowhere.
///
/// A link to nowhere does not count as a missing file. Otherwise a new ring would be made where the
/// old one is merely not mounted.
fn refuse_no_file(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(io::Error::other("it is not a file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => {
            Err(io::Error::other("it is a link to a file that does not exist"))
        }
        Err(error) => Err(error),
    }
}

/// Draws a ring of one key, as text.
fn draw_text() -> Result<(KeyId, Zeroizing<String>), RandomSourceFailed> {
    let (id, key) = random::draw_key()?;
    Ok((id.into(), entry_text(id, &key)))
}

/// Writes one entry.
fn entry_text(purpose: impl fmt::Display, key: &[u8; 32]) -> Zeroizing<String> {
    // Allocated once, since a text that grows leaves copies behind that are not wiped.
    let mut text = Zeroizing::new(String::with_capacity(128));
    text.push_str(&format!("{purpose}:"));
    BASE64.encode_string(key, &mut text);
    text
}

/// Writes a new ring to `path`, wholly or not at all. A ring that another process wrote meanwhile
/// stays.
///
/// The hard link makes it safe: it fails if the path exists. A rename would replace a ring that
/// another process already uses. Writing to the path itself could leave half a ring after a crash.
fn create(path: &Path) -> Result<(), KeyRingError> {
    let failed = |error| KeyRingError::File { path: path.into(), error };
    let (id, mut text) = draw_text()?;
    let mut draft = path.as_os_str().to_owned();
    // Named after the random id, so that two processes write two drafts.
    draft.push(format!(".{id}.new"));
    text.push('\n');

    let draft = PathBuf::from(draft);
    let mut file =
        private(OpenOptions::new().write(true).create_new(true)).open(&draft).map_err(failed)?;
    // Durable before it gets its name: after a crash the path names a whole ring or nothing.
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        // Another process was faster. Its ring is the one, and this one was never used.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // Removed before the outcome is looked at, so that a failure leaves no copy of the key.
    fs::remove_file(&draft).map_err(failed)?;
    linked.and_then(|()| sync_folder(path)).map_err(failed)
}

/// Lets only the file's owner read and write it, from its first byte on.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Refuses a file that users other than its owner may read, write or run.
///
/// Looks at the opened file and not at its path, which may name another file by now.
#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), KeyRingError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata =
        file.metadata().map_err(|error| KeyRingError::File { path: path.into(), error })?;
    if !metadata.is_file() {
        let error = io::Error::other("it is not a file");
        return Err(KeyRingError::File { path: path.into(), error });
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyRingError::Exposed { path: path.into(), mode });
    }
    Ok(())
}

/// Checks nothing: other systems have no such permission bits.
#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), KeyRingError> {
    Ok(())
}

/// Makes the name of the new file durable: on Unix, a crash may lose it otherwise.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
