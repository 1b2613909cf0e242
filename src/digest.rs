//! What is stored instead of the secret: [`Digest`].
//!
//! Here a presented secret is compared with a stored one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::constant_time::constant_time_eq;
use crate::key::KeyId;
#[cfg(feature = "import")]
use crate::key::SealingKey;
use crate::token::{self, ParseError, Prefix, Token, TokenId};

/// What is stored instead of a token's secret: one byte for the scheme, then what that scheme says.
///
/// | scheme | what follows |
/// |---|---|
/// | 1 | SHA-256 of the whole text, 32 bytes; of a token of ours, the canonical text |
/// | 2 | the id of a key of the ring as a `u32`, then an HMAC-SHA-256 under that key, 32 bytes |
/// | 3 | the length of a name in one byte, the name of a foreign scheme, then what that scheme kept |
///
/// A slow password hash would add cost and no safety: a token has 140 random bits. From 112 bits
/// on, NIST SP 800-63B (5.1.2, look-up secrets) allows a plain approved hash.
///
/// Schemes 2 and 3 are of tokens that another system issued; see the feature `import`. The HMAC is
/// computed over the four bytes `atd1` and the text. It is for texts that may have fewer random
/// bits: without the key nobody can search for them.
///
/// No token of ours has another scheme than 1. A digest of scheme 4 or above comes from a newer
/// build. It is kept as it is, and this build can't say of any token whether its secret is right.
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
pub struct Digest(DigestForm);

/// A stored digest, taken apart.
#[derive(Clone)]
enum DigestForm {
    Sha256(Sha256Digest),
    Keyed(KeyedDigest),
    Foreign(ForeignDigest),
    /// The whole stored form. It comes from a newer build.
    Newer(Box<[u8]>),
}

impl Digest {
    /// The longest stored form, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Computes the digest of a token.
    pub fn of(token: &Token) -> Digest {
        Digest::of_sha_256(Sha256Digest::of(token))
    }

    /// Wraps a digest of scheme 1.
    pub(crate) fn of_sha_256(digest: Sha256Digest) -> Digest {
        Digest(DigestForm::Sha256(digest))
    }

    /// Returns the digest of scheme 1; `None` if this build can't compare the digest.
    pub(crate) fn sha_256(&self) -> Option<Sha256Digest> {
        match &self.0 {
            DigestForm::Sha256(digest) => Some(*digest),
            DigestForm::Keyed(_) | DigestForm::Foreign(_) | DigestForm::Newer(_) => None,
        }
    }

    /// Returns whether a newer build wrote the digest, and this one can't compare it.
    pub(crate) fn is_newer(&self) -> bool {
        matches!(self.0, DigestForm::Newer(_))
    }

