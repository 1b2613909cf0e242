//! What a host is shown: [`TokenView`], pages of them, and reports of a check and a reseal.

use std::fmt;

use crate::access::Access;
use crate::attributes::Attributes;
use crate::key::KeyId;
use crate::record::{Expires, LastUse, RecordParts, Revocation, Status, TokenRecord};
use crate::text::{Label, Operator, Owner, clean_line};
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// A token as its owner may see it: everything but digest and seal.
///
/// The status is that at the instant of the call. Uses that this process has not written yet are
/// included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenView {
    id: TokenId,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    status: Option<Status>,
    owner: Owner,
    label: Label,
    access: Access,
    attributes: Attributes,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    issued_by: Option<Operator>,
    created_at: Timestamp,
    expires: Expires,
    family: TokenId,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    successor: Option<TokenId>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    derived_from: Option<TokenId>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    revocation: Option<Revocation>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    last_use: Option<LastUse>,
}

impl TokenView {
    /// Makes a view of a record. `own_use` is the use that this process has not written yet.
    pub(crate) fn new(
        record: &TokenRecord,
        status: Option<Status>,
        own_use: Option<LastUse>,
    ) -> TokenView {
        let stored_at = record.last_use().map(|last_use| last_use.at);
        // `None` is less than any instant, so a first use is later than none.
        let own_use_is_later = own_use.as_ref().map(|own_use| own_use.at) > stored_at;
        // Destructured without `..`, so that a new fact is shown or left out on purpose.
        let RecordParts {
            id,
            digest: _,
            owner,
            label,
            access,
            attributes,
            issued_by,
            created_at,
            expires,
            family,
            successor,
            derived_from,
            revocation,
            last_use,
            revision: _,
            key_id: _,
            seal: _,
        } = record.clone().into_parts();
        TokenView {
            id,
            status,
            owner,
            label,
            access,
            attributes,
            issued_by,
            created_at,
            expires,
            family,
            successor,
            derived_from,
            revocation,
            last_use: if own_use_is_later { own_use } else { last_use },
        }
    }

    /// Returns the public half of the token's text. By it, a holder finds their token in a list.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns the owner.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns the label that the owner gave it.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Returns the access: what the token may do.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the host's own facts about the token.
    ///
    /// A token that was imported from another system has one more, such as
    /// `imported: "sha256 bd35fee3 9c41f0a26d3b7e58"`. It holds the scheme, a mark of the import
    /// key and realm, and a fingerprint of the token, by which a second run finds it. Both are made
    /// under the import key, so they betray nothing. If the token shares its look-up with others,
    /// such as those of its owner, the number of its place follows. Operators need all this after a
    /// restore. A page for users should leave it out.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns the operator who issued it for its owner; `None` if the owner did.
    pub fn issued_by(&self) -> Option<&Operator> {
        self.issued_by.as_ref()
    }

    /// Returns when it was issued.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Returns when it expires.
    ///
    /// For a superseded token, that is the end of its overlap. Without an overlap it is five
    /// minutes before the rotation, so that hosts whose clocks are behind also deny the token at
    /// once. It can be earlier than [`created_at`](Self::created_at). So print it for an active
    /// token, and the [`status`](Self::status) of any other.
    pub fn expires(&self) -> Expires {
        self.expires
    }

    /// Returns the id of the first token of its line of rotations.
    pub fn family(&self) -> TokenId {
        self.family
    }

    /// Returns the token that superseded it; `None` if it was not rotated.
    pub fn successor(&self) -> Option<TokenId> {
        self.successor
    }

    /// Returns the family of the token under which it was issued; `None` if under none.
    pub fn derived_from(&self) -> Option<TokenId> {
        self.derived_from
    }

    /// Returns when, why and by whom it was revoked; `None` if it was not.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.revocation.as_ref()
    }

    /// Returns its last use; `None` if there was none.
    pub fn last_use(&self) -> Option<&LastUse> {
        self.last_use.as_ref()
    }

    /// Returns whether the token would authenticate now, and if not, why.
    ///
    /// `None` if the engine can't tell:
    /// - The ring lacks the key of the row's seal.
    /// - The seal has a version, or the digest a scheme, that this build doesn't know.
    /// - The clock is more than five minutes before `created_at`.
    pub fn status(&self) -> Option<Status> {
        self.status
    }
}

