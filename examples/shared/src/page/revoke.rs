//! Revoking one token, several, all but one; erasing those that have ended. Each asks before.

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::ManageError;
use app_tokens::{Reason, TokenId};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::form::Fields;
use super::layout::{Width, act, back, capital};
use super::lines::Lines;
use super::notice::Done;
use super::{Named, Page, SignedIn, times};

/// Why, as the form sends it and the list shows it.
const REASONS: [(&str, &str, &str); 3] = [
    ("no longer needed", "No longer needed", ""),
    ("lost or stolen", "The device is lost or stolen", ""),
    ("not recognised", "I don't recognise it", "Then change your main password, too."),
];

/// Writes the form that ends a question: why, the button that revokes, and the way back.
pub(super) fn form(
    action: &str,
    hidden: &Markup,
    button: &Markup,
    (back, keep): (&str, &str),
) -> Markup {
    html! {
        form.after method="post" action=(action) {
            (hidden)
            fieldset {
                legend { "Why? " span.soft { "Kept with it in the list." } }
                div.choices {
                    @for (place, (value, words, hint)) in REASONS.into_iter().enumerate() {
                        label.choice {
                            input type="radio" name="reason" value=(value) checked[place == 0];
                            span { (words) @if !hint.is_empty() { small { (hint) } } }
                        }
                    }
                }
            }
            div.buttons.wide {
                button.primary.danger { (button) }
                a.button href=(back) { (keep) }
            }
        }
    }
}

/// Reads the reason. What is not offered counts as none, as the act matters more.
pub(super) fn reason(fields: &Fields) -> Reason {
    let asked = fields.text("reason");
    let offered = REASONS.iter().find(|(value, ..)| *value == asked);
    offered.and_then(|(value, ..)| Reason::new(value).ok()).unwrap_or(Reason::REQUESTED)
}

impl Page {
    /// Makes a page that asks before something ends.
    pub(super) fn ask(
        &self,
        who: &SignedIn,
        title: &str,
        question: &Markup,
        body: &Markup,
    ) -> Response {
        let body = html! {
            (back(self))
            div.card { h1 { (question) } (body) }
        };
        self.answer(StatusCode::OK, title, Width::Narrow, Some(who), &body)
    }
}

pub(super) async fn ask(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    let wording = &page.setup().wording;
    // A row that can't be read has no name, and can still be revoked.
    let token = page.tokens().find(&who.account.owner, id).await;
    let token = match token {
        Ok(token) => Some(token),
        Err(ManageError::Failed(failed)) => return page.failed(&failed, &who),
        Err(_) => match Lines::read(page.tokens(), &who.account.owner).await {
            Ok(lines) if lines.damaged.contains(&id) => None,
            Ok(_) => return page.no_such_token(Some(&who)),
            Err(failed) => return page.failed(&failed, &who),
        },
    };
    if token.as_ref().is_some_and(|token| token.revocation().is_some()) {
        return Done::Revoked.redirect(Some(id)).into_response();
    }
    let name = token.as_ref().map_or(id.to_string(), |token| token.label().to_string());
    let used = token.as_ref().and_then(|token| token.last_use());
    let (none, button) = (html! {}, act(wording.revoke, &name));
    let body = html! {
        div.note.warn.after role="note" {
            h2 {
                @match used {
                    Some(last) => { "It was used " (times::ago(last.at, SystemClock.now())) }
                    None => "It was never used"
                }
            }
            p {
                "What uses it is signed out at once. This can't be undone; " (wording.stays) "."
            }
        }
        @if let Some(token) = &token { (page.facts(token)) }
        (form(&format!("/tokens/{id}/revoke"), &none, &button, ("/", "Keep it")))
    };
    let title = format!("{} “{name}”?", wording.revoke);
    let question = html! { (wording.revoke) " “" bdi { (name) } "”?" };
    page.ask(&who, &title, &question, &body)
}

pub(super) async fn revoke(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    match page.tokens().revoke(&who.account.owner, id, reason(&fields)).await {
        Ok(_) => Done::Revoked.redirect(Some(id)).into_response(),
        Err(error) => page.refused(&error.into(), &who),
    }
}

