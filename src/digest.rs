//! What is stored instead of the secret: [`Digest`].
//!
//! This is the only file that compares a presented secret with a stored one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::token::{self, ParseError, Prefix, Token, TokenId};

/// What is stored instead of a token's secret: one byte for the scheme, then what that scheme says.
///
/// | scheme | what follows |
/// |---|---|
/// | 1 | SHA-256 of the token's whole canonical text, 32 bytes |
/// | 2 | reserved for tokens imported from other systems: an HMAC of their own digest |
///
/// A slow password hash would add cost and no safety: a token has 140 random bits. From 112 bits
/// on, NIST SP 800-63B (5.1.2, look-up secrets) allows a plain approved hash.
///
/// This build makes and compares scheme 1 alone, in constant time. It keeps any other digest as it
/// is, and can't say of any token whether its secret is right.
///
/// ```
/// use app_tokens::record::Digest;
/// use app_tokens::token::Token;
/// let token = Token::parse_any_prefix("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92")?;
/// let stored = Digest::of(&token).to_bytes();
/// assert!(Digest::from_bytes(&stored)?.verify(&token));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Digest(Form);

/// A stored digest, taken apart.
#[derive(Clone)]
enum Form {
    Sha256(Sha256Digest),
    /// The whole stored form. It comes from a newer build.
    Other(Box<[u8]>),
}

impl Digest {
    /// The longest stored form, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Computes the digest of a token.
    pub fn of(token: &Token) -> Digest {
        Digest::of_sha_256(Sha256Digest::of(token))
    }

    /// Wraps a digest of scheme 1.
    pub(crate) fn of_sha_256(digest: Sha256Digest) -> Digest {
        Digest(Form::Sha256(digest))
    }

    /// Returns the digest of scheme 1; `None` if this build can't compare the digest.
    pub(crate) fn sha_256(&self) -> Option<Sha256Digest> {
        match &self.0 {
            Form::Sha256(digest) => Some(*digest),
            Form::Other(_) => None,
        }
    }

    /// Returns whether this is the digest of `token`. Takes the same time in either case.
    ///
    /// A digest of another scheme than 1 is of no token that this build can compute.
    pub fn verify(&self, token: &Token) -> bool {
        self.sha_256() == Some(Sha256Digest::of(token))
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> u8 {
        match &self.0 {
            Form::Sha256(_) => Sha256Digest::SCHEME,
            Form::Other(bytes) => bytes[0],
        }
    }

    /// Returns the stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Form::Sha256(digest) => digest.to_bytes().into(),
            Form::Other(bytes) => bytes.to_vec(),
        }
    }

    /// Reads the stored form, of whatever scheme.
    ///
    /// # Errors
    /// [`InvalidDigest`] if it is empty, longer than [`Digest::MAX_BYTES`], or of scheme 1 with
    /// another length than 33 bytes.
    pub fn from_bytes(stored: &[u8]) -> Result<Digest, InvalidDigest> {
        match stored {
            [Sha256Digest::SCHEME, bytes @ ..] => {
                let bytes = bytes.try_into().map_err(|_| InvalidDigest)?;
                Ok(Digest::of_sha_256(Sha256Digest { bytes }))
            }
            [] => Err(InvalidDigest),
            other if other.len() <= Digest::MAX_BYTES => Ok(Digest(Form::Other(other.into()))),
            _ => Err(InvalidDigest),
        }
    }
}

/// Compares in constant time.
impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        match (&self.0, &other.0) {
            (Form::Sha256(one), Form::Sha256(other)) => one == other,
            // Not in constant time: this build accepts no token by such a digest.
            (Form::Other(one), Form::Other(other)) => one == other,
            _ => false,
        }
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Sha256(_) => f.write_str("Digest(sha256 …)"),
            Form::Other(bytes) => write!(f, "Digest(scheme {} …)", bytes[0]),
        }
    }
}

/// A stored digest that is empty, too long, or has another length than its scheme says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest; hand in all the bytes that `Digest::to_bytes` returned")]
pub struct InvalidDigest;

