//! The host's own facts about a token: [`Attributes`].

use std::fmt;
use std::sync::Arc;

use crate::access::is_of_scope_token;
use crate::text::{InvalidText, TextProblem, check_name, checked_text};

/// The host's own facts about a token, such as a client id, a device id or a ticket.
///
/// At most 16 pairs of key and value, ordered by key. They are sealed with the row, so write access
/// to the database is not enough to change them. They are facts and never permissions: nothing in
/// this crate decides by them.
///
/// They are set when a token is issued and never change. A rotation keeps them. A token that is
/// issued under another takes over the parent's.
///
/// ```
/// use app_tokens::Attributes;
/// let attributes = Attributes::new().with("device", "NAS")?.with("ticket", "OPS-1234")?;
/// assert_eq!(attributes.get("device"), Some("NAS"));
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
// In their stored form: one `key value` a line, ordered by key. No key holds a space, and no value
// a line end. No pairs are `None`, so that most records hold one null pointer for them.
pub struct Attributes(Option<Arc<str>>);

impl Attributes {
    /// The most pairs that a token may have.
    pub const MAX_PAIRS: usize = 16;
    /// The longest key, in characters.
    pub const MAX_KEY_CHARS: usize = 64;
    /// The longest value, in characters.
    pub const MAX_VALUE_CHARS: usize = 256;

    /// No attributes, for records that have none.
    pub(crate) const NONE: &'static Attributes = &Attributes(None);

    /// Makes an empty set.
    pub const fn new() -> Attributes {
        Attributes(None)
    }

    /// Adds a pair, or replaces the value of a key. White space around the value is cut.
    ///
    /// # Errors
    /// [`InvalidText`] in three cases:
    /// - There would be more than [`Attributes::MAX_PAIRS`].
    /// - The key is not a `scope-token` of RFC 6749, section 3.3, or has more than
    ///   [`Attributes::MAX_KEY_CHARS`] characters.
    /// - The value breaks the rules for the text of a [`Label`](crate::Label), or has more than
    ///   [`Attributes::MAX_VALUE_CHARS`] characters.
    pub fn with(
        self,
        key: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<Attributes, InvalidText> {
        let (key, value) = (key.as_ref(), value.as_ref().trim());
        check_pair(key, value)?;
        let mut pairs: Vec<_> = self.iter().collect();
        // Kept in order, so that equal sets have equal sealed bytes.
        match pairs.binary_search_by_key(&key, |(known, _)| known) {
            Ok(at) => pairs[at].1 = value,
            Err(_) if pairs.len() >= Attributes::MAX_PAIRS => {
                let max = Attributes::MAX_PAIRS;
                return Err(InvalidText::new("list of attributes", TextProblem::TooMany { max }));
            }
            Err(at) => pairs.insert(at, (key, value)),
        }
        let lines: Vec<_> = pairs.iter().map(|(key, value)| format!("{key} {value}")).collect();
        Ok(Attributes(Some(lines.join("\n").into())))
    }

    /// Reads the stored form; `None` if [`Attributes::stored`] never gives this text.
    pub(crate) fn from_stored(text: &str) -> Option<Attributes> {
        let (mut count, mut last) = (0, "");
        for line in text.split('\n') {
            let (key, value) = line.split_once(' ')?;
            count += 1;
            let is_trimmed = value.trim().len() == value.len();
            if key <= last || !is_trimmed || count > Attributes::MAX_PAIRS {
                return None;
            }
            check_pair(key, value).ok()?;
            last = key;
        }
        Some(Attributes(Some(text.into())))
    }

    /// Returns the stored form: one `key value` a line, ordered by key. `None` if there are no
    /// pairs.
    pub(crate) fn stored(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the value of a key; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(known, value)| (known == key).then_some(value))
    }

