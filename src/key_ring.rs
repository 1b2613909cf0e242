//! The keys that seal rows, and where they come from. They never enter the database.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::seal::{KeyId, SealingKey};
use crate::secret::{self, RandomSourceFailed};

/// One active key, which seals, and retired ones, which still check. Cheap to clone.
///
/// As text it is `ID:KEY,ID:KEY…`, the active key first: an id is a number from 1, a key is 32 bytes or more in base64.
/// `echo "1:$(openssl rand -base64 32)"` makes one.
///
/// Keep it apart from the database, and keep a copy: without it no token authenticates any more.
#[derive(Clone)]
pub struct KeyRing {
    /// The active key first; never empty.
    keys: Arc<[SealingKey]>,
}

impl KeyRing {
    /// The shortest key, in bytes: the output of SHA-256 (RFC 2104, 3).
    pub const MIN_KEY_BYTES: usize = 32;

    /// Reads the ring from a file, or makes a new one and writes it there, readable by its owner only
    /// (mode 0600).
    ///
    /// Two processes that start at once agree on one ring. A new key has a random id, so rows that were
    /// sealed under a lost ring are not taken for forged ones: they answer
    /// [`Failed`](crate::error::Failed), and nothing is issued beside them, until the lost ring is back.
    ///
    /// # Errors
    /// [`KeyRingError`] if the file can't be read or written, holds no good ring, or may be read by everybody.
    pub fn load_or_create(path: impl AsRef<Path>) -> Result<KeyRing, KeyRingError> {
        let path = path.as_ref();
        match KeyRing::load(path) {
            Err(KeyRingError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                KeyRing::load(path)
            }
            loaded => loaded,
        }
    }

    /// Reads the ring from a file that is there.
    ///
    /// # Errors
    /// [`KeyRingError`] as for [`KeyRing::load_or_create`], and if there is no such file.
    pub fn load(path: impl AsRef<Path>) -> Result<KeyRing, KeyRingError> {
        let path = path.as_ref();
        let failed = |source| KeyRingError::File { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        refuse_exposed(&file, path)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_TEXT as u64 + 1).read_to_string(&mut text).map_err(failed)?;
        KeyRing::parse(&text)
    }

    /// Reads the ring from an environment variable.
    ///
    /// # Errors
    /// [`KeyRingError`] if the variable is missing or holds no good ring.
    pub fn from_env(variable: &str) -> Result<KeyRing, KeyRingError> {
        let text =
            std::env::var(variable).map_err(|_| KeyRingError::NoVariable(variable.into()))?;
        KeyRing::parse(&Zeroizing::new(text))
    }

    /// Reads the ring from its text, the active key first.
    ///
    /// # Errors
    /// [`KeyRingError`] for a missing, malformed, short, weak or repeated key. It never repeats a key.
    ///
    /// ```
    /// use app_tokens::{KeyRing, KeyRingError};
    /// let text = "2:bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE=,1:b2xkIGtleSBvbGQga2V5IG9sZCBrZXkgb2xkIGtleSE=";
    /// assert_eq!(KeyRing::parse(text)?.active_id().as_u32(), 2);
    /// assert!(matches!(KeyRing::parse("1:c2hvcnQ="), Err(KeyRingError::Short { .. })));
    /// # Ok::<(), KeyRingError>(())
    /// ```
    pub fn parse(text: &str) -> Result<KeyRing, KeyRingError> {
        if text.len() > MAX_TEXT {
            return Err(KeyRingError::TooLong);
        }
        let mut keys: Vec<(KeyId, Zeroizing<Vec<u8>>)> = Vec::new();
        for entry in text.trim_ascii().split(',') {
            let (id, key) = parse_entry(entry.trim_ascii())?;
            if keys.iter().any(|(other_id, other)| *other_id == id || **other == *key) {
                return Err(KeyRingError::Repeated(id));
            }
            keys.push((id, key));
        }
        Ok(KeyRing {
            keys: keys.iter().filter_map(|(id, key)| SealingKey::new(*id, key)).collect(),
        })
    }

