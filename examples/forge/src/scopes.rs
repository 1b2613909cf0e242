//! What a token may do, in Forgejo's words: nine categories to read or write, `all`, `public-only`,
//! and a list of repositories.

use app_tokens::Access;
use app_tokens::access::{Resource, ScopeName, Selection};

/// A scope. To write includes to read.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    name: &'static str,
    implied_by: &'static [&'static str],
}

/// One of Forgejo's categories, with its two scopes.
#[derive(Debug)]
pub struct Category {
    pub name: &'static str,
    pub read: Scope,
    pub write: Scope,
}

macro_rules! categories {
    ($($constant:ident $name:literal,)*) => {
        $(pub static $constant: Category = Category {
            name: $name,
            read: Scope {
                name: concat!("read:", $name),
                implied_by: &[concat!("write:", $name)],
            },
            write: Scope { name: concat!("write:", $name), implied_by: &[] },
        };)*
        /// All of them, in Forgejo's order.
        pub static CATEGORIES: [&Category; 9] = [$(&$constant),*];
    };
}

categories! {
    ACTIVITYPUB "activitypub",
    ADMIN "admin",
    MISC "misc",
    NOTIFICATION "notification",
    ORGANIZATION "organization",
    PACKAGE "package",
    ISSUE "issue",
    REPOSITORY "repository",
    USER "user",
}

impl ScopeName for Scope {
    fn name(&self) -> &'static str {
        self.name
    }

    fn implied_by(&self) -> &'static [&'static str] {
        self.implied_by
    }
}

impl Scope {
    /// Returns every scope.
    pub fn all() -> Vec<Scope> {
        CATEGORIES.iter().flat_map(|category| [category.read, category.write]).collect()
    }
}

/// The resource that stands for everything that all people can see. Not a scope: it limits what a
/// token acts on, and not what it does there.
pub const PUBLIC: &str = "public";

/// The word for it in a list of scopes.
const PUBLIC_ONLY: &str = "public-only";

/// Reads Forgejo's list of scopes, and the repositories that the token is limited to. A list that
/// can't be read is refused; it never becomes "everything".
pub fn parse(names: &[String], repositories: Option<Vec<Resource>>) -> Result<Access, String> {
    let (mut scopes, mut is_all, mut is_public_only) = (Vec::new(), false, false);
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match name {
            "all" => is_all = true,
            PUBLIC_ONLY => is_public_only = true,
            name => {
                let scope = Scope::all().into_iter().find(|scope| scope.name == name);
                scopes.push(scope.ok_or(
                    "a scope is unknown; write all, public-only, or read: or write: and a \
                     category, such as read:repository",
                )?);
            }
        }
    }
    if !is_all && scopes.is_empty() {
        return Err("the access token needs a scope; add one, such as read:repository".into());
    }
    // To write includes to read, so a list has only one of the two.
    let writes = |read: &Scope| scopes.iter().any(|scope| read.implied_by.contains(&scope.name));
    let needed: Vec<Scope> = scopes.iter().filter(|scope| !writes(scope)).copied().collect();
    let access = if is_all { Ok(Access::full()) } else { Access::scopes(needed) };
    let limited = access.and_then(|access| match (is_public_only, &repositories) {
        (false, None) => Ok(access),
        (true, None) => access.on([Resource::exact(PUBLIC)?]),
        (_, Some(repositories)) => access.on(repositories.iter().cloned()),
    });
    match (is_public_only, repositories) {
        (true, Some(_)) => {
            Err("public-only and repositories exclude each other; send one of them".into())
        }
        _ => limited.map_err(|error| error.to_string()),
    }
}

/// Writes an access as Forgejo's list of scopes.
pub fn words(access: &Access) -> Vec<&str> {
    let public_only = is_public_only(access).then_some(PUBLIC_ONLY);
    let scopes = match access.granted_scopes() {
        Selection::All => vec!["all"],
        Selection::Only(scopes) => {
            let place = |name: &str| CATEGORIES.iter().position(|one| name.ends_with(one.name));
            let mut names: Vec<_> = scopes.iter().map(app_tokens::access::Scope::as_str).collect();
            names.sort_by_key(|name| place(name));
            names
        }
    };
    public_only.into_iter().chain(scopes).collect()
}

/// Returns whether a token is limited to what all people can see.
pub fn is_public_only(access: &Access) -> bool {
    match access.granted_resources() {
        Selection::All => false,
        Selection::Only(list) => list.iter().any(|resource| resource.text() == PUBLIC),
    }
}
