//! What a token may do: the form's question, and the words in the list. The host decides both.

use app_tokens::access::{Resource, Scope, Selection};
use app_tokens::{Access, Policy};
use maud::{Markup, html};

use super::form::{Fields, Problems};
use super::layout::{error, radios};
use crate::accounts::Account;

/// The question "What may it do?" of a host.
///
/// [`Choices`] is enough for a host with a few of them. Another host implements it.
pub trait AccessForm: Send + Sync {
    /// Writes the question, with what was chosen before. An element has the id `access`, or the id
    /// that [`AccessForm::read`] names in a problem.
    fn question(&self, chosen: &Fields, problems: &Problems) -> Markup;

    /// Reads the answer of this account's person. An answer that can't be read is a problem, and
    /// never full access.
    fn read(&self, account: &Account, fields: &Fields, problems: &mut Problems) -> Option<Access>;

    /// Says in words what a token may do: "Read and change files".
    fn words(&self, access: &Access) -> String;

    /// Writes the question for less than `held`. `None` if there is no less.
    fn less(&self, _held: &Access) -> Option<Markup> {
        None
    }

    /// Reads the answer to that question.
    fn read_less(&self, _held: &Access, _fields: &Fields) -> Option<Access> {
        None
    }
}

/// A host without a question: each token may do everything that its owner may.
pub struct Everything;

impl AccessForm for Everything {
    fn question(&self, _: &Fields, _: &Problems) -> Markup {
        html! {}
    }

    fn read(&self, _: &Account, _: &Fields, _: &mut Problems) -> Option<Access> {
        Some(Access::full())
    }

    fn words(&self, _: &Access) -> String {
        "Everything".into()
    }
}

/// A few choices, the narrowest first.
pub struct Choices {
    /// The host's policy, which knows what includes what.
    pub policy: Policy,
    /// The question.
    pub legend: &'static str,
    /// The choices.
    pub list: Vec<Choice>,
    /// The place of the one that a form begins with.
    pub first: usize,
    /// A field that limits the token to a part, if the host has parts.
    pub only_in: Option<OnlyIn>,
}

/// One choice.
pub struct Choice {
    /// What the form sends.
    pub value: &'static str,
    /// What it is called: "Only read files".
    pub words: &'static str,
    /// What it is for; empty for nothing.
    pub hint: &'static str,
    /// The access.
    pub access: Access,
}

/// A field that limits a token to a part of what its owner has.
pub struct OnlyIn {
    /// The field's label: "Only in this folder".
    pub label: &'static str,
    /// Its hint.
    pub hint: &'static str,
    /// Reads the field.
    pub resource: fn(&str) -> Option<Resource>,
}

impl Choices {
    fn radio<'c>(
        &'c self,
        list: impl IntoIterator<Item = &'c Choice>,
        chosen: &str,
        problem: Option<&str>,
    ) -> Markup {
        let list = list.into_iter().map(|choice| (choice.value, choice.words, choice.hint));
        html! {
            fieldset {
                legend #access tabindex="-1" { (self.legend) }
                @if let Some(problem) = problem { (error("access-error", problem)) }
                div.choices { (radios("access", list, chosen)) }
            }
        }
    }

    fn choice_of(&self, access: &Access) -> Option<&Choice> {
        self.list.iter().find(|choice| choice.access.granted_scopes() == access.granted_scopes())
    }

    /// Returns the choices that are less than `held`, each with the access that would remain. Parts
    /// and networks stay as they are.
    fn all_less<'c>(&'c self, held: &'c Access) -> impl Iterator<Item = (&'c Choice, Access)> {
        self.list.iter().filter_map(|choice| {
            let rest = Access::from_selections(
                choice.access.granted_scopes().clone(),
                held.granted_resources().clone(),
                held.granted_networks().clone(),
            )
            .ok()?;
            let is_less = self.policy.includes(held, &rest) && !self.policy.includes(&rest, held);
            is_less.then_some((choice, rest))
        })
    }
}

impl AccessForm for Choices {
    fn question(&self, chosen: &Fields, problems: &Problems) -> Markup {
        let first = self.list.get(self.first).map_or("", |choice| choice.value);
        let part = "only-in";
        html! {
            (self.radio(&self.list, chosen.get("access").unwrap_or(first), problems.at("access")))
            @if let Some(only_in) = &self.only_in {
                div.field {
                    label for=(part) { (only_in.label) }
                    p.hint #only-in-hint { (only_in.hint) }
                    input id=(part) name=(part) value=(chosen.text(part)) autocomplete="off"
                        spellcheck="false" aria-describedby="only-in-hint"
                        aria-invalid=[problems.at(part).map(|_| "true")];
                    @if let Some(problem) = problems.at(part) {
                        (error("only-in-error", problem))
                    }
                }
            }
        }
    }

