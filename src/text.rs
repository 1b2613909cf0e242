//! The short texts that a host hands in: [`Owner`], [`Label`], [`Operator`], [`Reason`].
//!
//! Each is checked once, where it is made, and can't hold an illegal value afterwards.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

/// Why a text was refused. It never repeats the text.
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

    /// Returns what is wrong with the text.
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
    /// It has nothing that can be seen: only white space, fillers, joiners and marks.
    #[error("has no visible character")]
    Invisible,
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
    /// It has a forbidden character.
    ///
    /// These are control characters, line separators, bidirectional overrides and isolates, and
    /// what is outside the alphabet of its kind.
    #[error("has a forbidden character, number {} from its beginning; remove it", position + 1)]
    ForbiddenCharacter {
        /// The character's place, counted in characters from 0.
        position: usize,
    },
    /// It doesn't have the form of its kind.
    #[error("is not {expected}")]
    Malformed {
        /// The form that is expected.
        expected: &'static str,
    },
    /// It is a path with an empty, `.` or `..` segment.
    #[error("has an empty, `.` or `..` segment")]
    StrangeSegment,
    /// It is an address with bits set beyond the length of the network.
    #[error("has address bits set beyond its length")]
    BitsBeyondLength,
}

/// Lets an [`Owner`] be handed in where a text is checked.
impl From<Infallible> for InvalidText {
    fn from(never: Infallible) -> InvalidText {
        match never {}
    }
}

/// Whose tokens they are: the host's own, stable account id.
///
/// It has 1 to 255 characters by the rules of a [`Label`], but white space around it is kept.
/// Owners are compared byte for byte.
///
/// **Take an id that is never given to another account.** If a login name is given to a new user,
/// that user gets the tokens.
///
/// Texts and numbers convert into it:
///
/// ```
/// use app_tokens::Owner;
/// assert_eq!(Owner::from(42_u64), Owner::try_from("42")?);
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[doc(alias("user", "account"))]
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

/// What the user calls a token, such as "My phone".
///
/// It has 1 to 128 characters, at least one of them visible. White space around it is cut. Control
/// characters, line separators, and bidirectional overrides and isolates are refused. Marks that
/// scripts need are allowed: joiners, and the marks for a direction of writing.
///
/// Labels are compared byte for byte, also if the policy wants them unique. So "Phone" and "phone"
/// differ, as do two spellings of "é", and two labels that differ in an invisible mark.
#[doc(alias("name", "device"))]
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

/// An operator of the host, a person or a job, who acts for owners.
///
/// The name has 1 to 128 characters by the rules of a [`Label`]. White space around it is cut.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operator(Box<str>);

/// Why a token was revoked, such as `"requested"` or `"password changed"`.
///
/// It has 1 to 128 characters by the rules of a [`Label`]. White space around it is cut.
///
/// ```
/// use app_tokens::Reason;
/// let reason = Reason::new("password changed")?;
/// assert_ne!(reason, Reason::REQUESTED);
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reason(Cow<'static, str>);

impl Reason {
    /// The owner asked for it, or an operator did for them.
    pub const REQUESTED: Reason = Reason(Cow::Borrowed("requested"));
    /// The token was found where it should not be.
    pub const LEAKED: Reason = Reason(Cow::Borrowed("leaked"));
    /// A token of the line was presented again after it was superseded.
    pub const REUSED: Reason = Reason(Cow::Borrowed("reused"));
    /// A rotation replaced the token before it was used, or revoked what was issued under the line.
    /// Give another reason yourself: a move takes this one for the end of one token, not of its
    /// line.
    pub const ROTATED: Reason = Reason(Cow::Borrowed("rotated"));
    /// The token under which it was issued was narrowed, or got an earlier end.
    pub const NARROWED: Reason = Reason(Cow::Borrowed("narrowed"));
    /// The token is being erased, or all tokens of its owner are.
    pub const FORGOTTEN: Reason = Reason(Cow::Borrowed("forgotten"));
}

macro_rules! text_type {
    ($name:ident, $what:literal, $max:literal, $cut:expr) => {
        impl $name {
            /// The longest text, in characters.
            pub const MAX_CHARS: usize = $max;

            /// Checks a text, and makes one of it.
            ///
            /// # Errors
            /// [`InvalidText`] if it is empty, invisible or too long, or has a forbidden character.
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

/// Checks a name by its length and its alphabet.
pub(crate) fn check_name(
    name: &str,
    max: usize,
    is_allowed: fn(char) -> bool,
) -> Result<(), TextProblem> {
    if name.is_empty() {
        return Err(TextProblem::Empty);
    }
    if has_more_chars(name, max) {
        return Err(TextProblem::TooLong { max });
    }
    match name.chars().position(|c| !is_allowed(c)) {
        Some(position) => Err(TextProblem::ForbiddenCharacter { position }),
        None => Ok(()),
    }
}

/// Returns whether a text has more characters than `max`. A character takes one to four bytes, so
/// few texts have to be counted.
fn has_more_chars(text: &str, max: usize) -> bool {
    text.len() > max && (text.len() > 4 * max || text.chars().count() > max)
}

/// Returns what is wrong with a text by the rules of a label.
fn problem_of(text: &str, max: usize) -> Option<TextProblem> {
    // Most texts are plain ASCII. One look at each of their bytes is enough, and each row that is
    // read has several.
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain && text.len() <= max && text.bytes().any(|byte| byte != b' ') {
        return None;
    }
    if text.trim().is_empty() {
        return Some(TextProblem::Empty);
    }
    if has_more_chars(text, max) {
        return Some(TextProblem::TooLong { max });
    }
    // Before the test for visible characters, so that the error names the character.
    if let Some(position) = text.chars().position(is_forbidden) {
        return Some(TextProblem::ForbiddenCharacter { position });
    }
    (!text.chars().any(is_visible)).then_some(TextProblem::Invisible)
}

/// The longest name that [`clean_client`] leaves, in characters.
pub(crate) const MAX_CLIENT_CHARS: usize = 200;

/// Makes a client's name fit to be shown.
///
/// Drops control characters, line separators and bidirectional overrides, and cuts the rest to
/// [`MAX_CLIENT_CHARS`]. The name comes from outside, or from a row that others can write.
pub(crate) fn clean_client(client: &str) -> Cow<'_, str> {
    let end = client.char_indices().nth(MAX_CLIENT_CHARS).map_or(client.len(), |(end, _)| end);
    let head = &client[..end];
    // The usual name is fit as it is, and is then not copied.
    if !head.contains(is_forbidden) {
        return Cow::Borrowed(head);
    }
    // From the whole name and not from `head`: what is dropped makes room for more.
    client.chars().filter(|c| !is_forbidden(*c)).take(MAX_CLIENT_CHARS).collect()
}

/// Makes a text fit for one line of a log.
///
/// Control characters, line separators and bidirectional overrides become spaces. The rest is cut
/// to `max` characters.
pub(crate) fn clean_line(text: &str, max: usize) -> String {
    text.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).take(max).collect()
}

/// Returns whether a character is a control character, a line separator, or a bidirectional
/// override or isolate.
///
/// With these, a text could make the rest of a list read as something else.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns whether a character leaves a mark on a screen, and not only space or nothing.
///
/// The list is Unicode's `Default_Ignorable_Code_Point`, with the format characters and letters
/// that are drawn as blanks. The standard library has no such property.
fn is_visible(c: char) -> bool {
    let is_blank = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{13430}'..='\u{13440}'
        | '\u{16FE4}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D159}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}');
    !(is_blank || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests;