    /// Returns the key of the ring that a digest of scheme 2 needs.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        match &self.0 {
            DigestForm::Keyed(digest) => Some(digest.key_id),
            DigestForm::Sha256(_) | DigestForm::Foreign(_) | DigestForm::Newer(_) => None,
        }
    }

    /// Computes the digest of a text that another system issued with 112 random bits or more.
    #[cfg(feature = "import")]
    pub(crate) fn of_foreign(text: &str) -> Digest {
        Digest::of_sha_256(Sha256Digest::of_canonical(text.as_bytes()))
    }

    /// Takes SHA-256 of such a text.
    #[cfg(feature = "import")]
    pub(crate) fn of_foreign_sha_256(hash: [u8; 32]) -> Digest {
        Digest::of_sha_256(Sha256Digest { bytes: hash })
    }

    /// Computes the digest of a text that another system issued, under a key of the ring.
    #[cfg(feature = "import")]
    pub(crate) fn keyed(key: &SealingKey, text: &str) -> Digest {
        let mac = key.hmac_of_secret(&[b"atd1", text.as_bytes()]);
        Digest(DigestForm::Keyed(KeyedDigest { key_id: key.id(), mac }))
    }

    /// Takes what another system kept of a text, until that is presented. `None` if it is too long.
    #[cfg(feature = "import")]
    pub(crate) fn kept_by(scheme: &str, kept: &[u8]) -> Option<Digest> {
        let digest = ForeignDigest { scheme: scheme.into(), kept: kept.into() };
        let fits = is_scheme_name(scheme) && 2 + scheme.len() + kept.len() <= Digest::MAX_BYTES;
        fits.then_some(Digest(DigestForm::Foreign(digest)))
    }

    /// Returns the name of the foreign scheme, and what that kept; `None` if another scheme is.
    #[cfg(feature = "import")]
    pub(crate) fn foreign(&self) -> Option<(&str, &[u8])> {
        match &self.0 {
            DigestForm::Foreign(digest) => Some((&digest.scheme, &digest.kept)),
            DigestForm::Sha256(_) | DigestForm::Keyed(_) | DigestForm::Newer(_) => None,
        }
    }

    /// Returns whether two digests are of one text. Takes the same time in either case.
    ///
    /// Both have scheme 1, or scheme 2 under one key. No others are of one text.
    #[cfg(feature = "import")]
    pub(crate) fn is_of_same_text(&self, other: &Digest) -> bool {
        match (&self.0, &other.0) {
            (DigestForm::Sha256(one), DigestForm::Sha256(other)) => one == other,
            (DigestForm::Keyed(one), DigestForm::Keyed(other)) => one == other,
            _ => false,
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
            DigestForm::Sha256(_) => Sha256Digest::SCHEME,
            DigestForm::Keyed(_) => KeyedDigest::SCHEME,
            DigestForm::Foreign(_) => ForeignDigest::SCHEME,
            DigestForm::Newer(bytes) => bytes[0],
        }
    }

    /// Returns the stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            DigestForm::Sha256(digest) => digest.to_bytes().into(),
            DigestForm::Keyed(digest) => digest.to_bytes(),
            DigestForm::Foreign(digest) => digest.to_bytes(),
            DigestForm::Newer(bytes) => bytes.to_vec(),
        }
    }

    /// Reads the stored form, of whatever scheme.
    ///
    /// # Errors
    /// [`InvalidDigest`] if it is empty, longer than [`Digest::MAX_BYTES`], or not as its scheme
    /// says.
    pub fn from_bytes(stored: &[u8]) -> Result<Digest, InvalidDigest> {
        match stored {
            [Sha256Digest::SCHEME, bytes @ ..] => {
                let bytes = bytes.try_into().map_err(|_| InvalidDigest)?;
                Ok(Digest::of_sha_256(Sha256Digest { bytes }))
            }
            [KeyedDigest::SCHEME, rest @ ..] => {
                KeyedDigest::read(rest).map(DigestForm::Keyed).map(Digest).ok_or(InvalidDigest)
            }
            [] => Err(InvalidDigest),
            too_long if too_long.len() > Digest::MAX_BYTES => Err(InvalidDigest),
            [ForeignDigest::SCHEME, rest @ ..] => {
                ForeignDigest::read(rest).map(DigestForm::Foreign).map(Digest).ok_or(InvalidDigest)
            }
            newer => Ok(Digest(DigestForm::Newer(newer.into()))),
        }
    }
}

/// Compares in constant time.
impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        match (&self.0, &other.0) {
            (DigestForm::Sha256(one), DigestForm::Sha256(other)) => one == other,
            (DigestForm::Keyed(one), DigestForm::Keyed(other)) => one == other,
            (DigestForm::Foreign(one), DigestForm::Foreign(other)) => one == other,
            (DigestForm::Newer(one), DigestForm::Newer(other)) => one.ct_eq(other).into(),
            _ => false,
        }
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DigestForm::Sha256(_) => f.write_str("Digest(sha256 …)"),
            DigestForm::Keyed(digest) => write!(f, "Digest(hmac under key {} …)", digest.key_id),
            DigestForm::Foreign(digest) => write!(f, "Digest({} …)", digest.scheme),
            DigestForm::Newer(bytes) => write!(f, "Digest(scheme {} …)", bytes[0]),
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

    /// Reads the id of a presented text and computes its digest. It makes no copy of the secret
    /// that stays.
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

/// A digest of scheme 2: an HMAC of a text that another system issued.
#[derive(Clone)]
struct KeyedDigest {
    key_id: KeyId,
    mac: [u8; 32],
}

impl KeyedDigest {
    const SCHEME: u8 = 2;

    /// Reads what follows the scheme; `None` if it has another length, or names key 0.
    fn read(stored: &[u8]) -> Option<KeyedDigest> {
        let (key_id, mac) = stored.split_first_chunk::<4>()?;
        let key_id = KeyId::new(u32::from_be_bytes(*key_id))?;
        Some(KeyedDigest { key_id, mac: mac.try_into().ok()? })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let key_id = self.key_id.as_u32().to_be_bytes();
        [&[KeyedDigest::SCHEME], &key_id[..], &self.mac].concat()
    }
}

