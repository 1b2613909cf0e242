//! Tokens of which the old system kept an Argon2 hash, as OpenCloud does.

use argon2::{Algorithm, Params, Version};
use subtle::ConstantTimeEq as _;

use super::phc;
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
use crate::text::Owner;

/// Tokens kept as PHC strings of Argon2id, Argon2i or Argon2d, and found by their owner. OpenCloud
/// keeps its app passwords so.
///
/// All tokens of the owner are tried, so a user name must come with the text. A text of several
/// words with spaces between them is compared as it is.
///
/// A hash comes from another system's database, so what it costs is bounded:
///
/// | field | bounds | reason |
/// |---|---|---|
/// | `v` | 19 | version 16 has a known weakness, and no system is known that still writes it |
/// | `m` | 8 `p` to 131,072 (128 MiB) | OpenCloud and PHP write 65,536. Each check takes as much memory |
/// | `t` | 1 to 10 | OpenCloud writes 1, PHP 4, the strictest advice of OWASP says 5 |
/// | `p` | 1 to 255 | OpenCloud writes the number of processors. It does not change the work |
/// | salt | 8 to 64 bytes | RFC 9106 asks for 8 at least; all systems write 16 |
/// | hash | 16 to 64 bytes | fewer could be guessed; all systems write 32 |
///
/// A key id or associated data (`keyid`, `data`) is refused.
///
/// Its texts may have fewer than 112 random bits: OpenCloud's six words have 77. At the first use
/// the digest becomes an HMAC.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Argon2;

impl Argon2 {
    /// Makes the scheme of a system that finds tokens by their owner.
    pub fn by_owner() -> Argon2 {
        Argon2
    }

    /// Takes a PHC string, and the owner as this host names them.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one, or if a parameter is out of bounds.
    pub fn secret(&self, phc: &str, owner: &Owner) -> Result<ForeignSecret, InvalidKept> {
        Argon2Hash::read(phc.as_bytes())?;
        ForeignSecret::hash(self, Lookup::of_owner(owner), phc)
    }
}

impl Foreign for Argon2 {
    fn name(&self) -> &str {
        "argon2"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let hash = Argon2Hash::read(kept)?;
        let mut computed = vec![0; hash.output.len()];
        hash.argon2
            .hash_password_into(text.as_bytes(), &hash.salt, &mut computed)
            .map_err(|_| MALFORMED)?;
        Ok(computed.ct_eq(&hash.output).into())
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn needs_owner(&self) -> bool {
        true
    }
}

const MALFORMED: InvalidKept = InvalidKept("a PHC string of Argon2, version 19");
const OUT_OF_BOUNDS: InvalidKept =
    InvalidKept("within m=131072, t=10 and p=255, which this program computes");

/// A PHC string, taken apart.
struct Argon2Hash {
    argon2: argon2::Argon2<'static>,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Argon2Hash {
    fn read(kept: &[u8]) -> Result<Argon2Hash, InvalidKept> {
        let [name, version, parameters, salt, output] = phc::fields(kept).ok_or(MALFORMED)?;
        let algorithm = match (name, version) {
            ("argon2id", "v=19") => Algorithm::Argon2id,
            ("argon2i", "v=19") => Algorithm::Argon2i,
            ("argon2d", "v=19") => Algorithm::Argon2d,
            _ => return Err(MALFORMED),
        };
        let [m, t, p] = phc::numbers(parameters, ["m", "t", "p"]).ok_or(MALFORMED)?;
        let (salt, output) = phc::bytes(salt, 8..=64)
            .zip(phc::bytes(output, 16..=64))
            .ok_or(InvalidKept("an Argon2 hash with 8 to 64 bytes of salt and 16 to 64 of hash"))?;
        if !(1..=255).contains(&p) || !(8 * p..=131_072).contains(&m) || !(1..=10).contains(&t) {
            return Err(OUT_OF_BOUNDS);
        }
        let parameters = Params::new(m, t, p, Some(output.len())).map_err(|_| OUT_OF_BOUNDS)?;
        let argon2 = argon2::Argon2::new(algorithm, Version::V0x13, parameters);
        Ok(Argon2Hash { argon2, salt, output })
    }
}
