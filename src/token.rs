//! The text of a token: `Token::compose` writes it, [`Token::parse`] reads it.
//!
//! ```text
//! acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92
//! ├──┘ ├────────┘├──────────────────────────┘├─────┘
//! prefix   id          secret (140 bits)      checksum
//! ```
//!
//! The id is public: it may be logged, listed and stored in clear. The checksum is computed from
//! the secret, too, so it is as secret.

use std::fmt;

use zeroize::Zeroizing;

use crate::random::{ID_DIGITS, RANDOM_DIGITS, Secret};

mod alphabet;
mod checksum;
mod id;
mod prefix;
mod scanner_rules;

use alphabet::{Character, append, character_of, digit_of, digits_of};
pub(crate) use id::IdMap;
pub use id::{InvalidTokenId, TokenId};
pub use prefix::{InvalidPrefix, Prefix};
pub use scanner_rules::ScannerRules;

const CHECKSUM_DIGITS: usize = 7;
const BODY_DIGITS: usize = RANDOM_DIGITS + CHECKSUM_DIGITS;

/// The canonical text of a token.
///
/// It is wiped when dropped. It can't be cloned, compared or printed.
///
/// ```compile_fail,E0599
/// # use app_tokens::token::{Prefix, Token};
/// # let acme = Prefix::new("acme").unwrap();
/// # let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
/// # let token = Token::parse(text, &[acme]).unwrap();
/// let copy = token.clone(); // a secret has one place
/// ```
/// ```compile_fail,E0277
/// # use app_tokens::token::{Prefix, Token};
/// # let acme = Prefix::new("acme").unwrap();
/// # let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
/// # let token = Token::parse(text, &[acme]).unwrap();
/// println!("{token}"); // say `expose_secret` where it must be shown
/// ```
/// ```compile_fail,E0369
/// # use app_tokens::token::{Prefix, Token};
/// # let acme = Prefix::new("acme").unwrap();
/// # let text = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
/// # let token = Token::parse(text, &[acme]).unwrap();
/// assert!(token == token); // only digests are compared, in constant time
/// ```
pub struct Token {
    /// On the heap, and never longer than its first allocation. A value that moves or grows leaves
    /// copies behind that are not wiped.
    text: Zeroizing<String>,
    prefix: Prefix,
    id: TokenId,
}

impl Token {
    /// The longest presented text that is read, in bytes.
    pub const MAX_PRESENTED: usize = 128;

    /// How many characters follow the last `_`.
    pub(crate) const BODY_CHARACTERS: usize = BODY_DIGITS;

    /// Writes a token's canonical text.
    pub(crate) fn compose(prefix: Prefix, secret: &Secret) -> Token {
        let digits = || secret.digits().iter().copied();
        let checksum = prefix.checksum().with_all_random(digits()).value();
        let mut text = Token::room_for(prefix);
        let body = digits().chain(digits_of(checksum, CHECKSUM_DIGITS));
        text.extend(body.map(|digit| char::from(character_of(digit))));
        Token { text, prefix, id: TokenId::from_digits(digits()) }
    }

    /// Reads a presented text: the canonical one, or one that was typed by hand.
    ///
    /// Besides the canonical text it accepts:
    /// - ASCII white space around it;
    /// - upper case, `o` for `0`, and `i` and `l` for `1`;
    /// - single spaces or hyphens between the characters of the body.
    ///
    /// ```
    /// use app_tokens::token::{Prefix, Token};
    /// let acme = Prefix::new("acme")?;
    /// let typed = " ACME_askgagkera-541e85krhxfcabpg2244em9e3f3p37q4h92";
    /// assert_eq!(Token::parse(typed, &[acme])?.id().to_string(), "askgagkera");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ParseError`] with the reason. It never repeats the text.
    pub fn parse(presented: &str, accepted: &[Prefix]) -> Result<Token, ParseError> {
        Token::read(presented, |head, _| {
            let is_it = |prefix: &&Prefix| head.eq_ignore_ascii_case(prefix.as_str());
            accepted.iter().find(is_it).copied().ok_or(ParseError::UnknownPrefix)
        })
    }

    /// Reads a presented text like [`Token::parse`], with any well-formed prefix. For tools that
    /// read the tokens of several services.
    ///
    /// # Errors
    /// [`ParseError`] with the reason. It never repeats the text.
    pub fn parse_any_prefix(presented: &str) -> Result<Token, ParseError> {
        Token::read(presented, |head, body| {
            // The form comes first, because the head is copied in lower case. A text with another
            // form may be a password with a `_`, and nothing of it is copied.
            check_form(body)?;
            Prefix::in_any_case(head).ok_or(ParseError::UnknownPrefix)
        })
    }

    /// Reads a presented text with a prefix that `accept` finds. It gets the head and the body.
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

