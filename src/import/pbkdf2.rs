//! Tokens of which the old system kept a PBKDF2 hash: as a PHC string.

use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::phc;
use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
use crate::text::Owner;

/// Tokens kept as PHC strings of PBKDF2 with SHA-256 or SHA-512, and found by their owner.
///
/// Two forms are known: `$pbkdf2-sha256$i=600000,l=32$SALT$HASH`, and that of Python's passlib,
/// `$pbkdf2-sha256$29000$SALT$HASH` with `.` for `+`. All tokens of the owner are tried, so a user
/// name must come with the text.
///
/// A hash comes from another system's database, so what it costs is bounded:
///
/// | field | bounds | reason |
/// |---|---|---|
/// | iterations | 1 to 2,000,000 | OWASP asks for 600,000. The most takes about a second |
/// | salt | 8 to 64 bytes | RFC 8018 asks for 8 at least |
/// | hash | 16 to 64 bytes | fewer could be guessed; each 32 bytes more cost as much again |
///
/// Nothing is known of its texts. At the first use the digest becomes an HMAC.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Pbkdf2;

impl Pbkdf2 {
    /// Makes the scheme of a system that finds tokens by their owner.
    pub fn by_owner() -> Pbkdf2 {
        Pbkdf2
    }

    /// Takes a PHC string, and the owner as this host names them.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not one, or if a parameter is out of bounds.
    pub fn secret(&self, phc: &str, owner: &Owner) -> Result<ForeignSecret, InvalidKept> {
        Pbkdf2Hash::read(phc.as_bytes())?;
        ForeignSecret::hash(self, Lookup::of_owner(owner), phc)
    }
}

impl Foreign for Pbkdf2 {
    fn name(&self) -> &str {
        "pbkdf2"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        presented.owner().map(Lookup::of_owner).into_iter().collect()
    }

    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept> {
        let hash = Pbkdf2Hash::read(kept)?;
        let mut computed = vec![0; hash.output.len()];
        (hash.pbkdf2)(text.as_bytes(), &hash.salt, hash.iterations, &mut computed);
        Ok(computed.ct_eq(&hash.output).into())
    }

    fn is_slow(&self) -> bool {
        true
    }

    fn needs_owner(&self) -> bool {
        true
    }
}

const MALFORMED: InvalidKept = InvalidKept("a PHC string of PBKDF2 with SHA-256 or SHA-512");

/// A PHC string, taken apart.
struct Pbkdf2Hash {
    pbkdf2: fn(&[u8], &[u8], u32, &mut [u8]),
    iterations: u32,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Pbkdf2Hash {
    fn read(kept: &[u8]) -> Result<Pbkdf2Hash, InvalidKept> {
        let [name, parameters, salt, output] = phc::fields(kept).ok_or(MALFORMED)?;
        let pbkdf2 = match name {
            "pbkdf2-sha256" => pbkdf2::pbkdf2_hmac::<Sha256>,
            "pbkdf2-sha512" => pbkdf2::pbkdf2_hmac::<Sha512>,
            _ => return Err(MALFORMED),
        };
        let (iterations, salt, output) = match phc::number(parameters) {
            Some(iterations) if !salt.contains('+') && !output.contains('+') => {
                (iterations, salt.replace('.', "+"), output.replace('.', "+"))
            }
            Some(_) => return Err(MALFORMED),
            None => (phc_iterations(parameters, output)?, salt.into(), output.into()),
        };
        let (salt, output) = phc::bytes(&salt, 8..=64)
            .zip(phc::bytes(&output, 16..=64))
            .ok_or(InvalidKept("a PBKDF2 hash with 8 to 64 bytes of salt and 16 to 64 of hash"))?;
        if !(1..=2_000_000).contains(&iterations) {
            return Err(InvalidKept("of 1 to 2,000,000 iterations, which this program computes"));
        }
        Ok(Pbkdf2Hash { pbkdf2, iterations, salt, output })
    }
}

/// Reads `i=600000` or `i=600000,l=32`, of which the latter must be the length of the hash.
fn phc_iterations(parameters: &str, output: &str) -> Result<u32, InvalidKept> {
    if let Some([iterations]) = phc::numbers(parameters, ["i"]) {
        return Ok(iterations);
    }
    let [iterations, length] = phc::numbers(parameters, ["i", "l"]).ok_or(MALFORMED)?;
    // Four characters of base64 are three bytes.
    if output.len() * 3 / 4 != length as usize {
        return Err(MALFORMED);
    }
    Ok(iterations)
}
