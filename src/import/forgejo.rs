//! Tokens of which the old system kept a PBKDF2 hash and their last characters, as Gitea and
//! Forgejo do.

use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::sha256::from_hex;
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};

/// Gitea's and Forgejo's access tokens: PBKDF2-HMAC-SHA-256 of the text, found by its last eight
/// characters.
///
/// A text is looked up only if it has exactly 40 hexadecimal digits in lower case, as in Forgejo.
/// It then has 160 random bits. Several tokens may end alike, so all of them are tried.
///
/// The parameters are fixed: 10,000 iterations, 50 bytes of hash, and the salt as text. A salt has
/// 1 to 64 bytes; Forgejo's have ten.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Forgejo;

const HASH_BYTES: usize = 50;
const ITERATIONS: u32 = 10_000;
const HINT: usize = 8;

impl Forgejo {
    /// Makes the scheme.
    #[expect(clippy::new_without_default, reason = "a scheme is always named in full")]
    pub fn new() -> Forgejo {
        Forgejo
    }

    /// Takes the columns `token_hash`, `token_salt` and `token_last_eight` of a row.
    ///
    /// # Errors
    /// [`InvalidKept`]
    /// - if the hash is not 100 hexadecimal digits,
    /// - if the salt is empty or longer than 64 bytes,
    /// - if the last eight characters are no hexadecimal digits in lower case.
    pub fn secret(
        &self,
        hash: &str,
        salt: &str,
        last_eight: &str,
    ) -> Result<ForeignSecret, InvalidKept> {
        let hash = from_hex(hash).filter(|hash| hash.len() == HASH_BYTES);
        let hash = hash.ok_or(InvalidKept("a hash of 100 hexadecimal digits"))?;
        if !(1..=64).contains(&salt.len()) {
            return Err(InvalidKept("a hash with a salt of 1 to 64 bytes"));
        }
        if last_eight.len() != HINT || !is_lower_hex(last_eight) {
            return Err(InvalidKept("a hash with the last eight hexadecimal digits of its token"));
        }
        let kept = [&hash, salt.as_bytes()].concat();
        ForeignSecret::hash(self, Lookup::shared(last_eight), kept)
    }
}

impl Foreign for Forgejo {
    fn name(&self) -> &str {
        "forgejo"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        let text = presented.expose_secret();
        if text.len() != 40 || !is_lower_hex(text) {
            return Vec::new();
        }
        vec![Lookup::shared(&text[40 - HINT..])]
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let (hash, salt) = kept
            .split_first_chunk::<HASH_BYTES>()
            .filter(|(_, salt)| (1..=64).contains(&salt.len()))
            .ok_or(InvalidKept("50 bytes of hash and 1 to 64 of salt"))?;
        let mut computed = [0; HASH_BYTES];
        pbkdf2::pbkdf2_hmac::<Sha256>(text.as_bytes(), salt, ITERATIONS, &mut computed);
        Ok(computed.ct_eq(hash).into())
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn guarantees_112_bits(&self) -> bool {
        true
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