/// Compares in constant time.
impl PartialEq for KeyedDigest {
    fn eq(&self, other: &KeyedDigest) -> bool {
        self.key_id == other.key_id && constant_time_eq(&self.mac, &other.mac)
    }
}

/// A digest of scheme 3: what another system kept of a text that it issued.
#[derive(Clone)]
struct ForeignDigest {
    scheme: Box<str>,
    kept: Box<[u8]>,
}

impl ForeignDigest {
    const SCHEME: u8 = 3;

    /// Reads what follows the scheme; `None` if the name is not whole or no name.
    fn read(stored: &[u8]) -> Option<ForeignDigest> {
        let (length, rest) = stored.split_first()?;
        let (scheme, kept) = rest.split_at_checked(usize::from(*length))?;
        let scheme = std::str::from_utf8(scheme).ok()?;
        is_scheme_name(scheme).then(|| ForeignDigest { scheme: scheme.into(), kept: kept.into() })
    }

    fn to_bytes(&self) -> Vec<u8> {
        // A name has at most 32 bytes.
        let length = self.scheme.len() as u8;
        [&[ForeignDigest::SCHEME, length], self.scheme.as_bytes(), &self.kept].concat()
    }
}

/// Compares in constant time, the length and the public name apart.
impl PartialEq for ForeignDigest {
    fn eq(&self, other: &ForeignDigest) -> bool {
        self.scheme == other.scheme && self.kept.ct_eq(&other.kept).into()
    }
}

/// Returns whether a foreign scheme may have this name: 1 to 32 lower-case letters, digits and `-`.
pub(crate) fn is_scheme_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_allowed)
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
        assert!(!Digest::from_bytes(&[&[4], &stored[1..]].concat()).unwrap().verify(&one));
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
    fn every_single_bit_counts_whatever_the_scheme() {
        for stored in [&b"\x01"[..], b"\x02\0\0\0\x07", b"\x03\x03sha", b"\x04"] {
            let stored = [stored, &[7; 32]].concat();
            let digest = Digest::from_bytes(&stored).unwrap();
            for bit in 0..256 {
                let mut flipped = stored.clone();
                flipped[stored.len() - 32 + bit / 8] ^= 1 << (bit % 8);
                assert!(Digest::from_bytes(&flipped).unwrap() != digest, "{stored:?}, bit {bit}");
            }
            assert!(Digest::from_bytes(&stored[..stored.len() - 1]) != Ok(digest), "{stored:?}");
        }
        let [one, other] = [b"\x03\x03sha7", b"\x03\x03shb7"].map(|name| Digest::from_bytes(name));
        assert!(one.unwrap() != other.unwrap());
        let key = |id| Digest::from_bytes(&[&[2, 0, 0, 0, id], &[7; 32][..]].concat()).unwrap();
        assert!(key(1) != key(2));
    }

    #[test]
    fn the_stored_form_reads_back_whatever_its_scheme() {
        let digest = Digest::of(&token("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"));
        let stored = digest.to_bytes();
        assert_eq!((digest.scheme(), stored.len()), (1, 33));
        assert_eq!(Digest::from_bytes(&stored), Ok(digest.clone()));
        let keyed = [&[2, 0, 0, 0, 1], &stored[1..]].concat();
        let newer = [&[4], &stored[1..]].concat();
        for bytes in
            [&keyed, &b"\x03\x05argon$argon2id$"[..], b"\x03\x01a", &newer, &[0], &[255; 512]]
        {
            let other = Digest::from_bytes(bytes).unwrap();
            assert_eq!((other.scheme(), other.to_bytes()), (bytes[0], bytes.to_vec()));
            assert_eq!(Digest::from_bytes(bytes), Ok(other.clone()));
            assert!(other != digest && other.sha_256().is_none());
            assert_eq!(other.is_newer(), !matches!(bytes[0], 2 | 3), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_not_as_its_scheme_says_is_refused() {
        let of_key_0 = [&[2, 0, 0, 0, 0], &[7; 32][..]].concat();
        let names =
            [&b"\x03"[..], b"\x03\x00hash", b"\x03\x04sha", b"\x03\x03SHA", b"\x03\x01\xff"];
        let lengths = [&[][..], &[1], &[1; 32], &[1; 34], &[2], &[2; 36], &[2; 38], &[4; 513]];
        for bytes in names.into_iter().chain(lengths).chain([&of_key_0[..]]) {
            assert_eq!(Digest::from_bytes(bytes), Err(InvalidDigest), "{bytes:?}");
        }
    }
}
