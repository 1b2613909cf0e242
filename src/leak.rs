//! Tokens that stand where they should not: in a log, a commit, a pasted header. Finds them; [`LeakReport`] says what became of them.

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::record::Status;
use crate::token::{Prefix, Token, TokenId};

/// What was found in a text that leaked, and what became of it. It holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakReport {
    /// Each token once, in the order of the text.
    pub leaks: Vec<Leak>,
    /// Whether the text was longer than [`LeakReport::MAX_TEXT`] or had more than [`LeakReport::MAX_LEAKS`] tokens: then look at the
    /// rest, too.
    pub is_cut: bool,
}

impl LeakReport {
    /// The most text that is looked through, in bytes: 16 MiB.
    pub const MAX_TEXT: usize = 16 * 1024 * 1024;
    /// The most tokens that are looked up.
    pub const MAX_LEAKS: usize = 1000;
}

/// A token in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it stands first, in bytes: the token's text, or the base64 that holds it.
    pub position: Range<usize>,
    /// Its public id.
    pub id: TokenId,
    /// What became of it.
    pub outcome: LeakOutcome,
}

/// What became of a leaked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// It was good, or only idle, tampered or of a missing key, and is revoked.
    Revoked,
    /// It had ended before.
    Ended(Status),
    /// There is no such token, or it has another secret: nothing was done.
    NoToken,
}

/// The tokens in a text, each once, at most [`LeakReport::MAX_LEAKS`]; and whether there may be more.
pub(crate) fn find_tokens(text: &str, accepted: &[Prefix]) -> (Vec<(Range<usize>, Token)>, bool) {
    let mut end = text.len().min(LeakReport::MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let is_cut = end < text.len();
    let text = &text[..end];
    let mut tokens = in_clear(text, accepted);
    for encoded in basic_credentials(text) {
        // Lossy: a user name in Latin-1 must not hide the token behind it.
        let Ok(decoded) = BASE64.decode(&text[encoded.clone()]).map(Zeroizing::new) else {
            continue;
        };
        let decoded = Zeroizing::new(String::from_utf8_lossy(&decoded).into_owned());
        let inside = in_clear(&decoded, accepted);
        tokens.extend(inside.into_iter().map(|(_, token)| (encoded.clone(), token)));
    }
    tokens.sort_by_key(|(position, _)| position.start);
    let mut seen = HashSet::new();
    // Two texts with one id differ in their secrets, and one of them may be right.
    tokens.retain(|(_, token)| seen.insert(crate::digest::Digest::of(token).to_bytes()));
    let more = tokens.len() > LeakReport::MAX_LEAKS;
    tokens.truncate(LeakReport::MAX_LEAKS);
    (tokens, is_cut || more)
}

/// Tokens as they are written, typed or grouped.
fn in_clear(text: &str, accepted: &[Prefix]) -> Vec<(Range<usize>, Token)> {
    let mut found = Vec::new();
    for (underscore, _) in text.match_indices('_') {
        let Some(end) = Token::end_of_body(&text.as_bytes()[underscore + 1..]) else {
            continue;
        };
        for prefix in accepted {
            let Some(start) = underscore.checked_sub(prefix.as_str().len()) else {
                continue;
            };
            let position = start..underscore + 1 + end;
            let token = text.get(position.clone()).map(|text| Token::parse(text, &[*prefix]));
            if let Some(Ok(token)) = token {
                found.push((position, token));
            }
        }
    }
    found
}

/// Where base64 stands after the word `Basic`, as it does in a header, a curl trace, a log line.
fn basic_credentials(text: &str) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let words = bytes.windows(5).enumerate().filter(|(_, w)| w.eq_ignore_ascii_case(b"basic"));
    words.filter_map(move |(word, _)| {
        let after = &bytes[word + 5..];
        // One space in a header; a quote, a colon or an escape in what quotes one.
        // The word's own letters are base64 too: without a gap, a text of nothing but that word would be read again at each.
        let gap = after.iter().take(4).position(is_base64).filter(|gap| *gap > 0)?;
        let encoded = after[gap..].iter().take(MAX_ENCODED);
        let length = encoded.take_while(|byte| is_base64(byte)).count();
        let start = word + 5 + gap;
        (length >= MIN_ENCODED).then_some(start..start + length)
    })
}

