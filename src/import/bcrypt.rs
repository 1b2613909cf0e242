//! Tokens of which the old system kept a bcrypt hash, as OpenCloud's older driver does.

use bcrypt::{HashParts, Version};

use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
use crate::text::Owner;

/// Tokens kept as bcrypt hashes (`$2a$`, `$2b$`, `$2y$`), and found by their owner. OpenCloud's
/// older driver `json` keeps its app passwords so, with cost 11.
///
/// All tokens of the owner are tried, so a user name must come with the text.
///
/// A cost of 4 to 14 is accepted. Each step doubles the work, and 14 takes about a second. `$2x$`
/// is refused: it is the hash of a program with a known fault.
///
/// bcrypt reads no more than 72 bytes, and many programs stop at a zero byte. A longer text, or one
/// with a zero byte, is never right here. Otherwise many texts would belong to one token.
///
/// Nothing is known of its texts. At the first use the digest becomes an HMAC.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Bcrypt;

impl Bcrypt {
    /// Makes the scheme of a system that finds tokens by their owner.
    pub fn by_owner() -> Bcrypt {
        Bcrypt
    }

    /// Takes a hash of 60 characters, and the owner as this host names them.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one, or if its cost is above 14.
    pub fn secret(&self, hash: &str, owner: &Owner) -> Result<ForeignSecret, InvalidKept> {
        checked(hash.as_bytes())?;
        ForeignSecret::hash(self, Lookup::of_owner(owner), hash)
    }
}

impl Foreign for Bcrypt {
    fn name(&self) -> &str {
        "bcrypt"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        if !is_read_whole(presented.expose_secret()) {
            return Vec::new();
        }
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let hash = checked(kept)?;
        if !is_read_whole(text) {
            return Ok(false);
        }
        bcrypt::verify(text, hash).map_err(|_| MALFORMED)
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn needs_owner(&self) -> bool {
        true
    }
}

const MALFORMED: InvalidKept = InvalidKept("a bcrypt hash that begins with $2a$, $2b$ or $2y$");

/// Returns whether bcrypt reads a text to its end.
fn is_read_whole(text: &str) -> bool {
    text.len() <= 72 && !text.contains('\0')
}

/// Returns the hash if it is one within the bounds, written in the one way.
fn checked(kept: &[u8]) -> Result<&str, InvalidKept> {
    let hash = std::str::from_utf8(kept).map_err(|_| MALFORMED)?;
    let version = match hash.get(..4) {
        Some("$2a$") => Version::TwoA,
        Some("$2b$") => Version::TwoB,
        Some("$2y$") => Version::TwoY,
        _ => return Err(MALFORMED),
    };
    let parts: HashParts = hash.parse().map_err(|_| MALFORMED)?;
    if parts.format_for_version(version) != hash {
        return Err(MALFORMED);
    }
    if !(4..=14).contains(&parts.get_cost()) {
        return Err(InvalidKept("of cost 4 to 14, which this program computes"));
    }
    Ok(hash)
}
