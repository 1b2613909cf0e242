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

use crate::key::{KeyId, SealingKey};
use crate::random::{self, RandomSourceFailed};

mod error;

pub use error::KeyRingError;

/// The keys that seal rows: an active one, which seals, and retired ones, which still check. Cheap
/// to clone.
///
/// Its text is `ID:KEY,ID:KEY…`, the active key first. An id is a number from 1; a key is 32 bytes
/// or more in base64. `echo "1:$(openssl rand -base64 32)"` makes one.
///
/// Keep it apart from the database, and keep a copy. Without it no token authenticates.
#[derive(Clone)]
pub struct KeyRing {
    /// The active key first; never empty.
    keys: Arc<[SealingKey]>,
}

impl KeyRing {
    /// The shortest key, in bytes: the output of SHA-256 (RFC 2104, 3).
    pub const MIN_KEY_BYTES: usize = 32;

    /// Reads the ring from a file. If there is no file, makes a new ring and writes it there,
    /// readable by its owner only (mode 0600).
    ///
    /// Processes that start at the same time agree on one ring.
    ///
    /// A new key has a random id. So if a ring is lost and a new one is made, rows that were sealed
    /// under the lost one are not mistaken for forged ones. They answer
    /// [`Failed`](crate::error::Failed), and nothing is issued beside them, until the lost ring is
    /// back.
    ///
    /// # Errors
    /// [`KeyRingError`] if the file can't be read or written, is no ring, or is open to other
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
    /// [`KeyRingError`] if the file is missing, can't be read, is no ring, or is open to other
    /// users.
    pub fn load(path: impl AsRef<Path>) -> Result<KeyRing, KeyRingError> {
        let path = path.as_ref();
        if path.to_str().is_some_and(looks_like_a_ring) {
            return Err(KeyRingError::RingGiven("the path of a file"));
        }
        let failed = |error| KeyRingError::File { path: path.into(), error };
        // Before it is opened, because to open a pipe waits for a writer.
        refuse_no_file(path).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        refuse_exposed(&file, path)?;
        // Allocated once: a buffer that grows leaves copies behind that are not wiped.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TEXT + 64));
        file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        let text = std::str::from_utf8(&bytes);
        text.map_err(|_| KeyRingError::Malformed("what is not text".into()))
            .and_then(KeyRing::parse)
            .map_err(|error| KeyRingError::InFile { path: path.into(), error: Box::new(error) })
    }

    /// Reads the ring from an environment variable.
    ///
    /// # Errors
    /// [`KeyRingError`] if the variable is missing or is no ring.
    pub fn from_env(variable: &str) -> Result<KeyRing, KeyRingError> {
        // A key alone has other characters than a name, too. Neither is echoed.
        if looks_like_a_ring(variable) || !variable.bytes().all(is_in_names) {
            return Err(KeyRingError::RingGiven("the name of an environment variable"));
        }
        let text =
            std::env::var(variable).map_err(|_| KeyRingError::NoVariable(variable.into()))?;
        KeyRing::parse(&Zeroizing::new(text))
    }

