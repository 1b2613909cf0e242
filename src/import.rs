//! Tokens that another system issued, taken over while their holders keep using them.
//!
//! The old system kept a hash of each token, or the token itself. [`TokenAuthority::import`] makes
//! a row of each, and [`TokenAuthority::authenticate_with`] lets its holder in by the old text. The
//! row gets a digest of ours at its first use at the latest, and the old hash is gone. Texts in
//! clear, UUIDs and JWTs are digested at the import, and SHA-256 of random texts already is our
//! digest. The token is like any other: it is listed, narrowed, rotated and revoked.
//!
//! # In code
//!
//! The guides "Move from …" do this by `admin import`. Here a host does it itself:
//!
//! ```
//! use app_tokens::import::{ForeignToken, Import, Imported, Sha256};
//! use app_tokens::record::Expires;
//! use app_tokens::store::MemoryStore;
//! use app_tokens::web::{Login, NamesAreOwners};
//! use app_tokens::{
//!     Access, KeyRing, Operator, Origin, Policy, Requirement, Timestamp, TokenAuthority,
//! };
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once: the key by which imported tokens are found. Append it to the key ring of every host.
//! let keys = format!("{},{}", KeyRing::new_text()?, KeyRing::new_import_text()?);
//! // For as long as the import is open, dead rows are kept.
//! let policy = Policy::new("acme")?.with_open_import();
//! let tokens = TokenAuthority::new(MemoryStore::new(), KeyRing::parse(&keys)?, policy);
//! let scheme = Sha256::of_unknown_strength();
//! let import = Import::new().scheme(scheme);
//!
//! // For each row that is live in the old table: the hash of
//! // `cioabcdefghijklmnopqrstuvwxyz012345`, its owner, its label and so on.
//! let hash = "8f147564d7d35a4541771d38f27452c3de158dec58ea9854739f1fc306b33ee2";
//! let access = Access::scopes(["packages:write"])?;
//! let token = ForeignToken::new(scheme.secret(hash)?, "alice", "CI", access)
//!     .created_at(Timestamp::from_unix(1_700_000_000)?)
//!     .expires(Expires::At(Timestamp::from_unix(4_000_000_000)?));
//! match tokens.import(&Operator::new("root")?, &import, token).await? {
//!     Imported::Done(_) | Imported::AlreadyThere(_) => {}
//!     not_taken => eprintln!("row 1 was not imported: {not_taken:?}"),
//! }
//! assert_eq!(tokens.import_status().await?[0].waiting, 1);
//!
//! // The login of the host, as before but for the last call.
//! let login = Login::new(tokens.clone(), NamesAreOwners(|name| name == "alice"));
//! let login = login.with_import(&import);
//! let text = "cioabcdefghijklmnopqrstuvwxyz012345";
//! let authenticated = login.enter_with(None, text, Origin::unknown()).await?;
//! let caller = authenticated.require(Requirement::one_of(&["packages:write"]))?;
//! assert_eq!(caller.owner().as_str(), "alice");
//!
//! // Later: may the old table go?
//! for status in tokens.import_status().await? {
//!     assert_eq!((status.waiting, status.lost, status.unclear), (0, 0, 0));
//!     assert!(import.reaches(&status), "the import looks at fewer candidates than before");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Without `Login`, [`TokenAuthority::authenticate_with`] takes the import. A second run changes
//! nothing: see [below](#what-holds-throughout). Once no scheme has a token that waits, close the
//! import: take [`with_open_import`](crate::Policy::with_open_import) out, and keep `with_import`.
//!
//! # Which scheme
//!
//! | the old system | keeps | scheme | feature |
//! |---|---|---|---|
//! | crates.io, GitLab | SHA-256 | [`Sha256`] | |
//! | Laravel Sanctum | SHA-256 of a part | [`Sha256::of_sanctum`] | |
//! | Nextcloud | SHA-512 of text and secret | [`Sha512::of_nextcloud`] | |
//! | Gitea, Forgejo | PBKDF2, found by last eight characters | `Forgejo` | `import-pbkdf2` |
//! | OpenCloud | Argon2id, found by the owner | `Argon2` | `import-argon2` |
//! | OpenCloud, older driver | bcrypt, found by the owner | `Bcrypt` | `import-bcrypt` |
//! | Python's passlib and others | PBKDF2, found by the owner | `Pbkdf2` | `import-pbkdf2` |
//! | PowerShell Universal | signed JWTs | [`Jwt`] | |
//! | Nuxeo | UUIDs in clear | [`Uuid`] | |
//! | others | BLAKE3, with a key or without | `Blake3` | `import-blake3` |
//! | others | texts in clear | [`Plain`] | |
//! | yours | | your [`Foreign`] | |
//!
//! # How a row is found
//!
//! The text of a foreign token holds no id of ours. So the row's id is made from what the old
//! system found the token by: its hash, its last characters, or its owner. It is an HMAC under the
//! ring's `import` key, so an id tells nothing to those who lack the key.
//!
//! What several tokens share, such as an owner, leads to several ids. They are tried one after the
//! other, at most [`Import::max_candidates`]. This is the one place where a check costs more with
//! more rows. So slow hashes are computed on threads of their own, a few at a time, and behind a
//! brake. It counts each row that a text is compared with, unless the text is let in. For each
//! look-up, 400 rows pass at once, and then one a second. So it lets in 20 devices that come
//! together for 20 tokens of a user. If 20 tokens of an owner wait, 20 wrong texts pass, and then
//! three a minute. A main password is such a text: see [`OnlyTexts`]. Until then that owner's first
//! uses of other schemes are held back, too, if their name is sent. Later uses are not. The time of
//! such a check tells whether an owner has tokens that were not used yet.
//!
//! # What holds throughout
//!
//! - A text with our prefix is never tried as a foreign one.
//! - `revoke_leaked` and `examine` know texts of ours only. If a foreign text leaked, revoke its
//!   token by the id, or rotate it.
//! - Nothing is trimmed: a text is compared exactly as it was sent.
//! - A row that was revoked, or that ended in another way, denies its text for as long as it is
//!   kept. What if the text has two rows? See [below](#if-the-old-system-hashes-a-text-anew).
//! - A second run of an import finds the row there and changes nothing. While
//!   [`Policy::with_open_import`](crate::Policy::with_open_import) is set, no row is purged, and a
//!   forgotten token leaves a tombstone.
//! - A run under another import key is refused. It would find no token that is there, and import
//!   the revoked ones again.
//!
//! # If the old system hashes a text anew
//!
//! Then a second run takes the new hash for another token, and two rows belong to one text. As long
//! as a text's row holds what the old system kept, all rows of all schemes are asked. One that was
//! revoked or rotated here denies the text. If such a row can't be compared, because a newer
//! program wrote it, no other row lets the text in: the check fails. If no other row matches, the
//! text of a revoked one counts as not ours. If none ended, a row in use decides.
//!
//! A revoked row is not seen in these cases. **Revoke both rows, and the token in the old system,
//! too:**
//!
//! - The other row was in use before, or was digested at the import: then it decides at once. Texts
//!   in clear, UUIDs, JWTs and SHA-256 of random texts are digested at the import.
//! - The revoked row is found by its owner, and the text comes without a user name or with another.
//! - The host no longer tries the revoked row's scheme, or not for such texts. **Keep the schemes
//!   of all runs.**
//! - The revoked row was in use before and shares its look-up, and the key of its digest was taken
//!   out of the ring.
//! - It lies beyond the number of candidates, which was larger before. [`Import::reaches`] finds
//!   that.
//! - The revoked row was forgotten, or is damaged and shares its look-up.
//!
//! If a row was narrowed, or got an earlier end, before its first use, the new one may decide
//! instead.
//!
//! [`TokenAuthority::import`]: crate::TokenAuthority::import
//! [`TokenAuthority::authenticate_with`]: crate::TokenAuthority::authenticate_with

