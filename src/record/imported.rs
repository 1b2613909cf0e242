//! What an import wrote into a row: [`ImportMark`].

use std::fmt;

use super::TokenRecord;
use crate::token::TokenId;

/// What an import wrote among the attributes of a token: `SCHEME KEY FINGERPRINT`, both numbers in
/// hexadecimal. `import/place.rs` says how they are made. The number of the candidate follows in
/// decimal digits, unless it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImportMark<'m> {
    pub(crate) scheme: &'m str,
    /// Tells the import key and the realm from others.
    pub(crate) key: u32,
    /// Tells the token from others of its scheme.
    pub(crate) fingerprint: u64,
    /// Tells the row's place from others of its look-up.
    pub(crate) candidate: u32,
}

impl ImportMark<'_> {
    /// The key of the attribute.
    pub(crate) const ATTRIBUTE: &'static str = "imported";

    /// Returns whether both are of one token, whatever its place.
    #[cfg(feature = "import")]
    pub(crate) fn is_of_same_token(self, other: ImportMark<'_>) -> bool {
        ImportMark { candidate: 0, ..self } == ImportMark { candidate: 0, ..other }
    }

    /// Returns the id of the row that is left of a forgotten token.
    ///
    /// No other row is likely to have it, since a fingerprint is as random as an id.
    pub(crate) fn tombstone_id(&self) -> TokenId {
        #[expect(clippy::expect_used, reason = "a number of 50 bits is an id")]
        TokenId::from_u64(self.fingerprint >> 14).expect("an id")
    }

    /// Reads the attribute's value. Hosts may have one of that name with another meaning.
    fn read(value: &str) -> Option<ImportMark<'_>> {
        let mut parts = value.split(' ');
        let scheme = parts.next()?;
        let key = u32::from_str_radix(parts.next()?, 16).ok()?;
        let fingerprint = u64::from_str_radix(parts.next()?, 16).ok()?;
        let candidate = parts.next().unwrap_or("0").parse().ok()?;
        let mark = ImportMark { scheme, key, fingerprint, candidate };
        (mark.to_string() == value).then_some(mark)
    }
}

/// Writes the attribute's value.
impl fmt::Display for ImportMark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x} {:016x}", self.scheme, self.key, self.fingerprint)?;
        match self.candidate {
            0 => Ok(()),
            candidate => write!(f, " {candidate}"),
        }
    }
}

impl TokenRecord {
    /// Returns what an import wrote, if another system issued the token's text.
    ///
    /// A token that was rotated or derived from such a one has the attribute, too, but a text of
    /// ours.
    pub(crate) fn import_mark(&self) -> Option<ImportMark<'_>> {
        let is_first = self.family() == self.id() && self.derived_from().is_none();
        let value = self.attributes().get(ImportMark::ATTRIBUTE).filter(|_| is_first)?;
        ImportMark::read(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_no_other_text_is_one() {
        let mark = ImportMark { scheme: "sha256", key: 7, fingerprint: 0xab, candidate: 0 };
        for (candidate, text) in [
            (0, "sha256 00000007 00000000000000ab"),
            (19, "sha256 00000007 00000000000000ab 19"),
            (u32::MAX, "sha256 00000007 00000000000000ab 4294967295"),
        ] {
            let mark = ImportMark { candidate, ..mark };
            assert_eq!(mark.to_string(), text);
            assert_eq!(ImportMark::read(text), Some(mark));
        }
        for other in [
            "",
            "sha256",
            "sha256 00000000000000ab",
            "from the old wiki",
            "sha256 7 00000000000000ab",
            "sha256 00000007 00000000000000AB",
            "sha256 +0000007 00000000000000ab",
            "sha256 00000007 00000000000000ab ",
            "sha256 00000007 00000000000000ab 0",
            "sha256 00000007 00000000000000ab 01",
            "sha256 00000007 00000000000000ab +1",
            "sha256 00000007 00000000000000ab 4294967296",
            "sha256 00000007 00000000000000ab 1 1",
        ] {
            assert_eq!(ImportMark::read(other), None, "{other:?}");
        }
    }
}