    /// Reads the ring from its text, the active key first.
    ///
    /// # Errors
    /// [`KeyRingError`] if a key is missing, malformed, short, weak or given twice. It never shows
    /// a key.
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
            let is_same = |other: &[u8]| *padded(other) == *padded(&key);
            if keys.iter().any(|(other_id, other)| *other_id == id || is_same(other)) {
                return Err(KeyRingError::Repeated(id));
            }
            keys.push((id, key));
        }
        Ok(KeyRing { keys: keys.iter().map(|(id, key)| SealingKey::new(*id, key)).collect() })
    }

    /// Makes a new ring in memory: for tests, and for tokens that need not outlive the process.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    pub fn ephemeral() -> Result<KeyRing, RandomSourceFailed> {
        let (id, key) = random::draw_key()?;
        Ok(KeyRing { keys: [SealingKey::new(id.into(), &*key)].into() })
    }

    /// Makes a new ring of one key, as text: for a secrets manager, or to append, after a comma, to
    /// a ring being rolled out.
    ///
    /// The id of the key is random. The text holds the key: wipe it after use.
    ///
    /// # Errors
    /// [`RandomSourceFailed`] if the system has no randomness.
    ///
    /// ```
    /// use app_tokens::KeyRing;
    /// let ring = KeyRing::parse(&KeyRing::new_text()?)?;
    /// # Ok::<(), app_tokens::KeyRingError>(())
    /// ```
    pub fn new_text() -> Result<String, RandomSourceFailed> {
        let (_, mut text) = draw_text()?;
        Ok(mem::take(&mut *text))
    }

    /// Returns the id of the active key.
    pub fn active_id(&self) -> KeyId {
        self.active().id()
    }

    /// Returns the ids of all keys, the active one first.
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
        return Err(KeyRingError::Malformed("the one without a colon".into()));
    };
    let all_digits = !id.is_empty() && id.len() <= 10 && id.bytes().all(|b| b.is_ascii_digit());
    let Some(id) = id.parse().ok().filter(|_| all_digits).and_then(KeyId::new) else {
        return Err(KeyRingError::Malformed("the one without a number".into()));
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

/// The key as HMAC uses it: hashed if it is longer than a block, and padded with zeros. Two keys that
/// differ before that seal alike.
fn padded(key: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut block = Zeroizing::new([0; 64]);
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    block
}

/// Whether a text holds an entry of a ring. It must not be echoed then.
fn looks_like_a_ring(text: &str) -> bool {
    text.split(',').any(|entry| {
        entry.trim_ascii().split_once(':').is_some_and(|(id, key)| {
            !id.is_empty()
                && id.bytes().all(|byte| byte.is_ascii_digit())
                && key.bytes().take_while(|byte| is_base64(*byte)).count() >= MIN_ENCODED
        })
    })
}

/// How many characters of base64 the shortest key takes, without padding.
const MIN_ENCODED: usize = KeyRing::MIN_KEY_BYTES * 4 / 3;

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/".contains(&byte)
}

fn is_in_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Refuses what is no file: a folder, a pipe, or a link to nowhere.
///
/// A link to nowhere is not taken for a missing file, or a new ring would be made where another one
/// is merely not mounted.
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
    // Allocated once: a text that grows leaves copies behind that are not wiped.
    let mut text = Zeroizing::new(String::with_capacity(128));
    text.push_str(&format!("{id}:"));
    BASE64.encode_string(*key, &mut text);
    Ok((id.into(), text))
}