    /// Returns the pairs of key and value, ordered by key.
    #[expect(clippy::expect_used, reason = "each line was made or checked as `key value`")]
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.stored().into_iter().flat_map(|text| text.split('\n'));
        lines.map(|line| line.split_once(' ').expect("each line has a key and a value"))
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns how many pairs there are.
    pub fn len(&self) -> usize {
        self.stored().map_or(0, |text| text.split('\n').count())
    }
}

/// Checks a pair, but not whether its value is trimmed.
fn check_pair(key: &str, value: &str) -> Result<(), InvalidText> {
    check_name(key, Attributes::MAX_KEY_CHARS, is_of_scope_token)
        .map_err(|problem| InvalidText::new("attribute's key", problem))?;
    checked_text("attribute's value", value, Attributes::MAX_VALUE_CHARS)?;
    Ok(())
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_in_the_order_of_their_keys_and_each_key_is_there_once() {
        let made = Attributes::new().with("b", "1").unwrap().with("a", " 2 ").unwrap();
        let made = made.with("b", "3").unwrap();
        assert_eq!(made.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        assert_eq!((made.get("a"), made.get("b"), made.get("c")), (Some("2"), Some("3"), None));
        assert_eq!((made.len(), made.is_empty()), (2, false));
        let other = Attributes::new().with("b", "3").unwrap().with("a", "2").unwrap();
        assert_eq!(made, other);
    }

    #[test]
    fn no_pairs_are_equal_to_none() {
        assert!(Attributes::new().is_empty());
        assert_eq!(Attributes::new(), Attributes::default());
        assert_eq!(Attributes::NONE, &Attributes::new());
        assert_eq!(Attributes::new().get(""), None);
    }

    #[test]
    fn what_was_stored_reads_back_and_nothing_else_does() {
        let made = Attributes::new().with("b", "1").unwrap().with("a", "2 3").unwrap();
        assert_eq!(made.stored(), Some("a 2 3\nb 1"));
        assert_eq!(Attributes::from_stored("a 2 3\nb 1"), Some(made));
        assert_eq!(Attributes::new().stored(), None);
        for stored in [
            "",
            "a",
            "a ",
            " 1",
            "a  1",
            "a 1 ",
            "a 1\u{3000}",
            "a 1\n",
            "\na 1",
            "a 1\n\nb 2",
            "b 1\na 2",
            "a 1\na 1",
            "a\0 1",
            "ä 1",
            "a 1\r\nb 2",
        ] {
            assert_eq!(Attributes::from_stored(stored), None, "{stored:?}");
        }
        let lines: Vec<_> = (10..27).map(|n| format!("k{n} x")).collect();
        let most = Attributes::from_stored(&lines[..16].join("\n")).unwrap();
        assert_eq!((most.len(), most.get("k25")), (Attributes::MAX_PAIRS, Some("x")));
        assert_eq!(Attributes::from_stored(&lines.join("\n")), None);
    }

    #[test]
    fn bad_keys_and_values_are_refused() {
        for key in ["", "a b", "a\nb", "ä", "a\"", "a\\", &"k".repeat(65)] {
            assert!(Attributes::new().with(key, "x").is_err(), "{key:?}");
        }
        for value in ["", " ", "a\nb", "a\0", "a\u{202e}b", &"v".repeat(257)] {
            assert!(Attributes::new().with("key", value).is_err(), "{value:?}");
        }
        let longest = Attributes::new().with("k".repeat(64), "é".repeat(256)).unwrap();
        assert_eq!(longest.len(), 1);
        let error = Attributes::new().with("key", "").unwrap_err();
        assert_eq!(error.to_string(), "the attribute's value is empty");
    }

    #[test]
    fn a_seventeenth_pair_is_refused_and_another_value_is_not() {
        let full = (0..16).try_fold(Attributes::new(), |made, n| made.with(format!("k{n}"), "x"));
        let full = full.unwrap();
        assert_eq!(full.len(), 16);
        assert!(full.clone().with("k15", "y").is_ok());
        let error = full.with("k16", "x").unwrap_err();
        assert_eq!(error.to_string(), "the list of attributes has more than 16 items");
    }
}
