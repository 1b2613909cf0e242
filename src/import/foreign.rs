//! A scheme of another system: [`Foreign`].

use std::fmt;

use zeroize::Zeroizing;

use crate::digest::{Digest, is_scheme_name};
use crate::key::SealingKey;
use crate::text::Owner;

/// A scheme by which another system kept its tokens.
///
/// Implement it for a system that none of the shipped schemes fits. It is told texts and hashes,
/// and never decides by anything else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a scheme of another system",
    note = "take the scheme itself, not a `Box` or an `Arc` of it, such as \
            `Sha256::with_at_least_112_bits()`; the page of `app_tokens::import` lists all",
    note = "for a system that none fits, implement `app_tokens::import::Foreign`"
)]
#[doc(alias = "hash scheme")]
pub trait Foreign: Send + Sync + 'static {
    /// Returns the scheme's name: 1 to 32 lower-case letters, digits and `-`.
    ///
    /// It is stored with each row. **Never change it:** rows under another name are not found.
    fn name(&self) -> &str;

    /// Returns what a presented text's row is found by. Most schemes return one look-up; none if
    /// the text can't be of this system.
    ///
    /// Check the form here, as it is cheap: the length, the alphabet.
    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup>;

    /// Returns whether a text is the one of which this was kept. Compare in constant time.
    ///
    /// **Bound each parameter that is read from `kept`**, such as memory and iterations.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not of this scheme. The row is then passed over.
    fn verify(&self, kept: &[u8], text: &str) -> Result<bool, InvalidKept>;

    /// Returns the part of a text that is the secret; all of it, unless the system writes something
    /// before it. Our digest is made of this part.
    fn secret_part<'t>(&self, text: &'t str) -> &'t str {
        text
    }

    /// Returns whether [`verify`](Self::verify) takes longer than some microseconds. Then it runs
    /// on a thread of its own.
    fn is_slow(&self) -> bool {
        false
    }

    /// Returns whether each text has at least 112 random bits.
    ///
    /// Then the row gets SHA-256 of the text, which NIST SP 800-63B (5.1.2) allows from there on.
    /// Otherwise it gets an HMAC under a key of the ring.
    fn guarantees_112_bits(&self) -> bool {
        false
    }

    /// Returns whether [`lookups`](Self::lookups) uses the owner.
    fn needs_owner(&self) -> bool {
        false
    }
}

/// A presented text that is no token of ours, exactly as it was sent.
#[derive(Clone, Copy)]
pub struct ForeignText<'a> {
    text: &'a str,
    owner: Option<&'a Owner>,
}

impl<'a> ForeignText<'a> {
    /// The longest text that is tried, in bytes.
    pub const MAX_BYTES: usize = 8192;

    /// Takes a text, and the owner if a user name came with it.
    pub fn new(text: &'a str, owner: Option<&'a Owner>) -> ForeignText<'a> {
        ForeignText { text, owner }
    }

    /// Returns the text. It is a secret.
    pub fn expose_secret(&self) -> &'a str {
        self.text
    }

    /// Returns the owner; `None` if no user name was sent.
    pub fn owner(&self) -> Option<&'a Owner> {
        self.owner
    }
}

/// Shows no secret.
impl fmt::Debug for ForeignText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignText").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// What a row is found by: the same bytes at the import and at each use.
pub struct Lookup {
    bytes: Zeroizing<Vec<u8>>,
    is_shared: bool,
}

impl Lookup {
    /// Takes what only one token has, such as its hash.
    pub fn exact(bytes: impl AsRef<[u8]>) -> Lookup {
        Lookup { bytes: Zeroizing::new(bytes.as_ref().to_vec()), is_shared: false }
    }

    /// Takes what several tokens may have, such as their owner or their last characters.
    pub fn shared(bytes: impl AsRef<[u8]>) -> Lookup {
        Lookup { is_shared: true, ..Lookup::exact(bytes) }
    }

    /// Takes the owner, for a system that tries all tokens of a user.
    pub fn of_owner(owner: &Owner) -> Lookup {
        Lookup::shared(owner.as_str())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }
}