/// Writes a new ring to `path`, whole or not at all. A ring that another process wrote meanwhile
/// stays.
///
/// The hard link is what makes it safe: it fails if the path exists, whereas a rename would replace
/// a ring that another process already uses.
fn create(path: &Path) -> Result<(), KeyRingError> {
    let failed = |error| KeyRingError::File { path: path.into(), error };
    let (id, mut text) = draw_text()?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{id}.new"));
    text.push('\n');

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

#[cfg(not(unix))]
fn refuse_exposed(_: &File, _: &Path) -> Result<(), KeyRingError> {
    Ok(())
}

/// Makes the name of the new file durable.
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
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    #[track_caller]
    fn refused(text: &str) -> String {
        let error = KeyRing::parse(text).unwrap_err();
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("AAECAw") && !printed.contains("ICEiIy"), "{printed}");
        error.to_string()
    }

    #[test]
    fn the_active_key_stands_first_and_every_key_is_found() {
        let ring = KeyRing::parse(&format!(" 2:{TWO} ,\n1:{ONE}\n")).unwrap();
        assert_eq!(ring.ids().map(KeyId::as_u32).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(ring.active_id().as_u32(), 2);
        assert!(KeyId::new(1).is_some_and(|id| ring.key(id).is_some()));
        assert!(KeyId::new(3).is_some_and(|id| ring.key(id).is_none()));
        assert_eq!(format!("{ring:?}"), "KeyRing[KeyId(2), KeyId(1)]");
        assert!(KeyRing::parse(&format!("1:{}", ONE.trim_end_matches('='))).is_ok());
    }

    #[test]
    fn missing_malformed_short_weak_and_repeated_keys_are_refused() {
        let empty = "the key ring is empty: it needs at least one ID:KEY";
        assert_eq!(refused(""), empty);
        assert_eq!(refused(" \n"), empty);
        assert_eq!(refused(&format!("1:{ONE},")), empty);
        for malformed in [
            ONE,
            "x:AA==",
            ":AA==",
            "-1:AA==",
            "+1:AA==",
            "0:AA==",
            "4294967296:AA==",
            "1",
            "1:?",
            "1:AA==BB",
        ] {
            assert!(
                refused(malformed).ends_with("ID:KEY with a number from 1 and base64"),
                "{malformed}"
            );
        }
        assert_eq!(refused("1:"), "key 1 has 0 bytes; it needs at least 32");
        assert_eq!(
            refused("1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg=="),
            "key 1 has 31 bytes; it needs at least 32"
        );
        assert_eq!(
            refused(&format!("7:{}=", "A".repeat(43))),
            "key 7 repeats one byte: draw a random one"
        );
        let repeated = |id| format!("key {id} of the ring repeats the id or the bytes of another");
        assert_eq!(refused(&format!("1:{ONE},1:{TWO}")), repeated(1));
        assert_eq!(refused(&format!("1:{ONE},2:{ONE}")), repeated(2));
        assert_eq!(refused(&"1".repeat(MAX_TEXT + 1)), "the key ring is longer than 64 KiB");
    }

    #[test]
    fn a_file_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.key");
        let made = KeyRing::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let loaded = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(loaded.active_id(), made.active_id());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_empty_or_broken_file_is_an_error_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.key");
        for content in ["", "1:c2hvcnQ="] {
            private(OpenOptions::new().write(true).create(true).truncate(true))
                .open(&path)
                .unwrap();
            fs::write(&path, content).unwrap();
            assert!(KeyRing::load_or_create(&path).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        let missing = KeyRing::load_or_create(folder.path().join("no/such/folder/app.key"));
        assert!(matches!(missing, Err(KeyRingError::File { .. })));
        assert!(KeyRing::load_or_create(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.key");
        drop(KeyRing::load_or_create(&path).unwrap());
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o640, false),
            (0o644, false),
            (0o660, false),
            (0o604, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(KeyRing::load(&path).is_ok(), good, "{mode:o}");
        }
        let error = KeyRing::load(&path).unwrap_err().to_string();
        assert!(error.ends_with("is open to others (mode 604): chmod 600 it"), "{error}");
    }

    #[test]
    fn keys_that_are_equal_for_hmac_are_refused() {
        let encode = |key: &[u8]| BASE64.encode(key);
        let key: Vec<u8> = (0..32).collect();
        let padded = [&key[..], &[0, 0]].concat();
        let long: Vec<u8> = (0..65).collect();
        let hashed = Sha256::digest(&long).to_vec();
        for (one, other) in [(&key, &padded), (&long, &hashed)] {
            let text = format!("1:{},2:{}", encode(one), encode(other));
            assert!(matches!(KeyRing::parse(&text), Err(KeyRingError::Repeated(_))));
        }
        let text = format!("1:{},2:{}", encode(&key), encode(&long));
        assert!(KeyRing::parse(&text).is_ok());
    }

    #[test]
    fn a_ring_in_place_of_a_path_or_a_name_is_refused_and_not_echoed() {
        let rings = [format!("1:{ONE}"), format!("x, 7:{}", ONE.trim_end_matches('='))];
        for ring in &rings {
            for error in [
                KeyRing::load(ring).unwrap_err(),
                KeyRing::load_or_create(ring).unwrap_err(),
                KeyRing::from_env(ring).unwrap_err(),
                KeyRing::from_env(ONE).unwrap_err(),
            ] {
                assert!(matches!(error, KeyRingError::RingGiven(_)), "{error}");
                assert!(!format!("{error} {error:?}").contains("AAECAw"));
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_and_a_link_to_nowhere_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let nowhere = folder.path().join("nowhere");
        std::os::unix::fs::symlink(&nowhere, &link).unwrap();
        for path in [&pipe, &link] {
            for loaded in [KeyRing::load(path), KeyRing::load_or_create(path)] {
                assert!(matches!(loaded, Err(KeyRingError::File { .. })));
            }
        }
        assert!(!nowhere.exists(), "nothing was made");
        drop(KeyRing::load_or_create(&nowhere).unwrap());
        assert!(KeyRing::load(&link).is_ok(), "a link to a file is followed");
    }

    #[test]
    fn processes_that_start_at_once_agree_on_one_ring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.key");
        let ids: Vec<KeyId> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| KeyRing::load_or_create(&path).unwrap().active_id()))
                .collect();
            starting.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    }

    #[test]
    fn a_missing_variable_is_an_error() {
        let error = KeyRing::from_env("APP_TOKENS_NO_SUCH_VARIABLE").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable APP_TOKENS_NO_SUCH_VARIABLE holds no key ring"
        );
    }
}
