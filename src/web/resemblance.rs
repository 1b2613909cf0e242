//! Decides whether a text that is no valid token was meant to be one.
//!
//! If so, no log, account look-up or password check may see it: with one character corrected, it
//! may be a valid secret. There are two tests:
//!
//! - [`claims_to_be_a_token`] for a secret. It is narrow, as the host's own passwords must pass.
//! - [`resembles_a_token`] for a user name. It is wide, as user names are logged everywhere.

use zeroize::Zeroizing;

use crate::disguise::{Layers, is_noise, tokens_in};
use crate::token::{ParseError, Prefix, Token};

/// How many letters and digits after a prefix show more than the public id of ten characters. An
/// account named `acme_backup_operator` has fewer.
const TELLING: usize = 20;

/// Returns whether a secret claims to be a token.
///
/// It does if it has an accepted prefix, followed by `_` and at least 20 letters or digits, with
/// anything between them. The prefix must be at the start, or after a space, a quote or the like.
///
/// It also does if it has the whole form of a token with another prefix, mistyped or not.
pub(crate) fn claims_to_be_a_token(text: &str, accepted: &[Prefix]) -> bool {
    // A boundary is required, as a long Bearer token of another service may contain a short prefix
    // by chance. Such a token has no boundaries inside.
    let at_a_boundary = |before: &[u8]| before.last().is_none_or(|c| !is_b64token_byte(*c));
    has_prefix_and_more(text.as_bytes(), accepted, usize::MAX, at_a_boundary)
        || matches!(Token::parse_any_prefix(text), Ok(_) | Err(ParseError::Checksum))
}

/// Returns whether a user name is, holds or resembles a token.
///
/// It is wider than [`claims_to_be_a_token`]:
///
/// - A prefix may be anywhere.
/// - A part resembles a token if it is about as long and looks as random, even without a prefix.
/// - The body of a token is found in a text of any length, with anything between its characters.
/// - All of this also applies to what the text encodes in base64 or hexadecimal.
///
/// No e-mail address, UUID or hexadecimal hash resembles a token.
pub(crate) fn resembles_a_token(text: &str, accepted: &[Prefix]) -> bool {
    let bytes = text.as_bytes();
    // A quick way out, as this runs on most logins: a name with so few letters and digits can
    // resemble a token only by its prefix.
    if bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() < ROW {
        return has_prefix_and_more(bytes, accepted, usize::MAX, |_| true);
    }
    resembles_as_written(bytes, accepted, usize::MAX)
        || claims_to_be_a_token(text, accepted)
        || resembles_in_disguise(bytes, accepted)
}

/// Returns whether a text resembles a token as it is written, not counting what it encodes.
///
/// `reach` is within how many bytes after a prefix the letters and digits are counted.
fn resembles_as_written(text: &[u8], accepted: &[Prefix], reach: usize) -> bool {
    let signs = text.iter().filter(|byte| is_sign(**byte)).count();
    (signs <= 1 && is_long_and_random(text))
        || text.split(|byte| is_sign(*byte)).any(is_long_and_random)
        || has_prefix_and_more(text, accepted, reach, |_| true)
        || holds_a_body(text, accepted)
        || holds_a_random_row(text)
}

/// Returns whether a text holds a token that is escaped or encoded, or encodes what resembles one.
fn resembles_in_disguise(text: &[u8], accepted: &[Prefix]) -> bool {
    let mut resembles = false;
    let mut is_encoded = false;
    Layers::new(text.len()).visit(text, &mut |layer, _| {
        // In decoded bytes a short prefix may occur by chance. So the letters and digits must
        // follow it closely.
        resembles = resembles
            || is_encoded && !is_noise(layer) && resembles_as_written(layer, accepted, 2 * TELLING);
        tokens_in(layer, accepted, |_, _| resembles = true);
        is_encoded = true;
    });
    resembles
}

/// Returns whether a byte is a sign that no token has. For a character outside ASCII, only its
/// first byte is, so that it counts as one sign.
fn is_sign(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && !matches!(byte, b' ' | b'-' | b'_' | 0x80..0xC0)
}

