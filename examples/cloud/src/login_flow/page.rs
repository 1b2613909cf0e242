//! The pages of the login flow: who asks and for what, and how it went.

use axum::http::StatusCode;
use axum::response::Response;
use maud::html;
use shared::login_flow::Asks;
use shared::page::form::{Fields, Problems};
use shared::page::layout::{Width, error};
use shared::page::{Page, SignedIn};

/// What was wrong with an answer.
#[derive(Clone, Copy)]
pub enum Mistake<'a> {
    None,
    Password,
    Access(&'a Problems),
}

/// Makes the page that asks. What a program says about itself is never shown as a fact.
pub fn question(
    page: &Page,
    who: &SignedIn,
    asks: &Asks,
    fields: &Fields,
    mistake: Mistake<'_>,
) -> Response {
    let (status, problem) = match mistake {
        Mistake::None => (StatusCode::OK, None),
        Mistake::Password => (StatusCode::UNAUTHORIZED, None),
        Mistake::Access(problems) => (StatusCode::UNPROCESSABLE_ENTITY, Some(problems)),
    };
    let is_wrong = matches!(mistake, Mistake::Password) && fields.get("password").is_some();
    let age = match asks.at.elapsed().as_secs() / 60 {
        0 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        minutes => format!("{minutes} minutes ago"),
    };
    let address = asks.address.map_or("an unknown address".into(), |from| from.to_string());
    let body = html! {
        div.card {
            h1 { "Connect this device to your account?" }
            dl.facts.after {
                dt { "Calls itself" } dd { bdi { b { (asks.program) } } }
                dt { "Asks from" } dd { bdi { (address) } ", " (age) }
                dt { "Account" } dd { bdi { b { (who.account.name) } } }
            }
            div.note.warn.after role="note" {
                h2 { "Did you start this, just now, on your own device?" }
                p {
                    "If another person sent you this link, deny it: they would get into your "
                    "account."
                }
            }
            form.after method="post" {
                (page.setup().access.question(fields, problem.unwrap_or(&Problems::default())))
                @if !page.is_fresh(who) {
                    div.field {
                        label for="password" { "Main password" }
                        p.hint { "Once more, as you signed in a while ago." }
                        input #password name="password" type="password"
                            autocomplete="current-password"
                            aria-invalid=[is_wrong.then_some("true")]
                            aria-describedby=[is_wrong.then_some("password-error")];
                        @if is_wrong { (error("password-error", "That isn't it. Try again.")) }
                    }
                }
                div.buttons.wide {
                    button.primary name="answer" value="grant" {
                        "Grant access" span.hidden { " to " bdi { (asks.program) } }
                    }
                    button name="answer" value="deny" { "Deny" }
                }
            }
            p.hint.after { "You'll find it in your list, and can revoke it there." }
        }
    };
    let title = match status {
        StatusCode::OK => "Connect this device to your account?",
        _ => "Error: Connect this device to your account?",
    };
    page.answer(status, title, Width::Small, Some(who), &body)
}

pub fn granted(page: &Page, who: &SignedIn) -> Response {
    let next = "Go back to the device: it goes on by itself. If it doesn't within 20 minutes, \
                begin there again.";
    page.problem(StatusCode::OK, "Connected", next, Some(who))
}

pub fn denied(page: &Page, who: &SignedIn) -> Response {
    let next = "The device gets no access. Nothing was changed.";
    page.problem(StatusCode::OK, "Denied", next, Some(who))
}

pub fn gone(page: &Page, who: &SignedIn) -> Response {
    let next = "The link was used, or is older than 20 minutes. Begin again on the device.";
    page.problem(StatusCode::NOT_FOUND, "Nobody asks here", next, Some(who))
}
