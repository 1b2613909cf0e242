//! Replacing a token's text by another, and ending the old one.

use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::ChangeError;
use app_tokens::{Rotation, TokenId, TokenView};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::create::summary;
use super::end::Question;
use super::form::{Fields, Problems};
use super::layout::{Width, act, back};
use super::notice::Done;
use super::problem::end_words;
use super::wording::EndQuestion;
use super::{Named, Page, SignedIn, times};

/// How long the old one may live on, if the policy allows it.
const OVERLAPS: [(u64, &str); 4] = [
    (0, "At once"),
    (60 * 60, "In an hour"),
    (24 * 60 * 60, "In a day"),
    (7 * 24 * 60 * 60, "In 7 days"),
];

impl Page {
    /// Asks about the end only where a new token is asked, too.
    fn new_end<'p>(&'p self, token: &TokenView) -> Question<'p> {
        let asked = match self.setup().wording.end {
            EndQuestion::Choices | EndQuestion::Day => EndQuestion::Choices,
            other => other,
        };
        let (policy, kept) = (self.tokens().policy(), Some(token.expires()));
        Question { policy, asked, now: SystemClock.now(), kept, hint: true }
    }

    fn overlaps(&self) -> impl Iterator<Item = (u64, &'static str)> {
        let most = self.tokens().policy().max_overlap().as_secs();
        OVERLAPS.into_iter().filter(move |(overlap, _)| *overlap <= most)
    }

    async fn replace_page(
        &self,
        status: StatusCode,
        who: &SignedIn,
        token: &TokenView,
        chosen: &Fields,
        problems: &Problems,
    ) -> Response {
        let once = match self.once(who).await {
            Ok(once) => once,
            Err(response) => return response,
        };
        let wording = &self.setup().wording;
        let name = token.label().as_str();
        let policy_overlap = self.tokens().policy().overlap().as_secs().to_string();
        let overlap = chosen.get("overlap").unwrap_or(&policy_overlap);
        let body = html! {
            (back(self))
            h1 { (wording.replace) " “" bdi { (name) } "”" }
            p.soft.lead {
                "You get a new text. Name and access stay, and the old text ends when you say."
            }
            (summary("Not done yet", problems))
            section.card { (self.facts(token)) }
            form.card method="post" action={ "/tokens/" (token.id()) "/replace" } novalidate {
                input type="hidden" name="once" value=(once);
                input type="hidden" name="id" value=(token.id());
                fieldset {
                    legend { "When does the old one end?" }
                    div.choices {
                        @for (seconds, words) in self.overlaps() {
                            label.choice {
                                input type="radio" name="overlap" value=(seconds)
                                    checked[seconds.to_string() == *overlap];
                                span { (words) }
                            }
                        }
                    }
                }
                (self.new_end(token).write(chosen, problems))
                div.buttons.wide {
                    button.primary { (act(wording.replace, name)) }
                    a.button href="/" { "Cancel" }
                }
            }
        };
        let error = if problems.is_empty() { "" } else { "Error: " };
        let title = format!("{error}{} “{name}”", wording.replace);
        self.answer(status, &title, Width::Narrow, Some(who), &body)
    }

    /// Reads what is asked. `None` if an answer is missing or is not offered.
    fn read_rotation(
        &self,
        token: &TokenView,
        fields: &Fields,
        problems: &mut Problems,
    ) -> Option<Rotation> {
        let asked = fields.text("overlap");
        let overlap = self.overlaps().find(|(seconds, _)| seconds.to_string() == asked);
        if overlap.is_none() {
            problems.add("overlap", "When the old one ends is missing", "Choose one of these.");
        }
        let end = self.new_end(token).read(fields, problems)?;
        let rotation = Rotation::new().overlap(Duration::from_secs(overlap?.0));
        Some(match end.seen_from(SystemClock.now()) {
            Some(end) => rotation.expires(end),
            None => rotation,
        })
    }
}

pub(super) async fn show(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    if let Some(response) = page.ask_proxy(&who, &format!("/tokens/{id}/replace")).await {
        return response;
    }
    match page.find(&who, id).await {
        Ok(token) => {
            let (chosen, problems) = (Fields::default(), Problems::default());
            page.replace_page(StatusCode::OK, &who, &token, &chosen, &problems).await
        }
        Err(response) => response,
    }
}

pub(super) async fn replace(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    if page.is_fresh(&who) {
        replace_now(&page, &who, &fields).await
    } else if let Some(response) = page.ask_proxy(&who, &format!("/tokens/{id}/replace")).await {
        response
    } else {
        ask_again(&page, &who, &fields, None).await
    }
}

/// Finds the token that a form names.
async fn named(page: &Page, who: &SignedIn, fields: &Fields) -> Result<TokenView, Response> {
    match fields.text("id").parse::<TokenId>() {
        Ok(id) => page.find(who, id).await,
        Err(_) => Err(page.no_such_token(Some(who))),
    }
}

/// Asks for the main password, and shows what is about to be replaced.
pub(super) async fn ask_again(
    page: &Page,
    who: &SignedIn,
    fields: &Fields,
    refused: Option<&str>,
) -> Response {
    let token = match named(page, who, fields).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let facts: Markup = html! {
        dt { (page.setup().wording.replace) } dd { bdi { (token.label()) } }
        dt { "May do" } dd { (page.setup().access.words(token.access())) }
    };
    page.ask_again(who, "replace", fields, &facts, refused)
}

/// Replaces the text, for a person who has just signed in.
pub(super) async fn replace_now(page: &Page, who: &SignedIn, fields: &Fields) -> Response {
    let token = match named(page, who, fields).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let mut problems = Problems::default();
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(rotation) = page.read_rotation(&token, fields, &mut problems) else {
        return page.replace_page(refused, who, &token, fields, &problems).await;
    };
    if !page.take_once(who, fields.text("once")).await {
        return Done::MadeBefore.redirect(None).into_response();
    }
    match page.tokens().rotate(&who.account.owner, token.id(), rotation).await {
        Ok(issued) => {
            let old = page.tokens().find(&who.account.owner, token.id()).await;
            let until = old.ok().and_then(|old| old.expires().at());
            page.show_once(who, &issued, until)
        }
        Err(ChangeError::Life(why)) => {
            problems.add("date", "The end can't be used", end_words(&why));
            page.replace_page(refused, who, &token, fields, &problems).await
        }
        Err(error) => page.refused(&error.into(), who),
    }
}

pub(super) async fn ask_end(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    let token = match page.find(&who, id).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let name = token.label().as_str();
    let body = html! {
        (back(&page))
        div.card {
            h1 { "End the old text of “" bdi { (name) } "”?" }
            p.soft {
                "What still uses the old text is signed out at once. The new one, made "
                (times::ago(token.created_at(), SystemClock.now())) ", goes on."
            }
            form.after method="post" action={ "/tokens/" (id) "/end-old" } {
                div.buttons.wide {
                    button.primary.danger { (act("End the old one", &format!("of {name}"))) }
                    a.button href="/" { "Keep it" }
                }
            }
        }
    };
    let title = format!("End the old text of “{name}”?");
    page.answer(StatusCode::OK, &title, Width::Narrow, Some(&who), &body)
}

pub(super) async fn end_old(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    match page.tokens().end_overlap(&who.account.owner, id).await {
        Ok(_) => Done::OldEnded.redirect(Some(id)).into_response(),
        Err(error) => page.refused(&error.into(), &who),
    }
}
