//! The short texts that a host hands in: [`Owner`], [`Label`], [`Operator`], [`Reason`].
//!
//! Each is checked once, where it is made, and can't hold an illegal value afterwards.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Why a text is refused. It never repeats the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {what} {problem}")]
pub struct InvalidText {
    what: &'static str,
    problem: TextProblem,
}

impl InvalidText {
    /// Returns what the text was meant to be: `"owner"`, `"label"`, `"scope"` and so on.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Returns what is wrong with it.
    pub fn problem(&self) -> &TextProblem {
        &self.problem
    }

    pub(crate) fn new(what: &'static str, problem: TextProblem) -> InvalidText {
        InvalidText { what, problem }
    }
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextProblem {
    /// It is empty, or only white space.
    #[error("is empty")]
    Empty,
    /// It is longer than its limit.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The limit, in characters.
        max: usize,
    },
    /// It has more items than a token may list.
    #[error("has more than {max} items")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// It has a forbidden character: a control character, a line separator, a bidirectional
    /// override, or one outside the alphabet of its kind.
    #[error("has a forbidden character at position {position}")]
    ForbiddenCharacter {
        /// Where, in characters, counted from 0.
        position: usize,
    },
    /// It doesn't have the form of its kind.
    #[error("is not {expected}")]
    Malformed {
        /// The form.
        expected: &'static str,
    },
    /// It is a path with an empty, `.` or `..` segment.
    #[error("has an empty, `.` or `..` segment")]
    StrangeSegment,
    /// It is an address with bits set beyond the length of the network.
    #[error("has address bits set beyond its length")]
    BitsBeyondLength,
}

impl From<Infallible> for InvalidText {
    fn from(never: Infallible) -> InvalidText {
        match never {}
    }
}

/// Whose tokens they are: the host's own, stable account id.
///
/// It has 1 to 255 characters without control characters. Owners are compared byte for byte. Take
/// an id that is never given to another account: if a login name is given to a new user, the tokens
/// follow.
///
/// Texts and numbers convert into it: `Owner::try_from("alice")`, `Owner::from(42_u64)`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

/// What the user calls a token: "My phone".
///
/// It has 1 to 128 characters without control characters and bidirectional overrides. White space
/// around it is cut.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

/// An operator of the host, a person or a job, who acts for owners.
///
/// The name has 1 to 128 characters without control characters. White space around it is cut.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operator(Box<str>);

/// Why a token was revoked: `"requested"`, `"password changed"`.
///
/// It has 1 to 128 characters without control characters. White space around it is cut.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reason(Cow<'static, str>);

impl Reason {
    /// The owner asked for it, or an operator for them.
    pub const REQUESTED: Reason = Reason(Cow::Borrowed("requested"));
    /// The token was found where it should not be.
    pub const LEAKED: Reason = Reason(Cow::Borrowed("leaked"));
    /// The token was presented again after it was superseded.
    pub const REUSED: Reason = Reason(Cow::Borrowed("reused"));
    /// A rotation replaced the token before it was used, or revoked it with the token above it.
    pub const ROTATED: Reason = Reason(Cow::Borrowed("rotated"));
    /// The token under which it was issued was narrowed.
    pub const NARROWED: Reason = Reason(Cow::Borrowed("narrowed"));
    /// Its owner is being erased.
    pub const FORGOTTEN: Reason = Reason(Cow::Borrowed("forgotten"));
}

