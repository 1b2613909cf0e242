//! Whether a text that is no token was meant to be one. Then no log, account look-up or password
//! check may see it.

use zeroize::Zeroizing;

use crate::disguise::{Layers, is_noise, tokens_in};
use crate::token::{ParseError, Prefix, Token};

/// From so many letters and digits after a prefix on, a text shows more than the public id. An
/// account named `acme_backup_operator` has fewer.
const TELLING: usize = 20;

/// Returns whether a secret claims to be a token.
///
/// It does if it has an accepted prefix at its start, or after a space, quote or the like, followed
/// by `_` and at least 20 letters or digits, with anything between them. It also does if it has the
/// whole form of a token with another prefix.
pub(crate) fn claims_to_be_a_token(text: &str, accepted: &[Prefix]) -> bool {
    // A long Bearer token of another service has no such boundaries, and may contain a short prefix
    // by chance.
    let at_a_boundary = |before: &[u8]| before.last().is_none_or(|c| !is_b64token_byte(*c));
    has_prefix_and_more(text.as_bytes(), accepted, usize::MAX, at_a_boundary)
        || matches!(Token::parse_any_prefix(text), Ok(_) | Err(ParseError::Checksum))
}

/// Returns whether a user name is, holds or resembles a token. This is wider than
/// [`claims_to_be_a_token`].
///
/// - A prefix may stand anywhere.
/// - A part that is about as long as a token and looks as random resembles one, with or without a
///   prefix.
/// - The body of a token is found in a text of any length, whatever stands between its characters.
/// - All of that counts in base64 and hexadecimal, too.
///
/// No e-mail address, UUID or hexadecimal hash resembles a token.
pub(crate) fn resembles_a_token(text: &str, accepted: &[Prefix]) -> bool {
    let bytes = text.as_bytes();
    // Most names are so short that only a prefix could tell. This runs on most logins.
    if bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() < ROW {
        return has_prefix_and_more(bytes, accepted, usize::MAX, |_| true);
    }
    resembles_as_written(bytes, accepted, usize::MAX)
        || claims_to_be_a_token(text, accepted)
        || resembles_in_disguise(bytes, accepted)
}

/// Returns whether a text resembles a token without a look at what it encodes, with a prefix and what
/// follows it within `reach` bytes.
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
        // A short prefix may stand there by chance, so less may follow it.
        resembles = resembles
            || is_encoded && !is_noise(layer) && resembles_as_written(layer, accepted, 2 * TELLING);
        tokens_in(layer, accepted, |_, _| resembles = true);
        is_encoded = true;
    });
    resembles
}

/// Returns whether a byte is what no token has. Of a character outside ASCII only the first is.
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

/// Returns whether some letters and digits in a row, whatever stands between them, are the body of a
/// token by their checksum.
fn holds_a_body(text: &[u8], accepted: &[Prefix]) -> bool {
    let mut digits = letters_and_digits(text);
    digits.iter_mut().for_each(|byte| *byte = Token::canonical_character(*byte));
    digits
        .windows(Token::BODY_CHARACTERS)
        .any(|body| accepted.iter().any(|prefix| Token::is_body(*prefix, body)))
}

/// Returns whether a text of any length has a row of letters and digits, as long as a token and
/// random, with at most one sign in it.
///
/// This finds a token in a long text that was mistyped, so that its checksum is wrong.
fn holds_a_random_row(text: &[u8]) -> bool {
    let (mut before, mut start) = (0, 0);
    text.split(|byte| is_sign(*byte)).any(|part| {
        let end = start + part.len();
        let digits = letters_and_digits(&text[before..end]);
        (before, start) = (start, end + 1);
        // A body has room for every second of them.
        digits.windows(ROW).step_by(2).any(is_random_row)
    })
}

/// How many letters and digits in a row are looked at: a body of 45, but for some.
const ROW: usize = 42;
/// So many hexadecimal digits in a row are a part of a hash or UUID. In a token they happen once in
/// forty thousand.
const HASH: usize = 20;

/// Returns whether each third of a row has letters and digits, all of one case but for what was
/// mistyped, and no hash is in it. In base64, which is no concern here, the cases are mixed.
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

/// Returns the letters and digits of a text, without what stands between them.
fn letters_and_digits(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // It does not grow, as that would leave a copy behind.
    let mut digits = Zeroizing::new(Vec::with_capacity(text.len()));
    digits.extend(text.iter().copied().filter(u8::is_ascii_alphanumeric));
    digits
}

/// RFC 6750, 2.1: the characters of a Bearer token, apart from its padding.
pub(crate) fn is_b64token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}

/// Returns whether an accepted prefix, after what `fits`, is followed by `_` and 20 letters or
/// digits within `reach` bytes.
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

fn strip_suffix_ignoring_case<'t>(text: &'t [u8], suffix: &str) -> Option<&'t [u8]> {
    let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix.as_bytes()).then_some(head)
}

#[cfg(test)]
mod tests;
