//! The text of a token: `Token::compose` and [`Token::parse`] side by side.
//!
//! ```text
//! acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92
//! ├──┘ ├────────┘├──────────────────────────┘├─────┘
//! prefix   id          secret (140 bits)      checksum
//! ```
//!
//! The id is public and may be logged, listed and stored in clear. The checksum is as secret as the
//! secret, of which it is a function.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::secret::{ID_DIGITS, SECRET_DIGITS, Secret};

/// Crockford's base 32, in lower case: no i, l, o, u.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const RANDOM_DIGITS: usize = ID_DIGITS + SECRET_DIGITS;
const CHECKSUM_DIGITS: usize = 7;
const BODY_DIGITS: usize = RANDOM_DIGITS + CHECKSUM_DIGITS;
const MAX_CANONICAL: usize = Prefix::MAX_LEN + 1 + BODY_DIGITS;

/// A token in hand: its canonical text. Wiped when dropped; not `Clone`, not comparable, not printable.
///
/// ```compile_fail,E0599
/// # use app_tokens::token::{Prefix, Token};
/// # let token = Token::parse("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", &[Prefix::new("acme").unwrap()]).unwrap();
/// let copy = token.clone(); // a secret has one place
/// ```
/// ```compile_fail,E0277
/// # use app_tokens::token::{Prefix, Token};
/// # let token = Token::parse("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", &[Prefix::new("acme").unwrap()]).unwrap();
/// println!("{token}"); // say `expose_secret` where it must be shown
/// ```
/// ```compile_fail,E0369
/// # use app_tokens::token::{Prefix, Token};
/// # let token = Token::parse("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", &[Prefix::new("acme").unwrap()]).unwrap();
/// assert!(token == token); // only digests are compared, in constant time
/// ```
pub struct Token {
    /// On the heap, since whatever moves on the stack leaves copies behind that nobody wipes.
    text: Zeroizing<Box<[u8]>>,
    prefix: Prefix,
    id: TokenId,
}

impl Token {
    /// The longest text that is looked at, in bytes.
    pub const MAX_PRESENTED: usize = 128;

    /// How many characters follow the `_`.
    pub(crate) const BODY_CHARACTERS: usize = BODY_DIGITS;

    /// Writes a token's canonical text.
    pub(crate) fn compose(prefix: Prefix, id: TokenId, secret: &Secret) -> Token {
        let mut token = Token::blank(prefix, id);
        let (head, body) = token.parts_mut();
        head.copy_from_slice(prefix.as_str().as_bytes());
        let (random, checksum) = body.split_at_mut(RANDOM_DIGITS);
        for (place, digit) in random.iter_mut().zip(secret.digits()) {
            *place = ALPHABET[usize::from(*digit)];
        }
        write_number(
            prefix.checksum.with_random(secret.digits().iter().copied()).value(),
            checksum,
        );
        token
    }

    /// Reads a presented text: the canonical one, and what people make of it by hand.
    ///
    /// ASCII white space around it, upper case, `o` for `0`, `i` and `l` for `1` and single spaces or
    /// hyphens between the characters of the body are accepted; nothing else is.
    ///
    /// # Errors
    /// [`ParseError`] with the reason. It never repeats the text.
    pub fn parse(presented: &str, accepted: &[Prefix]) -> Result<Token, ParseError> {
        Token::read(presented, |head, _| {
            let prefix = accepted.iter().find(|prefix| prefix.is(head));
            prefix.copied().ok_or(ParseError::UnknownPrefix)
        })
    }

    /// Reads a presented text, whatever well-formed prefix it has. For tools that look at tokens of
    /// others.
    ///
    /// # Errors
    /// [`ParseError`] with the reason. It never repeats the text.
    pub fn parse_any_prefix(presented: &str) -> Result<Token, ParseError> {
        Token::read(presented, |head, body| {
            // The head is copied in lower case. So nothing is copied that has not the form of a
            // token: it may be a password with a `_`.
            check_form(body)?;
            Prefix::in_any_case(head).ok_or(ParseError::UnknownPrefix)
        })
    }

