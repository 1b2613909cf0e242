//! Tokens that the old system kept as they are.

use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};

/// Tokens that the old system kept in clear. Digested at the import. For UUIDs there is
/// [`Uuid`](super::Uuid), which also checks their form.
///
/// Delete the old table afterwards, and its backups.
#[derive(Clone, Copy, Debug)]
pub struct Plain {
    is_random: bool,
}

impl Plain {
    /// Makes the scheme for texts of which nothing is known. Their digest is an HMAC.
    pub fn of_unknown_strength() -> Plain {
        Plain { is_random: false }
    }

    /// Makes the scheme for texts that all have at least 112 random bits, such as UUIDs of version
    /// 4 (122 bits). Their digest is SHA-256.
    pub fn with_at_least_112_bits() -> Plain {
        Plain { is_random: true }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is empty or longer than [`ForeignText::MAX_BYTES`].
    pub fn secret(&self, text: &str) -> Result<ForeignSecret, InvalidKept> {
        ForeignSecret::text(self, Lookup::exact(text), text)
    }
}

impl Foreign for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        vec![Lookup::exact(presented.expose_secret())]
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<bool, InvalidKept> {
        Err(InvalidKept("kept: a digest is made at the import"))
    }

    fn guarantees_112_bits(&self) -> bool {
        self.is_random
    }
}