#[cfg(feature = "import-argon2")]
mod argon2;
#[cfg(feature = "import-bcrypt")]
mod bcrypt;
#[cfg(feature = "import-blake3")]
mod blake3;
mod brake;
mod foreign;
#[cfg(feature = "import-pbkdf2")]
mod forgejo;
mod jwt;
mod only_texts;
#[cfg(feature = "import-pbkdf2")]
mod pbkdf2;
#[cfg(any(feature = "import-argon2", feature = "import-pbkdf2"))]
mod phc;
mod place;
mod plain;
mod sha256;
mod sha512;
mod slow;
mod token;
mod uuid;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

#[cfg(feature = "import-argon2")]
pub use self::argon2::Argon2;
#[cfg(feature = "import-bcrypt")]
pub use self::bcrypt::Bcrypt;
#[cfg(feature = "import-blake3")]
pub use self::blake3::Blake3;
pub(crate) use self::brake::Counted;
pub use self::foreign::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};
#[cfg(feature = "import-pbkdf2")]
pub use self::forgejo::Forgejo;
pub use self::jwt::{InvalidSigningKey, Jwt};
pub use self::only_texts::OnlyTexts;
#[cfg(feature = "import-pbkdf2")]
pub use self::pbkdf2::Pbkdf2;
pub(crate) use self::place::Places;
pub use self::plain::Plain;
pub use self::sha256::Sha256;
pub use self::sha512::Sha512;
use self::slow::SlowChecks;
pub use self::token::{ForeignToken, ImportStatus, Imported};
pub use self::uuid::Uuid;

