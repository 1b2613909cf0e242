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
// No pairs are `None`, so that most records hold one null pointer for them.
pub struct Attributes(Option<Arc<[Pair]>>);

type Pair = (Box<str>, Box<str>);

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
        let mut pairs: Vec<Pair> = self.0.as_deref().unwrap_or_default().to_vec();
        // Kept in order, so that equal sets have equal sealed bytes.
        match pairs.binary_search_by(|(known, _)| (**known).cmp(key)) {
            Ok(at) => pairs[at].1 = value.into(),
            Err(_) if pairs.len() >= Attributes::MAX_PAIRS => {
                let max = Attributes::MAX_PAIRS;
                return Err(InvalidText::new("list of attributes", TextProblem::TooMany { max }));
            }
            Err(at) => pairs.insert(at, (key.into(), value.into())),
        }
        Ok(Attributes(Some(pairs.into())))
    }

    /// Takes pairs exactly as [`Attributes::iter`] gave them; `None` if they can't be from there.
    pub(crate) fn from_stored<'p>(
        stored: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Option<Attributes> {
        let mut pairs: Vec<Pair> = Vec::new();
        for (key, value) in stored {
            let is_next = pairs.last().is_none_or(|(last, _)| **last < *key);
            let is_trimmed = value.trim().len() == value.len();
            if !is_next || !is_trimmed || pairs.len() >= Attributes::MAX_PAIRS {
                return None;
            }
            check_pair(key, value).ok()?;
            pairs.push((key.into(), value.into()));
        }
        Some(Attributes((!pairs.is_empty()).then(|| pairs.into())))
    }

    /// Returns the value of a key; `None` if there is no such key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&pairs[at].1)
    }

    /// Returns the pairs of key and value, ordered by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.pairs().iter().map(|(key, value)| (&**key, &**value))
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs().is_empty()
    }

    /// Returns how many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs().len()
    }

    fn pairs(&self) -> &[Pair] {
        self.0.as_deref().unwrap_or_default()
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
        assert_eq!(Attributes::from_stored(made.iter()), Some(made));
        assert_eq!(Attributes::from_stored([].into_iter()), Some(Attributes::new()));
        for stored in [
            &[("b", "1"), ("a", "2")][..],
            &[("a", "1"), ("a", "1")],
            &[("a", " 1")],
            &[("a", "1\u{3000}")],
            &[("a", "")],
            &[("", "1")],
            &[("a b", "1")],
            &[("a", "1\n")],
        ] {
            assert_eq!(Attributes::from_stored(stored.iter().copied()), None, "{stored:?}");
        }
        let keys: Vec<_> = (10..27).map(|n| format!("k{n}")).collect();
        let pairs = |count| keys[..count].iter().map(|key| (key.as_str(), "x"));
        assert_eq!(Attributes::from_stored(pairs(16)).unwrap().len(), Attributes::MAX_PAIRS);
        assert_eq!(Attributes::from_stored(pairs(17)), None);
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
