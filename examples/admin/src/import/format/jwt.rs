//! PowerShell Universal's app tokens: signed JWTs.
//!
//! | there | here |
//! |---|---|
//! | the roles in the token's claim | the scopes of the same names |
//! | the role `policy`, which is decided at each use | refused |
//! | the claim `exp` and the row's end | the earlier of both |
//!
//! The roles of the row are not used: the old server read those of the token.

use std::path::Path;

use app_tokens::Owner;
use app_tokens::import::{ForeignSecret, InvalidKept};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};
use crate::problem::Problem;

const NAME: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name";
const ROLE: &str = "http://schemas.microsoft.com/ws/2008/06/identity/claims/role";

pub struct Jwt(app_tokens::import::Jwt);

impl Jwt {
    /// Reads the signing key from a file. A line end after it is no part of it.
    pub fn read(path: &Path) -> Result<Jwt, Problem> {
        let failed = |why| Problem::failed(format_args!("{} can't be read: {why}", path.display()));
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        let key = text.strip_suffix('\n').unwrap_or(&text);
        let key = key.strip_suffix('\r').unwrap_or(key);
        app_tokens::import::Jwt::of_powershell_universal(key).map(Jwt).map_err(Problem::usage)
    }
}

impl Format for Jwt {
    fn name(&self) -> &'static str {
        "powershell-universal"
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["owner", "label", "token", "created", "expires", "used", "revoked"]
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        if row.is_set("revoked") {
            return Err(NotTaken::skipped("it was revoked"));
        }
        let unclear = || NotTaken::refused("its claims are not those of an app token");
        let token = Zeroizing::new(row.text("token").unwrap_or_default());
        let claims = claims(&token).ok_or_else(unclear)?;
        let owner = row.text("owner").ok_or(NotTaken::skipped("it has no owner"))?;
        if claims.get(NAME).and_then(Value::as_str) != Some(&*owner) {
            return Err(NotTaken::refused("its claims name another identity than its row"));
        }
        let roles = match claims.get(ROLE) {
            Some(Value::String(role)) => vec![role.clone()],
            Some(Value::Array(roles)) => {
                let roles = roles.iter().map(|role| role.as_str().map(str::to_owned));
                roles.collect::<Option<_>>().ok_or_else(unclear)?
            }
            None => Vec::new(),
            Some(_) => return Err(unclear()),
        };
        let mut facts = facts(row, policy.access(&roles)?)?;
        let seconds = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(value) => {
                let at = value.as_i64().and_then(|at| app_tokens::Timestamp::from_unix(at).ok());
                at.map(Some).ok_or_else(unclear)
            }
        };
        if seconds("nbf")?.is_some_and(|begin| begin > policy.now) {
            return Err(NotTaken::refused("it is not valid yet; import it once it is"));
        }
        facts.expires = [facts.expires, seconds("exp")?].into_iter().flatten().min();
        Ok(facts)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.0.secret(&row.take_secret("token"))
    }
}

/// Reads a token's claims. The scheme checks the signature.
fn claims(token: &str) -> Option<serde_json::Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(claims)) => Some(claims),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, words};
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "callers write a row in place")]
    fn read_with(claims: Value, changes: Value) -> Result<Facts, NotTaken> {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let whole = json!({
            "owner": "adam", "label": "CI", "token": token, "created": null, "expires": null,
            "used": null, "revoked": 0
        });
        read(&Jwt(app_tokens::import::Jwt::danger_with_any_key("k")), &whole, changes)
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers write a row in place")]
    fn roles(roles: Value) -> Result<String, NotTaken> {
        words(read_with(json!({ NAME: "adam", ROLE: roles }), json!({})))
    }

    #[test]
    fn a_role_is_never_widened() {
        assert_eq!(roles(json!("Operator")).unwrap(), "Operator");
        assert_eq!(roles(json!(["Operator", "Reader"])).unwrap(), "Operator Reader");
        for refused in [json!("policy"), json!(["Reader", "policy"]), json!("reader"), json!(1)] {
            assert!(matches!(roles(refused.clone()), Err(NotTaken::Refused(_))), "{refused}");
        }
        assert!(matches!(roles(json!([])), Err(NotTaken::Skipped(_))));
    }

    #[test]
    fn the_earlier_end_counts_and_another_identity_is_refused() {
        let (soon, late) = (1_900_000_000, 2_000_000_000);
        let end = |exp: Value, row: Value| {
            let claims = json!({ NAME: "adam", ROLE: "Reader", "exp": exp });
            let facts = read_with(claims, json!({ "expires": row })).ok().unwrap();
            facts.expires.unwrap().as_unix()
        };
        assert_eq!(end(json!(soon), json!(late)), soon);
        assert_eq!(end(json!(late), json!(soon)), soon);
        assert_eq!(end(json!(late), json!(null)), late);
        for (claims, row) in [
            (json!({ NAME: "eve", ROLE: "Reader" }), json!({})),
            (json!({ ROLE: "Reader" }), json!({})),
            (json!({ NAME: "adam", ROLE: "Reader", "exp": "never" }), json!({})),
            (json!({ NAME: "adam", ROLE: "Reader", "nbf": late }), json!({})),
            (json!({}), json!({ "token": "e30.e30" })),
            (json!({}), json!({ "token": null })),
        ] {
            let refused = words(read_with(claims.clone(), row));
            assert!(matches!(refused, Err(NotTaken::Refused(_))), "{claims}: {refused:?}");
        }
        let revoked = read_with(json!({ NAME: "adam", ROLE: "Reader" }), json!({ "revoked": 1 }));
        assert!(matches!(words(revoked), Err(NotTaken::Skipped(_))));
    }
}
