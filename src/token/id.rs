//! The public part of a token's text: [`TokenId`].

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

use super::alphabet::{Character, append, character_of, digit_of, digits_of};
use crate::random::ID_DIGITS;

/// A map by token.
pub(crate) type IdMap<V> = HashMap<TokenId, V, BuildHasherDefault<IdHasher>>;

/// Spreads ids by one multiplication.
///
/// That is enough, since ids are drawn at random. A client can't choose ids to make a map slow,
/// because a map only ever holds ids of tokens that exist.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Knuth's multiplicative hashing: 2^64 divided by the golden ratio. The map takes its
        // buckets from the low bits, so the well-mixed high ones are folded into them.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

/// The public part of a token's text: 50 random bits, ten characters.
///
/// It may be logged, listed and stored in clear. It fits a signed 64-bit database column and a
/// JavaScript number. It prints as its ten characters, and parses from them, also in upper case and
/// with look-alikes such as `o` for `0`.
///
/// ```
/// use app_tokens::TokenId;
/// let id: TokenId = "askgagkera".parse()?;
/// assert_eq!(TokenId::from_u64(id.as_u64()), Ok(id));
/// # Ok::<(), app_tokens::token::InvalidTokenId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl TokenId {
    /// The greatest id, `zzzzzzzzzz`.
    pub const MAX: TokenId = TokenId((1 << 50) - 1);

    /// Makes an id from a number below 2^50.
    ///
    /// # Errors
    /// [`InvalidTokenId`] if the number is 2^50 or more.
    pub const fn from_u64(number: u64) -> Result<TokenId, InvalidTokenId> {
        if number > TokenId::MAX.0 {
            return Err(InvalidTokenId);
        }
        Ok(TokenId(number))
    }

    /// Returns the number, below 2^50.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Makes an id from ten digits below 32.
    pub(super) fn from_digits(digits: impl Iterator<Item = u8>) -> TokenId {
        TokenId(digits.take(ID_DIGITS).fold(0, append))
    }

    /// Makes an id from the number of ten digits.
    pub(super) fn from_number(number: u64) -> TokenId {
        TokenId(number)
    }
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;
    fn from_str(text: &str) -> Result<TokenId, InvalidTokenId> {
        if text.len() != ID_DIGITS {
            return Err(InvalidTokenId);
        }
        let mut digits = [0; ID_DIGITS];
        for (place, byte) in digits.iter_mut().zip(text.bytes()) {
            let Character::Canonical(character) = Character::of(byte) else {
                return Err(InvalidTokenId);
            };
            *place = digit_of(character);
        }
        Ok(TokenId::from_digits(digits.into_iter()))
    }
}

/// Converts for a column of a database. The number is below 2^50.
impl From<TokenId> for i64 {
    fn from(id: TokenId) -> i64 {
        id.0.cast_signed()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; ID_DIGITS];
        for (place, digit) in text.iter_mut().zip(digits_of(self.0, ID_DIGITS)) {
            *place = character_of(digit);
        }
        #[expect(clippy::expect_used, reason = "every character of the alphabet is ASCII")]
        f.pad(str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// A text or a number that is not a [`TokenId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token id, which has ten characters of 0 to 9 and a to z without i, l, o and u")]
pub struct InvalidTokenId;
