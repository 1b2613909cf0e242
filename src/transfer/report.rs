//! What a move did, and which tokens it could not take along.

use std::fmt;

use crate::timestamp::Timestamp;
use crate::token::{Prefix, TokenId};

/// Where a transfer file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The realm of the host that wrote it.
    pub realm: Box<str>,
    /// The prefixes that its tokens may have, the one of new tokens first.
    pub prefixes: Vec<Prefix>,
    /// When it was begun.
    pub written_at: Timestamp,
}

/// How far a move has come, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    /// How many rows were looked at, whatever the outcome.
    pub done: u64,
    /// How many rows there were when it began.
    pub total: u64,
}

/// What was written into a transfer file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveOutReport {
    /// How many tokens without a revocation are in the file. Some of them may have ended.
    pub tokens: u64,
    /// How many revoked tokens are in the file.
    pub revoked: u64,
    /// The tokens that can't move, and why. The file names them, too.
    pub left: Vec<(TokenId, LeftBehind)>,
}

/// Why a token is not in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LeftBehind {
    /// Its row can't be read.
    Damaged,
    /// Its row is not as the engine wrote it for this realm.
    Tampered,
    /// It is sealed under a key that the ring lacks.
    KeyMissing,
    /// A newer version of this library wrote its row.
    Newer,
    /// Another system issued it. Only the ring of this host finds its row by its text.
    OfAnotherSystem,
    /// Another system issued it, and it has ended here: it was revoked, rotated or forgotten, or
    /// has expired. An import from that system on the other host would bring it back.
    EndedOfAnotherSystem,
}

impl LeftBehind {
    const ALL: [LeftBehind; 6] = [
        LeftBehind::Damaged,
        LeftBehind::Tampered,
        LeftBehind::KeyMissing,
        LeftBehind::Newer,
        LeftBehind::OfAnotherSystem,
        LeftBehind::EndedOfAnotherSystem,
    ];

    /// Returns the reason in lower case with underscores: `damaged`, `key_missing` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            LeftBehind::Damaged => "damaged",
            LeftBehind::Tampered => "tampered",
            LeftBehind::KeyMissing => "key_missing",
            LeftBehind::Newer => "newer",
            LeftBehind::OfAnotherSystem => "of_another_system",
            LeftBehind::EndedOfAnotherSystem => "ended_of_another_system",
        }
    }

    pub(crate) fn read(text: &str) -> Option<LeftBehind> {
        LeftBehind::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for LeftBehind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LeftBehind::Damaged => "its row is damaged; revoke or forget it",
            LeftBehind::Tampered => {
                "its row is not as it was written for this realm; \
                 find out who altered it, and revoke it"
            }
            LeftBehind::KeyMissing => {
                "it is sealed under a key that the key ring lacks; \
                 bring that key back, and export again"
            }
            LeftBehind::Newer => "a newer version wrote its row; export with that version",
            LeftBehind::OfAnotherSystem => {
                "another system issued it, and only this key ring finds it; \
                 rotate it, or import it from that system on the other host, too"
            }
            LeftBehind::EndedOfAnotherSystem => {
                "another system issued it, and it has ended here; \
                 if you import from that system on the other host, leave it out there"
            }
        })
    }
}

/// What was taken in from a transfer file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoveInReport {
    /// How many tokens are new here, and as good as where they came from.
    pub tokens: u64,
    /// How many tokens are new here, as revoked ones.
    pub revoked: u64,
    /// How many were here already, and stayed as they are.
    pub already_there: u64,
    /// The tokens that were here already, and were revoked now: the source had revoked them.
    pub revoked_now: Vec<TokenId>,
    /// The tokens that were here already, and were superseded now: the source had rotated them.
    pub superseded_now: Vec<TokenId>,
    /// The tokens that stayed as they are although the file says something else, and why.
    pub kept: Vec<(TokenId, KeptAsIs)>,
    /// The tokens that the source could not write into the file, and why.
    pub left: Vec<(TokenId, LeftBehind)>,
}

impl MoveInReport {
    /// Returns whether everything that the source had is here now. If not, look at `kept` and
    /// `left`.
    pub fn is_complete(&self) -> bool {
        self.kept.is_empty() && self.left.is_empty()
    }
}

/// Why a token that was here already does not become what the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeptAsIs {
    /// Another token has this id: its secret or its owner is another.
    OtherToken,
    /// Its row here is damaged.
    Damaged,
    /// Its row here is not as the engine wrote it for this realm.
    Tampered,
    /// Its line was rotated on both hosts, to different tokens. One of them may be a thief's.
    RotatedOnBoth,
    /// It may do more here than in the file, or ends later here.
    MayDoMore,
    /// Other calls kept changing it.
    Changing,
}

impl KeptAsIs {
    /// Returns the reason in lower case with underscores: `other_token`, `may_do_more` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            KeptAsIs::OtherToken => "other_token",
            KeptAsIs::Damaged => "damaged",
            KeptAsIs::Tampered => "tampered",
            KeptAsIs::RotatedOnBoth => "rotated_on_both",
            KeptAsIs::MayDoMore => "may_do_more",
            KeptAsIs::Changing => "changing",
        }
    }
}

impl fmt::Display for KeptAsIs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeptAsIs::OtherToken => {
                "another token has this id here, so this one can't be moved; issue it anew"
            }
            KeptAsIs::Damaged => "its row here is damaged; forget it here, and import again",
            KeptAsIs::Tampered => {
                "its row here is not as it was written for this realm; \
                 find out who altered it, and revoke it"
            }
            KeptAsIs::RotatedOnBoth => {
                "its line was rotated on both hosts, to different tokens; \
                 revoke it here, which ends all of them, and issue a new token"
            }
            KeptAsIs::MayDoMore => {
                "it may do more here than in the file, or ends later here; \
                 narrow or revoke it here unless that is wanted"
            }
            KeptAsIs::Changing => "other calls kept changing it; import again",
        })
    }
}
