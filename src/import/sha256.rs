//! Tokens of which the old system kept SHA-256.

use sha2::Digest as _;
use zeroize::Zeroizing;

use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
use crate::constant_time::constant_time_eq;

/// Tokens of which the old system kept SHA-256, such as those of crates.io, GitLab and Laravel
/// Sanctum.
#[derive(Clone, Copy, Debug)]
pub struct Sha256 {
    is_random: bool,
    after_bar: bool,
}

impl Sha256 {
    /// Makes the scheme for texts of which nothing is known. At the first use their digest becomes
    /// an HMAC.
    pub fn of_unknown_strength() -> Sha256 {
        Sha256 { is_random: false, after_bar: false }
    }

    /// Makes the scheme for texts that all have at least 112 random bits. What the old system kept
    /// is then our digest, too.
    pub fn with_at_least_112_bits() -> Sha256 {
        Sha256 { is_random: true, after_bar: false }
    }

    /// Makes the scheme of Laravel Sanctum: the text is `id|token`, and only the token was hashed.
    /// The token alone is accepted, too, as Sanctum does. It has 40 letters and digits.
    pub fn of_sanctum() -> Sha256 {
        Sha256 { is_random: true, after_bar: true }
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
        let lookup = Lookup::exact(hash);
        if self.is_random {
            return Ok(ForeignSecret::sha_256(self, lookup, hash));
        }
        ForeignSecret::hash(self, lookup, hash)
    }
}

fn is_number(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

impl Foreign for Sha256 {
    fn name(&self) -> &str {
        if self.after_bar { "sanctum" } else { "sha256" }
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        vec![Lookup::exact(sha_256(self.secret_part(presented.expose_secret())))]
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let kept = kept.try_into().map_err(|_| InvalidKept("32 bytes"))?;
        Ok(constant_time_eq(kept, &sha_256(self.secret_part(text))))
    }

    fn secret_part<'t>(&self, text: &'t str) -> &'t str {
        if !self.after_bar {
            return text;
        }
        match text.split_once('|') {
            Some((id, token)) if is_number(id) => token,
            _ => text,
        }
    }

    fn guarantees_112_bits(&self) -> bool {
        self.is_random
    }
}

/// Hashes a secret.
pub(super) fn sha_256(text: &str) -> [u8; 32] {
    // The hasher stays where it is: a moved one would leave a copy of what it read, which its drop
    // does not wipe.
    let mut hasher = sha2::Sha256::new();
    hasher.update(text);
    hasher.finalize_reset().into()
}

/// Reads hexadecimal digits of either case; `None` if the text is anything else.
pub(super) fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    // They may be a key. A vector that grows leaves a copy behind that is not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}
