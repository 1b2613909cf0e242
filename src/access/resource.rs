//! Resources that a token may act on ([`Resource`]): an exact name, a subtree or a prefix.

use std::fmt;
use std::str::FromStr;

use crate::text::{InvalidText, TextProblem, check_name};

/// Names one resource that a token may act on, or many.
///
/// There are three kinds:
///
/// | | matches |
/// |---|---|
/// | [`Resource::exact`] | this name, whatever it contains |
/// | [`Resource::under`] | this path and what is below it, by `/` |
/// | [`Resource::prefix`] | every name that begins with this text |
///
/// Names are compared byte for byte. If the host has several names for one thing, it must choose
/// one before it asks.
///
/// A *segment* is what stands between two `/`; one leading and one trailing `/` make no segment. A
/// name with an empty, `.` or `..` segment matches no subtree and no prefix, because a file system
/// may read it as another name.
///
/// It prints as it is stored, and parses from that: `exact:NAME`, `under:PATH` or `prefix:TEXT`.
///
/// ```
/// use app_tokens::access::Resource;
/// let docs = Resource::under("docs")?;
/// assert!(docs.matches("docs") && docs.matches("docs/taxes/2026"));
/// assert!(!docs.matches("docs-private") && !docs.matches("docs/../music"));
/// assert_eq!(docs.to_string(), "under:docs");
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
// Kept in its stored form, so that its order is that of the sealed bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource(Box<str>);

/// The kind of a [`Resource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceKind {
    /// One name, literally.
    Exact,
    /// A path and everything below it.
    Under,
    /// Every name that begins with a text.
    Prefix,
}

impl Resource {
    /// The longest name, path or text, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Names one resource. No character of the name has a special meaning.
    ///
    /// # Errors
    /// [`InvalidText`] if the name is empty, longer than [`Resource::MAX_CHARS`] or has a control
    /// character.
    pub fn exact(name: impl AsRef<str>) -> Result<Resource, InvalidText> {
        Resource::new(ResourceKind::Exact, name.as_ref())
    }

    /// Names a path and everything below it. One trailing `/` is cut; a leading one counts.
    ///
    /// # Errors
    /// [`InvalidText`] if the path is empty or `/`, or has an empty, `.` or `..` segment. Also if
    /// it is longer than [`Resource::MAX_CHARS`] or has a control character.
    pub fn under(path: impl AsRef<str>) -> Result<Resource, InvalidText> {
        let path = path.as_ref();
        let cut = path.strip_suffix('/').unwrap_or(path);
        if !cut.is_empty() && has_strange_segment(path) {
            return Err(InvalidText::new(WHAT, TextProblem::StrangeSegment));
        }
        Resource::new(ResourceKind::Under, cut)
    }

    /// Names every resource whose name begins with this text.
    ///
    /// For paths use [`Resource::under`]: the prefix `docs` also matches `docs-private`.
    ///
    /// # Errors
    /// [`InvalidText`] if the text is empty, longer than [`Resource::MAX_CHARS`] or has a control
    /// character.
    pub fn prefix(text: impl AsRef<str>) -> Result<Resource, InvalidText> {
        Resource::new(ResourceKind::Prefix, text.as_ref())
    }

    /// Checks the text, and puts the kind in front of it.
    fn new(kind: ResourceKind, text: &str) -> Result<Resource, InvalidText> {
        check_name(text, Resource::MAX_CHARS, |c| !c.is_control())
            .map_err(|problem| InvalidText::new(WHAT, problem))?;
        Ok(Resource([kind.tag(), text].concat().into()))
    }

    /// Returns the kind.
    pub fn kind(&self) -> ResourceKind {
        self.split().0
    }

    /// Returns the name, path or text without the kind.
    pub fn text(&self) -> &str {
        self.split().1
    }

    /// Returns the stored form, such as `under:docs`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the resource with this name is meant.
    pub fn matches(&self, name: &str) -> bool {
        match self.split() {
            (ResourceKind::Exact, text) => name == text,
            (ResourceKind::Under, path) => is_at_or_below(path, name) && !has_strange_segment(name),
            (ResourceKind::Prefix, text) => name.starts_with(text) && !has_strange_segment(name),
        }
    }

    /// Returns whether this matches everything that `other` matches.
    pub fn includes(&self, other: &Resource) -> bool {
        match (self.split(), other.split()) {
            (_, (ResourceKind::Exact, name)) => self.matches(name),
            ((ResourceKind::Exact, _), _) => false,
            // `prefix:docs` also matches `docs-private`, so `under:docs` does not include it. It
            // does include `prefix:docs/`.
            ((ResourceKind::Under, path), (ResourceKind::Prefix, text)) => {
                text.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
            }
            ((ResourceKind::Under, path), (ResourceKind::Under, text)) => {
                is_at_or_below(path, text)
            }
            ((ResourceKind::Prefix, text), (_, other)) => other.starts_with(text),
        }
    }

    /// Takes the stored form apart into kind and text.
    fn split(&self) -> (ResourceKind, &str) {
        // The three tags differ in their first letters.
        let kind = match self.0.as_bytes().first() {
            Some(b'e') => ResourceKind::Exact,
            Some(b'u') => ResourceKind::Under,
            _ => ResourceKind::Prefix,
        };
        (kind, &self.0[kind.tag().len()..])
    }
}

