//! Laravel Sanctum's personal access tokens.
//!
//! | ability there | access here |
//! |---|---|
//! | `*` | everything that the owner may do |
//! | a name | the scope of the same name |

use app_tokens::import::{ForeignSecret, InvalidKept, Sha256};
use app_tokens::{Access, Owner};

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

pub struct Sanctum {
    scheme: Sha256,
    /// The model whose tokens are taken, as the column `tokenable_type` names it.
    model: String,
}

impl Sanctum {
    pub fn new(model: &str) -> Sanctum {
        Sanctum { scheme: Sha256::of_sanctum(), model: model.into() }
    }
}

impl Format for Sanctum {
    fn name(&self) -> &'static str {
        "sanctum"
    }

    fn columns(&self) -> Vec<&'static str> {
        vec!["owner", "model", "label", "hash", "abilities", "created", "expires", "used"]
    }

    fn facts(&self, row: &Row, policy: &Policy<'_>) -> Result<Facts, NotTaken> {
        // A user and a team may have one number.
        if row.text("model").as_deref() != Some(&*self.model) {
            return Err(NotTaken::skipped("it is of another model than --model names"));
        }
        let names = row.names("abilities").map_err(NotTaken::refused)?.unwrap_or_default();
        let access = match names.iter().any(|name| name == "*") {
            true => Access::full(),
            false => policy.access(&names)?,
        };
        facts(row, access)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        self.scheme.secret(&row.take_secret("hash"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, words};
    use super::*;
    use serde_json::{Value, json};

    fn row(changes: Value) -> Result<String, NotTaken> {
        let whole = json!({
            "owner": 7, "model": "App\\Models\\User", "label": "CI", "hash": "",
            "abilities": "[\"*\"]", "created": "2026-01-02 03:04:05", "expires": null, "used": null
        });
        words(read(&Sanctum::new("App\\Models\\User"), &whole, changes))
    }

    #[test]
    fn an_ability_is_never_widened_and_another_models_number_is_no_owner() {
        assert_eq!(row(json!({})).unwrap(), "all");
        assert_eq!(row(json!({"abilities": "[\"orders:read\"]"})).unwrap(), "orders:read");
        for nothing in [json!(null), json!("[]"), json!("")] {
            let skipped = row(json!({ "abilities": nothing }));
            assert!(matches!(skipped, Err(NotTaken::Skipped(_))), "{skipped:?}");
        }
        for other in ["[\"orders:write\"]", "[\"orders:*\"]", "{\"0\":\"*\"}", "\"*\"", "[1]"] {
            let refused = row(json!({ "abilities": other }));
            assert!(matches!(refused, Err(NotTaken::Refused(_))), "{other}: {refused:?}");
        }
        for model in [json!("App\\Models\\Team"), json!(null), json!("user")] {
            let skipped = row(json!({ "model": model }));
            assert!(matches!(skipped, Err(NotTaken::Skipped(_))), "{skipped:?}");
        }
    }
}
