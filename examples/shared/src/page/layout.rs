//! The frame of every page: head, bar, headers of the answer.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::{Page, SignedIn};

/// How wide a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A question or a sign-in.
    Small,
    /// A form.
    Narrow,
    /// A list.
    Wide,
}

/// Nothing may be loaded but our own style sheet and script, and no page may be framed.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                      img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; \
                      base-uri 'none'";

impl Page {
    /// Makes a page in the host's look. The title gets the product's name.
    pub fn answer(
        &self,
        status: StatusCode,
        title: &str,
        width: Width,
        who: Option<&SignedIn>,
        body: &Markup,
    ) -> Response {
        let product = self.setup().wording.product;
        let class = match width {
            Width::Small => Some("small"),
            Width::Narrow => Some("narrow"),
            Width::Wide => None,
        };
        let may_sign_out = self.front().login_proxy.is_none();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " – " (product) }
                    link rel="stylesheet" href="/style.css";
                    script src="/copy.js" defer {}
                }
                body {
                    header.top {
                        a.brand href="/" { (mark()) (product) }
                        @if let Some(who) = who {
                            form method="post" action="/sign-out" {
                                span.who {
                                    span.hidden { "Signed in as " } bdi { (who.account.name) }
                                }
                                @if may_sign_out { button.quiet { "Sign out" } }
                            }
                        }
                    }
                    main class=[class] { (body) }
                }
            }
        };
        let mut response = (status, Html(page.into_string())).into_response();
        let headers = [
            (CACHE_CONTROL, "no-store"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // With `no-referrer`, browsers send `Origin: null` with a form, which says nothing.
            (REFERRER_POLICY, "same-origin"),
        ];
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// Makes a page that says what is wrong and what to do.
    pub fn problem(
        &self,
        status: StatusCode,
        heading: &str,
        what_to_do: &str,
        who: Option<&SignedIn>,
    ) -> Response {
        let body = html! {
            div.card {
                h1 { (heading) }
                p.soft { (what_to_do) }
                div.buttons.wide.after {
                    a.button.primary href="/" { "Go to " (self.setup().wording.title) }
                }
            }
        };
        self.answer(status, heading, Width::Small, who, &body)
    }
}

/// The mark beside the product's name.
pub(super) fn mark() -> Markup {
    html! {
        svg viewBox="0 0 28 28" aria-hidden="true" {
            rect width="28" height="28" rx="8" fill="currentColor" {}
            g.cut fill="none" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" {
                circle cx="10.5" cy="17" r="3.7" {}
                path d="m13.3 14.2 6.2-6.2m-2.7 2.7 2.7 2.7" {}
            }
        }
    }
}

/// The words at a field that is wrong.
pub fn error(id: &str, words: &str) -> Markup {
    html! {
        p.error id=(id) { span { span.hidden { "Error: " } (words) } }
    }
}

/// The choices of a question, of which one is taken: what the form sends, what it says, and a hint
/// or nothing.
pub fn radios<'c>(
    name: &str,
    choices: impl IntoIterator<Item = (&'c str, &'c str, &'c str)>,
    chosen: &str,
) -> Markup {
    html! {
        @for (value, words, hint) in choices {
            label.choice {
                input type="radio" name=(name) value=(value) checked[value == chosen];
                span { b { (words) } @if !hint.is_empty() { small { (hint) } } }
            }
        }
    }
}

/// The text of a button that its device is named in, so that no two sound the same.
pub(super) fn act(words: &str, device: &str) -> Markup {
    html! { (words) span.hidden { " " bdi { (device) } } }
}

/// A link back to the list.
pub(super) fn back(page: &Page) -> Markup {
    html! { a.back href="/" { (page.setup().wording.title) } }
}

/// Writes a text with its first letter as a capital.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("style.css"))
}

pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("copy.js"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "public, max-age=3600"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