    fn read(
        presented: &str,
        accept: impl FnOnce(&str, &str) -> Result<Prefix, ParseError>,
    ) -> Result<Token, ParseError> {
        if presented.len() > Token::MAX_PRESENTED {
            return Err(ParseError::TooLong);
        }
        let presented = presented.trim_ascii();
        if presented.is_empty() {
            return Err(ParseError::Empty);
        }
        let (head, body) = presented.rsplit_once('_').ok_or(ParseError::NoPrefix)?;
        let prefix = accept(head, body)?;

        check_form(body)?;

        let mut token = Token::blank(prefix, TokenId(0));
        let (canonical_head, canonical_body) = token.parts_mut();
        canonical_head.copy_from_slice(prefix.as_str().as_bytes());
        let characters = body.bytes().map(|byte| CANONICAL[usize::from(byte)]);
        for (place, character) in
            canonical_body.iter_mut().zip(characters.filter(|c| *c != SEPARATOR))
        {
            *place = character;
        }
        // Its form was found good, so there is an id or a wrong checksum.
        token.id = prefix.id_in_canonical(token.canonical())?.ok_or(ParseError::WrongLength)?;
        Ok(token)
    }

    /// The brand before the last `_`.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The public id: the only part that may be shown.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// The whole secret text. Show it to its holder once; never log, store or echo it.
    pub fn expose_secret(&self) -> &str {
        std::str::from_utf8(self.canonical()).unwrap_or_default()
    }

    /// The canonical bytes, for the digest.
    pub(crate) fn canonical(&self) -> &[u8] {
        &self.text[..self.prefix.len() + 1 + BODY_DIGITS]
    }

    /// Whether a byte may stand for a character of the body; separators do not.
    pub(crate) fn is_in_body(byte: u8) -> bool {
        !matches!(CANONICAL[usize::from(byte)], FORBIDDEN | SEPARATOR)
    }

    fn blank(prefix: Prefix, id: TokenId) -> Token {
        Token { text: Zeroizing::new(vec![0; MAX_CANONICAL].into_boxed_slice()), prefix, id }
    }

    /// The places of prefix and body in the text, with the `_` between them written.
    fn parts_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        let (head, rest) = self.text.split_at_mut(self.prefix.len());
        rest[0] = b'_';
        (head, &mut rest[1..=BODY_DIGITS])
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}_{}…)", self.prefix, self.id)
    }
}

