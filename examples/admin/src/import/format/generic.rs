//! Systems of your own: SHA-256, BLAKE3, texts in clear, PHC strings. The query says what a token
//! may do.
//!
//! | scopes there | access here |
//! |---|---|
//! | `*` | everything that the owner may do |
//! | names | the same names |
//! | empty | skipped: it could do nothing |

use app_tokens::import::{
    Argon2, Bcrypt, Blake3, ForeignSecret, InvalidKept, Pbkdf2, Plain, Sha256,
};
use app_tokens::{Access, Owner};

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

/// How one of these systems kept its tokens. They differ in nothing else.
pub struct Generic {
    name: &'static str,
    /// The column with the secret.
    column: &'static str,
    secret: Box<ReadSecret>,
}

type ReadSecret = dyn Fn(&str, &Owner) -> Result<ForeignSecret, InvalidKept> + Send + Sync;

pub fn sha256(is_random: bool) -> Generic {
    let scheme = match is_random {
        true => Sha256::with_at_least_112_bits(),
        false => Sha256::of_unknown_strength(),
    };
    let secret = Box::new(move |hash: &str, _: &Owner| scheme.secret(hash));
    Generic { name: "sha256", column: "hash", secret }
}

pub fn blake3(is_keyed: bool) -> Generic {
    let scheme = Blake3::of_unknown_strength();
    // The key is in the hashes already. Only the host needs it.
    let scheme = if is_keyed { scheme.keyed(&[0; 32]) } else { scheme };
    let secret = Box::new(move |hash: &str, _: &Owner| scheme.secret(hash));
    Generic { name: "blake3", column: "hash", secret }
}

pub fn plain(is_random: bool) -> Generic {
    let scheme = match is_random {
        true => Plain::with_at_least_112_bits(),
        false => Plain::of_unknown_strength(),
    };
    let secret = Box::new(move |token: &str, _: &Owner| scheme.secret(token));
    Generic { name: "plain", column: "token", secret }
}

pub fn phc() -> Generic {
    let secret = Box::new(|hash: &str, owner: &Owner| match hash {
        argon2 if argon2.starts_with("$argon2") => Argon2::by_owner().secret(argon2, owner),
        bcrypt if bcrypt.starts_with("$2") => Bcrypt::by_owner().secret(bcrypt, owner),
        pbkdf2 if pbkdf2.starts_with("$pbkdf2-") => Pbkdf2::by_owner().secret(pbkdf2, owner),
        _ => Err(InvalidKept("a PHC string of Argon2, bcrypt or PBKDF2")),
    });
    Generic { name: "phc", column: "hash", secret }
}

impl Format for Generic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["owner", "label", self.column, "scopes", "created", "expires", "used", "revoked"]
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        if row.is_set("revoked") {
            return Err(NotTaken::skipped("it was revoked"));
        }
        let names = row.names("scopes").map_err(NotTaken::refused)?.unwrap_or_default();
        let access = match &names[..] {
            [every] if every == "*" => Access::full(),
            names => policy.access(names)?,
        };
        facts(row, access)
    }

    fn secret(&self, row: &mut Row, owner: &Owner) -> Result<ForeignSecret, InvalidKept> {
        (self.secret)(&row.take_secret(self.column), owner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, words};
    use super::*;
    use serde_json::{Value, json};

    fn row(changes: Value) -> Result<String, NotTaken> {
        let whole = json!({
            "owner": 7, "label": "CI", "hash": "", "scopes": "orders:read", "created": null,
            "expires": null, "used": null, "revoked": null
        });
        words(read(&phc(), &whole, changes))
    }

    #[test]
    fn what_a_token_could_do_is_said_by_the_query_and_never_guessed() {
        assert_eq!(row(json!({})).unwrap(), "orders:read");
        assert_eq!(row(json!({"scopes": "*"})).unwrap(), "all");
        assert_eq!(row(json!({"scopes": ["Reader", "Operator"]})).unwrap(), "Operator Reader");
        for skipped in [
            json!({"scopes": null}),
            json!({"scopes": ""}),
            json!({"revoked": 1}),
            json!({"revoked": "2026-01-02"}),
            json!({"expires": 1799999999}),
        ] {
            let row = row(skipped.clone());
            let is_expired = skipped.get("expires").is_some();
            assert!(is_expired || matches!(row, Err(NotTaken::Skipped(_))), "{skipped}: {row:?}");
        }
        for scopes in [json!("orders:write"), json!("*,orders:read"), json!(1), json!({})] {
            assert!(matches!(row(json!({ "scopes": scopes })), Err(NotTaken::Refused(_))));
        }
    }
}
