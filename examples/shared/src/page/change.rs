//! A token's own page: its facts, its name, less access.

use app_tokens::TokenView;
use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::ChangeError;
use app_tokens::record::Expires;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::create::summary;
use super::form::{Fields, Problems};
use super::layout::{Width, act, back, error};
use super::list::origin;
use super::notice::Done;
use super::problem::label_words;
use super::{Named, Page, SignedIn, times};
use crate::login_flow::waits_for_device;

impl Page {
    /// Writes what there is to know about a token.
    pub(super) fn facts(&self, token: &TokenView) -> Markup {
        let now = SystemClock.now();
        html! {
            dl.facts {
                dt { "Starts with" } dd { (self.starts_with(token.id())) }
                dt { "May do" } dd { (self.setup().access.words(token.access())) }
                dt { "Last used" }
                dd {
                    @match token.last_use() {
                        Some(last) => { (times::ago(last.at, now)) (origin(last)) }
                        None => "Never"
                    }
                }
                dt { "Made" } dd { (times::day(token.created_at())) }
                dt { (self.setup().wording.ends) }
                dd {
                    @match token.expires() {
                        Expires::At(_) if waits_for_device(token) => {
                            "Within 20 minutes, unless its device fetches it"
                        }
                        Expires::At(at) => (times::day(at))
                        Expires::Never => "Never"
                    }
                }
            }
        }
    }

    fn change_page(
        &self,
        status: StatusCode,
        who: &SignedIn,
        token: &TokenView,
        label: &str,
        problems: &Problems,
    ) -> Response {
        let wording = &self.setup().wording;
        let (id, name) = (token.id(), token.label().as_str());
        let problem = problems.at("label");
        let body = html! {
            (back(self))
            h1 { bdi { (name) } }
            p.soft.lead { "Change its name, or take away what it need not do." }
            (summary("Not changed yet", problems))
            section.card { (self.facts(token)) }
            form.card method="post" action={ "/tokens/" (id) "/rename" } novalidate {
                h2 { "Name" }
                p { "Programs don't notice a new name." }
                div.field {
                    label for="label" { (wording.name) }
                    input #label name="label" value=(label) maxlength="128" required
                        autocomplete="off" aria-invalid=[problem.map(|_| "true")]
                        aria-describedby=[problem.map(|_| "label-error")];
                    @if let Some(problem) = problem { (error("label-error", problem)) }
                }
                div.buttons.wide { button.primary { "Save the name" } }
            }
            @if let Some(less) = self.setup().access.less(token.access()) {
                form.card method="post" action={ "/tokens/" (id) "/narrow" } {
                    h2 { "Let it do less" }
                    p { "It can't be given back: for more, make another " (wording.one) "." }
                    (less)
                    div.buttons.wide { button { "Let it do less" } }
                }
            }
            // Another text would end the device's request.
            @if wording.acts.replace && !waits_for_device(token) {
                section.card {
                    h2 { (wording.replace) " its text" }
                    p { "Before it ends, or when others may have seen it." }
                    div.buttons.wide {
                        a.button href={ "/tokens/" (id) "/replace" } {
                            (act(wording.replace, name))
                        }
                    }
                }
            }
            section.card {
                h2 { "End it" }
                p { "What uses it is signed out at once." }
                div.buttons.wide {
                    a.button.danger href={ "/tokens/" (id) "/revoke" } {
                        (act(wording.revoke, name))
                    }
                    @if wording.acts.others {
                        a.button.danger href={ "/tokens/" (id) "/others" } {
                            (wording.revoke) " all others"
                        }
                    }
                }
            }
        };
        let error = if problems.is_empty() { "" } else { "Error: " };
        let title = format!("{error}Change “{name}”");
        self.answer(status, &title, Width::Narrow, Some(who), &body)
    }
}

pub(super) async fn show(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    match page.find(&who, id).await {
        Ok(token) => {
            let label = token.label().as_str();
            page.change_page(StatusCode::OK, &who, &token, label, &Problems::default())
        }
        Err(response) => response,
    }
}

pub(super) async fn rename(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    let label = fields.text("label");
    let refused = match page.tokens().rename(&who.account.owner, id, label).await {
        Ok(_) => return Done::Renamed.redirect(Some(id)).into_response(),
        Err(refused) => refused,
    };
    let words = match &refused {
        ChangeError::Invalid(why) => label_words(&why.to_string()),
        ChangeError::LabelTaken => {
            format!("There is already a “{label}”. Add what tells them apart.")
        }
        _ => return page.refused(&refused.into(), &who),
    };
    let mut problems = Problems::default();
    problems.add("label", "The name can't be used", words);
    match page.find(&who, id).await {
        Ok(token) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            page.change_page(status, &who, &token, label, &problems)
        }
        Err(response) => response,
    }
}

pub(super) async fn narrow(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    let token = match page.find(&who, id).await {
        Ok(token) => token,
        Err(response) => return response,
    };
    let Some(access) = page.setup().access.read_less(token.access(), &fields) else {
        return page.refused(&ChangeError::MoreAccess.into(), &who);
    };
    match page.tokens().narrow(&who.account.owner, id, access).await {
        Ok(_) => Done::Narrowed.redirect(Some(id)).into_response(),
        Err(refused) => page.refused(&refused.into(), &who),
    }
}
