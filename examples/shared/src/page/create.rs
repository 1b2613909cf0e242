//! A new token: the form, and what it makes.

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::record::Expires;
use app_tokens::{Access, Label, NewToken};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::end::{End, Question};
use super::form::{Fields, Problems};
use super::layout::{Width, back, error};
use super::notice::Done;
use super::problem::label_words;
use super::{Page, SignedIn, times};

/// What a form asked for, once it is found right.
struct Wish {
    label: Label,
    access: Access,
    end: End,
}

impl Page {
    fn end_question(&self) -> Question<'_> {
        let (policy, asked) = (self.tokens().policy(), self.setup().wording.end);
        Question { policy, asked, now: SystemClock.now(), kept: None, hint: true }
    }

    /// Writes the form that stands below the list.
    pub(super) fn form_below(&self, who: &SignedIn, once: &str) -> Markup {
        let wording = &self.setup().wording;
        let user = self.0.accounts.user_name(&who.account);
        let other_name = user.filter(|user| *user != who.account.name);
        let above = html! {
            h2 { (wording.new) }
            p {
                (wording.new_lead)
                @if let Some(user) = other_name {
                    " Sign in with it as " code { (user) } ", your user name for apps."
                }
            }
        };
        self.form(&Fields::default(), &Problems::default(), once, Some(&above))
    }

    /// Writes the form with these values. `once` makes it work a single time.
    fn form(
        &self,
        chosen: &Fields,
        problems: &Problems,
        once: &str,
        above: Option<&Markup>,
    ) -> Markup {
        let wording = &self.setup().wording;
        let is_below = above.is_some();
        let problem = problems.at("label");
        let described = match problem {
            Some(_) => Some("label-error"),
            None => (!wording.name_hint.is_empty()).then_some("label-hint"),
        };
        html! {
            form.card id=[is_below.then_some("new")] method="post" action="/tokens" novalidate {
                @if let Some(above) = above { (above) }
                input type="hidden" name="once" value=(once);
                div.field {
                    label for="label" { (wording.name) }
                    @if !wording.name_hint.is_empty() {
                        p.hint #label-hint { (wording.name_hint) }
                    }
                    input #label name="label" value=(chosen.text("label")) maxlength="128"
                        required autocomplete="off" aria-invalid=[problem.map(|_| "true")]
                        aria-describedby=[described];
                    @if let Some(problem) = problem { (error("label-error", problem)) }
                }
                (self.setup().access.question(chosen, problems))
                (self.end_question().write(chosen, problems))
                div.buttons.wide {
                    button.primary { (wording.create) }
                    @if !is_below { a.button href="/" { "Cancel" } }
                }
            }
        }
    }

    /// Makes the page of the form.
    async fn form_page(
        &self,
        status: StatusCode,
        who: &SignedIn,
        chosen: &Fields,
        problems: &Problems,
        once: Option<&str>,
    ) -> Response {
        let wording = &self.setup().wording;
        let made;
        let once = match once {
            Some(once) => once,
            None => match self.once(who).await {
                Ok(text) => {
                    made = text;
                    &made
                }
                Err(response) => return response,
            },
        };
        let body = html! {
            (back(self))
            h1 { (wording.new) }
            p.soft.lead { (wording.new_lead) }
            (summary("Not created yet", problems))
            (self.form(chosen, problems, once, None))
        };
        let title = match problems.is_empty() {
            true => wording.new.to_owned(),
            false => format!("Error: {}", wording.new),
        };
        self.answer(status, &title, Width::Narrow, Some(who), &body)
    }

    /// Reads what a form asks for.
    fn read_wish(&self, fields: &Fields, problems: &mut Problems) -> Option<Wish> {
        let label = match Label::new(fields.text("label")) {
            Ok(label) => Some(label),
            Err(why) => {
                let is_missing = fields.text("label").trim().is_empty();
                let summary =
                    if is_missing { "The name is missing" } else { "The name can't be used" };
                problems.add("label", summary, label_words(&why.to_string()));
                None
            }
        };
        let access = self.setup().access.read(fields, problems);
        let end = self.end_question().read(fields, problems);
        Some(Wish { label: label?, access: access?, end: end? })
    }
}

/// Writes what is wrong on top of a form, with links to the fields.
pub(super) fn summary(heading: &str, problems: &Problems) -> Markup {
    let count = match problems.iter().len() {
        0 => return html! {},
        1 => "one thing to change".to_owned(),
        2 => "two things to change".to_owned(),
        count => format!("{count} things to change"),
    };
    html! {
        div.note.bad role="alert" tabindex="-1" autofocus {
            h2 { (heading) ": " (count) }
            ul {
                @for problem in problems.iter() {
                    li { a href={ "#" (problem.field) } { (problem.summary) } }
                }
            }
        }
    }
}

pub(super) async fn show(State(page): State<Page>, who: SignedIn) -> Response {
    if let Some(response) = page.ask_proxy(&who, "/new").await {
        return response;
    }
    page.form_page(StatusCode::OK, &who, &Fields::default(), &Problems::default(), None).await
}

pub(super) async fn create(State(page): State<Page>, who: SignedIn, fields: Fields) -> Response {
    if page.is_fresh(&who) {
        return create_now(&page, &who, &fields).await;
    }
    if let Some(response) = page.ask_proxy(&who, "/new").await {
        return response;
    }
    // Errors first: nobody is asked for a password only to hear that the name is missing.
    let mut problems = Problems::default();
    if page.read_wish(&fields, &mut problems).is_none() {
        let once = Some(fields.text("once"));
        return page
            .form_page(StatusCode::UNPROCESSABLE_ENTITY, &who, &fields, &problems, once)
            .await;
    }
    ask_again(&page, &who, &fields, None)
}

/// Asks for the main password, and shows what is about to be made.
pub(super) fn ask_again(
    page: &Page,
    who: &SignedIn,
    fields: &Fields,
    refused: Option<&str>,
) -> Response {
    let wish = page.read_wish(fields, &mut Problems::default());
    let facts = html! {
        @if let Some(wish) = wish {
            dt { (page.setup().wording.name) } dd { bdi { (wish.label) } }
            dt { "May do" } dd { (page.setup().access.words(&wish.access)) }
            @match wish.end.seen_from(SystemClock.now()) {
                Some(Expires::At(at)) => { dt { "Ends" } dd { (times::day(at)) } }
                Some(Expires::Never) => { dt { "Ends" } dd { "Never" } }
                None => {}
            }
        }
    };
    page.ask_again(who, "create", fields, &facts, refused)
}

/// Makes the token, for a person who has just signed in. Its page is the answer, so no server keeps
/// the text.
pub(super) async fn create_now(page: &Page, who: &SignedIn, fields: &Fields) -> Response {
    let mut problems = Problems::default();
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    let Some(wish) = page.read_wish(fields, &mut problems) else {
        return page.form_page(refused, who, fields, &problems, Some(fields.text("once"))).await;
    };
    if !page.take_once(who, fields.text("once")).await {
        return Done::MadeBefore.redirect(None).into_response();
    }
    let new = NewToken::new(&who.account.owner, &wish.label, wish.access);
    match page.tokens().issue(wish.end.of(new)).await {
        Ok(issued) => page.show_once(who, &issued, None),
        Err(error) => match page.blame(&error, wish.label.as_str(), &mut problems, who) {
            // A new one-use text: the form's own was taken for nothing.
            Ok(()) => page.form_page(refused, who, fields, &problems, None).await,
            Err(response) => *response,
        },
    }
}