/// Shows no secret: a look-up may be a whole token.
impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("is_shared", &self.is_shared).finish_non_exhaustive()
    }
}

/// What the old system kept of one token: a hash, or the token itself.
pub struct ForeignSecret {
    scheme: Box<str>,
    lookup: Lookup,
    kept: SecretForm,
}

/// In which form the old system kept a token.
enum SecretForm {
    /// The hash as it is, until the text is presented.
    Hash(Digest),
    /// The digest of a text with 112 random bits, or what is the same: its SHA-256.
    Digest(Digest),
    /// The text, of which a digest under a key is made at the import.
    Text(Zeroizing<String>),
}

impl ForeignSecret {
    /// Takes a hash of a scheme. [`Foreign::verify`] gets it back as `kept`.
    ///
    /// # Errors
    /// [`InvalidKept`] if the hash is empty, if it has over 510 bytes together with the scheme's
    /// name, or if that is not a name.
    pub fn hash(
        scheme: &impl Foreign,
        lookup: Lookup,
        hash: impl AsRef<[u8]>,
    ) -> Result<ForeignSecret, InvalidKept> {
        let hash = hash.as_ref();
        let digest = Digest::kept_by(scheme.name(), hash).filter(|_| !hash.is_empty());
        let kept = SecretForm::Hash(digest.ok_or(InvalidKept("a hash of 1 to 478 bytes"))?);
        Ok(ForeignSecret { scheme: scheme.name().into(), lookup, kept })
    }

    /// Takes a token's whole text. Only a digest of it is stored.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is empty or longer than [`ForeignText::MAX_BYTES`].
    pub fn text(
        scheme: &impl Foreign,
        lookup: Lookup,
        text: &str,
    ) -> Result<ForeignSecret, InvalidKept> {
        if text.is_empty() || text.len() > ForeignText::MAX_BYTES || !is_scheme_name(scheme.name())
        {
            return Err(InvalidKept("a token of 1 to 8192 bytes"));
        }
        let secret = scheme.secret_part(text);
        let kept = if scheme.guarantees_112_bits() {
            SecretForm::Digest(Digest::of_foreign(secret))
        } else {
            SecretForm::Text(Zeroizing::new(secret.into()))
        };
        Ok(ForeignSecret { scheme: scheme.name().into(), lookup, kept })
    }

    /// Takes SHA-256 of a text with at least 112 random bits: this is the digest that we store.
    pub(super) fn sha_256(scheme: &impl Foreign, lookup: Lookup, hash: [u8; 32]) -> ForeignSecret {
        let kept = SecretForm::Digest(Digest::of_foreign_sha_256(hash));
        ForeignSecret { scheme: scheme.name().into(), lookup, kept }
    }

    pub(crate) fn scheme(&self) -> &str {
        &self.scheme
    }

    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Returns the digest to store, made under this key if it needs one.
    pub(crate) fn digest(&self, key: &SealingKey) -> Digest {
        match &self.kept {
            SecretForm::Hash(digest) | SecretForm::Digest(digest) => digest.clone(),
            SecretForm::Text(text) => Digest::keyed(key, text),
        }
    }

    /// Returns what tells this token from all others of its scheme, at each run alike.
    ///
    /// That is the look-up, if only this token has it. What is kept of it may differ: one run may
    /// take the texts for random, and the next one not.
    pub(crate) fn distinct(&self) -> Zeroizing<Vec<u8>> {
        if !self.lookup.is_shared() {
            return self.lookup.bytes.clone();
        }
        match &self.kept {
            SecretForm::Hash(digest) | SecretForm::Digest(digest) => {
                Zeroizing::new(digest.to_bytes())
            }
            SecretForm::Text(text) => Zeroizing::new(text.as_bytes().to_vec()),
        }
    }
}

/// Shows no secret.
impl fmt::Debug for ForeignSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignSecret").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// What another system kept is not what its scheme expects. It never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the old system kept of this token is not {0}; check the query that reads it")]
pub struct InvalidKept(pub &'static str);