        let mut text = Token::room_for(prefix);
        // Separators are left out, and look-alikes become what they look like.
        for byte in body.bytes() {
            if let Character::Canonical(character) = Character::of(byte) {
                text.push(char::from(character));
            }
        }
        #[expect(clippy::expect_used, reason = "the form was checked above")]
        let id = read_canonical(&prefix, text.as_bytes())?.expect("a canonical text");
        Ok(Token { text, prefix, id })
    }

    /// Begins a text of the right capacity with the prefix and its `_`.
    fn room_for(prefix: Prefix) -> Zeroizing<String> {
        let head = prefix.as_str();
        let mut text = Zeroizing::new(String::with_capacity(head.len() + 1 + BODY_DIGITS));
        text.push_str(head);
        text.push('_');
        text
    }

    /// Returns the brand before the last `_`.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// Returns the public id, the only part that may be shown.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns the whole secret text. Show it to its holder once; never log, store or echo it.
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// Returns the canonical bytes, for the digest.
    pub(crate) fn canonical(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns whether a byte may stand for a character of the body. A separator may not.
    pub(crate) fn is_in_body(byte: u8) -> bool {
        matches!(Character::of(byte), Character::Canonical(_))
    }

    /// Returns the canonical character that a byte stands for. For any other byte, returns the byte
    /// itself, which no body has.
    pub(crate) fn canonical_character(byte: u8) -> u8 {
        match Character::of(byte) {
            Character::Canonical(character) => character,
            Character::Separator | Character::Forbidden => byte,
        }
    }

    /// Returns whether these canonical characters are the body of a token with this prefix, by
    /// their number and checksum.
    pub(crate) fn is_body(prefix: Prefix, body: &[u8]) -> bool {
        // A checksum has 32 bits, so the first three of its 35 are zero. Most texts are turned down
        // by that alone.
        let is_small = |first: &u8| digit_of(*first) < 4;
        body.get(RANDOM_DIGITS).is_some_and(is_small)
            && body.try_into().is_ok_and(|body| matches!(read_body(&prefix, body), Ok(Some(_))))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}_{}…)", self.prefix, self.id)
    }
}

/// Reads the id of a presented text that is canonical; `None` for any other, which is left to
/// [`Token::parse`].
///
/// A text that was not typed by hand is canonical. It is read without a copy that would have to be
/// wiped.
///
/// # Errors
/// [`ParseError::Checksum`] if the form is canonical and the checksum is wrong.
pub(crate) fn id_in_canonical(
    presented: &str,
    accepted: &[Prefix],
) -> Result<Option<TokenId>, ParseError> {
    for prefix in accepted {
        if let Some(id) = read_canonical(prefix, presented.as_bytes())? {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Reads the id of a text that has this prefix and is canonical throughout; `None` for any other.
fn read_canonical(prefix: &Prefix, text: &[u8]) -> Result<Option<TokenId>, ParseError> {
    match text.split_last_chunk() {
        Some((head, body)) if head.strip_suffix(b"_") == Some(prefix.as_bytes()) => {
            read_body(prefix, body)
        }
        _ => Ok(None),
    }
}

/// Reads the id of a body, if all its characters are canonical.
///
/// It reads all characters before it decides. With an early exit each would wait for the one before
/// it, and this runs on every login. So does it read each character once, in loops of fixed length.
#[expect(clippy::needless_range_loop, reason = "by iterators it takes a sixth longer")]
fn read_body(prefix: &Prefix, body: &[u8; BODY_DIGITS]) -> Result<Option<TokenId>, ParseError> {
    let (mut all_bits, mut id, mut checksum) = (0, 0, 0);
    let mut expected = prefix.checksum();
    for place in 0..ID_DIGITS {
        let digit = digit_of(body[place]);
        all_bits |= digit;
        id = append(id, digit);
        expected = expected.with_random(place, digit);
    }
    for place in ID_DIGITS..RANDOM_DIGITS {
        let digit = digit_of(body[place]);
        all_bits |= digit;
        expected = expected.with_random(place, digit);
    }
    for character in &body[RANDOM_DIGITS..] {
        let digit = digit_of(*character);
        all_bits |= digit;
        checksum = append(checksum, digit);
    }
    if all_bits > 31 {
        return Ok(None);
    }
    if checksum != expected.value() {
        return Err(ParseError::Checksum);
    }
    Ok(Some(TokenId::from_number(id)))
}

/// Why a text is not a token. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is empty, or only white space.
    #[error("the token is empty")]
    Empty,
    /// It has more than [`Token::MAX_PRESENTED`] bytes.
    #[error("the token is longer than 128 bytes")]
    TooLong,
    /// It has no `_`, which ends a prefix.
    #[error("the token has no prefix; copy it from its beginning")]
    NoPrefix,
    /// The text before the last `_` is not an accepted prefix.
    #[error("the token has a prefix that is not accepted here; use a token of this service")]
    UnknownPrefix,
    /// The body has a character outside the alphabet.
    #[error(
        "the token has a character that no token has, number {} after its last `_`; copy it again",
        position + 1
    )]
    ForbiddenCharacter {
        /// The character's place after the last `_`, in bytes from 0.
        position: usize,
    },
    /// The body has a space or a hyphen at an end, or two of them in a row.
    #[error(
        "the token has a misplaced separator, character {} after its last `_`; copy it again",
        position + 1
    )]
    MisplacedSeparator {
        /// The separator's place after the last `_`, in bytes from 0.
        position: usize,
    },
    /// The body has more or fewer than 45 characters.
    #[error("the token is cut, or has more characters than a token; copy it again")]
    WrongLength,
    /// The form is right, but the checksum is wrong: a character was mistyped, or the text was made
    /// up.
    #[error("the token's checksum is wrong, so it was mistyped or cut; copy it again")]
    Checksum,
}

/// Checks that a body is 45 characters of the alphabet, with single separators between them.
fn check_form(body: &str) -> Result<(), ParseError> {
    let mut characters = 0;
    let mut after_separator = true;
    for (position, byte) in body.bytes().enumerate() {
        match Character::of(byte) {
            Character::Separator if after_separator => {
                return Err(ParseError::MisplacedSeparator { position });
            }
            Character::Separator => after_separator = true,
            Character::Forbidden => return Err(ParseError::ForbiddenCharacter { position }),
            Character::Canonical(_) if characters == BODY_DIGITS => {
                return Err(ParseError::WrongLength);
            }
            Character::Canonical(_) => {
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

#[cfg(test)]
mod tests;
