//! What the list says after an act. The address names the act and the token; the words come from
//! the token as it is now, so a made-up address can't claim what is not so.

use app_tokens::TokenId;
use axum::response::Redirect;
use maud::{Markup, html};

use super::Page;
use super::form::Fields;
use super::lines::{Line, Lines};

/// An act that was done.
#[derive(Clone, Copy)]
pub(super) enum Done {
    Revoked,
    Renamed,
    Narrowed,
    OldEnded,
    Several,
    Erased,
    MadeBefore,
    SessionEnded,
}

const ALL: [(Done, &str); 8] = [
    (Done::Revoked, "revoked"),
    (Done::Renamed, "renamed"),
    (Done::Narrowed, "narrowed"),
    (Done::OldEnded, "old-ended"),
    (Done::Several, "several"),
    (Done::Erased, "erased"),
    (Done::MadeBefore, "made-before"),
    (Done::SessionEnded, "session-ended"),
];

impl Done {
    /// Leads to the list, which then says so.
    pub(super) fn redirect(self, id: Option<TokenId>) -> Redirect {
        let word = ALL.iter().find(|(done, _)| *done as u8 == self as u8);
        let word = word.map_or("", |(_, word)| word);
        match id {
            Some(id) => Redirect::to(&format!("/?done={word}&id={id}")),
            None => Redirect::to(&format!("/?done={word}")),
        }
    }
}

impl Page {
    /// Writes the notice that an address asks for, if it is so.
    pub(super) fn notice(&self, query: &Fields, lines: &Lines) -> Markup {
        let wording = &self.setup().wording;
        let asked = query.text("done");
        let Some((done, _)) = ALL.iter().find(|(_, word)| *word == asked) else {
            return html! {};
        };
        let named = |line: &&Line| line.token.id().to_string() == query.text("id");
        let in_use = || lines.in_use.iter().find(named);
        let words = match done {
            Done::Revoked => {
                let Some(line) = lines.ended.iter().find(named) else {
                    return html! {};
                };
                html! {
                    "“" bdi { (line.token.label()) } "” was " (wording.revoked)
                    ". Nothing can sign in with it any more."
                }
            }
            Done::Renamed | Done::Narrowed | Done::OldEnded => {
                let Some(line) = in_use() else {
                    return html! {};
                };
                let label = html! { "“" bdi { (line.token.label()) } "”" };
                match done {
                    Done::Renamed => html! { (label) " is the name now." },
                    Done::Narrowed => {
                        let may = self.setup().access.words(line.token.access());
                        html! { (label) " may do less now: " (may) "." }
                    }
                    _ if line.old.is_none() => html! {
                        "The old text of " (label) " has ended. Only the new one works."
                    },
                    _ => return html! {},
                }
            }
            Done::Several => html! {
                "They were " (wording.revoked) ". Nothing can sign in with them any more."
            },
            Done::Erased => html! { "They were erased." },
            Done::MadeBefore => html! {
                "This form was sent before, so nothing was made now. If you lost the text, "
                "replace it."
            },
            Done::SessionEnded => html! { "Signed out there." },
        };
        html! { div.note.good role="status" { p { (words) } } }
    }
}
