//! Tokens that leaked: [`LeakReport`] says where they stood in a text, and what became of them.

use std::collections::HashSet;
use std::ops::Range;

use crate::digest::Digest;
use crate::disguise::{Layers, tokens_in};
use crate::record::Status;
use crate::token::{Prefix, Token, TokenId};

/// What was found in a text that leaked, and what became of it. It holds no secret.
///
/// # What is found
///
/// Tokens with a prefix that the policy accepts:
/// - as they are issued, in upper case, with look-alikes such as `o` for `0`;
/// - with anything but letters, digits and `_` between their characters: the groups of a person,
///   line ends of a mail, the quotes and signs of a program's source;
/// - with the escapes of JSON, C, URLs, HTML, Markdown and quoted-printable mail: `\u005f`, `\x5f`,
///   `%5F`, `&#95;`, `\_`, `=5F`, also escaped again;
/// - with the colours of a terminal or the tags of a page in them;
/// - inside base64, for URLs or not, and inside hexadecimal: an `Authorization` header, the `auth`
///   of Docker, the `_auth` of npm, a Kubernetes secret, UTF-16 of PowerShell. Up to three layers
///   are undone.
///
/// # What is not found
///
/// - A token without its prefix, with another sign than `_` behind that, or mistyped.
/// - A token that is compressed, encrypted or in an image: archives, Helm's releases, many PDFs.
/// - One between whose first and last character lie more than 1 KiB, or, where it is encoded, more
///   than [`LeakReport::MAX_REACH`].
/// - A text of which each line has more around it than signs: a hex dump with offsets, a wrapped
///   line behind line numbers.
/// - UTF-16 or UTF-32 of other alphabets, EBCDIC, base32 and base85.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakReport {
    /// Each token once, in the order of the text.
    pub leaks: Vec<Leak>,
    /// Where to go on, in bytes, if the text is longer than [`LeakReport::MAX_TEXT`] or has more
    /// than [`LeakReport::MAX_LEAKS`] tokens. Call again with the text from there on. `None` if all
    /// of it was looked through.
    pub rest: Option<usize>,
}

impl LeakReport {
    /// The most text that one call looks through, in bytes: 16 MiB.
    pub const MAX_TEXT: usize = 16 * 1024 * 1024;
    /// The most tokens that one call looks up.
    pub const MAX_LEAKS: usize = 1000;
    /// The most bytes over which a token is spread, with what it is encoded in and what stands
    /// between: 8 KiB. If you hand in a stream in pieces, begin each so many bytes before the end
    /// of the one before it.
    pub const MAX_REACH: usize = 8 * 1024;
}

/// A token in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it stands first, in bytes: the token, or the digits of base64 or hexadecimal that hold
    /// it.
    pub position: Range<usize>,
    /// Its public id.
    pub id: TokenId,
    /// What became of it.
    pub outcome: LeakOutcome,
}

/// What became of a leaked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// It was good, or only idle, tampered, of a missing key or younger than the clock, and is revoked.
    Revoked,
    /// It had ended before.
    Ended(Status),
    /// There is no such token, or it has another secret: nothing was done.
    NoToken,
}

/// Looks through a text for tokens, a piece at a time.
pub(crate) struct LeakScan<'a> {
    text: &'a [u8],
    accepted: &'a [Prefix],
    layers: Layers,
    /// How far it has come.
    passed: usize,
    /// Two texts with one id differ in their secrets, and one of them may be right.
    seen: HashSet<[u8; 33]>,
    /// Where it stopped for good, before the end.
    rest: Option<usize>,
}

/// A token that was found. The secret itself goes no further.
pub(crate) struct Found {
    pub(crate) position: Range<usize>,
    pub(crate) id: TokenId,
    pub(crate) digest: Digest,
}

impl<'a> LeakScan<'a> {
    /// How much text is looked through at once, in bytes: a few milliseconds at the most.
    const PIECE: usize = 32 * 1024;

