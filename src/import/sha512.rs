//! Tokens of which the old system kept SHA-512 of the text and a secret, as Nextcloud does.

use std::fmt;

use sha2::Digest as _;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::sha256::from_hex;
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};

/// Nextcloud's app passwords: SHA-512 of the text followed by the instance's `secret`.
///
/// Rows from before Nextcloud 20 have no secret in their hash; both are tried. A text of fewer than
/// 22 characters is never looked up, as in Nextcloud: it is a password. An app password of the
/// settings page has 142 random bits, one of a client 428.
#[derive(Clone)]
pub struct Sha512 {
    secret: Zeroizing<String>,
    shortest: usize,
}

impl Sha512 {
    /// Makes the scheme of an instance with this `secret`, as its `config.php` names it.
    pub fn of_nextcloud(secret: &str) -> Sha512 {
        Sha512 { secret: Zeroizing::new(secret.into()), shortest: 22 }
    }

    /// Sets how short a text may be, in characters, for another system with the same hash.
    #[must_use]
    pub fn shortest(self, characters: usize) -> Sha512 {
        Sha512 { shortest: characters, ..self }
    }

    /// Takes a hash in hexadecimal (128 digits): Nextcloud's column `token`.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one.
    pub fn secret(&self, hash: &str) -> Result<ForeignSecret, InvalidKept> {
        let hash = from_hex(hash).filter(|hash| hash.len() == 64);
        let hash = hash.ok_or(InvalidKept("128 hexadecimal digits"))?;
        ForeignSecret::hash(self, Lookup::exact(&hash), &hash)
    }

    fn hash(text: &str, secret: &str) -> [u8; 64] {
        let mut hasher = sha2::Sha512::new();
        hasher.update(text);
        hasher.update(secret);
        hasher.finalize_reset().into()
    }

    /// Returns the hashes that the text may be kept by.
    fn hashes(&self, text: &str) -> Vec<[u8; 64]> {
        let with_secret = Sha512::hash(text, &self.secret);
        let without = (!self.secret.is_empty()).then(|| Sha512::hash(text, ""));
        [with_secret].into_iter().chain(without).collect()
    }
}

/// Shows no secret.
impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha512").field("shortest", &self.shortest).finish_non_exhaustive()
    }
}

impl Foreign for Sha512 {
    fn name(&self) -> &str {
        "nextcloud"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        let text = presented.expose_secret();
        if text.chars().count() < self.shortest {
            return Vec::new();
        }
        self.hashes(text).iter().map(Lookup::exact).collect()
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        if kept.len() != 64 {
            return Err(InvalidKept("64 bytes"));
        }
        // Both are compared, so that the time does not tell which one it was.
        let equal =
            self.hashes(text).iter().fold(0, |any, hash| any | kept.ct_eq(hash).unwrap_u8());
        Ok(equal == 1)
    }

    fn guarantees_112_bits(&self) -> bool {
        self.shortest >= 22
    }
}
