//! What an import wrote into a row: [`ImportMark`].

use std::fmt;

use super::TokenRecord;
use crate::token::TokenId;

/// What an import wrote among the attributes of a token: `SCHEME KEY FINGERPRINT`, both numbers in
/// hexadecimal. `import/place.rs` says how they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImportMark<'m> {
    pub(crate) scheme: &'m str,
    /// Tells the import key and the realm from others.
    pub(crate) key: u32,
    /// Tells the token from others of its scheme.
    pub(crate) fingerprint: u64,
}

impl ImportMark<'_> {
    /// The key of the attribute.
    pub(crate) const ATTRIBUTE: &'static str = "imported";

    /// Returns the id of the row that is left of a forgotten token.
    ///
    /// No other row is likely to have it, since a fingerprint is as random as an id.
    pub(crate) fn tombstone_id(&self) -> TokenId {
        #[expect(clippy::expect_used, reason = "a number of 50 bits is an id")]
        TokenId::from_u64(self.fingerprint >> 14).expect("an id")
    }

    /// Reads the attribute's value. Hosts may have one of that name with another meaning.
    fn read(value: &str) -> Option<ImportMark<'_>> {
        let (scheme, numbers) = value.split_once(' ')?;
        let (key, fingerprint) = numbers.split_once(' ')?;
        let key = u32::from_str_radix(key, 16).ok()?;
        let fingerprint = u64::from_str_radix(fingerprint, 16).ok()?;
        let mark = ImportMark { scheme, key, fingerprint };
        (mark.to_string() == value).then_some(mark)
    }
}

/// Writes the attribute's value.
impl fmt::Display for ImportMark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x} {:016x}", self.scheme, self.key, self.fingerprint)
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
        let mark = ImportMark { scheme: "sha256", key: 7, fingerprint: 0xab };
        let text = mark.to_string();
        assert_eq!(text, "sha256 00000007 00000000000000ab");
        assert_eq!(ImportMark::read(&text), Some(mark));
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
        ] {
            assert_eq!(ImportMark::read(other), None, "{other:?}");
        }
    }
}
