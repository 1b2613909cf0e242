//! What a token may do, in Forgejo's words: nine categories to read or write, `all`, `public-only`,
//! and a list of repositories.

use app_tokens::Access;
use app_tokens::access::{Resource, ScopeName, Selection};

/// One of Forgejo's categories.
#[derive(Debug)]
pub struct Category {
    pub name: &'static str,
    read: &'static str,
    write: &'static [&'static str; 1],
}

impl Category {
    /// Returns the name of the scope to read.
    pub fn read(&self) -> &'static str {
        self.read
    }

    /// Returns the name of the scope to write.
    pub fn write(&self) -> &'static str {
        self.write[0]
    }
}

macro_rules! categories {
    ($($constant:ident $name:literal,)*) => {
        $(pub static $constant: Category = Category {
            name: $name,
            read: concat!("read:", $name),
            write: &[concat!("write:", $name)],
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

/// A scope. To write includes to read.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    Read(&'static Category),
    Write(&'static Category),
}

impl ScopeName for Scope {
    fn name(&self) -> &'static str {
        match self {
            Scope::Read(category) => category.read(),
            Scope::Write(category) => category.write(),
        }
    }

    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Scope::Read(category) => category.write,
            Scope::Write(_) => &[],
        }
    }
}

impl Scope {
    /// Returns every scope, by name: policies are equal only if their scopes have one order, and a
    /// file is read in this one.
    pub fn all() -> Vec<Scope> {
        let both = |category: &&'static Category| [Scope::Read(category), Scope::Write(category)];
        let mut all: Vec<Scope> = CATEGORIES.iter().flat_map(both).collect();
        all.sort_by_key(ScopeName::name);
        all
    }

    fn named(name: &str) -> Option<Scope> {
        Scope::all().into_iter().find(|scope| scope.name() == name)
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
            name => scopes.push(Scope::named(name).ok_or_else(unknown_scope)?),
        }
    }
    if !is_all && scopes.is_empty() {
        return Err("the access token needs a scope; add one, such as read:repository".into());
    }
    // To write includes to read, so a list has only one of the two.
    let writes =
        |read: &Scope| scopes.iter().any(|scope| read.implied_by().contains(&scope.name()));
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

fn unknown_scope() -> String {
    "a scope is unknown; write all, public-only, or read: or write: and a category, such as \
     read:repository"
        .into()
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
    matches!(access.granted_resources(), Selection::Only(list) if list.iter().any(is_public))
}

fn is_public(resource: &Resource) -> bool {
    resource.text() == PUBLIC
}