    /// A new ring that lives in this process only: for tests, and for tokens that need not survive it.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    pub fn ephemeral() -> Result<KeyRing, RandomSourceFailed> {
        let (id, key) = secret::draw_key()?;
        let id = KeyId::new(id).unwrap_or(KeyId::FIRST);
        Ok(KeyRing { keys: SealingKey::new(id, &*key).into_iter().collect() })
    }

    /// The id of the key that seals.
    pub fn active_id(&self) -> KeyId {
        self.active().id()
    }

    /// The ids of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(SealingKey::id)
    }

    pub(crate) fn active(&self) -> &SealingKey {
        &self.keys[0]
    }

    pub(crate) fn key(&self, id: KeyId) -> Option<&SealingKey> {
        self.keys.iter().find(|key| key.id() == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")?;
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Why there is no key ring. It never repeats a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The file can't be read or written.
    #[error("the key file {} can't be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Everybody may read the file, or its group may write it.
    #[error("the key file {} is open to others (mode {mode:03o}): chmod 600 it", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The environment variable is not set, or not text.
    #[error("the environment variable {0} holds no key ring")]
    NoVariable(Box<str>),
    /// The text is longer than any key ring.
    #[error("the key ring is longer than 64 KiB")]
    TooLong,
    /// There is no key at all.
    #[error("the key ring is empty: it needs at least one ID:KEY")]
    Empty,
    /// An entry is not `ID:KEY` with a number from 1 and base64.
    #[error("key {0} of the ring is not ID:KEY with a number from 1 and base64")]
    Malformed(Box<str>),
    /// A key has too few bytes.
    #[error("key {id} has {bytes} bytes; it needs at least 32")]
    Short {
        /// Which key.
        id: KeyId,
        /// How many bytes it has.
        bytes: usize,
    },
    /// A key is one byte over and over.
    #[error("key {0} is no random key: it repeats one byte")]
    Weak(KeyId),
    /// A key or an id stands twice.
    #[error("key {0} of the ring repeats the id or the bytes of another")]
    Repeated(KeyId),
    /// The system has no randomness for a new key.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
}

/// The longest ring as text, in bytes.
const MAX_TEXT: usize = 64 * 1024;

/// Standard base64, with or without padding, as `openssl rand -base64` and others write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn parse_entry(entry: &str) -> Result<(KeyId, Zeroizing<Vec<u8>>), KeyRingError> {
    if entry.is_empty() {
        return Err(KeyRingError::Empty);
    }
    let Some((id, key)) = entry.split_once(':') else {
        return Err(KeyRingError::Malformed("without a colon".into()));
    };
    let all_digits = !id.is_empty() && id.len() <= 10 && id.bytes().all(|b| b.is_ascii_digit());
    let Some(id) = id.parse().ok().filter(|_| all_digits).and_then(KeyId::new) else {
        return Err(KeyRingError::Malformed("without a number".into()));
    };
    let key = Zeroizing::new(
        BASE64.decode(key).map_err(|_| KeyRingError::Malformed(id.to_string().into()))?,
    );
    if key.len() < KeyRing::MIN_KEY_BYTES {
        return Err(KeyRingError::Short { id, bytes: key.len() });
    }
    if key.iter().all(|byte| *byte == key[0]) {
        return Err(KeyRingError::Weak(id));
    }
    Ok((id, key))
}

/// Writes a new ring to `path`, whole or not at all; leaves one alone that somebody wrote meanwhile.
fn create(path: &Path) -> Result<(), KeyRingError> {
    let failed = |source| KeyRingError::File { path: path.into(), source };
    let (id, key) = secret::draw_key()?;
    let text = Zeroizing::new(format!("{id}:{}\n", *Zeroizing::new(BASE64.encode(*key))));

    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{id}.new"));
    let draft = PathBuf::from(draft);
    let mut file =
        private(OpenOptions::new().write(true).create_new(true)).open(&draft).map_err(failed)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&draft).map_err(failed)?;
    linked.and_then(|()| sync_folder(path)).map_err(failed)
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

#[cfg(unix)]
fn refuse_exposed(file: &File, path: &Path) -> Result<(), KeyRingError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata =
        file.metadata().map_err(|source| KeyRingError::File { path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(KeyRingError::Exposed { path: path.into(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), KeyRingError> {
    Ok(())
}

/// Makes the new file's name durable.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