/// Says which foreign schemes are tried, in which order, and how much that may cost.
///
/// Make it once and clone it. Clones share the brake.
#[derive(Clone)]
pub struct Import {
    schemes: Vec<Arc<dyn Foreign>>,
    max_candidates: NonZeroU32,
    slow: Arc<SlowChecks>,
}

impl Import {
    /// Makes an import without a scheme, of at most 20 candidates a look-up, and of two slow checks
    /// at a time.
    pub fn new() -> Import {
        const CANDIDATES: NonZeroU32 = NonZeroU32::new(20).unwrap();
        Import {
            schemes: Vec::new(),
            max_candidates: CANDIDATES,
            slow: Arc::new(SlowChecks::new(2)),
        }
    }

    /// Adds a scheme. A text is tried by the schemes in the order in which they were added.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Foreign) -> Import {
        self.schemes.push(Arc::new(scheme));
        self
    }

    /// Sets how many tokens may share one look-up, such as one owner. More are not imported.
    ///
    /// It must not become smaller later: rows beyond it would no longer be found. Ask
    /// [`reaches`](Import::reaches) at a host's start.
    #[must_use]
    pub fn max_candidates(self, most: NonZeroU32) -> Import {
        Import { max_candidates: most, ..self }
    }

    /// Sets how many slow checks run at a time, each on a thread of its own. More wait, up to eight
    /// times as many; others fail with [`Failed::ImportBusy`](crate::error::Failed::ImportBusy).
    ///
    /// An Argon2id check of OpenCloud takes 64 MiB of memory.
    #[must_use]
    pub fn max_slow_checks(self, most: NonZeroU32) -> Import {
        Import { slow: Arc::new(SlowChecks::new(most.get())), ..self }
    }

    /// Returns whether this import looks at enough candidates to find every readable row of a
    /// scheme. A host that starts with fewer may not know a token, and a run may bring back a
    /// revoked one.
    ///
    /// [`TokenAuthority::import_status`](crate::TokenAuthority::import_status) returns one status
    /// of each scheme. It reads all rows.
    pub fn reaches(&self, status: &ImportStatus) -> bool {
        status.candidates <= self.max_candidates.get()
    }

    pub(crate) fn schemes(&self) -> &[Arc<dyn Foreign>] {
        &self.schemes
    }

    /// Returns how many ids a look-up leads to.
    pub(crate) fn candidates(&self, lookup: &Lookup) -> u32 {
        if lookup.is_shared() { self.max_candidates.get() } else { 1 }
    }

    pub(crate) fn slow(&self) -> &SlowChecks {
        &self.slow
    }

    /// Returns whether a scheme finds its tokens by their owner.
    pub(crate) fn needs_owner(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.needs_owner())
    }
}

impl Default for Import {
    fn default() -> Import {
        Import::new()
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.schemes.iter().map(|scheme| scheme.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_one_token_has_leads_to_one_row_and_what_is_shared_to_as_many_as_the_host_says() {
        let (exact, shared) = (Lookup::exact("a"), Lookup::shared("a"));
        let import = Import::new();
        assert_eq!((import.candidates(&exact), import.candidates(&shared)), (1, 20));
        let import = import.max_candidates(3.try_into().unwrap());
        assert_eq!((import.candidates(&exact), import.candidates(&shared)), (1, 3));
    }
}
