//! What each system's columns mean: [`Format`].

pub mod forgejo;
pub mod generic;
pub mod jwt;
pub mod nextcloud;
pub mod nuxeo;
pub mod sanctum;

use app_tokens::import::{ForeignSecret, InvalidKept};
use app_tokens::token::Prefix;
use app_tokens::{Access, Owner};
use zeroize::Zeroizing;

use super::facts::{Facts, NotTaken, Policy};
use super::row::Row;

/// A format of a file: the rows of one old system.
///
/// What a token may do here is never more than what it could do there. A token that could do
/// everything that its owner could do may do so here, too.
pub trait Format {
    /// Returns its name on the command line.
    fn name(&self) -> &'static str;

    /// Returns the columns, all of which must be in each row.
    fn columns(&self) -> Vec<&'static str>;

    /// Reads what a row says besides its secret.
    ///
    /// # Errors
    /// [`NotTaken`] if it was no live token, or if what it could do has no meaning here.
    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken>;

    /// Takes what the old system kept of the token out of the row.
    ///
    /// # Errors
    /// [`InvalidKept`] if it is not what that system keeps.
    fn secret(&self, row: &mut Row, owner: &Owner) -> Result<ForeignSecret, InvalidKept>;

    /// Refuses a text that could never let its holder in: one that begins as this host's tokens do,
    /// and one that no client can send.
    fn refuse_unusable(&self, row: &Row, prefixes: &[Prefix]) -> Result<(), NotTaken> {
        let text = Zeroizing::new(row.text("token").unwrap_or_default());
        if text.chars().any(char::is_control) {
            return Err(NotTaken::refused("it has a control character, which HTTP can't carry"));
        }
        let begins = |prefix: &Prefix| {
            let prefix = format!("{}_", prefix.as_str());
            let own = text.trim_start().get(..prefix.len());
            own.is_some_and(|own| own.eq_ignore_ascii_case(&prefix))
        };
        if prefixes.iter().any(begins) {
            let why = "it begins with this host's own prefix, so it would never be tried";
            return Err(NotTaken::refused(why));
        }
        Ok(())
    }
}

/// Reads the columns that have the same names in every format, without access.
fn facts(row: &Row, access: Access) -> Result<Facts, NotTaken> {
    let time = |column| row.time(column).map_err(NotTaken::refused);
    Ok(Facts {
        owner: row.text("owner").ok_or(NotTaken::skipped("it has no owner"))?,
        label: row.text("label").unwrap_or_default(),
        access,
        resources: None,
        attributes: Vec::new(),
        created: time("created")?,
        expires: time("expires")?,
        used: time("used")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The scopes of a host, as its policy file names them.
    const SCOPES: &[&str] = &[
        "calendar:read",
        "calendar:write",
        "contacts:read",
        "contacts:write",
        "files:read",
        "files:write",
        "read:issue",
        "write:admin",
        "Operator",
        "Reader",
        "orders:read",
    ];

    pub fn policy() -> Policy<'static> {
        let now = app_tokens::Timestamp::from_unix(1_800_000_000).unwrap();
        Policy { scopes: SCOPES, now, old_life: None }
    }

    /// Reads a row of `whole`, with some columns changed.
    #[expect(clippy::needless_pass_by_value, reason = "callers write a row in place")]
    pub fn read(format: &dyn Format, whole: &Value, changes: Value) -> Result<Facts, NotTaken> {
        let mut row = whole.clone();
        for (column, value) in changes.as_object().unwrap() {
            assert!(row.get(column).is_some(), "{column}");
            row[column] = value.clone();
        }
        let row = Row::parse(row.to_string().as_bytes(), &format.columns()).unwrap();
        format.facts(&row, &policy())
    }

    /// Returns an access as text: its scopes, and after a bar its resources.
    pub fn words(facts: Result<Facts, NotTaken>) -> Result<String, NotTaken> {
        facts.map(|facts| {
            let scopes = match facts.access.granted_scopes() {
                app_tokens::access::Selection::All => "all".to_owned(),
                app_tokens::access::Selection::Only(scopes) => scopes
                    .iter()
                    .map(app_tokens::access::Scope::as_str)
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            let on = facts.resources.map(|on| {
                format!(
                    " | {}",
                    on.iter()
                        .map(app_tokens::access::Resource::as_str)
                        .collect::<Vec<_>>()
                        .join(" ")
                )
            });
            scopes + &on.unwrap_or_default()
        })
    }

    #[test]
    fn a_text_that_could_never_be_used_is_refused() {
        let format = generic::plain(false);
        let prefixes = [Prefix::new("acme").unwrap()];
        let refused = |token: &str| {
            let row = json!({
                "owner": 1, "label": "", "token": token, "scopes": "*", "created": null,
                "expires": null, "used": null, "revoked": null
            });
            let row = Row::parse(row.to_string().as_bytes(), &format.columns()).unwrap();
            format.refuse_unusable(&row, &prefixes).is_err()
        };
        for own in ["acme_x", " ACME_x", "acme_", "line\nend", "x\0", "x\r\n"] {
            assert!(refused(own), "{own}");
        }
        for other in ["acme", "acmex_x", "x acme_x", "é", ""] {
            assert!(!refused(other), "{other}");
        }
    }
}
