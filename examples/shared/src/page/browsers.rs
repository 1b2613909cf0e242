//! The browser sessions: listed below the tokens, and ended one by one or all but this one.

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::Failed;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::layout::act;
use super::list::head;
use super::notice::Done;
use super::{Named, Page, SignedIn, times};
use crate::session;

impl Page {
    /// Writes the list of sessions, or nothing if the host doesn't list them.
    pub(super) async fn sessions(&self, who: &SignedIn) -> Result<Markup, Failed> {
        if !self.setup().wording.lists_sessions {
            return Ok(html! {});
        }
        let sessions = self.0.sessions.list(&who.account.owner).await?;
        let now = SystemClock.now();
        Ok(html! {
            section.card.flush {
                h2 { "Browser sessions " span.soft { "(" (sessions.len()) ")" } }
                p.soft {
                    @if self.front().login_proxy.is_some() { "They end " }
                    @else { "They end when you sign out, or " }
                    (times::in_words(session::LIFE)) " after you signed in."
                }
                table role="table" {
                    caption.hidden { "Browser sessions, the newest first" }
                    thead role="rowgroup" {
                        tr role="row" {
                            (head(&html! { "Browser" })) (head(&html! { "Signed in" }))
                            (head(&html! { "Last activity" }))
                            (head(&html! { span.hidden { "Actions" } }))
                        }
                    }
                    tbody role="rowgroup" {
                        @for one in &sessions {
                            @let is_this = one.id() == who.session.id;
                            tr role="row" {
                                th scope="row" role="rowheader" {
                                    bdi.name { (one.label()) }
                                    @if is_this { " " span.badge.good { "This session" } }
                                }
                                td role="cell" data-label="Signed in" {
                                    (times::ago(one.created_at(), now))
                                }
                                td role="cell" data-label="Last activity" {
                                    @match one.last_use() {
                                        Some(last) => {
                                            @if is_this { "Now" }
                                            @else { (times::ago(last.at, now)) }
                                            @if let Some(address) = last.address {
                                                small { "from " bdi { (address) } }
                                            }
                                        }
                                        None => "Not yet"
                                    }
                                }
                                td.does role="cell" {
                                    @if !is_this {
                                        div {
                                            a.button.danger href={ "/sessions/" (one.id()) } {
                                                (act("Sign out", &format!(
                                                    "{}, signed in {}",
                                                    one.label(),
                                                    times::instant_in_words(one.created_at())
                                                )))
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if sessions.len() > 1 {
                    div.foot {
                        span.soft { "This session goes on." }
                        a.button.danger href="/sessions/others" { "Sign out all other browsers" }
                    }
                }
            }
        })
    }
}

impl Page {
    /// Says what a browser needs that was signed out from elsewhere.
    fn way_back(&self) -> &'static str {
        match self.front().login_proxy {
            Some(_) => "To keep it out, sign it out at the login page, too",
            None => "To come back, it needs the main password",
        }
    }
}

pub(super) async fn ask(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    let sessions = match page.0.sessions.list(&who.account.owner).await {
        Ok(sessions) => sessions,
        Err(failed) => return page.failed(&failed, &who),
    };
    let Some(one) = sessions.iter().find(|session| session.id() == id) else {
        return Redirect::to("/").into_response();
    };
    let name = one.label().as_str();
    let body = html! {
        p.soft {
            "It signed in " (times::ago(one.created_at(), SystemClock.now()))
            ". " (page.way_back()) "."
        }
        form.after method="post" action={ "/sessions/" (id) } {
            div.buttons.wide {
                button.primary.danger { (act("Sign out", name)) }
                a.button href="/" { "Keep it" }
            }
        }
    };
    let title = format!("Sign out “{name}”?");
    page.ask(&who, &title, &html! { "Sign out “" bdi { (name) } "”?" }, &body)
}

pub(super) async fn end(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    match page.0.sessions.end(&who.account.owner, id).await {
        Ok(()) => Done::SessionEnded.redirect(None).into_response(),
        // It has ended by itself meanwhile.
        Err(_) => Redirect::to("/").into_response(),
    }
}

pub(super) async fn ask_others(State(page): State<Page>, who: SignedIn) -> Response {
    let body = html! {
        p.soft {
            "This browser stays signed in. Apps with a password of their own go on, too."
        }
        form.after method="post" action="/sessions/others" {
            div.buttons.wide {
                button.primary.danger { "Sign out all other browsers" }
                a.button href="/" { "Keep them" }
            }
        }
    };
    let title = "Sign out all other browsers?";
    page.ask(&who, title, &html! { (title) }, &body)
}

pub(super) async fn end_others(State(page): State<Page>, who: SignedIn) -> Response {
    match page.0.sessions.end_others(&who.session).await {
        Ok(_) => Done::SessionEnded.redirect(None).into_response(),
        Err(error) => page.refused(&error.into(), &who),
    }
}