/// The id in a presented text that is canonical, as all are that no person typed; `None` for any other, which
/// [`Token::parse`] reads. It copies nothing that would have to be wiped.
pub(crate) fn id_in_canonical(
    presented: &str,
    accepted: &[Prefix],
) -> Result<Option<TokenId>, ParseError> {
    for prefix in accepted {
        if let Some(id) = prefix.id_in_canonical(presented.as_bytes())? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Why a text is no token. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing, or nothing but white space.
    #[error("the token is empty")]
    Empty,
    /// More than [`Token::MAX_PRESENTED`] bytes.
    #[error("the token is longer than 128 bytes")]
    TooLong,
    /// There is no `_` that would end a prefix.
    #[error("the token has no prefix")]
    NoPrefix,
    /// The text before the last `_` is none of the prefixes that are accepted here.
    #[error("the token has a prefix that is not accepted here")]
    UnknownPrefix,
    /// A character of the body that is not in the alphabet.
    #[error("the token has a character that no token has, at position {position} of its body")]
    ForbiddenCharacter {
        /// Where in the text after the last `_`, in bytes, counted from 0.
        position: usize,
    },
    /// A space or hyphen at an end of the body, or two of them in a row.
    #[error("the token has a misplaced separator, at position {position} of its body")]
    MisplacedSeparator {
        /// Where in the text after the last `_`, in bytes, counted from 0.
        position: usize,
    },
    /// A body of more or fewer than 45 characters.
    #[error("the token has a wrong number of characters")]
    WrongLength,
    /// The form is right and the checksum is not: some character was mistyped.
    #[error("the token's checksum is wrong: it was mistyped or cut")]
    Checksum,
}

/// Looks whether a body is 45 characters of the alphabet, with single separators between them.
fn check_form(body: &str) -> Result<(), ParseError> {
    let mut characters = 0;
    let mut after_separator = true;
    for (position, byte) in body.bytes().enumerate() {
        match CANONICAL[usize::from(byte)] {
            SEPARATOR if after_separator => {
                return Err(ParseError::MisplacedSeparator { position });
            }
            SEPARATOR => after_separator = true,
            FORBIDDEN => return Err(ParseError::ForbiddenCharacter { position }),
            _ if characters == BODY_DIGITS => return Err(ParseError::WrongLength),
            _ => {
                characters += 1;
                after_separator = false;
            }
        }
    }
    if characters < BODY_DIGITS {
        return Err(ParseError::WrongLength);
    }
    if after_separator {
        return Err(ParseError::MisplacedSeparator { position: body.len() - 1 });
    }
    Ok(())
}

/// Puts a number together from its digits, most significant first.
fn number_from(digits: impl Iterator<Item = u8>) -> u64 {
    digits.fold(0, |number, digit| number << 5 | u64::from(digit))
}

/// Writes a number in base 32, most significant digit first, to the full width.
fn write_number(mut number: u64, places: &mut [u8]) {
    for place in places.iter_mut().rev() {
        *place = ALPHABET[(number & 31) as usize];
        number >>= 5;
    }
}

const FORBIDDEN: u8 = 0;
const SEPARATOR: u8 = b'-';

/// For each byte the canonical character that it stands for, [`SEPARATOR`] or [`FORBIDDEN`].
const CANONICAL: [u8; 256] = {
    let mut table = [FORBIDDEN; 256];
    let mut digit = 0;
    while digit < 32 {
        let character = ALPHABET[digit];
        table[character as usize] = character;
        table[character.to_ascii_uppercase() as usize] = character;
        digit += 1;
    }
    table[b'o' as usize] = b'0';
    table[b'O' as usize] = b'0';
    table[b'i' as usize] = b'1';
    table[b'I' as usize] = b'1';
    table[b'l' as usize] = b'1';
    table[b'L' as usize] = b'1';
    table[b' ' as usize] = SEPARATOR;
    table[b'-' as usize] = SEPARATOR;
    table
};

/// The digit of a canonical character; a number above 31 for any other.
fn digit_of(character: u8) -> u8 {
    DIGIT[usize::from(character)]
}

static DIGIT: [u8; 256] = {
    let mut table = [u8::MAX; 256];
    let mut digit = 0;
    while digit < 32 {
        table[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// The service's brand at the head of every token: `[a-z](_?[a-z0-9])+`, 2 to 16 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Prefix {
    text: [u8; Prefix::MAX_LEN],
    len: u8,
    /// Over the prefix, its `_` and zero bytes where a token's random part will be.
    checksum: Checksum,
}

impl Prefix {
    /// The shortest prefix, in characters.
    pub const MIN_LEN: usize = 2;
    /// The longest prefix, in characters.
    pub const MAX_LEN: usize = 16;

    /// Checks and takes a prefix.
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

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..self.len()]).unwrap_or_default()
    }

    /// Takes a prefix in upper or lower case, without memory that would have to be wiped.
    fn in_any_case(text: &str) -> Option<Prefix> {
        let mut lower = [0; Prefix::MAX_LEN];
        let lower = lower.get_mut(..text.len())?;
        lower.copy_from_slice(text.as_bytes());
        lower.make_ascii_lowercase();
        Prefix::new(std::str::from_utf8(lower).ok()?).ok()
    }

    fn is(&self, head: &str) -> bool {
        head.as_bytes().eq_ignore_ascii_case(&self.text[..self.len()])
    }

    /// The id in a text that has this prefix and is canonical throughout; `None` for any other.
    ///
    /// It reads all characters before it says anything: this runs on every login, and so none waits for the one before it.
    fn id_in_canonical(&self, text: &[u8]) -> Result<Option<TokenId>, ParseError> {
        let Some((head, body)) = text.split_last_chunk::<BODY_DIGITS>() else {
            return Ok(None);
        };
        if head.strip_suffix(b"_") != Some(&self.text[..self.len()]) {
            return Ok(None);
        }
        let mut all_bits = 0;
        let mut read = |character: &u8| {
            all_bits |= digit_of(*character);
            digit_of(*character) & 31
        };
        let (random, checksum) = body.split_at(RANDOM_DIGITS);
        let expected = self.checksum.with_random(random.iter().map(&mut read)).value();
        let checksum = number_from(checksum.iter().map(&mut read));
        if all_bits > 31 {
            return Ok(None);
        }
        if checksum != expected {
            return Err(ParseError::Checksum);
        }
        let id = random[..ID_DIGITS].iter().map(|character| digit_of(*character) & 31);
        Ok(Some(TokenId(number_from(id))))
    }

    fn len(&self) -> usize {
        usize::from(self.len)
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

/// A prefix that is not `[a-z](_?[a-z0-9])+` of 2 to 16 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix has 2 to 16 characters: a to z first, then a to z, 0 to 9 and single inner underscores"
)]
pub struct InvalidPrefix;

