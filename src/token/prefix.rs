//! The brand at the head of a token: [`Prefix`].

use std::fmt;
use std::str::FromStr;

use super::checksum::Checksum;
use crate::random::RANDOM_DIGITS;

/// The service's brand at the head of every token: `[a-z](_?[a-z0-9])+`, 2 to 16 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    text: [u8; Prefix::MAX_LEN],
    len: u8,
    /// Computed once: see [`Prefix::checksum`].
    checksum: Checksum,
}

impl Prefix {
    /// The shortest prefix, in characters.
    pub const MIN_LEN: usize = 2;
    /// The longest prefix, in characters.
    pub const MAX_LEN: usize = 16;

    /// Makes a prefix from a text.
    ///
    /// # Errors
    /// [`InvalidPrefix`] unless it matches `[a-z](_?[a-z0-9])+` and has 2 to 16 characters.
    pub fn new(text: impl AsRef<str>) -> Result<Prefix, InvalidPrefix> {
        let bytes = text.as_ref().as_bytes();
        let length_fits = (Prefix::MIN_LEN..=Prefix::MAX_LEN).contains(&bytes.len());
        let starts_well = bytes.first().is_some_and(u8::is_ascii_lowercase);
        let goes_on_well = bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
        let underscores_single = !bytes.windows(2).any(|pair| pair == b"__");
        let ends_well = bytes.last().is_some_and(|byte| *byte != b'_');
        if !(length_fits && starts_well && goes_on_well && underscores_single && ends_well) {
            return Err(InvalidPrefix);
        }
        let mut text = [0; Prefix::MAX_LEN];
        text[..bytes.len()].copy_from_slice(bytes);
        let place_of_random = &[0; RANDOM_DIGITS];
        let head = bytes.iter().chain(b"_").chain(place_of_random);
        let checksum = head.fold(Checksum::START, |checksum, byte| checksum.extend(*byte));
        Ok(Prefix { text, len: bytes.len() as u8, checksum })
    }

    /// Makes a prefix from a text in upper or lower case, without memory that would have to be
    /// wiped.
    pub(super) fn in_any_case(text: &str) -> Option<Prefix> {
        let mut lower = [0; Prefix::MAX_LEN];
        let lower = lower.get_mut(..text.len())?;
        lower.copy_from_slice(text.as_bytes());
        lower.make_ascii_lowercase();
        Prefix::new(std::str::from_utf8(lower).ok()?).ok()
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        #[expect(clippy::expect_used, reason = "`new` takes lower-case ASCII only")]
        str::from_utf8(self.as_bytes()).expect("a prefix is ASCII")
    }

    /// Returns the text as bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.len)]
    }

    /// Returns the checksum over the prefix, its `_` and zero bytes in place of the random digits.
    pub(super) fn checksum(&self) -> Checksum {
        self.checksum
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;
    fn from_str(text: &str) -> Result<Prefix, InvalidPrefix> {
        Prefix::new(text)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// A text that is not a [`Prefix`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a prefix; use 2 to 16 characters: \
     a to z first, then a to z, 0 to 9 and single inner underscores"
)]
pub struct InvalidPrefix;