    fn read(&self, _: &Account, fields: &Fields, problems: &mut Problems) -> Option<Access> {
        let chosen = fields.get("access");
        let Some(choice) = self.list.iter().find(|choice| Some(choice.value) == chosen) else {
            problems.add("access", "What it may do is missing", "Choose one of these.");
            return None;
        };
        let part = fields.text("only-in").trim();
        let Some(only_in) = self.only_in.as_ref().filter(|_| !part.is_empty()) else {
            return Some(choice.access.clone());
        };
        let on = (only_in.resource)(part).and_then(|part| choice.access.clone().on([part]).ok());
        if on.is_none() {
            problems.add("only-in", "The part is not a path", "Write it as in the hint.");
        }
        on
    }

    fn words(&self, access: &Access) -> String {
        let what = match (self.choice_of(access), access.granted_scopes()) {
            (Some(choice), _) => choice.words.to_owned(),
            (None, Selection::All) => "Everything".into(),
            // Made by other means than this page.
            (None, Selection::Only(scopes)) => {
                scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(", ")
            }
        };
        match access.granted_resources() {
            Selection::All => what,
            Selection::Only(parts) => {
                let parts: Vec<_> = parts.iter().map(Resource::text).collect();
                format!("{what}, only in {}", parts.join(", "))
            }
        }
    }

    fn less(&self, held: &Access) -> Option<Markup> {
        let (last, _) = self.all_less(held).last()?;
        Some(self.radio(self.all_less(held).map(|(choice, _)| choice), last.value, None))
    }

    fn read_less(&self, held: &Access, fields: &Fields) -> Option<Access> {
        let chosen = fields.get("access")?;
        self.all_less(held).find(|(choice, _)| choice.value == chosen).map(|(_, rest)| rest)
    }
}

#[cfg(test)]
mod tests {
    use app_tokens::Owner;

    use super::*;
    use crate::policy_file::PolicyFile;

    fn choices() -> Choices {
        let choice = |value, words, access| Choice { value, words, hint: "", access };
        let scopes = |scope: &str| Access::scopes([scope]).unwrap();
        let file = "prefix = 'acme'\n[scopes]\n'files:read' = []\n'files:write' = ['files:read']\n\
                    'calendar' = []";
        Choices {
            policy: PolicyFile::parse(file).unwrap().policy,
            legend: "What may it do?",
            list: vec![
                choice("read", "Only read files", scopes("files:read")),
                choice("write", "Read and change files", scopes("files:write")),
                choice("calendar", "Only calendars", scopes("calendar")),
                choice("all", "Everything", Access::full()),
            ],
            first: 1,
            only_in: Some(OnlyIn {
                label: "Only in",
                hint: "Such as /photos",
                resource: |path| Resource::under(path.trim_matches('/')).ok(),
            }),
        }
    }

    fn alice() -> Account {
        let (owner, roles) = (Owner::new("alice").unwrap(), Vec::new());
        let name = "alice".into();
        Account { name, owner, mail: None, roles, is_disabled: false, password: None }
    }

    #[test]
    fn an_answer_that_is_not_offered_is_a_problem_and_never_full_access() {
        for fields in [
            Fields::default(),
            Fields::default().with("access", ""),
            Fields::default().with("access", "everything"),
            Fields::default().with("access", "read").with("access", "all"),
            Fields::default().with("access", "all").with("only-in", "a//b"),
        ] {
            let mut problems = Problems::default();
            assert_eq!(choices().read(&alice(), &fields, &mut problems), None, "{fields:?}");
            assert!(!problems.is_empty());
        }
    }

    #[test]
    fn less_is_only_what_is_included_and_keeps_the_part() {
        let part = Resource::under("photos").unwrap();
        let held = Access::scopes(["files:write"]).unwrap().on([part]).unwrap();
        let sent = |value| Fields::default().with("access", value);
        let less = choices().read_less(&held, &sent("read")).unwrap();
        assert_eq!(choices().words(&less), "Only read files, only in photos");
        for no_less in ["write", "calendar", "all", ""] {
            assert_eq!(choices().read_less(&held, &sent(no_less)), None, "{no_less}");
        }
        assert!(choices().read_less(&Access::full(), &sent("calendar")).is_some());
        assert!(choices().less(&less).is_none(), "there is nothing narrower");
    }
}