macro_rules! text_type {
    ($name:ident, $what:literal, $max:literal, $cut:expr) => {
        impl $name {
            /// The longest text, in characters.
            pub const MAX_CHARS: usize = $max;

            /// Makes one from a text.
            ///
            /// # Errors
            /// [`InvalidText`] if it is empty, too long or has a forbidden character.
            pub fn new(text: impl AsRef<str>) -> Result<$name, InvalidText> {
                let cut: fn(&str) -> &str = $cut;
                let text = cut(text.as_ref());
                match problem_of(text, $max) {
                    Some(problem) => Err(InvalidText::new($what, problem)),
                    None => Ok($name(String::from(text).into())),
                }
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidText;
            fn from_str(text: &str) -> Result<$name, InvalidText> {
                $name::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_type!(Owner, "owner", 255, |text| text);
text_type!(Label, "label", 128, str::trim);
text_type!(Operator, "operator", 128, str::trim);
text_type!(Reason, "reason", 128, str::trim);

macro_rules! owner_from {
    (number $($number:ty),+) => {$(
        impl From<$number> for Owner {
            fn from(number: $number) -> Owner {
                Owner(number.to_string().into())
            }
        }
    )+};
    (text $($text:ty),+) => {$(
        impl TryFrom<$text> for Owner {
            type Error = InvalidText;
            fn try_from(text: $text) -> Result<Owner, InvalidText> {
                Owner::new(text)
            }
        }
    )+};
}

owner_from!(number u32, u64, i32, i64);
owner_from!(text & str, &String, String);

impl From<&Owner> for Owner {
    fn from(owner: &Owner) -> Owner {
        owner.clone()
    }
}

/// Checks a text by the rules of a label, and returns it.
pub(crate) fn checked_text<'t>(
    what: &'static str,
    text: &'t str,
    max: usize,
) -> Result<&'t str, InvalidText> {
    match problem_of(text, max) {
        Some(problem) => Err(InvalidText::new(what, problem)),
        None => Ok(text),
    }
}

/// The longest name that [`clean_client`] leaves, in characters.
pub(crate) const MAX_CLIENT_CHARS: usize = 200;

/// Makes a program's name for itself fit to be shown: it comes from outside, or from a row that
/// others can write.
///
/// Leaves out control characters, line separators and bidirectional overrides, then cuts to
/// [`MAX_CLIENT_CHARS`]. What is clean is borrowed.
pub(crate) fn clean_client(client: &str) -> Cow<'_, str> {
    let end = client.char_indices().nth(MAX_CLIENT_CHARS).map_or(client.len(), |(end, _)| end);
    let head = &client[..end];
    if !head.contains(is_forbidden) {
        return Cow::Borrowed(head);
    }
    client.chars().filter(|c| !is_forbidden(*c)).take(MAX_CLIENT_CHARS).collect()
}

fn is_forbidden(c: char) -> bool {
    c.is_control() || rearranges_lines(c)
}

fn problem_of(text: &str, max: usize) -> Option<TextProblem> {
    if text.trim().is_empty() {
        return Some(TextProblem::Empty);
    }
    // A character takes at most four bytes, so a huge text is refused before it is counted.
    if text.len() > 4 * max || text.chars().count() > max {
        return Some(TextProblem::TooLong { max });
    }
    text.chars().position(is_forbidden).map(|position| TextProblem::ForbiddenCharacter { position })
}

/// Returns whether a character is a line separator or a bidirectional control. With these, a label
/// could make the rest of a list read as something else.
fn rearranges_lines(c: char) -> bool {
    let overrides = '\u{2028}'..='\u{202E}';
    let isolates = '\u{2066}'..='\u{2069}';
    let marks = ['\u{200E}', '\u{200F}', '\u{061C}'];
    overrides.contains(&c) || isolates.contains(&c) || marks.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_blank_long_and_control_texts_are_refused() {
        assert_eq!(Label::new("").unwrap_err().problem(), &TextProblem::Empty);
        assert_eq!(Label::new(" \u{a0} ").unwrap_err().problem(), &TextProblem::Empty);
        assert_eq!(Owner::new("  ").unwrap_err().problem(), &TextProblem::Empty);
        let too_long = TextProblem::TooLong { max: 128 };
        assert_eq!(Label::new("é".repeat(129)).unwrap_err().problem(), &too_long);
        assert_eq!(Label::new("x".repeat(10_000_000)).unwrap_err().problem(), &too_long);
        for bad in ["a\0b", "a\nb", "a\u{7f}b", "a\u{85}b", "a\u{202e}b", "a\u{2028}b"] {
            let forbidden = TextProblem::ForbiddenCharacter { position: 1 };
            assert_eq!(Label::new(bad).unwrap_err().problem(), &forbidden, "{bad:?}");
            assert_eq!(Owner::new(bad).unwrap_err().problem(), &forbidden, "{bad:?}");
        }
    }

    #[test]
    fn the_longest_text_is_taken_and_white_space_around_a_label_is_cut() {
        assert_eq!(Label::new("é".repeat(128)).unwrap().as_str().chars().count(), 128);
        assert_eq!(Label::new("  My phone\t").unwrap().as_str(), "My phone");
        assert_eq!(
            Owner::new(" a ").unwrap().as_str(),
            " a ",
            "an owner is an id, not a text to tidy"
        );
    }

    #[test]
    fn an_error_does_not_repeat_the_text() {
        let error = Label::new("acme_secret\0").unwrap_err();
        assert_eq!(error.to_string(), "the label has a forbidden character at position 11");
        assert!(!format!("{error:?}").contains("acme"));
    }
}