const WHAT: &str = "resource";

impl ResourceKind {
    /// Returns what the stored form begins with.
    const fn tag(self) -> &'static str {
        match self {
            ResourceKind::Exact => "exact:",
            ResourceKind::Under => "under:",
            ResourceKind::Prefix => "prefix:",
        }
    }
}

/// Returns whether a name is the path itself or lies below it.
fn is_at_or_below(path: &str, name: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether a segment of the name is empty, `.` or `..`.
fn has_strange_segment(name: &str) -> bool {
    if name == "/" {
        return false;
    }
    let name = name.strip_prefix('/').unwrap_or(name);
    let name = name.strip_suffix('/').unwrap_or(name);
    name.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

impl FromStr for Resource {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Resource, InvalidText> {
        match text.split_once(':') {
            Some(("exact", name)) => Resource::exact(name),
            Some(("under", path)) => Resource::under(path),
            Some(("prefix", text)) => Resource::prefix(text),
            _ => Err(InvalidText::new(
                WHAT,
                TextProblem::Malformed { expected: "`exact:NAME`, `under:PATH` or `prefix:TEXT`" },
            )),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(resource: Result<Resource, InvalidText>, yes: &[&str], no: &[&str]) {
        let resource = resource.unwrap();
        for name in yes {
            assert!(resource.matches(name), "{resource} {name:?}");
        }
        for name in no {
            assert!(!resource.matches(name), "{resource} {name:?}");
        }
    }

    #[test]
    fn an_exact_name_is_literal_whatever_it_contains() {
        for name in ["team*", "*", "a/../b", "a//b", ".", "..", "/", "under:a", "a/"] {
            matches(Resource::exact(name), &[name], &["", "team", "teams", "x", "a", "b"]);
        }
    }

    #[test]
    fn a_subtree_is_the_path_and_what_is_below_it() {
        for path in ["docs", "docs/"] {
            matches(
                Resource::under(path),
                &["docs", "docs/", "docs/a", "docs/a/b", "docs/a/", "docs/..a", "docs/*"],
                &["docs-private", "doc", "/docs", "docs2/a", "", "/", "Docs", "docs\\a"],
            );
        }
        matches(Resource::under("/a"), &["/a", "/a/b", "/a/"], &["a", "a/b", "//a", "/ab"]);
    }

    #[test]
    fn a_prefix_is_every_name_that_begins_so() {
        matches(Resource::prefix("do"), &["do", "docs", "docs/a", "do/"], &["d", "ado", "Do"]);
        matches(Resource::prefix("/"), &["/", "/a", "/a/b/"], &["a", "", "//"]);
    }

    #[test]
    fn a_name_with_a_strange_segment_matches_no_subtree_and_no_prefix() {
        let names = ["docs/../a", "docs/..", "docs/.", "docs/./a", "docs//a", "docs//", "docs/../"];
        matches(Resource::under("docs"), &[], &names);
        matches(Resource::prefix("docs"), &[], &names);
        matches(Resource::prefix("docs/"), &[], &names);
        matches(Resource::prefix("."), &[".a"], &[".", "..", "./a", "../a"]);
        matches(Resource::prefix("/"), &[], &["//", "//a", "/..", "/./a"]);
    }

    #[test]
    fn what_names_nothing_or_is_strange_is_refused() {
        for path in ["", "/"] {
            assert_eq!(Resource::under(path).unwrap_err().problem(), &TextProblem::Empty);
        }
        for path in ["//", "a//", "//a", "a//b", "a/../b", "..", ".", "./a", "a/.", "a/../", "/.."]
        {
            let problem = Resource::under(path).unwrap_err();
            assert_eq!(problem.problem(), &TextProblem::StrangeSegment, "{path:?}");
        }
        assert!(Resource::prefix("").is_err() && Resource::exact("").is_err());
        type Maker = fn(&str) -> Result<Resource, InvalidText>;
        let makers: [Maker; 3] =
            [|s| Resource::exact(s), |s| Resource::under(s), |s| Resource::prefix(s)];
        for make in makers {
            assert!(make("a\nb").is_err() && make("a\0").is_err() && make("a\u{85}b").is_err());
            assert!(make(&"é".repeat(255)).is_ok() && make(&"x".repeat(256)).is_err());
        }
    }

    #[test]
    fn the_stored_form_parses_back_and_nothing_else_parses() {
        for stored in ["exact:a*", "exact:a:b", "under:/a", "prefix:under:", "exact: "] {
            let resource: Resource = stored.parse().unwrap();
            assert_eq!(resource.to_string(), stored);
        }
        assert_eq!("under:a/".parse::<Resource>().unwrap().to_string(), "under:a");
        for bad in ["", "a", "a*", "exact", "exact:", "Under:a", " under:a", "under:", "x:a"] {
            assert!(bad.parse::<Resource>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "docs/*".parse::<Resource>().unwrap_err().to_string(),
            "the resource is not `exact:NAME`, `under:PATH` or `prefix:TEXT`"
        );
    }
}
