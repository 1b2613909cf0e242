//! Forgejo's and Gitea's access tokens.
//!
//! | there | here |
//! |---|---|
//! | `all` | everything that the owner may do |
//! | `read:X`, `write:X` for the nine categories | the scope of the same name |
//! | `public-only` | besides, only the resource `exact:public` |
//! | repositories (Forgejo 15) | besides, only the resource `exact:OWNER/NAME` of each |
//! | `sudo`, `repo` and others from before 1.20 | refused: Forgejo's own update made them wider |

use app_tokens::access::Resource;
use app_tokens::import::{self, ForeignSecret, InvalidKept};
use app_tokens::{Access, Owner};

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

pub struct Forgejo {
    scheme: import::Forgejo,
    /// Whether tokens may be limited to repositories.
    has_repositories: bool,
}

impl Forgejo {
    /// Forgejo from 15 on.
    pub fn new() -> Forgejo {
        Forgejo { scheme: import::Forgejo::new(), has_repositories: true }
    }

    /// Gitea, and Forgejo before 15.
    pub fn of_gitea() -> Forgejo {
        Forgejo { has_repositories: false, ..Forgejo::new() }
    }
}

const CATEGORIES: [&str; 9] = [
    "activitypub",
    "admin",
    "issue",
    "misc",
    "notification",
    "organization",
    "package",
    "repository",
    "user",
];

/// The resource that stands for what all people can see.
const PUBLIC: &str = "public";

impl Format for Forgejo {
    fn name(&self) -> &'static str {
        if self.has_repositories { "forgejo" } else { "gitea" }
    }

    fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec![
            "owner",
            "label",
            "hash",
            "salt",
            "last_eight",
            "scope",
            "created",
            "expires",
            "used",
        ];
        if self.has_repositories {
            columns.extend(["all_repositories", "repositories"]);
        }
        columns
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        let (access, public_only) = access(&row.text("scope").unwrap_or_default(), policy)?;
        let mut facts = facts(row, access)?;
        // Each use writes the later time. Until then both are alike.
        facts.used = facts.used.filter(|used| Some(*used) != facts.created);
        let repositories = match self.has_repositories && !row.is_true("all_repositories") {
            true => Some(repositories(row)?),
            false => None,
        };
        facts.resources = match (public_only, repositories) {
            (false, None) => None,
            (true, None) => Some(vec![Resource::exact(PUBLIC).map_err(NotTaken::refused)?]),
            (true, Some(_)) => {
                let why = "public-only and a list of repositories exclude each other";
                return Err(NotTaken::refused(why));
            }
            (false, Some(names)) if names.is_empty() => {
                return Err(NotTaken::skipped("it is limited to repositories that are gone"));
            }
            (false, Some(names)) => Some(
                names
                    .iter()
                    .map(|name| Resource::exact(name).map_err(NotTaken::refused))
                    .collect::<Result<_, _>>()?,
            ),
        };
        Ok(facts)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        let [hash, salt, last_eight] =
            ["hash", "salt", "last_eight"].map(|column| row.take_secret(column));
        self.scheme.secret(&hash, &salt, &last_eight)
    }
}

/// Returns the names of the repositories, each of which the query ends with a semicolon.
///
/// A database may cut a long list. MariaDB then closes the quotes and the bracket, so that the last
/// name would be one of another repository.
fn repositories(row: &Row) -> Result<Vec<String>, NotTaken> {
    let names = row.names("repositories").map_err(NotTaken::refused)?.unwrap_or_default();
    let whole = names.iter().map(|name| name.strip_suffix(';').map(str::to_owned));
    whole.collect::<Option<_>>().ok_or(NotTaken::refused(
        "a repository does not end with a semicolon, so the database cut the list; raise \
         group_concat_max_len there",
    ))
}

/// Returns the access, and whether it is for public things only.
fn access(scope: &str, policy: &Policy<'_>) -> Result<(Access, bool), NotTaken> {
    let (mut is_all, mut public_only, mut names) = (false, false, Vec::new());
    for name in scope.split(',').filter(|name| !name.is_empty()) {
        let category = name.strip_prefix("read:").or(name.strip_prefix("write:"));
        match name {
            "all" => is_all = true,
            "public-only" => public_only = true,
            name if category.is_some_and(|category| CATEGORIES.contains(&category)) => {
                names.push(name.to_owned());
            }
            _ => {
                return Err(NotTaken::refused(
                    "a scope from before 1.20, or an unknown one; regenerate this token there",
                ));
            }
        }
    }
    let access = if is_all { Access::full() } else { policy.access(&names)? };
    Ok((access, public_only))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, words};
    use super::*;
    use serde_json::{Value, json};

    fn row(changes: Value) -> Result<Facts, NotTaken> {
        let whole = json!({
            "owner": 7, "label": "CI", "hash": "", "salt": "", "last_eight": "", "scope": "all",
            "created": 1700000000, "expires": null, "used": 1700000000, "all_repositories": 1,
            "repositories": null
        });
        read(&Forgejo::new(), &whole, changes)
    }

    #[test]
    fn a_scope_is_never_widened() {
        for (scope, access) in [
            ("all", "all"),
            ("public-only,all", "all | exact:public"),
            ("read:issue", "read:issue"),
            (",read:issue,,write:admin,", "read:issue write:admin"),
            ("public-only,read:issue", "read:issue | exact:public"),
        ] {
            assert_eq!(words(row(json!({ "scope": scope }))).as_deref(), Ok(access), "{scope}");
        }
        for scope in [
            "repo",
            "public_repo",
            "sudo",
            "all,sudo",
            "admin:org",
            "user:email",
            "read:org",
            "ALL",
            "read:",
            "write",
            "read:issue ",
            "delete:package",
            "all;",
            "read:user",
        ] {
            let refused = words(row(json!({ "scope": scope })));
            assert!(matches!(refused, Err(NotTaken::Refused(_))), "{scope}: {refused:?}");
        }
        for scope in ["", ",", "public-only"] {
            let skipped = words(row(json!({ "scope": scope })));
            assert!(matches!(skipped, Err(NotTaken::Skipped(_))), "{scope}: {skipped:?}");
        }
    }

    #[test]
    fn a_list_of_repositories_stays_a_limit() {
        let limited = |all: Value, list: Value| {
            words(row(json!({ "all_repositories": all, "repositories": list })))
        };
        assert_eq!(limited(json!(true), json!("alice/app")).unwrap(), "all");
        let two = "all | exact:alice/app exact:alice/lib";
        assert_eq!(limited(json!(0), json!("alice/app;,alice/lib;")).unwrap(), two);
        assert_eq!(limited(json!("f"), json!(["alice/app;", "alice/lib;"])).unwrap(), two);
        assert_eq!(limited(json!(null), json!("alice/app;")).unwrap(), "all | exact:alice/app");
        for gone in [json!(null), json!(""), json!([])] {
            assert!(matches!(limited(json!(0), gone), Err(NotTaken::Skipped(_))));
        }
        for cut in [json!("alice/app;,alice/li"), json!(["alice/app;", "alice/"]), json!("x")] {
            assert!(matches!(limited(json!(0), cut), Err(NotTaken::Refused(_))));
        }
        let both = row(json!({
            "scope": "public-only,all", "all_repositories": 0, "repositories": "alice/app;"
        }));
        assert!(matches!(words(both), Err(NotTaken::Refused(_))));
    }

    #[test]
    fn a_token_that_was_never_used_has_no_last_use() {
        assert_eq!(row(json!({})).ok().unwrap().used, None);
        assert!(row(json!({"used": 1700000001})).ok().unwrap().used.is_some());
    }
}
