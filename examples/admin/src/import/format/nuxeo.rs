//! Nuxeo's tokens: UUIDs in clear.
//!
//! Nuxeo never enforces the text in `permission`, so each token may do what its owner may do. The
//! text is kept as an attribute, and so are the application and the device.

use app_tokens::import::{ForeignSecret, InvalidKept, Uuid};
use app_tokens::{Access, Owner};

use super::super::facts::{Facts, NotTaken, Policy};
use super::super::row::Row;
use super::{Format, facts};

pub struct Nuxeo;

impl Format for Nuxeo {
    fn name(&self) -> &'static str {
        "nuxeo"
    }

    fn columns(&self) -> Vec<&'static str> {
        vec![
            "owner",
            "label",
            "token",
            "device",
            "description",
            "permission",
            "created",
            "expires",
            "used",
        ]
    }

    fn facts(&self, row: &Row, _: &Policy<'_>) -> Result<Facts, NotTaken> {
        let mut facts = facts(row, Access::full())?;
        let application = std::mem::take(&mut facts.label);
        facts.label = match row.text("description") {
            Some(device) => format!("{application} ({device})"),
            None => application.clone(),
        };
        facts.attributes = [("application", Some(application))]
            .into_iter()
            .chain(["device", "permission"].map(|column| (column, row.text(column))))
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        Ok(facts)
    }

    fn secret(&self, row: &mut Row, _: &Owner) -> Result<ForeignSecret, InvalidKept> {
        Uuid::v4().secret(&row.take_secret("token"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_permission_is_kept_as_a_fact_and_the_device_is_in_the_label() {
        let whole = json!({
            "owner": "bob", "label": "Nuxeo Drive", "token": "", "device": "d-1",
            "description": "Laptop", "permission": "rw", "created": "2026-01-02T03:04:05Z",
            "expires": null, "used": null
        });
        let facts = read(&Nuxeo, &whole, json!({})).ok().unwrap();
        assert_eq!((&*facts.label, facts.owner.as_str()), ("Nuxeo Drive (Laptop)", "bob"));
        let kept = [("application", "Nuxeo Drive"), ("device", "d-1"), ("permission", "rw")];
        assert_eq!(facts.attributes, kept.map(|(key, value)| (key, value.to_owned())));
        let bare = read(&Nuxeo, &whole, json!({"description": null, "device": null})).ok().unwrap();
        assert_eq!((&*bare.label, bare.attributes.len()), ("Nuxeo Drive", 2));
    }
}
