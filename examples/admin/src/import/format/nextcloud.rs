//! Nextcloud's app passwords.
//!
//! | scope there | access here |
//! |---|---|
//! | empty, `{"filesystem":true}` | everything that the owner may do |
//! | `filesystem` is not true | calendars and contacts, to read and to write |
//! | `scopes` with names | the same names, without files if `filesystem` is false |
//! | not an object, other values | refused |

use app_tokens::import::{ForeignSecret, InvalidKept, Sha512};
use app_tokens::{Access, Owner};
use serde_json::Value;

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

pub struct Nextcloud(Sha512);

/// What a token without file access may still do.
const WITHOUT_FILES: [&str; 4] =
    ["calendar:read", "calendar:write", "contacts:read", "contacts:write"];

/// What a scope may have. The last two, of version 30 and of those before, are about sessions whose
/// owner has no password to confirm.
const SCOPE_KEYS: [&str; 4] = ["filesystem", "scopes", "password-unconfirmable", "sso-based-login"];

impl Nextcloud {
    pub fn new() -> Nextcloud {
        // The instance's secret is in the hashes already. Only the host needs it.
        Nextcloud(Sha512::of_nextcloud(""))
    }
}

impl Format for Nextcloud {
    fn name(&self) -> &'static str {
        "nextcloud"
    }

    fn columns(&self) -> Vec<&'static str> {
        vec![
            "owner", "label", "hash", "type", "version", "invalid", "scope", "created", "expires",
            "used",
        ]
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        match row.text("type").as_deref() {
            Some("1") => {}
            Some("0") => return Err(NotTaken::skipped("it is a session")),
            Some("2") => return Err(NotTaken::skipped("it is to be wiped")),
            Some("3") => return Err(NotTaken::skipped("it is good for one use only")),
            _ => return Err(NotTaken::skipped("it is of an unknown type")),
        }
        if row.text("version").as_deref() != Some("2") {
            return Err(NotTaken::skipped("its version is not 2, so Nextcloud denies it"));
        }
        if row.is_set("invalid") {
            return Err(NotTaken::skipped("its password is marked as invalid"));
        }
        facts(row, access(row.json("scope").map_err(NotTaken::refused)?, policy)?)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.0.secret(&row.take_secret("hash"))
    }
}

fn access(scope: Option<Value>, policy: &Policy<'_>) -> Result<Access, NotTaken> {
    let unclear = || NotTaken::refused("its scope is not one that Nextcloud writes");
    let scope = match scope {
        None => return Ok(Access::full()),
        Some(Value::Object(scope)) => scope,
        Some(_) => return Err(unclear()),
    };
    // What another key means is not known.
    if scope.keys().any(|key| !SCOPE_KEYS.contains(&&**key)) {
        return Err(unclear());
    }
    let files = match scope.get("filesystem") {
        None => scope.contains_key("scopes"),
        Some(Value::Bool(files)) => *files,
        Some(_) => return Err(unclear()),
    };
    match scope.get("scopes") {
        None if files => Ok(Access::full()),
        None => policy.access(&WITHOUT_FILES.map(str::to_owned)),
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            let mut names = names.collect::<Option<Vec<_>>>().ok_or_else(unclear)?;
            names.retain(|name| files || !name.starts_with("files:"));
            policy.access(&names)
        }
        Some(_) => Err(unclear()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{policy, read, words};
    use super::*;
    use serde_json::json;

    fn row(changes: Value) -> Result<Facts, NotTaken> {
        let whole = json!({
            "owner": "alice", "label": "Phone", "hash": "", "type": 1, "version": 2,
            "invalid": null, "scope": null, "created": null, "expires": null, "used": 1700000000
        });
        read(&Nextcloud::new(), &whole, changes)
    }

    #[test]
    fn only_live_app_passwords_are_taken() {
        assert!(row(json!({})).is_ok() && row(json!({"type": "1", "version": "2"})).is_ok());
        for (changes, why) in [
            (json!({"type": 0}), "session"),
            (json!({"type": 2}), "wiped"),
            (json!({"type": 3}), "one use"),
            (json!({"type": 4}), "unknown"),
            (json!({"type": null}), "unknown"),
            (json!({"type": true}), "unknown"),
            (json!({"version": 1}), "version"),
            (json!({"version": null}), "version"),
            (json!({"invalid": 1}), "invalid"),
            (json!({"invalid": "t"}), "invalid"),
            (json!({"owner": null}), "owner"),
        ] {
            let Err(NotTaken::Skipped(said)) = row(changes.clone()) else { panic!("{changes}") };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_scope_is_never_widened() {
        let rest = "calendar:read calendar:write contacts:read contacts:write";
        for (scope, access) in [
            ("", "all"),
            (r#"{"filesystem":true}"#, "all"),
            (r#"{"filesystem":true,"sso-based-login":true}"#, "all"),
            (r#"{"password-unconfirmable":true,"filesystem":true}"#, "all"),
            (r#"{"filesystem":false}"#, rest),
            (r#"{"sso-based-login":true}"#, rest),
            (r#"{"password-unconfirmable":true}"#, rest),
            ("{}", rest),
            (r#"{"scopes":["files:read","calendar:read"]}"#, "calendar:read files:read"),
            (r#"{"filesystem":false,"scopes":["files:read","calendar:read"]}"#, "calendar:read"),
        ] {
            assert_eq!(words(row(json!({ "scope": scope }))).as_deref(), Ok(access), "{scope}");
        }
        // As a database prints a column of its own JSON type.
        let nested = row(json!({ "scope": { "filesystem": false } }));
        assert_eq!(words(nested).as_deref(), Ok(rest));
        assert!(matches!(row(json!({ "scope": true })), Err(NotTaken::Refused(_))));
        for scope in [
            "x",
            "[]",
            "null",
            "true",
            r#"{"filesystem":1}"#,
            r#"{"filesystem":"false"}"#,
            r#"{"filesystem":null}"#,
            r#"{"files":true}"#,
            r#"{"scopes":"files:read"}"#,
            r#"{"scopes":[1]}"#,
            r#"{"scopes":["files:share"]}"#,
            r#"{"scopes":["*"]}"#,
        ] {
            let refused = words(row(json!({ "scope": scope })));
            assert!(matches!(refused, Err(NotTaken::Refused(_))), "{scope}: {refused:?}");
        }
        for scope in [r#"{"scopes":[]}"#, r#"{"filesystem":false,"scopes":["files:read"]}"#] {
            let skipped = words(row(json!({ "scope": scope })));
            assert!(matches!(skipped, Err(NotTaken::Skipped(_))), "{scope}: {skipped:?}");
        }
    }

    #[test]
    fn a_host_without_such_scopes_takes_no_limited_token() {
        let policy = Policy { scopes: &["files:read"], ..policy() };
        assert!(access(Some(json!({"filesystem": false})), &policy).is_err());
        assert!(access(None, &policy).is_ok());
    }
}
