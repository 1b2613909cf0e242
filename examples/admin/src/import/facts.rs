//! What a row says, in the words of this host: [`Facts`].

use std::fmt::Display;
use std::time::Duration;

use app_tokens::access::Resource;
use app_tokens::import::{ForeignSecret, ForeignToken};
use app_tokens::record::Expires;
use app_tokens::{Access, Attributes, Label, Owner, Timestamp};

/// Why a row is not imported. Never shows a secret.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It was no live token of an account.
    Skipped(String),
    /// It may have been a live token, and can't be imported as it is.
    Refused(String),
}

impl NotTaken {
    pub fn skipped(why: impl Display) -> NotTaken {
        NotTaken::Skipped(why.to_string())
    }

    pub fn refused(why: impl Display) -> NotTaken {
        NotTaken::Refused(why.to_string())
    }
}

/// What this host allows, and when.
pub struct Policy<'a> {
    /// The scopes that the policy file names.
    pub scopes: &'a [&'static str],
    pub now: Timestamp,
    /// How long a token lived in the old system, if its rows don't say so.
    pub old_life: Option<Duration>,
}

impl Policy<'_> {
    /// Makes an access of some scopes. One that the policy file does not name is refused: nobody
    /// knows what it would allow once the host has it.
    pub fn access(&self, scopes: &[String]) -> Result<Access, NotTaken> {
        if scopes.is_empty() {
            return Err(NotTaken::skipped("it could do nothing"));
        }
        if let Some(unknown) = scopes.iter().find(|scope| !self.scopes.contains(&scope.as_str())) {
            // A name is at most 128 characters; a longer text may be anything.
            let name: String = unknown.chars().take(64).collect();
            return Err(NotTaken::refused(format_args!("the policy file has no scope {name:?}")));
        }
        Access::scopes(scopes.iter().map(String::as_str)).map_err(NotTaken::refused)
    }
}

/// What a row says besides its secret.
pub struct Facts {
    /// As the old system names it.
    pub owner: String,
    pub label: String,
    pub access: Access,
    pub resources: Option<Vec<Resource>>,
    pub attributes: Vec<(&'static str, String)>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub used: Option<Timestamp>,
}

/// A token to import, and what the report says about it.
pub struct Found {
    pub token: ForeignToken,
    pub expires: Expires,
    pub label_changed: bool,
}

impl Facts {
    pub fn token(
        self,
        secret: ForeignSecret,
        owner: &Owner,
        policy: &Policy<'_>,
    ) -> Result<Found, NotTaken> {
        let expires = self.end(policy)?;
        let (label, label_changed) = cleaned(&self.label, Label::MAX_CHARS);
        let label = if label.is_empty() { UNNAMED.into() } else { label };
        let mut attributes = Attributes::new();
        for (key, value) in &self.attributes {
            let (value, _) = cleaned(value, Attributes::MAX_VALUE_CHARS);
            if !value.is_empty() {
                attributes = attributes.with(key, value).map_err(NotTaken::refused)?;
            }
        }
        let access = match self.resources {
            Some(resources) => self.access.on(resources).map_err(NotTaken::refused)?,
            None => self.access,
        };
        let token = ForeignToken::new(secret, owner, label, access).attributes(attributes);
        let token = token.expires(expires);
        let token = match self.created {
            Some(created) => token.created_at(created),
            None => token,
        };
        let token = match self.used {
            Some(used) => token.last_used_at(used),
            None => token,
        };
        Ok(Found { token, expires, label_changed })
    }

    /// Returns the earlier of the row's end and the end of its life in the old system.
    fn end(&self, policy: &Policy<'_>) -> Result<Expires, NotTaken> {
        let of_life = match policy.old_life {
            Some(life) => {
                let created = self.created.ok_or(NotTaken::refused(
                    "--old-life needs to know when it was made, and created is empty",
                ))?;
                Some(created.saturating_add(life))
            }
            None => None,
        };
        match [self.expires, of_life].into_iter().flatten().min() {
            Some(end) if end <= policy.now => Err(NotTaken::skipped("it has expired")),
            Some(end) => Ok(Expires::At(end)),
            None => Ok(Expires::Never),
        }
    }
}

/// The label of a token that had none.
const UNNAMED: &str = "Imported";

/// Makes a text as a label may be: without control characters, and not too long. Returns whether
/// anything was changed.
fn cleaned(text: &str, most: usize) -> (String, bool) {
    let is_allowed = |c: char| Label::new(format!("x{c}x")).is_ok();
    let text = text.trim();
    let clean: String = text.chars().map(|c| if is_allowed(c) { c } else { ' ' }).collect();
    let clean = clean.trim();
    let clean = match clean.char_indices().nth(most) {
        Some(_) => {
            let cut: String = clean.chars().take(most - 1).collect();
            format!("{}…", cut.trim_end())
        }
        None => clean.to_owned(),
    };
    // A text of invisible characters alone is no label.
    let is_text = Label::new(&clean).is_ok() || most > Label::MAX_CHARS;
    let clean = if is_text { clean } else { String::new() };
    let is_changed = clean != text || clean.is_empty();
    (clean, is_changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_cleaned_and_cut_and_it_is_said() {
        let label = |text: &str| cleaned(text, 128);
        assert_eq!(label("My phone"), ("My phone".into(), false));
        assert_eq!(label("  My 'phone'; \"x\"\t"), ("My 'phone'; \"x\"".into(), false));
        assert_eq!(label("a\nb\0c\u{202e}d"), ("a b c d".into(), true));
        for nothing in ["", " ", "\0\u{1b}", "\u{200b}"] {
            assert_eq!(label(nothing), (String::new(), true), "{nothing:?}");
        }
        let (cut, is_changed) = label(&"é".repeat(129));
        assert!(cut.chars().count() == 128 && cut.ends_with("é…") && is_changed);
        assert_eq!(label(&"é".repeat(128)), ("é".repeat(128), false));
        assert!(Label::new(label(&format!("{}  {}", "x".repeat(126), "y".repeat(9))).0).is_ok());
    }
}
