//! The key that seals: bytes in, a [`Seal`] out. It knows of no records and no ring.

use std::fmt;
use std::num::NonZeroU32;

use hmac::{Hmac, HmacReset, KeyInit, Mac as _};
use sha2::Sha256;

use crate::constant_time::constant_time_eq;

/// The number of a key in the ring, at least 1. It is stored with each row that the key seals.
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

/// One key of the ring.
///
/// HMAC's key schedule is computed once, so that a seal costs only the hashing of its bytes.
#[derive(Clone)]
pub(crate) struct SealingKey {
    id: KeyId,
    keyed: Hmac<Sha256>,
    #[cfg(feature = "import")]
    for_secrets: HmacReset<Sha256>,
}

impl SealingKey {
    /// Takes a key of any length. The ring refuses short ones.
    pub(crate) fn new(id: KeyId, key: &[u8]) -> SealingKey {
        SealingKey {
            id,
            keyed: keyed(key),
            #[cfg(feature = "import")]
            for_secrets: keyed(key),
        }
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Computes the HMAC-SHA-256 (RFC 2104) of the bytes that `write` hands to its sink, in parts.
    /// What they mean is decided in [`seal`](crate::seal).
    pub(crate) fn hmac(&self, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 32] {
        let mut mac = self.keyed.clone();
        write(&mut |part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Computes the HMAC-SHA-256 of bytes that hold a secret. It leaves no copy of its own behind.
    #[cfg(feature = "import")]
    pub(crate) fn hmac_of_secret(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac_in_place(&self.for_secrets, |mac| parts.iter().for_each(|part| mac.update(part)))
    }
}

/// The key by which imported tokens are found. It is not one of the ring's numbered keys, since it
/// can't be retired: the rows' ids are made by it.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "import"),
    expect(dead_code, reason = "a ring is read alike in any build")
)]
pub(crate) struct ImportKey(HmacReset<Sha256>);

impl ImportKey {
    /// Takes a key of any length. The ring refuses short ones.
    pub(crate) fn new(key: &[u8]) -> ImportKey {
        ImportKey(keyed(key))
    }

    /// Computes the HMAC-SHA-256 (RFC 2104) of the bytes that `write` hands to its sink, in parts.
    /// What they mean is decided in `import`.
    #[cfg(feature = "import")]
    pub(crate) fn hmac(&self, write: impl FnOnce(&mut dyn FnMut(&[u8]))) -> [u8; 32] {
        hmac_in_place(&self.0, |mac| write(&mut |part| mac.update(part)))
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    #[expect(clippy::expect_used, reason = "HMAC hashes long keys and pads short ones")]
    M::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// Computes an HMAC without moving it: a moved one would leave a copy of what it read, which its
/// drop does not wipe.
#[cfg(feature = "import")]
fn hmac_in_place(
    keyed: &HmacReset<Sha256>,
    update: impl FnOnce(&mut HmacReset<Sha256>),
) -> [u8; 32] {
    let mut mac = keyed.clone();
    update(&mut mac);
    mac.finalize_reset().into_bytes().into()
}

/// A row's seal, in its stored form: one byte for the version, then what that version says.
///
/// Version 1 is HMAC-SHA-256 over the row's bytes, 33 bytes in all. A seal of another version is
/// kept as it is, and this build can't check it. Seals are compared in constant time.
///
/// It is not secret: without the key nobody can make one for another row.
#[derive(Clone)]
pub struct Seal(SealForm);

/// A stored seal, taken apart. Version 1 is kept without an allocation, since every row has one.
#[derive(Clone)]
enum SealForm {
    V1([u8; 32]),
    /// The whole stored form. It comes from a newer build.
    Other(Box<[u8]>),
}

impl Seal {
    /// The longest stored form, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The version that this build makes and checks.
    const V1: u8 = 1;

    /// Returns the stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            SealForm::V1(mac) => [&[Seal::V1], &mac[..]].concat(),
            SealForm::Other(bytes) => bytes.to_vec(),
        }
    }

    /// Reads the stored form. `None` if it is not a seal: it is empty, longer than
    /// [`Seal::MAX_BYTES`], or has another length than its version says.
    ///
    /// A seal that was read may still be wrong, or have another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Seal> {
        match bytes {
            [Seal::V1, mac @ ..] => Some(Seal(SealForm::V1(mac.try_into().ok()?))),
            [] => None,
            other => (other.len() <= Seal::MAX_BYTES).then(|| Seal(SealForm::Other(other.into()))),
        }
    }

    /// Returns the version.
    pub fn version(&self) -> u8 {
        match &self.0 {
            SealForm::V1(_) => Seal::V1,
            SealForm::Other(bytes) => bytes[0],
        }
    }

    /// Returns the HMAC of version 1; `None` if this build can't check the seal.
    pub(crate) fn v1(&self) -> Option<&[u8; 32]> {
        match &self.0 {
            SealForm::V1(mac) => Some(mac),
            SealForm::Other(_) => None,
        }
    }

    /// Makes a seal of version 1 from its HMAC.
    pub(crate) fn of_v1(mac: [u8; 32]) -> Seal {
        Seal(SealForm::V1(mac))
    }
}

impl PartialEq for Seal {
    fn eq(&self, other: &Seal) -> bool {
        match (&self.0, &other.0) {
            (SealForm::V1(one), SealForm::V1(other)) => constant_time_eq(one, other),
            // Not in constant time: this build accepts no token by such a seal.
            (SealForm::Other(one), SealForm::Other(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Seal {}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_seal_reads_back_whatever_its_version() {
        for bytes in [vec![1; 33], vec![2], vec![0; 64], [vec![255], vec![7; 48]].concat()] {
            let seal = Seal::from_bytes(&bytes).unwrap();
            assert_eq!(seal.to_bytes(), bytes);
            assert_eq!((seal.version(), seal.v1().is_some()), (bytes[0], bytes[0] == 1));
            assert_eq!(Seal::from_bytes(&bytes), Some(seal));
        }
    }

    #[test]
    fn what_has_not_the_length_of_a_seal_is_none() {
        for bytes in [vec![], vec![1], vec![1; 32], vec![1; 34], vec![2; 65]] {
            assert_eq!(Seal::from_bytes(&bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn seals_of_different_versions_are_never_equal() {
        let of = |version: u8| Seal::from_bytes(&[&[version], &[7; 32][..]].concat()).unwrap();
        assert_eq!(of(1), of(1));
        assert!(of(1) != of(2) && of(2) != of(3));
    }
}
