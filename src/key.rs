//! The key that seals: bytes in, a [`Seal`] out. It knows neither records nor the ring.

use std::fmt;
use std::num::NonZeroU32;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::digest::constant_time_eq;

/// The number of a key in the ring, at least 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(NonZeroU32);

impl KeyId {
    /// Makes an id from a number; `None` for 0.
    pub const fn new(number: u32) -> Option<KeyId> {
        match NonZeroU32::new(number) {
            Some(number) => Some(KeyId(number)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn as_u32(self) -> u32 {
        self.0.get()
    }
}

impl From<NonZeroU32> for KeyId {
    fn from(number: NonZeroU32) -> KeyId {
        KeyId(number)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.0)
    }
}

/// One key of the ring. Its schedule is computed once, so that a seal costs no more than its bytes.
#[derive(Clone)]
pub(crate) struct SealingKey {
    id: KeyId,
    keyed: Hmac<Sha256>,
}

impl SealingKey {
    /// Takes a key of any length; the ring refuses short ones.
    pub(crate) fn new(id: KeyId, key: &[u8]) -> SealingKey {
        #[expect(clippy::expect_used, reason = "HMAC hashes long keys and pads short ones")]
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        SealingKey { id, keyed }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Seals bytes. What they mean is the caller's concern, see [`seal`](crate::seal).
    pub(crate) fn seal(&self, bytes: &[u8]) -> Seal {
        let mut mac = self.keyed.clone();
        mac.update(bytes);
        Seal(mac.finalize().into_bytes().into())
    }
}

/// HMAC-SHA-256 over the bytes of a row. Two seals are compared in constant time.
#[derive(Clone, Copy)]
pub struct Seal([u8; 32]);

impl Seal {
    /// Returns the stored form.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Reads the stored form. Any 32 bytes make a seal, though hardly a correct one.
    pub fn from_bytes(bytes: [u8; 32]) -> Seal {
        Seal(bytes)
    }
}

impl PartialEq for Seal {
    fn eq(&self, other: &Seal) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Seal {}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}
