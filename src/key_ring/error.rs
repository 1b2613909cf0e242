//! Why a key ring could not be read or made: [`KeyRingError`].

use std::io;
use std::path::PathBuf;

use crate::random::RandomSourceFailed;

/// Why a key ring could not be read or made. It never shows a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The file can't be read or written.
    #[error("the key file {} can't be used: {error}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The text in the file is not a ring.
    #[error("the key file {}: {error}", path.display())]
    InFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with its text.
        error: Box<KeyRingError>,
    },
    /// Other users may read or change the file.
    #[error(
        "the key file {} is open to other users (mode {mode:03o}); set its mode to 600",
        path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits, such as `0o644`.
        mode: u32,
    },
    /// A key ring was given where the name of its place is wanted. The error does not repeat it.
    #[error("a key was given in place of {0}; call `KeyRing::parse` to read a ring from a text")]
    RingGiven(&'static str),
    /// The environment variable is not set, or is not text.
    #[error("the environment variable {0} is not set, or is not text; put the key ring into it")]
    NoVariable(Box<str>),
    /// The text is longer than 64 KiB.
    #[error("the key ring is longer than 64 KiB; remove old keys")]
    TooLong,
    /// There is no numbered key, or there is an empty entry between two commas.
    #[error("the key ring has no key, or an empty entry; write it as ID:KEY,ID:KEY")]
    Empty,
    /// An entry is not `ID:KEY` with a number from 1, or `import`, and base64.
    #[error("an entry of the key ring ({0}) is not ID:KEY; write a number from 1 and base64")]
    Malformed(Box<str>),
    /// A key has fewer than 32 bytes.
    #[error("key {key} has {bytes} bytes; it needs at least 32")]
    Short {
        /// Which key: its id, or `import`.
        key: Box<str>,
        /// How many bytes it has.
        bytes: usize,
    },
    /// A key repeats one byte.
    #[error("key {0} repeats one byte; draw a random one")]
    Weak(Box<str>),
    /// A key or an id occurs twice.
    #[error("key {0} of the ring repeats the id or the bytes of another; remove one of them")]
    Repeated(Box<str>),
    /// The system has no randomness for a new key.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
}