/// What is known of each token.
pub(crate) type IdMap<V> = HashMap<TokenId, V, BuildHasherDefault<IdHasher>>;

/// Ids are drawn at random and can't be chosen by whoever presents one, so one multiplication spreads them well enough.
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
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 32;
    }
}

/// The public half of a token's text: 50 random bits, ten characters.
///
/// It fits a signed 64-bit database column and a JavaScript number. It prints as its ten characters
/// and parses from them, in upper case and with look-alikes, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl TokenId {
    /// The greatest id, `zzzzzzzzzz`.
    pub const MAX: TokenId = TokenId((1 << 50) - 1);

    /// From a number below 2^50.
    ///
    /// # Errors
    /// [`InvalidTokenId`] if it is greater.
    pub const fn from_u64(number: u64) -> Result<TokenId, InvalidTokenId> {
        if number > TokenId::MAX.0 {
            return Err(InvalidTokenId);
        }
        Ok(TokenId(number))
    }

    /// The number, below 2^50.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// From ten digits below 32.
    pub(crate) fn from_digits(digits: &[u8]) -> TokenId {
        let number = digits.iter().fold(0, |number, digit| number << 5 | u64::from(*digit));
        TokenId(number & TokenId::MAX.0)
    }

    fn digits(self) -> [u8; ID_DIGITS] {
        std::array::from_fn(|place| (self.0 >> (5 * (ID_DIGITS - 1 - place)) & 31) as u8)
    }
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;
    fn from_str(text: &str) -> Result<TokenId, InvalidTokenId> {
        if text.len() != ID_DIGITS {
            return Err(InvalidTokenId);
        }
        let mut canonical = [0; ID_DIGITS];
        for (place, byte) in canonical.iter_mut().zip(text.bytes()) {
            *place = CANONICAL[usize::from(byte)];
        }
        if canonical.iter().any(|c| matches!(*c, FORBIDDEN | SEPARATOR)) {
            return Err(InvalidTokenId);
        }
        Ok(TokenId(number_from(canonical.into_iter().map(digit_of))))
    }
}

/// As a column of a database holds it: below 2^50.
impl From<TokenId> for i64 {
    fn from(id: TokenId) -> i64 {
        id.0.cast_signed()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.digits().map(|digit| ALPHABET[usize::from(digit)]);
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// Not the id of a token: ten characters of Crockford's base 32, or a number below 2^50.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token id has ten characters of 0 to 9 and a to z without i, l, o and u")]
pub struct InvalidTokenId;

/// The state of CRC-32/ISO-HDLC, the one of zlib, gzip and PNG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Checksum(u32);

impl Checksum {
    const START: Checksum = Checksum(!0);

    const fn extend(self, byte: u8) -> Checksum {
        let mut state = self.0 ^ byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ 0xEDB8_8320 } else { state >> 1 };
            bit += 1;
        }
        Checksum(state)
    }