/// The shortest token takes this many characters of base64 at least.
const MIN_ENCODED: usize = 64;
/// More than any header holds.
const MAX_ENCODED: usize = 8 * 1024;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD as ENCODE;

    const ONE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    const TWO: &str = "acme_2wwcysr5s4j36knjaay3s1vpv6sbaa4t6h2vpe0n92zve";
    const GROUPED: &str = "ACME_ASKGA-GKERA-541E8-5KRHX-FCABP-G2244-EM9E3-F3P37-Q4H92";

    fn find(text: &str) -> Vec<(String, Range<usize>)> {
        let prefixes = [Prefix::new("acme").unwrap(), Prefix::new("my_app_token").unwrap()];
        let (tokens, _) = find_tokens(text, &prefixes);
        tokens.into_iter().map(|(at, token)| (token.expose_secret().to_owned(), at)).collect()
    }

    #[test]
    fn tokens_are_found_wherever_they_stand_and_each_once() {
        let text = format!("APP={ONE}\n\"{TWO}\", {GROUPED} and again {ONE}.");
        let found = find(&text);
        assert_eq!(found, [(ONE.into(), 4..54), (TWO.into(), 56..106)]);
        assert_eq!(find(&format!("x{GROUPED}y"))[0].0, ONE);
        assert_eq!(find(&format!("https://u:{ONE}@host/"))[0].1, 10..60);
        let other = "my_app_token_6vv60yekqn27kb1na9pvr3cxd1c053b84sjm6r2m6f57t";
        assert_eq!(find(&format!("é{other}"))[0].0, other);
    }

    #[test]
    fn tokens_are_found_inside_basic_credentials() {
        for user in [&b"alice:"[..], b"\xe9lise:", b""] {
            let encoded = ENCODE.encode([user, ONE.as_bytes()].concat());
            for text in [
                format!("Authorization: Basic {encoded}"),
                format!("authorization: basic {}", encoded.trim_end_matches('=')),
                format!("{{\"auth\":\"Basic {encoded}\"}}"),
                format!("BASIC: {encoded}\r\n"),
            ] {
                let found = find(&text);
                assert_eq!(found.len(), 1, "{text}");
                assert_eq!(found[0].0, ONE);
                assert!(text[found[0].1.clone()].starts_with(&encoded[..60]));
            }
        }
    }

    #[test]
    fn what_is_no_token_is_not_found_and_nothing_panics() {
        for text in
            ["", "_", "acme_", &ONE[..49], &ONE.replace('5', "6"), "basic", "Basic ====", "é_é_é"]
        {
            assert_eq!(find(text), [], "{text}");
        }
        let underscores = "_".repeat(1_000_000);
        assert_eq!(find(&underscores), []);
        let nearly = "acme_".repeat(200_000);
        assert_eq!(find(&nearly), []);
        // Every word of it stands before megabytes of base64.
        let words = "basic".repeat(LeakReport::MAX_TEXT / 5);
        assert_eq!(find(&words), []);
        assert_eq!(basic_credentials(&words).count(), 0);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_and_says_so() {
        let prefixes = [Prefix::new("acme").unwrap()];
        let text = "é".repeat(LeakReport::MAX_TEXT / 2) + ONE;
        let (tokens, is_cut) = find_tokens(&text, &prefixes);
        assert!(tokens.is_empty() && is_cut);
        let (tokens, is_cut) = find_tokens(ONE, &prefixes);
        assert!(tokens.len() == 1 && !is_cut);
    }
}