/// Returns whether a text has 42 to 63 letters and digits, at least one digit among them.
///
/// A token has 45 after its prefix, and only one in twenty million has no digit.
fn is_long_and_random(text: &[u8]) -> bool {
    let digits = || text.iter().filter(|byte| byte.is_ascii_alphanumeric());
    (42..=63).contains(&digits().count()) && digits().any(u8::is_ascii_digit)
}

/// Returns whether consecutive letters and digits are the body of a token by their checksum.
///
/// Anything may be between them.
fn holds_a_body(text: &[u8], accepted: &[Prefix]) -> bool {
    let mut digits = letters_and_digits(text);
    digits.iter_mut().for_each(|byte| *byte = Token::canonical_character(*byte));
    digits
        .windows(Token::BODY_CHARACTERS)
        .any(|body| accepted.iter().any(|prefix| Token::is_body(*prefix, body)))
}

/// Returns whether a text holds a random row of letters and digits about as long as a token, with
/// at most one sign in it.
///
/// This finds a mistyped token in a long text, where its checksum is wrong.
fn holds_a_random_row(text: &[u8]) -> bool {
    let (mut before, mut start) = (0, 0);
    text.split(|byte| is_sign(*byte)).any(|part| {
        let end = start + part.len();
        let digits = letters_and_digits(&text[before..end]);
        (before, start) = (start, end + 1);
        // Every second place is enough: a body is 3 longer than the row.
        digits.windows(ROW).step_by(2).any(is_random_row)
    })
}

/// How many letters and digits are a row: 3 fewer than the 45 of a body, in case some are missing.
const ROW: usize = 42;
/// How many consecutive hexadecimal digits are taken for a part of a hash or UUID. One token in
/// forty thousand has so many.
const HASH: usize = 20;

/// Returns whether a row looks random, as a token does.
///
/// Each third must have letters and digits. All letters but two must have the same case: in base64,
/// which is decoded elsewhere, the cases are mixed. No part may be a hash.
fn is_random_row(row: &[u8]) -> bool {
    let count =
        |is_it: fn(&u8) -> bool, part: &[u8]| part.iter().filter(|byte| is_it(byte)).count();
    let is_mixed = |third: &[u8]| {
        count(u8::is_ascii_digit, third) > 0 && count(u8::is_ascii_alphabetic, third) > 0
    };
    let is_hash = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
    row.chunks(ROW / 3).all(is_mixed)
        && count(u8::is_ascii_lowercase, row).min(count(u8::is_ascii_uppercase, row)) <= 2
        && !row.windows(HASH).any(is_hash)
}

/// Returns the letters and digits of a text, without anything between them.
fn letters_and_digits(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // Large enough from the start. A vector that grows leaves a copy of the secret behind, unwiped.
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.iter().copied().filter(u8::is_ascii_alphanumeric));
    digits
}

/// Returns whether a byte may be in a Bearer token, apart from its padding (RFC 6750, 2.1).
pub(crate) fn is_b64token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

/// Returns whether an accepted prefix is followed by `_` and 20 letters or digits within `reach`
/// bytes. `fits` decides what may be before the prefix.
fn has_prefix_and_more(
    text: &[u8],
    accepted: &[Prefix],
    reach: usize,
    fits: impl Fn(&[u8]) -> bool,
) -> bool {
    let is_underscore = |(_, byte): &(usize, &u8)| **byte == b'_';
    text.iter().enumerate().filter(is_underscore).any(|(at, _)| {
        let before = |prefix: &Prefix| strip_suffix_ignoring_case(&text[..at], prefix.as_str());
        let digits = text[at..].iter().take(reach).filter(|byte| byte.is_ascii_alphanumeric());
        accepted.iter().filter_map(before).any(&fits) && digits.take(TELLING).count() == TELLING
    })
}

/// Returns the text before a suffix, which may have another ASCII case.
fn strip_suffix_ignoring_case<'t>(text: &'t [u8], suffix: &str) -> Option<&'t [u8]> {
    let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix.as_bytes()).then_some(head)
}

#[cfg(test)]
mod tests;
