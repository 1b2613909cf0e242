//! Tokens of which the old system kept BLAKE3, with or without a key.

use std::fmt;

use zeroize::Zeroizing;

use super::sha256::from_hex;
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
use crate::constant_time::constant_time_eq;

/// Tokens of which the old system kept BLAKE3 of the whole text, in 32 bytes.
#[derive(Clone)]
pub struct Blake3 {
    is_random: bool,
    key: Option<Zeroizing<[u8; 32]>>,
}

impl Blake3 {
    /// Makes the scheme for texts of which nothing is known. At the first use their digest becomes
    /// an HMAC.
    pub fn of_unknown_strength() -> Blake3 {
        Blake3 { is_random: false, key: None }
    }

    /// Makes the scheme for texts that all have at least 112 random bits. At the first use their
    /// digest becomes SHA-256.
    pub fn with_at_least_112_bits() -> Blake3 {
        Blake3 { is_random: true, key: None }
    }

    /// Sets the key of a system that uses keyed BLAKE3.
    #[must_use]
    pub fn keyed(self, key: &[u8; 32]) -> Blake3 {
        Blake3 { key: Some(Zeroizing::new(*key)), ..self }
    }

    /// Sets the key from a text: its 64 hexadecimal digits, or its 32 bytes. `None` if the text has
    /// another form.
    #[must_use]
    pub fn keyed_by_text(self, key: &str) -> Option<Blake3> {
        if let Ok(key) = key.as_bytes().try_into() {
            return Some(self.keyed(key));
        }
        let key = from_hex(key)?;
        Some(self.keyed(key.as_slice().try_into().ok()?))
    }

    /// Takes a hash in hexadecimal (64 digits).
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one.
    pub fn secret(&self, hash: &str) -> Result<ForeignSecret, InvalidKept> {
        self.secret_bytes(&from_hex(hash).ok_or(InvalidKept("64 hexadecimal digits"))?)
    }

    /// Takes a hash of 32 bytes.
    ///
    /// # Errors
    /// [`InvalidKept`] if it has another length.
    pub fn secret_bytes(&self, hash: &[u8]) -> Result<ForeignSecret, InvalidKept> {
        let hash: [u8; 32] = hash.try_into().map_err(|_| InvalidKept("32 bytes"))?;
        ForeignSecret::hash(self, Lookup::exact(hash), hash)
    }

    fn hash(&self, text: &str) -> [u8; 32] {
        let hash = self.hash_bytes(text.as_bytes());
        // It leaves a copy of what it read on the stack. The hash of as many zeros overwrites it.
        std::hint::black_box(self.hash_bytes(&vec![0; text.len()]));
        hash
    }

    #[inline(never)]
    fn hash_bytes(&self, bytes: &[u8]) -> [u8; 32] {
        match &self.key {
            Some(key) => blake3::keyed_hash(key, bytes).into(),
            None => blake3::hash(bytes).into(),
        }
    }
}

/// Shows no key.
impl fmt::Debug for Blake3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blake3").field("is_random", &self.is_random).finish_non_exhaustive()
    }
}

impl Foreign for Blake3 {
    fn name(&self) -> &str {
        if self.key.is_some() { "blake3-keyed" } else { "blake3" }
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        vec![Lookup::exact(self.hash(presented.expose_secret()))]
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let kept = kept.try_into().map_err(|_| InvalidKept("32 bytes"))?;
        Ok(constant_time_eq(kept, &self.hash(text)))
    }

    fn guarantees_112_bits(&self) -> bool {
        self.is_random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_32_bytes_is_the_key_and_64_digits_are_read_in_either_case() {
        let scheme = || Blake3::of_unknown_strength();
        let hash = |key: &str| scheme().keyed_by_text(key).map(|scheme| scheme.hash("abc"));
        let key = b"0123456789abcdef0123456789abcdef";
        assert_eq!(hash(std::str::from_utf8(key).unwrap()), Some(scheme().keyed(key).hash("abc")));
        let of_digits = Some(scheme().keyed(&[0xab; 32]).hash("abc"));
        assert_eq!((hash(&"ab".repeat(32)), hash(&"aB".repeat(32))), (of_digits, of_digits));
        for wrong in ["", "ab", &"x".repeat(64), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(hash(wrong), None, "{wrong:?}");
        }
    }
}
