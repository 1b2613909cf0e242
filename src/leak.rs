//! Tokens that leaked: [`LeakReport`] says where they stood in a text, and what became of them.

use std::collections::HashSet;
use std::ops::Range;

use crate::digest::Digest;
use crate::disguise::{Layers, tokens_in};
use crate::record::Status;
use crate::token::{Prefix, Token, TokenId};

/// The tokens that were found in a text that leaked, and the outcome for each. Holds no secret.
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
    /// The tokens in the order of the text, each once.
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

/// One token in a leaked text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it stands first, in bytes: the token, or the digits of base64 or hexadecimal that hold
    /// it.
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
mod tests;
