//! What is stored instead of the secret: [`Digest`].
//!
//! This is the only file that compares a presented secret with a stored one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::token::{self, ParseError, Prefix, Token, TokenId};

/// SHA-256 of a token's whole canonical text, with a tag that names the scheme.
///
/// A slow password hash would add cost and no safety: a token has 140 random bits. From 112 bits
/// on, NIST SP 800-63B (5.1.2, look-up secrets) allows a plain approved hash.
///
/// Digests are compared in constant time.
///
/// ```
/// use app_tokens::record::Digest;
/// use app_tokens::token::Token;
/// let token = Token::parse_any_prefix("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92")?;
/// let stored = Digest::of(&token).to_bytes();
/// assert!(Digest::from_bytes(&stored)?.verify(&token));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Digest {
    bytes: [u8; 32],
}

impl Digest {
    /// The tag of plain SHA-256, the first byte of [`Digest::to_bytes`].
    const SHA_256: u8 = 1;

    /// What a presented secret is compared with if there is no row, so that the answer takes as
    /// long.
    ///
    /// No token is known to have this digest.
    pub(crate) const OF_NO_TOKEN: Digest = Digest { bytes: [0; 32] };

    /// Computes the digest of a token.
    pub fn of(token: &Token) -> Digest {
        Digest::of_canonical(token.canonical())
    }

    /// Reads the id of a presented text and computes its digest. It leaves no copy of the secret
    /// behind.
    ///
    /// # Errors
    /// [`ParseError`] if the text is not a token.
    pub(crate) fn of_presented(
        text: &str,
        accepted: &[Prefix],
    ) -> Result<(TokenId, Digest), ParseError> {
        if let Some(id) = token::id_in_canonical(text, accepted)? {
            return Ok((id, Digest::of_canonical(text.as_bytes())));
        }
        let token = Token::parse(text, accepted)?;
        Ok((token.id(), Digest::of(&token)))
    }

    /// Computes the digest of a canonical text.
    fn of_canonical(text: &[u8]) -> Digest {
        // The hasher stays where it is: a moved one would leave a copy of what it read, which its
        // drop does not wipe.
        let mut hasher = Sha256::new();
        hasher.update(text);
        Digest { bytes: hasher.finalize_reset().into() }
    }

    /// Returns whether this is the digest of `token`. Takes the same time in either case.
    pub fn verify(&self, token: &Token) -> bool {
        *self == Digest::of(token)
    }

    /// Returns the stored form: the scheme's tag, then the 32 bytes.
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut stored = [Digest::SHA_256; 33];
        stored[1..].copy_from_slice(&self.bytes);
        stored
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`InvalidDigest`] if the scheme is unknown or the length is wrong.
    pub fn from_bytes(stored: &[u8]) -> Result<Digest, InvalidDigest> {
        match stored {
            [Digest::SHA_256, bytes @ ..] => {
                Ok(Digest { bytes: bytes.try_into().map_err(|_| InvalidDigest)? })
            }
            _ => Err(InvalidDigest),
        }
    }
}

/// Compares in constant time.
impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        constant_time_eq(&self.bytes, &other.bytes)
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(sha256 …)")
    }
}

/// A stored digest with an unknown scheme or a wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest that this program knows; update it if a newer version wrote the digest")]
pub struct InvalidDigest;

/// Compares 32 bytes in constant time, as four words. That costs less than byte by byte, and
/// reveals as little.
pub(crate) fn constant_time_eq(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let (one, _) = one.as_chunks::<8>();
    let (other, _) = other.as_chunks::<8>();
    let words = one.iter().zip(other);
    let difference = words.fold(0, |difference, (one, other)| {
        difference | (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other))
    });
    difference.ct_eq(&0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::parse_any_prefix(text).unwrap()
    }

    #[test]
    fn a_digest_verifies_its_own_token_and_no_other() {
        let one = token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92");
        let other = token("acme_2wwcysr5s4j36knjaay3s1vpv6sbaa4t6h2vpe0n92zve");
        assert!(Digest::of(&one).verify(&one));
        assert!(!Digest::of(&one).verify(&other));
        assert!(!Digest::OF_NO_TOKEN.verify(&one));
    }

    #[test]
    fn every_single_bit_counts() {
        let digest = Digest::of(&token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"));
        for bit in 0..256 {
            let mut flipped = digest;
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(flipped, digest, "bit {bit}");
        }
    }

    #[test]
    fn the_stored_form_reads_back_and_anything_else_is_refused() {
        let digest = Digest::of(&token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"));
        let stored = digest.to_bytes();
        assert_eq!(Digest::from_bytes(&stored), Ok(digest));
        assert_eq!(Digest::from_bytes(&[]), Err(InvalidDigest));
        assert_eq!(Digest::from_bytes(&stored[..32]), Err(InvalidDigest));
        assert_eq!(Digest::from_bytes(&[&stored[..], &[0]].concat()), Err(InvalidDigest));
        assert_eq!(Digest::from_bytes(&[&[2], &stored[1..]].concat()), Err(InvalidDigest));
    }
}
