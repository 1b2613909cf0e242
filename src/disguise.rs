//! Finds tokens in a text as logs, mails and programs write them: escaped, wrapped, coloured,
//! encoded.
//!
//! It reads leniently, because a token's checksum decides in the end.

use std::ops::Range;

use zeroize::Zeroizing;

use crate::token::{Prefix, Token};

mod characters;
mod layers;

use characters::{ESCAPES, character};
pub(crate) use layers::{Layers, is_noise};

/// The most bytes from a token's first character to its last, with everything between them.
pub(crate) const MAX_SPAN: usize = 1024;

/// Calls `found` with each token in a text, and with its place in bytes.
///
/// Accepts upper case, escapes, and anything but letters, digits and `_` between two characters.
/// Finds no encoded token: [`Layers`] yields the texts that are encoded in a text.
pub(crate) fn tokens_in(
    text: &[u8],
    accepted: &[Prefix],
    mut found: impl FnMut(Range<usize>, Token),
) {
    let mut canonical = Zeroizing::new(Vec::new());
    // Most places are passed over by one look-up: a prefix begins with its first letter in either
    // case, or with an escape for it.
    let mut begins = [false; 256];
    for escape in ESCAPES {
        begins[usize::from(escape)] = true;
    }
    for prefix in accepted {
        let first = prefix.as_str().as_bytes()[0];
        begins[usize::from(first)] = true;
        begins[usize::from(first.to_ascii_uppercase())] = true;
    }
    for (start, _) in text.iter().enumerate().filter(|(_, byte)| begins[usize::from(**byte)]) {
        for prefix in accepted {
            let Some(end) = read_token(text, start, *prefix, &mut canonical) else {
                continue;
            };
            let token = std::str::from_utf8(&canonical).map(|text| Token::parse(text, &[*prefix]));
            if let Ok(Ok(token)) = token {
                found(start..end, token);
            }
        }
    }
}

/// Reads what may be a token from its first character on, and returns where it ends.
///
/// A body ends at the next `_`. Bodies have none, and markup that is skipped has none. So no byte
/// is read as part of many bodies, and the time for a hostile text grows only with its length.
fn read_token(text: &[u8], start: usize, prefix: Prefix, canonical: &mut Vec<u8>) -> Option<usize> {
    // The noise between two characters has no limit of its own, so the whole token has one.
    let text = &text[..text.len().min(start + MAX_SPAN)];
    let is_expected = |found: u8, expected: u8| found.to_ascii_lowercase() == expected;
    let mut head = prefix.as_str().bytes().chain([b'_']);
    let (first, mut at) = character(text, start);
    if !head.next().is_some_and(|expected| is_expected(first, expected)) {
        return None;
    }
    for expected in head {
        let (found, end) = next_character(text, at)?;
        if !is_expected(found, expected) {
            return None;
        }
        at = end;
    }
    canonical.clear();
    // Enough for any token: a buffer that grows leaves a copy behind that is not wiped.
    canonical.reserve(Token::MAX_PRESENTED);
    canonical.extend(prefix.as_str().bytes().chain([b'_']));
    for _ in 0..Token::BODY_CHARACTERS {
        let (found, end) = next_character(text, at)?;
        if !Token::is_in_body(found) {
            return None;
        }
        canonical.push(found);
        at = end;
    }
    Some(at)
}

/// Returns the next letter, digit or `_`, and where it ends.
fn next_character(text: &[u8], mut at: usize) -> Option<(u8, usize)> {
    while at < text.len() {
        let (found, end) = character(text, at);
        if found.is_ascii_alphanumeric() || found == b'_' {
            return Some((found, end));
        }
        at = end;
    }
    None
}

#[cfg(test)]
mod tests;
