//! The one page that shows a token's text.

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::record::Expires;
use app_tokens::{IssuedToken, Timestamp};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::layout::{Width, capital};
use super::{Page, SignedIn, qr, times};

impl Page {
    /// Shows a new token. `old_until` is when the one that it replaces ends.
    pub fn show_once(
        &self,
        who: &SignedIn,
        issued: &IssuedToken,
        old_until: Option<Timestamp>,
    ) -> Response {
        let (setup, token) = (self.setup(), issued.view());
        let wording = &setup.wording;
        let (one, text) = (wording.one, issued.expose_secret());
        // By mail address, an account without one enters with the token alone.
        let account = self.0.accounts.by_owner(token.owner());
        let user = account.as_ref().and_then(|account| self.0.accounts.user_name(account));
        let body = html! {
            h1 { "“" bdi { (token.label()) } "” is ready" }
            p.soft.lead {
                (setup.access.words(token.access()))
                @match token.expires() {
                    Expires::At(at) => { ", until " (times::day(at)) "." }
                    Expires::Never => { ", until you revoke it." }
                }
            }
            div.note.warn role="note" {
                h2 { "Shown only this once" }
                p {
                    "Copy it before you leave this page. If it gets lost, revoke it and make "
                    "another."
                }
                @if let Some(until) = old_until {
                    @if until > SystemClock.now() {
                        p { "The old one works until " (times::instant_in_words(until)) "." }
                    } @else {
                        p { "The old one has ended." }
                    }
                }
            }
            section.card {
                h2 { "Put these into the app" }
                p { "The " (one) " takes the place of your main password." }
                div.copy {
                    label for="secret" { (capital(one)) }
                    textarea #secret rows="1" readonly spellcheck="false" autocomplete="off"
                        autocapitalize="none" translate="no" { (text) }
                    button.primary type="button" data-copy="secret" {
                        span data-words { "Copy " (one) }
                    }
                }
                @if let Some(user) = user { (field("user", "User name", user)) }
                (field("server", "Server address", &setup.server))
                p.hidden role="status" #said {}
            }
            section.card {
                h2 { "On another device" }
                p { "Scan it, or type it. Capitals don't matter, nor do gaps between the groups." }
                div.other {
                    (qr::draw(text, &format!("QR code of the {one}")))
                    div {
                        h3 { "To type" }
                        (groups(text))
                        p.hint {
                            "0 is always zero and 1 is always one: the letters o, i, l and u don't "
                            "occur after “" (prefix(text)) "”."
                        }
                    }
                }
            }
            @if !setup.recipes.is_empty() { (self.recipes(user.unwrap_or_default())) }
            div.buttons.wide.after { a.button.primary href="/" { "I've saved it" } }
        };
        self.answer(StatusCode::OK, &format!("Your new {one}"), Width::Narrow, Some(who), &body)
    }

    fn recipes(&self, user: &str) -> Markup {
        let (setup, one) = (self.setup(), self.setup().wording.one);
        let host = setup.server.split_once("://").map_or("", |(_, rest)| rest);
        let filled = |line: &str| {
            let line = line.replace("{url}", &setup.server).replace("{host}", host);
            line.replace("{user}", user)
        };
        html! {
            section.card {
                h2 { "Ready-made lines" }
                p {
                    "None of them holds the " (one) ": each program asks for it, so it stays out "
                    "of your shell's history."
                }
                @for recipe in &setup.recipes {
                    details {
                        summary { (recipe.program) }
                        @if !recipe.hint.is_empty() { p.hint { (recipe.hint) } }
                        pre { (filled(recipe.line)) }
                    }
                }
            }
        }
    }
}

/// A field that is selected whole when it is entered, with a button beside.
fn field(id: &str, name: &str, value: &str) -> Markup {
    html! {
        div.copy.one {
            label for=(id) { (name) }
            input id=(id) value=(value) readonly spellcheck="false" autocomplete="off"
                autocapitalize="none" translate="no";
            button type="button" data-copy=(id) {
                span data-words { "Copy" }
                span.hidden { " " (name.to_lowercase()) }
            }
        }
    }
}

fn prefix(text: &str) -> &str {
    text.find('_').map_or("", |end| &text[..=end])
}

/// Writes the text in groups of five. The gaps are margins, so a copy has none.
fn groups(text: &str) -> Markup {
    let prefix = prefix(text);
    let body: Vec<char> = text[prefix.len()..].chars().collect();
    html! {
        p.groups translate="no" {
            span { (prefix) }
            @for group in body.chunks(5) { wbr; span { (group.iter().collect::<String>()) } }
        }
    }
}