/// What became of a token: the answer of
/// [`TokenAuthority::examine`](crate::TokenAuthority::examine) to the holder of its whole secret.
///
/// It names the owner only of an active token, so that nobody is let in by one that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Examined {
    id: TokenId,
    status: Status,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    revocation: Option<Revocation>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    token: Option<TokenView>,
}

impl Examined {
    /// Makes the answer.
    pub(crate) fn new(status: Status, view: TokenView) -> Examined {
        let (id, revocation) = (view.id, view.revocation.clone());
        Examined { id, status, revocation, token: (status == Status::Active).then_some(view) }
    }

    /// Returns the public half of the token's text.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns whether the token would authenticate now, and if not, why. Its networks are not
    /// looked at.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Returns when, why and by whom it was revoked; `None` if it was not.
    pub fn revocation(&self) -> Option<&Revocation> {
        self.revocation.as_ref()
    }

    /// Returns the token with its owner and access; `None` unless it is active.
    ///
    /// For token introspection (RFC 7662). If the token is
    /// [bound to networks](Access::granted_networks), check the client's address before you let it
    /// in.
    pub fn token(&self) -> Option<&TokenView> {
        self.token.as_ref()
    }
}

/// The tokens of an owner, for a settings page.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct OwnerTokens {
    /// The tokens, newest first, at most [`OwnerTokens::MAX_TOKENS`].
    pub tokens: Vec<TokenView>,
    /// The ids of damaged rows. They never authenticate: revoke or forget them.
    pub damaged: Vec<TokenId>,
    /// Whether there are more. Page through them with
    /// [`TokenAuthority::list`](crate::TokenAuthority::list).
    pub is_cut: bool,
}

impl OwnerTokens {
    /// The most tokens that it holds.
    pub const MAX_TOKENS: usize = 1000;
}

/// How far a reseal has come, in rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResealProgress {
    /// How many rows were looked at, whatever the outcome.
    pub done: u64,
    /// How many rows other keys sealed when it began.
    ///
    /// Damaged rows, and rows that come and go meanwhile, are not counted. So `done` may end a
    /// little above or below.
    pub total: u64,
}

/// What a reseal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ResealReport {
    /// How many rows were resealed under the active key.
    pub moved: u64,
    /// The ids of the resealed rows whose old seals could not be checked, because their key is
    /// lost.
    pub trusted: Vec<TokenId>,
    /// The ids of rows that are damaged or not as the engine wrote them.
    ///
    /// They were left as they are, and never authenticate.
    pub tampered: Vec<TokenId>,
    /// How many rows each other key still seals. A key that is not listed may be retired, if every
    /// host seals under the new active key.
    ///
    /// Rows that a newer program wrote, with another version of the seal or another scheme of the
    /// digest, are among them.
    pub left: Vec<(KeyId, u64)>,
}

/// What [`TokenAuthority::check`](crate::TokenAuthority::check) found. It prints as the lines for a
/// log, without secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CheckReport {
    /// The realm that the seals were checked for.
    pub realm: Box<str>,
    /// The keys that unrevoked rows are sealed under and that the ring lacks, each with the number
    /// of its readable rows, up to 500. Their tokens fail.
    pub under_missing_keys: Vec<(KeyId, u64)>,
    /// The ids of rows that are not as the engine wrote them for this realm. Their tokens are
    /// denied.
    ///
    /// If these are all rows, they were most likely sealed for another realm.
    pub tampered: Vec<TokenId>,
    /// The ids of rows whose seals have a version that this program does not know, and that
    /// version. Their tokens fail.
    pub unknown_versions: Vec<(TokenId, u8)>,
    /// The ids of rows whose digests have a scheme that this program does not know, and that
    /// scheme. Their tokens fail.
    pub unknown_schemes: Vec<(TokenId, u8)>,
    /// The ids of damaged rows. Their tokens are denied.
    pub damaged: Vec<TokenId>,
    /// The ids of live tokens of another system that were imported under another import key than
    /// the ring's. No text finds them. Without the feature `import`, and without such a key, none.
    pub lost_imports: Vec<TokenId>,
    /// What the store finds odd about its tables or files.
    pub findings: Vec<String>,
    /// How many unrevoked rows were read.
    pub checked: u64,
    /// Whether these were all unrevoked rows.
    pub is_complete: bool,
}

