//! Finds tokens in a text that leaked: a log, a commit, a pasted header.

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::record::Status;
use crate::token::{Prefix, Token, TokenId};

/// The tokens that were found in a text that leaked, and the outcome for each. Holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakReport {
    /// The tokens in the order of the text, each once.
    pub leaks: Vec<Leak>,
    /// Whether a part of the text was not searched: pass the rest in another call.
    ///
    /// True if the text was longer than [`LeakReport::MAX_TEXT`], or had more tokens than
    /// [`LeakReport::MAX_LEAKS`].
    pub is_cut: bool,
}

impl LeakReport {
    /// How much text is searched at most, in bytes: 16 MiB.
    pub const MAX_TEXT: usize = 16 * 1024 * 1024;
    /// How many tokens are looked up at most.
    pub const MAX_LEAKS: usize = 1000;
}

/// One token in a leaked text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it stands first, in bytes: the token's text, or the base64 that holds it.
    pub position: Range<usize>,
    /// The public half of its text.
    pub id: TokenId,
    /// What was done.
    pub outcome: LeakOutcome,
}

/// What was done about a leaked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// It is revoked now.
    ///
    /// It was active, idle or tampered, or its status was unclear.
    Revoked,
    /// Nothing: it had ended before.
    Ended(Status),
    /// Nothing: there is no such token, or its secret is another.
    NoToken,
}

/// Finds the tokens in a text, each once, and says whether there may be more.
///
/// At most [`LeakReport::MAX_LEAKS`].
pub(crate) fn find_tokens(text: &str, accepted: &[Prefix]) -> (Vec<(Range<usize>, Token)>, bool) {
    let mut end = text.len().min(LeakReport::MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let is_cut = end < text.len();
    let text = &text[..end];
    let mut tokens = in_clear(text, accepted);
    for encoded in basic_credentials(text) {
        // Only up to its padding, which quoted-printable mail writes as `=3D`.
        let run = &text[encoded.clone()];
        let digits = run.split_once('=').map_or(run, |(digits, _)| digits);
        let Ok(decoded) = BASE64.decode(digits).map(Zeroizing::new) else {
            continue;
        };
        // Lossy, because a user name in Latin-1 must not hide the token behind it.
        let decoded = Zeroizing::new(String::from_utf8_lossy(&decoded).into_owned());
        let inside = in_clear(&decoded, accepted);
        tokens.extend(inside.into_iter().map(|(_, token)| (encoded.clone(), token)));
    }
    tokens.sort_by_key(|(position, _)| position.start);
    let mut seen = HashSet::new();
    // By digest and not by id: of two texts with one id, either may have the right secret.
    tokens.retain(|(_, token)| seen.insert(crate::digest::Digest::of(token).to_bytes()));
    let more = tokens.len() > LeakReport::MAX_LEAKS;
    tokens.truncate(LeakReport::MAX_LEAKS);
    (tokens, is_cut || more)
}

/// Finds tokens in clear text: as issued, in upper case, or grouped.
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

/// Finds base64 after the word `Basic`, as in a header, a curl trace or a log line.
///
/// Quotes and escapes may stand in between. Each byte is read a bounded number of times.
fn basic_credentials(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Range<usize>> = Vec::new();
    let words =
        bytes.windows(5).enumerate().filter(|(_, word)| word.eq_ignore_ascii_case(b"basic"));
    for after in words.map(|(word, _)| word + 5) {
        // The word's own letters are base64, too. A text that repeats the word would otherwise be
        // read again from each.
        if found.last().is_some_and(|last| after < last.end) {
            continue;
        }
        let Some(run) = (after + 1..after + MAX_GAP).find_map(|start| credentials_at(bytes, start))
        else {
            continue;
        };
        // The letters of an escaped space or tab look like base64, so try without them, too.
        for escape in ["", "20", "u0020", "t"] {
            if text[run.clone()].starts_with(escape) {
                found.push(run.start + escape.len()..run.end);
            }
        }
    }
    found
}

/// The run of base64 that begins here, if it is long enough for a token.
fn credentials_at(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let is_gap = |byte: &u8| !is_base64(byte) || b"+=".contains(byte);
    if !is_gap(bytes.get(start - 1)?) || is_gap(bytes.get(start)?) {
        return None;
    }
    let run = bytes[start..].iter().take(MAX_ENCODED).take_while(|byte| is_base64(byte)).count();
    (run >= MIN_ENCODED).then_some(start..start + run)
}

/// How many bytes may stand between the word and the base64.
const MAX_GAP: usize = 64;
/// How many characters of base64 the shortest token takes.
const MIN_ENCODED: usize = 64;
/// How many characters of base64 are decoded at most; no header holds more.
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
                format!("Basic{}{encoded}", " ".repeat(60)),
                format!("{{\"Basic\": \"{encoded}\"}} {{\\\"basic\\\": \\\"x"),
                format!("auth=Basic%20{encoded}&x=1"),
                format!("auth=Basic+{encoded}"),
                format!("\"Basic\\u0020{encoded}\""),
                format!("Basic\\t{encoded}\\n"),
                format!("<b>Basic</b> {encoded}"),
                format!("Basic&nbsp;{encoded}"),
                format!("\x1b[1mBasic\x1b[0m {encoded}\x1b[0m"),
                format!("basic\r\n    {encoded}"),
                format!("Basic {}", encoded.replace('=', "=3D")),
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
        let mistyped = ONE.replace('5', "6");
        for text in ["", "_", "acme_", &ONE[..49], &mistyped, "basic", "Basic ====", "é_é_é"] {
            assert_eq!(find(text), [], "{text}");
        }
        let underscores = "_".repeat(1_000_000);
        assert_eq!(find(&underscores), []);
        let nearly = "acme_".repeat(200_000);
        assert_eq!(find(&nearly), []);
        // Every word of it stands before megabytes of base64.
        let words = "basic".repeat(100_000);
        assert_eq!(basic_credentials(&words), []);
        assert_eq!(find(&words), []);
        // Each of these could announce the whole rest.
        for words in ["basic+", "basic =", "Basic 20"] {
            let text = words.repeat(100_000);
            let read: usize = basic_credentials(&text).into_iter().map(|run| run.len()).sum();
            assert!(read <= text.len(), "{read} bytes of {words}");
        }
    }

    #[test]
    fn a_long_name_hides_no_token_and_no_more_is_decoded_than_a_header_holds() {
        let long = format!("Basic {}", ENCODE.encode(format!("{}:{ONE}", "x".repeat(5000))));
        assert_eq!(find(&long)[0].0, ONE);
        let endless = format!("Basic {}", "A".repeat(1_000_000));
        assert_eq!(basic_credentials(&endless)[0], 6..6 + MAX_ENCODED);
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