/// A digest of scheme 1: SHA-256 of a token's whole canonical text.
///
/// A type of its own, so that what every authentication copies and compares needs no allocation.
#[derive(Clone, Copy)]
pub(crate) struct Sha256Digest {
    bytes: [u8; 32],
}

impl Sha256Digest {
    /// The first byte of [`Digest::to_bytes`].
    const SCHEME: u8 = 1;

    /// What a presented secret is compared with if there is no row, so that the answer takes as
    /// long. Also if the row has a digest of another scheme.
    ///
    /// No token is known to have this digest.
    pub(crate) const OF_NO_TOKEN: Sha256Digest = Sha256Digest { bytes: [0; 32] };

    /// Computes the digest of a token.
    pub(crate) fn of(token: &Token) -> Sha256Digest {
        Sha256Digest::of_canonical(token.canonical())
    }

    /// Reads the id of a presented text and computes its digest. It leaves no copy of the secret
    /// behind.
    ///
    /// # Errors
    /// [`ParseError`] if the text is not a token.
    pub(crate) fn of_presented(
        text: &str,
        accepted: &[Prefix],
    ) -> Result<(TokenId, Sha256Digest), ParseError> {
        if let Some(id) = token::id_in_canonical(text, accepted)? {
            return Ok((id, Sha256Digest::of_canonical(text.as_bytes())));
        }
        let token = Token::parse(text, accepted)?;
        Ok((token.id(), Sha256Digest::of(&token)))
    }

    /// Computes the digest of a canonical text.
    fn of_canonical(text: &[u8]) -> Sha256Digest {
        // The hasher stays where it is: a moved one would leave a copy of what it read, which its
        // drop does not wipe.
        let mut hasher = Sha256::new();
        hasher.update(text);
        Sha256Digest { bytes: hasher.finalize_reset().into() }
    }

    /// Returns the stored form: the scheme, then the 32 bytes.
    pub(crate) fn to_bytes(self) -> [u8; 33] {
        let mut stored = [Sha256Digest::SCHEME; 33];
        stored[1..].copy_from_slice(&self.bytes);
        stored
    }
}

/// Compares in constant time.
impl PartialEq for Sha256Digest {
    fn eq(&self, other: &Sha256Digest) -> bool {
        constant_time_eq(&self.bytes, &other.bytes)
    }
}

impl Eq for Sha256Digest {}

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
        assert!(!Digest::of_sha_256(Sha256Digest::OF_NO_TOKEN).verify(&one));
        let stored = Digest::of(&one).to_bytes();
        assert!(!Digest::from_bytes(&[&[2], &stored[1..]].concat()).unwrap().verify(&one));
    }

    #[test]
    fn every_single_bit_counts() {
        let digest = Sha256Digest::of(&token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"));
        for bit in 0..256 {
            let mut flipped = digest;
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(flipped != digest, "bit {bit}");
        }
    }

    #[test]
    fn the_stored_form_reads_back_whatever_its_scheme() {
        let digest = Digest::of(&token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"));
        let stored = digest.to_bytes();
        assert_eq!((digest.scheme(), stored.len()), (1, 33));
        assert_eq!(Digest::from_bytes(&stored), Ok(digest.clone()));
        for bytes in [&[2; 33][..], &[0], &[255; 64], &[&[2], &stored[1..]].concat()] {
            let other = Digest::from_bytes(bytes).unwrap();
            assert_eq!((other.scheme(), other.to_bytes()), (bytes[0], bytes.to_vec()));
            assert_eq!(Digest::from_bytes(bytes), Ok(other.clone()));
            assert!(other != digest && other.sha_256().is_none());
        }
    }

    #[test]
    fn what_has_not_the_length_of_a_digest_is_refused() {
        for bytes in [&[][..], &[1], &[1; 32], &[1; 34], &[2; 65]] {
            assert_eq!(Digest::from_bytes(bytes), Err(InvalidDigest), "{bytes:?}");
        }
    }
}
