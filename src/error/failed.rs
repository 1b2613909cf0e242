//! Why the engine failed: [`Failed`].

use crate::key::KeyId;
use crate::random::RandomSourceFailed;
use crate::record::StatusUnclear;
use crate::store::{Certainty, StoreError};
use crate::token::TokenId;

/// The engine failed: HTTP 503, never 401.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// The store failed, or can't say whether it carried out a change.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The random source failed.
    #[error(transparent)]
    Random(#[from] RandomSourceFailed),
    /// A key is missing, a seal has a newer version, or the clock is wrong.
    #[error(transparent)]
    Unclear(#[from] StatusUnclear),
    /// The store has a live row under a key that the ring lacks, so nothing is issued.
    #[error(transparent)]
    OrphanRow(#[from] OrphanRow),
    /// The policy has an idle time-out, but nothing writes last uses, so tokens in use would go
    /// idle.
    ///
    /// Call [`upkeep`](crate::TokenAuthority::upkeep) and keep what it returns.
    #[error(
        "the policy has an idle time-out, but no upkeep is attached; keep what `upkeep()` returns"
    )]
    NoUpkeep,
    /// A row that was intact a moment ago is not as the engine wrote it.
    #[error(
        "a token's row was altered by other means than this library; find out who writes to it"
    )]
    NotIntact,
    /// Every id that was drawn is taken: the random source repeats itself.
    #[error(
        "every token id that was drawn is taken; use a random source that does not repeat itself"
    )]
    NoFreeId,
    /// The key ring has no key by which imported tokens are found.
    #[error(
        "the key ring has no import key, by which imported tokens are found; \
         add the entry that `KeyRing::new_import_text` makes, on every host"
    )]
    NoImportKey,
    /// Tokens were imported under another import key than the ring's, or for another realm.
    #[error(
        "token {0} was imported under another import key, or for another realm; bring that key \
         back: under this one, tokens that were revoked would be imported again"
    )]
    OtherImportKey(TokenId),
    /// Too many slow checks of imported tokens run, or ran for this look-up.
    #[error("too many imported tokens are being checked; try again in some seconds")]
    ImportBusy,
}

/// A live row is sealed under a key that the ring lacks.
///
/// Check that the key file is the right one. Then bring the key back, or revoke what it seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "token {id} is sealed under key {key_id}, which the key ring lacks; \
     bring that key back, or revoke the tokens under it"
)]
pub struct OrphanRow {
    /// One of the tokens under that key.
    pub id: TokenId,
    /// The missing key.
    pub key_id: KeyId,
}

impl Failed {
    /// Returns whether the change that failed may have happened.
    pub(crate) fn may_be_done(&self) -> bool {
        matches!(self, Failed::Store(error) if error.certainty() == Certainty::Unknown)
    }
}