    /// Puts the random part of a body in the place of as many zero bytes that were read last. A CRC is linear: what each
    /// character changes is known beforehand and added by xor, and none waits for the one before it.
    fn with_random(self, digits: impl Iterator<Item = u8>) -> Checksum {
        let places = digits.zip(&TRACES);
        Checksum(places.fold(self.0, |state, (digit, traces)| state ^ traces[usize::from(digit)]))
    }

    fn value(self) -> u64 {
        u64::from(!self.0)
    }
}

/// `TRACES[p][d]` is what digit `d` at place `p` of the random part leaves in the state when that part has been read.
static TRACES: [[u32; 32]; RANDOM_DIGITS] = {
    let mut traces = [[0; 32]; RANDOM_DIGITS];
    let mut digit = 0;
    while digit < 32 {
        let mut state = Checksum(0).extend(ALPHABET[digit]);
        let mut place = RANDOM_DIGITS;
        while place > 0 {
            place -= 1;
            traces[place][digit] = state.0;
            state = state.extend(0);
        }
        digit += 1;
    }
    traces
};

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> Prefix {
        Prefix::new("acme").unwrap()
    }

    const EXAMPLE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";

    #[test]
    fn the_checksum_is_the_one_of_zlib() {
        let checksum =
            |text: &[u8]| text.iter().fold(Checksum::START, |sum, byte| sum.extend(*byte));
        assert_eq!(checksum(b"123456789").value(), 0xCBF4_3926);
        assert_eq!(checksum(b"").value(), 0);
        let (head, random) = EXAMPLE.as_bytes().split_at(5);
        let whole = checksum(&[head, &random[..RANDOM_DIGITS]].concat());
        assert_eq!(acme().checksum.with_random(random.iter().map(|c| digit_of(*c))), whole);
    }

    #[test]
    fn composed_text_parses_to_the_same_parts() {
        let mut source = crate::secret::tests::Counting(1);
        for prefix in ["a1", "acme", "my_app_token", "abcdefgh_1234567"] {
            let prefix = Prefix::new(prefix).unwrap();
            let (id, secret) = Secret::draw(&mut source).unwrap();
            let token = Token::compose(prefix, id, &secret);
            let parsed = Token::parse(token.expose_secret(), &[acme(), prefix]).unwrap();
            assert_eq!(parsed.expose_secret(), token.expose_secret());
            assert_eq!((parsed.id(), parsed.prefix()), (id, prefix));
        }
    }

    #[test]
    fn every_one_character_change_truncation_and_extension_is_refused() {
        for place in 0..EXAMPLE.len() {
            for byte in 0..=127_u8 {
                let mut changed = EXAMPLE.as_bytes().to_vec();
                let canonical_is_same = byte.eq_ignore_ascii_case(&changed[place])
                    || (place > 4 && CANONICAL[usize::from(byte)] == changed[place]);
                let blank_at_end = place == EXAMPLE.len() - 1 && byte.is_ascii_whitespace();
                changed[place] = byte;
                let changed = String::from_utf8(changed).unwrap();
                let parsed = Token::parse(&changed, &[acme()]);
                assert_eq!(parsed.is_ok(), canonical_is_same && !blank_at_end, "{changed:?}");
                assert_short_way_agrees(&changed);
            }
        }
        for end in 0..EXAMPLE.len() {
            assert!(Token::parse(&EXAMPLE[..end], &[acme()]).is_err());
            assert!(Token::parse(&EXAMPLE[end + 1..], &[acme()]).is_err());
        }
        for more in ["0", "_", "=", "\0", "\u{a0}", "-"] {
            assert!(Token::parse(&format!("{EXAMPLE}{more}"), &[acme()]).is_err(), "{more:?}");
            assert!(Token::parse(&format!("{more}{EXAMPLE}"), &[acme()]).is_err(), "{more:?}");
        }
    }

    /// The short way for canonical texts never says anything but what the long way for all texts says.
    #[track_caller]
    fn assert_short_way_agrees(text: &str) {
        let parsed = Token::parse(text, &[acme()]);
        match id_in_canonical(text, &[acme()]) {
            Ok(Some(id)) => {
                let token = parsed.unwrap();
                assert_eq!((token.id(), token.expose_secret()), (id, text));
            }
            Ok(None) => assert_ne!(parsed.ok().as_ref().map(Token::expose_secret), Some(text)),
            Err(error) => assert_eq!(parsed.unwrap_err(), error),
        }
    }

    #[test]
    fn a_canonical_text_is_read_where_it_lies() {
        assert_eq!(id_in_canonical(EXAMPLE, &[acme()]), Ok(Some("askgagkera".parse().unwrap())));
        let mistyped = EXAMPLE.replace('5', "6");
        assert_eq!(id_in_canonical(&mistyped, &[acme()]), Err(ParseError::Checksum));
        for other in [EXAMPLE.to_uppercase(), format!(" {EXAMPLE}"), EXAMPLE.replace("acme", "acm")]
        {
            assert_eq!(id_in_canonical(&other, &[acme()]), Ok(None), "{other:?}");
        }
    }

    #[test]
    fn separators_are_single_and_between_characters_of_the_body() {
        let parse = |text: &str| Token::parse(text, &[acme()]).map(|token| token.id());
        assert!(parse("acme_askga-gkera 541e85krhxfcabpg2244em9e3f3p37q4h92").is_ok());
        for (text, position) in [
            ("acme_-askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92", 0),
            ("acme_askga--gkera541e85krhxfcabpg2244em9e3f3p37q4h92", 6),
            ("acme_askga- gkera541e85krhxfcabpg2244em9e3f3p37q4h92", 6),
            ("acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92-", 45),
        ] {
            assert_eq!(parse(text), Err(ParseError::MisplacedSeparator { position }), "{text}");
        }
        assert_eq!(
            parse("ac-me_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92"),
            Err(ParseError::UnknownPrefix)
        );
    }

    #[test]
    fn length_is_checked_before_anything_else() {
        let padded = format!("{EXAMPLE}{}", " ".repeat(128 - EXAMPLE.len()));
        assert!(Token::parse(&padded, &[acme()]).is_ok());
        assert_eq!(
            Token::parse(&format!("{padded} "), &[acme()]).unwrap_err(),
            ParseError::TooLong
        );
    }

    #[test]
    fn a_prefix_that_the_host_did_not_name_is_refused() {
        let other = Prefix::new("other").unwrap();
        assert_eq!(Token::parse(EXAMPLE, &[other]).unwrap_err(), ParseError::UnknownPrefix);
        assert_eq!(Token::parse(EXAMPLE, &[]).unwrap_err(), ParseError::UnknownPrefix);
        assert!(Token::parse_any_prefix(EXAMPLE).is_ok());
        assert!(Token::parse_any_prefix(&EXAMPLE.to_uppercase()).is_ok());
    }

    #[test]
    fn prefixes_follow_their_pattern() {
        for good in ["ab", "a1", "a_b", "my_app_token", "abcdefgh_1234567"] {
            assert_eq!(Prefix::new(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "a", "1a", "_a", "a_", "a__b", "Ab", "a-b", "ä1", "abcdefgh_12345678", "a b"]
        {
            assert_eq!(Prefix::new(bad), Err(InvalidPrefix), "{bad:?}");
        }
    }

    #[test]
    fn ids_print_in_ten_characters_and_parse_back() {
        for number in [0, 1, 31, 32, TokenId::MAX.as_u64()] {
            let id = TokenId::from_u64(number).unwrap();
            assert_eq!(id.to_string().len(), 10);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        }
        assert_eq!(TokenId::MAX.to_string(), "zzzzzzzzzz");
        assert!(TokenId::from_u64(1 << 50).is_err());
        for bad in ["", "000000000", "00000000000", "000000000u", "00000-0000", "äaaaaaaaa"] {
            assert!(bad.parse::<TokenId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_shows_prefix_and_id_and_nothing_of_the_secret() {
        let token = Token::parse(EXAMPLE, &[acme()]).unwrap();
        assert_eq!(format!("{token:?}"), "Token(acme_askgagkera…)");
    }
}
