//! Tokens that are UUIDs which the old system kept in clear, as Nuxeo does.

use super::{Foreign, ForeignSecret, ForeignText, InvalidKept, Lookup};

/// Random UUIDs (version 4) with hyphens, which the old system kept in clear. Nuxeo's platform
/// keeps its tokens so. Digested at the import.
///
/// The form is checked at the import: only version 4 has 122 random bits, so that SHA-256 is
/// enough. It is checked at each use, too, so that no password is looked up. Digits of either case
/// are accepted, but a text must be written as the old system kept it. Nuxeo writes lower case.
///
/// Delete the old table afterwards, and its backups.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Uuid;

impl Uuid {
    /// Makes the scheme for UUIDs of version 4.
    pub fn v4() -> Uuid {
        Uuid
    }

    /// Takes a token.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is no UUID of version 4 with hyphens.
    pub fn secret(&self, text: &str) -> Result<ForeignSecret, InvalidKept> {
        if !is_version_4(text) {
            return Err(InvalidKept("a UUID of version 4 with hyphens"));
        }
        ForeignSecret::text(self, Lookup::exact(text), text)
    }
}

impl Foreign for Uuid {
    fn name(&self) -> &str {
        "uuid"
    }

    fn lookups(&self, presented: &ForeignText<'_>) -> Vec<Lookup> {
        let text = presented.expose_secret();
        is_version_4(text).then(|| Lookup::exact(text)).into_iter().collect()
    }

    fn verify(&self, _: &[u8], _: &str) -> Result<bool, InvalidKept> {
        Err(InvalidKept("kept: a digest is made at the import"))
    }

    fn guarantees_112_bits(&self) -> bool {
        true
    }
}

/// Returns whether a text is `xxxxxxxx-xxxx-4xxx-Nxxx-xxxxxxxxxxxx`, where N is 8, 9, a or b.
fn is_version_4(text: &str) -> bool {
    let is_allowed = |(place, byte): (usize, u8)| match place {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'4',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_allowed)
}
