//! Names of scopes: [`Scope`], and the host's own enum of them, [`ScopeName`].

use std::fmt;
use std::str::FromStr;

use crate::text::{InvalidText, check_name};

/// The name of a scope: a `scope-token` of RFC 6749, section 3.3, of at most 128 characters.
///
/// Its characters are printable ASCII without space, `"` and `\`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope(Box<str>);

impl Scope {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Makes a scope from its name.
    ///
    /// # Errors
    /// [`InvalidText`] if the name is empty, longer than [`Scope::MAX_CHARS`] or has a character
    /// that no scope may have.
    pub fn new(name: impl AsRef<str>) -> Result<Scope, InvalidText> {
        let name = name.as_ref();
        check_name(name, Scope::MAX_CHARS, is_of_scope_token)
            .map_err(|problem| InvalidText::new("scope", problem))?;
        Ok(Scope(name.into()))
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns whether a scope may have this character.
///
/// RFC 6749, section 3.3: `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )`.
pub(crate) fn is_of_scope_token(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\'
}

impl FromStr for Scope {
    type Err = InvalidText;

    fn from_str(name: &str) -> Result<Scope, InvalidText> {
        Scope::new(name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The host's own enum of scopes.
///
/// What a scope implies is asked at each requirement. Nothing of it is stored with a token, so it
/// may change later.
///
/// ```
/// use app_tokens::access::ScopeName;
///
/// #[derive(Clone, Copy)]
/// enum Files { Read, Write }
///
/// impl ScopeName for Files {
///     fn name(&self) -> &'static str {
///         match self { Files::Read => "files:read", Files::Write => "files:write" }
///     }
///     fn implied_by(&self) -> &'static [&'static str] {
///         match self { Files::Read => &["files:write"], Files::Write => &[] }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a scope of the host's",
    note = "implement `ScopeName` for an enum of the host's scopes, or call \
            `Requirement::one_of(&[\"files:read\"])` if they are known only at run time"
)]
pub trait ScopeName {
    /// Returns the scope's name, a `scope-token` of RFC 6749, section 3.3.
    ///
    /// A name that isn't one can be required, but no token can be given it.
    fn name(&self) -> &'static str;

    /// Returns every scope that implies this one.
    ///
    /// The list must be complete, since it isn't followed further. If "admin" implies "write" and
    /// "write" implies "read", "read" must list both.
    /// [`Policy::with_scopes`](crate::Policy::with_scopes) checks that.
    fn implied_by(&self) -> &'static [&'static str] {
        &[]
    }
}

/// A scope's name, and the names of all scopes that imply it.
pub(crate) type ScopeImplication = (Box<str>, Vec<Box<str>>);

/// Names a scope that a token is given: a [`ScopeName`], a [`Scope`] or a text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a scope",
    note = "name scopes by a `ScopeName`, a `Scope`, a `&str` or a `String`"
)]
pub trait AsScope {
    /// Returns the scope's name.
    fn scope_name(&self) -> &str;
}

impl<S: ScopeName> AsScope for S {
    fn scope_name(&self) -> &str {
        self.name()
    }
}

// One by one: an implementation for all `AsRef<str>` would overlap with the one for `ScopeName`.
macro_rules! text_names_scope {
    ($($text:ty),+) => {$(
        impl AsScope for $text {
            fn scope_name(&self) -> &str {
                self
            }
        }
    )+};
}

text_names_scope!(&str, &&str, String, &String);

impl AsScope for Scope {
    fn scope_name(&self) -> &str {
        self.as_str()
    }
}

impl AsScope for &Scope {
    fn scope_name(&self) -> &str {
        self.as_str()
    }
}

/// A list of scopes that a token is given: an array, a vector or any iterator of what [names a
/// scope](AsScope).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of scopes",
    label = "expected a list of scopes",
    note = "write one scope as a list, too: `[\"files:read\"]`",
    note = "what is in the list is a `ScopeName`, a `Scope`, a `&str` or a `String`"
)]
pub trait ScopeList {
    /// Returns the scopes, each of them checked.
    fn into_scopes(self) -> impl Iterator<Item = Result<Scope, InvalidText>>;
}

// Without this, rustc says that a text is no iterator and advises to call `.chars()`.
#[diagnostic::do_not_recommend]
impl<I: IntoIterator<Item: AsScope>> ScopeList for I {
    fn into_scopes(self) -> impl Iterator<Item = Result<Scope, InvalidText>> {
        self.into_iter().map(|scope| Scope::new(scope.scope_name()))
    }
}
