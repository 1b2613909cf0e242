//! Systems of your own: SHA-256, BLAKE3, texts in clear, PHC strings. The query says what a token
//! may do.
//!
//! | scopes there | access here |
//! |---|---|
//! | `*` | everything that the owner may do |
//! | names | the same names |
//! | empty | skipped: it could do nothing |

use app_tokens::import::{self, Argon2, Bcrypt, ForeignSecret, InvalidKept, Pbkdf2};
use app_tokens::{Access, Owner};

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

pub struct Sha256(import::Sha256);
pub struct Blake3(import::Blake3);
pub struct Plain(import::Plain);
pub struct Phc;

impl Sha256 {
    pub fn new(is_random: bool) -> Sha256 {
        Sha256(match is_random {
            true => import::Sha256::with_at_least_112_bits(),
            false => import::Sha256::of_unknown_strength(),
        })
    }
}

impl Blake3 {
    pub fn new(is_keyed: bool) -> Blake3 {
        let scheme = import::Blake3::of_unknown_strength();
        // The key is in the hashes already. Only the host needs it.
        Blake3(if is_keyed { scheme.keyed(&[0; 32]) } else { scheme })
    }
}

impl Plain {
    pub fn new(is_random: bool) -> Plain {
        Plain(match is_random {
            true => import::Plain::with_at_least_112_bits(),
            false => import::Plain::of_unknown_strength(),
        })
    }
}

impl Format for Sha256 {
    fn name(&self) -> &'static str {
        "sha256"
    }

    fn columns(&self) -> Vec<&'static str> {
        columns("hash")
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        generic_facts(row, policy)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.0.secret(&row.take_secret("hash"))
    }
}

impl Format for Blake3 {
    fn name(&self) -> &'static str {
        "blake3"
    }

    fn columns(&self) -> Vec<&'static str> {
        columns("hash")
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        generic_facts(row, policy)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.0.secret(&row.take_secret("hash"))
    }
}

impl Format for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn columns(&self) -> Vec<&'static str> {
        columns("token")
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        generic_facts(row, policy)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.0.secret(&row.take_secret("token"))
    }
}

impl Format for Phc {
    fn name(&self) -> &'static str {
        "phc"
    }

    fn columns(&self) -> Vec<&'static str> {
        columns("hash")
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        generic_facts(row, policy)
    }

    fn secret(&self, row: &mut Row, owner: &Owner) -> Result<ForeignSecret, InvalidKept> {
        let hash = row.take_secret("hash");
        match &**hash {
            argon2 if argon2.starts_with("$argon2") => Argon2::by_owner().secret(argon2, owner),
            bcrypt if bcrypt.starts_with("$2") => Bcrypt::by_owner().secret(bcrypt, owner),
            pbkdf2 if pbkdf2.starts_with("$pbkdf2-") => Pbkdf2::by_owner().secret(pbkdf2, owner),
            _ => Err(InvalidKept("a PHC string of Argon2, bcrypt or PBKDF2")),
        }
    }
}

fn columns(secret: &'static str) -> Vec<&'static str> {
    vec!["owner", "label", secret, "scopes", "created", "expires", "used", "revoked"]
}

fn generic_facts(row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
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
        words(read(&Phc, &whole, changes))
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
