//! Finds tokens in a text that leaked: a log, a commit, a pasted header.

use std::collections::HashSet;
use std::ops::Range;

use crate::disguise::{Layers, tokens_in};
use crate::present::Presented;
use crate::token::{Prefix, Token, TokenId};

/// The tokens that were found in a text that leaked, and the outcome for each. Holds no secret.
///
/// # What is found
///
/// Tokens with a prefix that the policy accepts:
/// - as issued, in upper case, and with look-alikes such as `o` for `0`;
/// - with anything but letters, digits and `_` between their characters, such as spaces, line ends,
///   quotes and the zero bytes of UTF-16;
/// - with the escapes of JSON, C, URLs, HTML, Markdown and quoted-printable mail, also escaped
///   twice: `\u005f`, `\x5f`, `%5F`, `&#95;`, `\_`, `=5F`;
/// - with the colours of a terminal or the tags of a page in them;
/// - inside base64, in either alphabet, and inside hexadecimal.
///
/// So they are found in an `Authorization` header, the `auth` of Docker, the `_auth` of npm and a
/// Kubernetes secret. Up to three layers are decoded.
///
/// # What is not found
///
/// - A token without its prefix, with another sign than `_` after it, or mistyped.
/// - A token in compressed or encrypted data or in an image: archives, Helm's releases, many PDFs.
/// - A token that is spread over more than 1 KiB, or over more than [`LeakReport::MAX_REACH`] if it
///   is encoded.
/// - A token with letters or digits of something else in it: a hex dump with offsets, a line that
///   is wrapped behind line numbers.
/// - A token in base32, base85 or EBCDIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeakReport {
    /// The tokens in the order of the text, each once.
    pub leaks: Vec<Leak>,
    /// Where to go on, in bytes; `None` if the whole text was searched. Pass the text from there in
    /// another call.
    ///
    /// Set if the text is longer than [`LeakReport::MAX_TEXT`], or has more tokens than
    /// [`LeakReport::MAX_LEAKS`]. The next call misses no token that begins from there on.
    pub rest: Option<usize>,
}

impl LeakReport {
    /// The most text that one call searches, in bytes: 16 MiB.
    pub const MAX_TEXT: usize = 16 * 1024 * 1024;
    /// The most tokens that one call looks up, apart from tokens that begin at the same place as
    /// the last.
    pub const MAX_LEAKS: usize = 1000;
    /// The most bytes that a token may take as it is escaped or encoded in the text: 8 KiB.
    ///
    /// If you pass a stream in pieces, begin each piece with the last 8 KiB of the one before.
    pub const MAX_REACH: usize = 8 * 1024;
}

/// One token in a leaked text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where the token stands first, in bytes. If it is encoded, where its digits of base64 or
    /// hexadecimal stand.
    pub position: Range<usize>,
    /// The public half of the token's text.
    pub id: TokenId,
    /// What was done about it.
    pub outcome: LeakOutcome,
}

/// What was done about a leaked token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeakOutcome {
    /// The token is revoked now, whatever its status was.
    Revoked,
    /// The token was revoked before. What was issued under its line until then is revoked now.
    AlreadyRevoked,
    /// Nothing was done: the token's row is damaged, so the secret could not be checked. If the row
    /// is repaired, the token is valid again: revoke it by its id.
    Damaged,
    /// Nothing was done: the row's digest has this scheme, which this program does not know, so the
    /// secret could not be checked. Pass the text to a newer program, or revoke it by its id.
    UnknownScheme(u8),
    /// Nothing was done: there is no such token, or its secret is another.
    NoToken,
}

/// Searches a text for tokens, piece by piece.
pub(crate) struct LeakScan<'a> {
    text: &'a [u8],
    accepted: &'a [Prefix],
    layers: Layers,
    /// How much of the text was searched, in bytes.
    passed: usize,
    /// The digests of the tokens that were found. Not their ids: of two texts with one id, either
    /// may have the right secret.
    seen: HashSet<[u8; 33]>,
    /// Where the search ended before the end of the text.
    rest: Option<usize>,
}

/// A token that was found. It has no secret, so that no copy of one waits for the store.
pub(crate) struct Found {
    pub(crate) position: Range<usize>,
    pub(crate) presented: Presented,
}

impl<'a> LeakScan<'a> {
    /// How much text is searched at once, in bytes: it takes a few milliseconds at most.
    const PIECE: usize = 32 * 1024;

    /// Begins a search. Makes room for the longest piece, so that nothing grows later.
    pub(crate) fn new(text: &'a [u8], accepted: &'a [Prefix]) -> LeakScan<'a> {
        let layers = Layers::new(text.len().min(LeakScan::PIECE + LeakReport::MAX_REACH));
        LeakScan { text, accepted, layers, passed: 0, seen: HashSet::new(), rest: None }
    }

    /// Returns the tokens that begin in the next piece and in none before; `None` at the end.
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
            let presented = Presented::new(&token);
            let digest = presented.digest().to_bytes();
            if self.seen.contains(&digest) {
                continue;
            }
            // The next search goes on at this place and finds this token again, even within a row
            // of base64. Not if the last token begins at the same place, or that one would be found
            // twice.
            let begins_later = found.last().is_none_or(|last| last.position.start < position.start);
            if self.seen.len() >= LeakReport::MAX_LEAKS && begins_later {
                self.rest = Some(position.start);
                return Some(found);
            }
            self.seen.insert(digest);
            found.push(Found { position, presented });
        }
        self.passed += LeakScan::PIECE;
        Some(found)
    }

    /// Returns whether there is no next piece.
    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_some() || self.passed >= self.text.len()
    }

    /// Returns where to go on in another search, once there is no next piece.
    pub(crate) fn rest(&self) -> Option<usize> {
        self.rest
    }

    /// Returns the tokens that begin in the next piece, with their places in the whole text.
    fn tokens_in_piece(&mut self) -> Vec<(Range<usize>, Token)> {
        let LeakScan { text, accepted, passed, .. } = *self;
        // A token belongs to the piece in which it begins, and may end in the next one.
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

    /// Returns where the UTF-8 character begins in which the search may have ended. A host can cut
    /// a `str` there.
    fn character_start(&self) -> usize {
        let is_continued = |at: &usize| self.text[*at] & 0xC0 == 0x80;
        let back = (0..3).take_while(|back| is_continued(&(self.passed - back))).count();
        self.passed - back
    }
}

#[cfg(test)]
mod tests;