/// Asks about a selection, and revokes it when the answer comes back with `sure`.
pub(super) async fn selected(State(page): State<Page>, who: SignedIn, fields: Fields) -> Response {
    let wording = &page.setup().wording;
    let lines = match Lines::read(page.tokens(), &who.account.owner).await {
        Ok(lines) => lines,
        Err(failed) => return page.failed(&failed, &who),
    };
    let ids: Vec<TokenId> = fields.all("id").filter_map(|id| id.parse().ok()).collect();
    let chosen: Vec<_> =
        lines.in_use.iter().map(|line| &line.token).filter(|t| ids.contains(&t.id())).collect();
    if chosen.is_empty() {
        let heading = "Nothing is selected";
        let what_to_do = "Tick what you want to end, and try again.";
        return page.problem(StatusCode::UNPROCESSABLE_ENTITY, heading, what_to_do, Some(&who));
    }
    if fields.get("sure").is_some() {
        for token in chosen {
            let revoked =
                page.tokens().revoke(&who.account.owner, token.id(), reason(&fields)).await;
            if let Err(error) = revoked {
                return page.refused(&error.into(), &who);
            }
        }
        return Done::Several.redirect(None).into_response();
    }
    let count = match chosen.len() {
        1 => format!("this {}", wording.one),
        count => format!("these {count} {}", wording.many),
    };
    let ids = html! {
        @for token in &chosen { input type="hidden" name="id" value=(token.id()); }
        input type="hidden" name="sure" value="yes";
    };
    let button = html! { (wording.revoke) " " (count) };
    let body = html! {
        div.note.warn.after role="note" {
            h2 { "What uses them is signed out at once" }
            p { "This can't be undone; " (wording.stays) "." }
        }
        dl.facts {
            @for token in &chosen {
                dt { bdi.name { (token.label()) } } dd { (page.starts_with(token.id())) }
            }
        }
        (form("/tokens/revoke", &ids, &button, ("/", "Keep all")))
    };
    let title = format!("{} {count}?", wording.revoke);
    page.ask(&who, &title, &html! { (title) }, &body)
}

pub(super) async fn ask_others(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
) -> Response {
    let wording = &page.setup().wording;
    let token = match page.find(&who, id).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let name = token.label();
    let button = html! { (wording.revoke) " all others" };
    let body = html! {
        div.note.warn.after role="note" {
            h2 { "Everything else is signed out at once" }
            p { "Only “" bdi { (name) } "” goes on. This can't be undone." }
        }
        (form(&format!("/tokens/{id}/others"), &html! {}, &button, ("/", "Keep all")))
    };
    let question = html! { (wording.revoke) " all " (wording.many) " but “" bdi { (name) } "”?" };
    let title = format!("{} all {} but one?", wording.revoke, wording.many);
    page.ask(&who, &title, &question, &body)
}

pub(super) async fn others(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    match page.tokens().revoke_others(&who.account.owner, id, reason(&fields)).await {
        Ok(_) => Done::Several.redirect(None).into_response(),
        Err(error) => page.refused(&error.into(), &who),
    }
}

pub(super) async fn ask_erase(State(page): State<Page>, who: SignedIn) -> Response {
    let body = html! {
        p.soft {
            "They let nobody in any more. After this, you can't see that they were there."
        }
        form.after method="post" action="/tokens/erase" {
            div.buttons.wide {
                button.primary.danger { "Erase them" }
                a.button href="/" { "Keep them" }
            }
        }
    };
    let title = format!("Erase the {} that are no longer valid?", page.setup().wording.many);
    page.ask(&who, &title, &html! { (capital(&title)) }, &body)
}

pub(super) async fn erase(State(page): State<Page>, who: SignedIn) -> Response {
    let owner = &who.account.owner;
    let lines = match Lines::read(page.tokens(), owner).await {
        Ok(lines) => lines,
        Err(failed) => return page.failed(&failed, &who),
    };
    for line in lines.ended {
        match page.tokens().forget(owner, line.token.id()).await {
            // Another request erased it first.
            Ok(_) | Err(ManageError::Unknown) => {}
            Err(error) => return page.refused(&error.into(), &who),
        }
    }
    Done::Erased.redirect(None).into_response()
}