impl CheckReport {
    /// How many rows a check reads at most to check their seals. Those under keys that the ring
    /// lacks come on top, up to 500 for each key.
    pub const MAX_ROWS: u64 = 2000;

    /// Returns whether nothing was found. Rows that were not read may still be wrong.
    pub fn is_sound(&self) -> bool {
        self.under_missing_keys.is_empty()
            && self.tampered.is_empty()
            && self.unknown_versions.is_empty()
            && self.unknown_schemes.is_empty()
            && self.damaged.is_empty()
            && self.lost_imports.is_empty()
            && self.findings.is_empty()
    }
}

/// Writes the findings, one a line, and last how many rows were read.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key_id, rows) in &self.under_missing_keys {
            let more = if *rows < 500 { "" } else { " or more" };
            writeln!(
                f,
                "rows under key {key_id}, which the key ring lacks: {rows}{more}; \
                 bring that key back, or revoke the tokens under it"
            )?;
        }
        if let Some(id) = self.tampered.first() {
            let (count, realm) = (self.tampered.len(), &self.realm);
            writeln!(
                f,
                "rows that are not as they were written for the realm {realm:?}: {count}, \
                 for instance {id}; correct the realm, or find out who altered the rows"
            )?;
        }
        if let Some((id, version)) = self.unknown_versions.first() {
            let count = self.unknown_versions.len();
            writeln!(
                f,
                "rows with seals of a version that this program does not know: {count}, \
                 for instance {id} of version {version}; update it"
            )?;
        }
        if let Some((id, scheme)) = self.unknown_schemes.first() {
            let count = self.unknown_schemes.len();
            writeln!(
                f,
                "rows with digests of a scheme that this program does not know: {count}, \
                 for instance {id} of scheme {scheme}; update it"
            )?;
        }
        if let Some(id) = self.damaged.first() {
            let count = self.damaged.len();
            writeln!(f, "damaged rows: {count}, for instance {id}; revoke or forget them")?;
        }
        if let Some(id) = self.lost_imports.first() {
            let count = self.lost_imports.len();
            writeln!(
                f,
                "tokens that were imported under another import key: {count}, for instance {id}; \
                 bring that key back, or no text finds them"
            )?;
        }
        for finding in &self.findings {
            writeln!(f, "the store: {}", clean_line(finding, 500))?;
        }
        let rest = if self.is_complete { "all there are" } else { "there are more" };
        write!(f, "unrevoked rows that were checked: {}; {rest}", self.checked)
    }
}

/// A page of a list, made by [`TokenAuthority::list`](crate::TokenAuthority::list).
///
/// ```
/// # use app_tokens::TokenAuthority;
/// use app_tokens::store::{Filter, Page};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokens = TokenAuthority::in_memory("acme")?;
/// let mut page = Some(Page::first(100));
/// while let Some(this) = page {
///     let listed = tokens.list(&Filter::every_token(), this).await?;
///     for token in &listed.tokens {
///         println!("{} {}", token.id(), token.label());
///     }
///     page = listed.next.map(|id| this.after(id));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenPage {
    /// The tokens, in order of id. Ids are random: to show them, sort by [`TokenView::created_at`].
    pub tokens: Vec<TokenView>,
    /// The ids of damaged rows. They never authenticate: revoke or forget them.
    pub damaged: Vec<TokenId>,
    /// The `after` of the next [`Page`](crate::store::Page); `None` after the last page.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "serde::Deserialize::deserialize"))]
    pub next: Option<TokenId>,
}