    pub(crate) fn new(text: &'a [u8], accepted: &'a [Prefix]) -> LeakScan<'a> {
        let layers = Layers::new(text.len().min(LeakScan::PIECE + LeakReport::MAX_REACH));
        LeakScan { text, accepted, layers, passed: 0, seen: HashSet::new(), rest: None }
    }

    /// The tokens that begin in the next piece, without those before; `None` at the end. Let other
    /// tasks run in between.
    pub(crate) fn next_piece(&mut self) -> Option<Vec<Found>> {
        if self.is_done() {
            return None;
        }
        if self.passed >= LeakReport::MAX_TEXT {
            self.rest = Some(self.character_start());
            return None;
        }
        let mut tokens = self.tokens_in_piece();
        tokens.sort_by_key(|(position, _)| position.start);
        let mut found: Vec<Found> = Vec::new();
        for (position, token) in tokens {
            let digest = Digest::of(&token);
            if self.seen.contains(&digest.to_bytes()) {
                continue;
            }
            // It is found again from there on, also where it shares its base64 with the last one.
            let begins_later = found.last().is_none_or(|last| last.position.start < position.start);
            if self.seen.len() >= LeakReport::MAX_LEAKS && begins_later {
                self.rest = Some(position.start);
                return Some(found);
            }
            self.seen.insert(digest.to_bytes());
            found.push(Found { position, id: token.id(), digest });
        }
        self.passed += LeakScan::PIECE;
        Some(found)
    }

    /// Whether there is no next piece.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_some() || self.passed >= self.text.len()
    }

    /// Where to go on, once there is no next piece.
    pub(crate) fn rest(&self) -> Option<usize> {
        self.rest
    }

    fn tokens_in_piece(&mut self) -> Vec<(Range<usize>, Token)> {
        let LeakScan { text, accepted, passed, .. } = *self;
        // Those that begin here may end in the next piece, and those that begin there are its own.
        let end = text.len().min(passed + LeakScan::PIECE + LeakReport::MAX_REACH);
        let mut tokens = Vec::new();
        self.layers.visit(&text[passed..end], &mut |layer, place| {
            tokens_in(layer, accepted, |range, token| {
                let range = place(range);
                if range.start < LeakScan::PIECE {
                    tokens.push((passed + range.start..passed + range.end, token));
                }
            });
        });
        tokens
    }

    /// Where the character begins, in UTF-8, in the middle of which it may have stopped.
    fn character_start(&self) -> usize {
        let is_continued = |at: &usize| self.text[*at] & 0xC0 == 0x80;
        let back = (0..3).take_while(|back| is_continued(&(self.passed - back))).count();
        self.passed - back
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    const ONE: &str = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
    const TWO: &str = "acme_2wwcysr5s4j36knjaay3s1vpv6sbaa4t6h2vpe0n92zve";
    const GROUPED: &str = "ACME_ASKGA-GKERA-541E8-5KRHX-FCABP-G2244-EM9E3-F3P37-Q4H92";

    /// Where the tokens of a text stand, by their ids, and where to go on.
    fn look(text: &str) -> (Vec<(String, Range<usize>)>, Option<usize>) {
        let prefixes = [Prefix::new("acme").unwrap()];
        let mut scan = LeakScan::new(text.as_bytes(), &prefixes);
        let mut found = Vec::new();
        while let Some(tokens) = scan.next_piece() {
            found.extend(tokens.into_iter().map(|token| (token.id.to_string(), token.position)));
        }
        (found, scan.rest())
    }

    /// Goes on until the end, as a host does.
    fn look_to_the_end(text: &str) -> Vec<(String, Range<usize>)> {
        let (mut found, mut passed) = (Vec::new(), 0);
        loop {
            let (more, rest) = look(&text[passed..]);
            assert!(more.len() <= LeakReport::MAX_LEAKS);
            found.extend(more.into_iter().map(|(id, at)| (id, passed + at.start..passed + at.end)));
            let Some(rest) = rest else {
                return found;
            };
            assert!(rest > 0, "it gets on");
            passed += rest;
        }
    }

    /// So many different tokens.
    fn tokens(count: usize) -> Vec<String> {
        let mut source = crate::secret::tests::Counting(1);
        let mut draw = || {
            let (id, secret) = crate::secret::Secret::draw(&mut source).unwrap();
            let token = Token::compose(Prefix::new("acme").unwrap(), id, &secret);
            token.expose_secret().to_owned()
        };
        std::iter::repeat_with(&mut draw).take(count).collect()
    }

    /// That just these tokens were found, in this order.
    #[track_caller]
    fn are(found: Vec<(String, Range<usize>)>, tokens: &[String]) {
        for (number, ((id, at), token)) in found.iter().zip(tokens).enumerate() {
            assert_eq!(id, &token[5..15], "number {number}, at {at:?}");
        }
        assert_eq!(found.len(), tokens.len());
    }

    #[test]
    fn tokens_are_found_in_the_order_of_the_text_and_each_once() {
        let text = format!("APP={ONE}\n\"{TWO}\", {GROUPED} and again {ONE}.");
        let (found, rest) = look(&text);
        assert_eq!(found, [("askgagkera".into(), 4..54), ("2wwcysr5s4".into(), 56..106)]);
        assert_eq!(rest, None);
        let text = format!("{} {ONE} {TWO}", STANDARD.encode(TWO));
        assert_eq!(look(&text).0[0].0, "2wwcysr5s4");
        assert_eq!(look(&text).0.len(), 2);
    }

    #[test]
    fn a_long_text_is_looked_through_whole_in_pieces() {
        let all = tokens(40);
        let gap = "é".repeat(LeakScan::PIECE / 40);
        let text = all.join(&gap);
        let (found, rest) = look(&text);
        assert_eq!(rest, None);
        are(found, &all);
    }

    #[test]
    fn a_text_with_too_many_tokens_is_looked_through_when_gone_on_with() {
        let all = tokens(2 * LeakReport::MAX_LEAKS + 7);
        let (found, rest) = look(&all.join("\n"));
        assert_eq!(found.len(), LeakReport::MAX_LEAKS);
        assert_eq!(rest, Some(LeakReport::MAX_LEAKS * 51));
        // In base64 the cut is between two tokens of one row of digits.
        for text in [all.join("\n"), STANDARD.encode(all.join(":")), STANDARD.encode(all.concat())]
        {
            are(look_to_the_end(&text), &all);
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_gone_on_with_where_it_was_cut() {
        // The token begins before the cut, or right behind it.
        for (before, found_at_once) in [(48, 1), (0, 0)] {
            let text = "é".repeat((LeakReport::MAX_TEXT - before) / 2) + ONE;
            let (found, rest) = look(&text);
            assert_eq!((found.len(), rest), (found_at_once, Some(LeakReport::MAX_TEXT)));
            let (found, rest) = look(&text[LeakReport::MAX_TEXT - before..]);
            assert_eq!((found.len(), rest), (1, None));
        }
        // In the middle of a character of three bytes.
        let text = "€".repeat(LeakReport::MAX_TEXT / 3 + 1) + ONE;
        assert_eq!(look(&text), (Vec::new(), Some(LeakReport::MAX_TEXT - 1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Also across the ends of pieces, and of the rows of digits that are decoded at once.
        #[test]
        fn no_token_is_lost_wherever_it_lies(
            gaps in prop::collection::vec(0..3 * LeakScan::PIECE / 2, 1..4),
            filler in "[ .a-zA-Z=]", is_encoded: bool, indent in 0..4_usize,
        ) {
            let all = tokens(gaps.len());
            let mut text = String::new();
            for (gap, token) in gaps.iter().zip(&all) {
                text += &filler.repeat(*gap);
                text.push(' ');
                text += token;
            }
            let text = if is_encoded { STANDARD.encode(text) } else { text };
            let found = look_to_the_end(&(" ".repeat(indent) + &text));
            are(found, &all);
        }
    }
}
