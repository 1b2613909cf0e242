//! The report: the tokens that were found, and what could not be read.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use app_tokens::TokenId;
use app_tokens::report::{LeakOutcome, LeakReport};
use serde_json::{Value, json};

use crate::print::say;
use crate::problem::{Exit, Problem};

/// The tokens that were found, each once, with its first place. It takes some hundred bytes for
/// each, and nothing for a text without tokens, however long that is.
#[derive(Default)]
pub struct Found {
    seen: BTreeSet<(TokenId, bool)>,
    leaks: Vec<(Place, TokenId, LeakOutcome)>,
    unread: Vec<(Place, String)>,
    /// How many tokens of other systems may be valid. They are not looked for.
    pub other_systems: u64,
    /// The names of the inputs, of which the last is being searched.
    inputs: Vec<Option<String>>,
}

/// An input by its number, and a byte in it.
#[derive(Clone, Copy)]
struct Place {
    input: usize,
    at: u64,
}

impl Found {
    /// Begins the next input.
    pub fn begin(&mut self, name: Option<&Path>) {
        let name = name.map(|path| {
            let name = path.to_string_lossy();
            // A name may come from the leak, and must not move the terminal's cursor.
            if name.chars().any(char::is_control) {
                name.escape_debug().to_string()
            } else {
                name.into_owned()
            }
        });
        self.inputs.push(name);
    }

    /// Adds the tokens of a window that begins at this byte of the input.
    pub fn add(&mut self, report: LeakReport, passed: u64) {
        for leak in report.leaks {
            if self.seen.insert((leak.id, leak.outcome != LeakOutcome::NoToken)) {
                let place = self.place(passed + leak.position.start as u64);
                self.leaks.push((place, leak.id, leak.outcome));
            }
        }
    }

    /// Adds what the search can't read.
    pub fn unread(&mut self, at: u64, what: &str, places: u64) {
        let more = if places > 1 { format!(", in {places} places") } else { String::new() };
        self.unread.push((self.place(at), format!("{what}{more}")));
    }

    /// Adds why the input could not be read from this byte on.
    pub fn could_not_read(&mut self, at: u64, why: &impl Display) {
        self.unread.push((self.place(at), why.to_string()));
    }

    fn place(&self, at: u64) -> Place {
        Place { input: self.inputs.len().saturating_sub(1), at }
    }

    /// Prints the report, and returns how the command ends.
    pub fn say(self, json: bool) -> Result<(), Problem> {
        match json {
            true => self.say_json(),
            false => self.say_lines(),
        }?;
        if self.leaks.iter().any(|(_, _, outcome)| is_left(*outcome)) {
            return Err(Problem::failed("not all tokens could be revoked; do what the lines say"));
        }
        if !self.unread.is_empty() {
            return Err(Problem::new(
                Exit::Unread,
                "not everything could be read, so there may be more tokens; \
                 unpack or decrypt what the lines name, and search that",
            ));
        }
        if self.other_systems > 0 {
            return Err(Problem::new(
                Exit::Unread,
                "tokens of another system are not looked for, so one of them may be there; \
                 do what the last line says",
            ));
        }
        if self.leaks.iter().any(|(_, _, outcome)| *outcome != LeakOutcome::NoToken) {
            Ok(())
        } else {
            Err(Problem::new(
                Exit::Unknown,
                "everything was read, and no token of this host was found",
            ))
        }
    }

    fn say_json(&self) -> Result<(), Problem> {
        let item = |place: &Place| json!({ "file": self.inputs[place.input], "at": place.at });
        let leaks = self.leaks.iter().map(|(place, id, outcome)| {
            let mut item = item(place);
            item["id"] = id.to_string().into();
            item["outcome"] = words_for(*id, *outcome).into();
            item
        });
        let unread = self.unread.iter().map(|(place, what)| {
            let mut item = item(place);
            item["what"] = what.as_str().into();
            item
        });
        say(json!({
            "leaks": leaks.collect::<Value>(),
            "unread": unread.collect::<Value>(),
            "other_systems": self.other_systems,
        }))
    }

    fn say_lines(&self) -> Result<(), Problem> {
        for (place, id, outcome) in &self.leaks {
            let head = self.head(*place);
            say(format_args!("{head}: {id} {}", words_for(*id, *outcome)))?;
        }
        for (place, what) in &self.unread {
            say(format_args!("{}: could not be read: {what}", self.head(*place)))?;
        }
        if self.other_systems > 0 {
            say(format_args!(
                "{} tokens of another system may be valid, and are not looked for; if one is \
                 there, find its id by its label with `admin list --owner OWNER`, and then \
                 `admin revoke ID --reason leaked`",
                self.other_systems
            ))?;
        }
        Ok(())
    }

    /// Returns a place as it begins a line.
    fn head(&self, Place { input, at }: Place) -> String {
        match &self.inputs[input] {
            Some(name) => format!("{name}: byte {at}"),
            None => format!("byte {at}"),
        }
    }
}

/// Returns whether the token may be valid still.
fn is_left(outcome: LeakOutcome) -> bool {
    match outcome {
        LeakOutcome::Damaged | LeakOutcome::UnknownScheme(_) => true,
        LeakOutcome::Revoked | LeakOutcome::AlreadyRevoked | LeakOutcome::NoToken => false,
    }
}

fn words_for(id: TokenId, outcome: LeakOutcome) -> String {
    match outcome {
        LeakOutcome::Revoked => "revoked".into(),
        LeakOutcome::AlreadyRevoked => "was revoked before".into(),
        LeakOutcome::Damaged => format!(
            "has a damaged row, so its secret could not be checked; \
             revoke it with `admin revoke {id} --reason leaked`"
        ),
        LeakOutcome::UnknownScheme(scheme) => format!(
            "has a digest of scheme {scheme}, which this program does not know; \
             run a newer one, or `admin revoke {id} --reason leaked`"
        ),
        LeakOutcome::NoToken => "no such token, or another secret".into(),
    }
}
