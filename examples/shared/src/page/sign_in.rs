//! Signing in and out by the main password, and showing it again.

use app_tokens::clock::{Clock as _, SystemClock};
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::form::Fields;
use super::layout::Width;
use super::{Gate, Page, SignedIn, admin, create, replace, times};
use crate::accounts::SignInRefused;
use crate::log;

const REFRESH: HeaderName = HeaderName::from_static("refresh");

impl Page {
    /// Makes the page to sign in. It leads to `to` afterwards.
    pub(super) fn sign_in_page(
        &self,
        status: StatusCode,
        to: &str,
        name: &str,
        refused: Option<&str>,
    ) -> Response {
        if self.front().login_proxy.is_some() {
            let heading = "You are not signed in";
            let what_to_do = "Sign in at the login page of your organisation, and come back.";
            return self.problem(StatusCode::UNAUTHORIZED, heading, what_to_do, None);
        }
        let many = super::layout::capital(self.setup().wording.many);
        let body = html! {
            div.card {
                h1 { "Sign in" }
                p.soft { "With your account's main password. " (many) " don't open this page." }
                form.after method="post" action="/sign-in" {
                    input type="hidden" name="to" value=(to);
                    div.field {
                        label for="name" { "User name" }
                        input #name name="name" value=(name) autocomplete="username"
                            autocapitalize="none" spellcheck="false" required;
                    }
                    (password(refused))
                    div.buttons.wide { button.primary { "Sign in" } }
                }
            }
        };
        let title = if refused.is_some() { "Error: Sign in" } else { "Sign in" };
        self.answer(status, title, Width::Small, None, &body)
    }

    /// Makes the page that asks for the main password again, before a token is made. `fields` are
    /// those of the form that asked for it, and `facts` what it asked for.
    pub(super) fn ask_again(
        &self,
        who: &SignedIn,
        act: &str,
        fields: &Fields,
        facts: &Markup,
        refused: Option<&str>,
    ) -> Response {
        let wording = &self.setup().wording;
        let carried: Vec<_> = fields.without(&["password", "name", "act"]).collect();
        let body = html! {
            a.back href="/" { (wording.title) }
            div.card {
                h1 { "Confirm it's you" }
                p.soft {
                    "Your main password, once more, before a new " (wording.one) " is made."
                }
                dl.facts.after { (facts) }
                form.after method="post" action="/again" {
                    input type="hidden" name="act" value=(act);
                    @for (name, value) in carried {
                        input type="hidden" name=(name) value=(value);
                    }
                    div.field {
                        label for="name" { "User name" }
                        input #name name="name" value=(who.account.name)
                            autocomplete="username" readonly;
                    }
                    (password(refused))
                    div.buttons.wide {
                        button.primary { "Confirm and go on" }
                        a.button href="/" { "Cancel" }
                    }
                }
            }
        };
        let status = if refused.is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        let title = if refused.is_some() { "Error: Confirm it's you" } else { "Confirm it's you" };
        self.answer(status, title, Width::Small, Some(who), &body)
    }

    /// Returns the page that sends a person to the login proxy again, if there is one and the
    /// sign-in is too old. It leads to `to` afterwards.
    ///
    /// It comes before a form: what was typed would not survive the way to the proxy.
    pub async fn ask_proxy(&self, who: &SignedIn, to: &str) -> Option<Response> {
        if self.front().login_proxy.is_none() || self.is_fresh(who) {
            return None;
        }
        Some(self.send_to_proxy(who, to).await)
    }

    async fn send_to_proxy(&self, who: &SignedIn, to: &str) -> Response {
        let once = match self.once(who).await {
            Ok(once) => once,
            Err(response) => return response,
        };
        let wording = &self.setup().wording;
        let body = html! {
            a.back href="/" { (wording.title) }
            div.card {
                h1 { "Confirm it's you" }
                p.soft { "Sign in once more, before a new " (wording.one) " is made." }
                div.buttons.wide.after {
                    a.button.primary
                        href={ "/again?once=" (once) "&session=" (who.session.id) "&to=" (to) } {
                        "Sign in again"
                    }
                    a.button href="/" { "Cancel" }
                }
            }
        };
        self.answer(StatusCode::OK, "Confirm it's you", Width::Small, Some(who), &body)
    }

    /// Makes the page after a fresh sign-in, which goes on by itself.
    ///
    /// Not a redirect: the browser still counts it as a visit from the login page, and keeps back a
    /// cookie that is `SameSite=Strict`. What this page leads to is our own.
    fn confirmed(&self, who: &SignedIn, to: &str) -> Response {
        let body = html! {
            div.card {
                h1 { "It's you" }
                p.soft { "This page goes on by itself." }
                div.buttons.wide.after { a.button.primary href=(to) { "Go on" } }
            }
        };
        let mut response = self.answer(StatusCode::OK, "It's you", Width::Small, Some(who), &body);
        // What is no header value is left to the button.
        if let Ok(refresh) = HeaderValue::try_from(format!("0; url={to}")) {
            response.headers_mut().insert(REFRESH, refresh);
        }
        response
    }
}

fn password(refused: Option<&str>) -> Markup {
    let wrong = refused.map(|_| "true");
    html! {
        div.field {
            label for="password" { "Main password" }
            input #password name="password" type="password" autocomplete="current-password"
                required aria-invalid=[wrong] aria-describedby=[wrong.map(|_| "password-error")];
            @if let Some(words) = refused {
                p.error #password-error role="alert" {
                    span { span.hidden { "Error: " } (words) }
                }
            }
        }
    }
}

/// Says why a sign-in was refused, and what to do.
fn words(refused: SignInRefused, what_is_wrong: &str) -> (StatusCode, String) {
    match refused {
        SignInRefused::Wrong { tries_left: 0 } => (
            StatusCode::UNAUTHORIZED,
            format!("{what_is_wrong} Wait a little before the next try."),
        ),
        SignInRefused::Wrong { tries_left: 1 } => {
            (StatusCode::UNAUTHORIZED, format!("{what_is_wrong} One try is left, then wait."))
        }
        SignInRefused::Wrong { tries_left } if tries_left < 5 => {
            (StatusCode::UNAUTHORIZED, format!("{what_is_wrong} {tries_left} tries are left."))
        }
        SignInRefused::Wrong { .. } => (StatusCode::UNAUTHORIZED, what_is_wrong.to_owned()),
        SignInRefused::Token => {
            let words = "This is for an app. Sign in with your main password.";
            (StatusCode::UNAUTHORIZED, words.into())
        }
        SignInRefused::NoPasswords => {
            let words = "There are no main passwords here. Sign in at the login page.";
            (StatusCode::FORBIDDEN, words.into())
        }
        SignInRefused::Stopped { wait } => {
            let wait = times::in_words(wait);
            let words = format!("There were too many wrong passwords. Try again in {wait}.");
            (StatusCode::TOO_MANY_REQUESTS, words)
        }
        SignInRefused::Busy => {
            let words = "Too many people sign in at this moment. Try again.";
            (StatusCode::SERVICE_UNAVAILABLE, words.into())
        }
    }
}

pub(super) async fn sign_in(
    State(page): State<Page>,
    Extension(gate): Extension<Gate>,
    fields: Fields,
) -> Response {
    let to = local(fields.text("to"));
    if page.front().login_proxy.is_some() {
        return Redirect::to(to).into_response();
    }
    let (name, password) = (fields.text("name"), fields.text("password"));
    let account = match page.0.accounts.sign_in(name, password, gate.visitor.address).await {
        Ok(account) => account,
        Err(refused) => {
            let wrong = "The user name or the password is wrong.";
            let (status, words) = words(refused, wrong);
            return page.sign_in_page(status, to, name, Some(&words));
        }
    };
    match page.0.sessions.begin(&account.owner, &gate.visitor).await {
        Ok(cookie) => ([(SET_COOKIE, cookie)], Redirect::to(to)).into_response(),
        Err(error) => {
            log::say(format_args!("no session could be made: {error}"));
            page.unavailable(None)
        }
    }
}

/// Returns a path of this site, or else the list's. Browsers read `//x` and `/\x` as another host,
/// and leave out tabs and line ends first.
fn local(to: &str) -> &str {
    let is_clean = !to.contains(|c: char| c.is_control());
    let is_local = is_clean && to.starts_with('/') && !to[1..].starts_with(['/', '\\']);
    if is_local { to } else { "/" }
}

pub(super) async fn sign_out(State(page): State<Page>, who: SignedIn) -> Response {
    // ignored: the session may have ended meanwhile, and the cookie goes in any case.
    _ = page.0.sessions.end(&who.account.owner, who.session.id).await;
    ([(SET_COOKIE, page.0.sessions.no_cookie())], Redirect::to("/")).into_response()
}

/// Comes back from the login proxy, which asks for a fresh sign-in on this path: see
/// [`crate::proxy`]. Only here a session behind that proxy becomes fresh.
///
/// A browser comes from the login page, another site, so its cookie and `Sec-Fetch-Site` say
/// nothing. The one-use text does: only our own page has one for this person.
pub(super) async fn from_proxy(
    State(page): State<Page>,
    who: SignedIn,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let query = Fields(query);
    let to = local(query.text("to"));
    let Some(login_proxy) = &page.front().login_proxy else {
        return Redirect::to(to).into_response();
    };
    if !page.take_once(&who, query.text("once")).await {
        return page.send_to_proxy(&who, to).await;
    }
    if !login_proxy.has_just_asked(&headers, SystemClock.now()) {
        let name = &who.account.name;
        log::say(format_args!(
            "the login proxy let {name:?} through to /again without a fresh sign-in; \
             see examples/shared/src/proxy.rs"
        ));
        let what_to_do = "Sign out there, and try again. If you did, tell its administrator.";
        let heading = "The login page didn't ask you again";
        return page.problem(StatusCode::FORBIDDEN, heading, what_to_do, Some(&who));
    }
    let sessions = &page.0.sessions;
    match sessions.begin(&who.account.owner, &who.visitor).await {
        Ok(cookie) => {
            // The one that asked, and the one that began by the header on the way back.
            let asked = query.text("session").parse().unwrap_or(who.session.id);
            for id in [asked, who.session.id] {
                // ignored: it may have ended meanwhile.
                _ = sessions.end(&who.account.owner, id).await;
            }
            let mut response = page.confirmed(&who, to);
            response.headers_mut().append(SET_COOKIE, cookie);
            response
        }
        Err(error) => {
            log::say(format_args!("no session could be made: {error}"));
            page.unavailable(Some(&who))
        }
    }
}

/// Takes the main password, and then does what was asked for before.
pub(super) async fn again(State(page): State<Page>, who: SignedIn, fields: Fields) -> Response {
    if page.front().login_proxy.is_some() {
        return Redirect::to("/").into_response();
    }
    let password = fields.text("password");
    let shown = page.0.accounts.sign_in(&who.account.name, password, who.visitor.address);
    match shown.await {
        // The name may have become another account's in this moment.
        Ok(account) if account.owner == who.account.owner => {}
        Ok(_) => return Redirect::to("/").into_response(),
        Err(refused) => {
            let (_, words) = words(refused, "That isn't it.");
            return match fields.text("act") {
                "replace" => replace::ask_again(&page, &who, &fields, Some(&words)).await,
                "grant" => admin::ask_again(&page, &who, &fields, Some(&words)),
                _ => create::ask_again(&page, &who, &fields, Some(&words)),
            };
        }
    }
    let Ok(cookie) = page.0.sessions.refresh(&who.session).await else {
        return Redirect::to("/").into_response();
    };
    let mut response = match fields.text("act") {
        "create" => create::create_now(&page, &who, &fields).await,
        "replace" => replace::replace_now(&page, &who, &fields).await,
        "grant" => admin::grant_now(&page, &who, &fields).await,
        _ => Redirect::to("/").into_response(),
    };
    response.headers_mut().append(SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_a_path_of_this_site_is_gone_to() {
        for path in ["/", "/new", "/tokens/x?y=/z"] {
            assert_eq!(local(path), path);
        }
        for foreign in ["", "x", "//evil", "/\\evil", "/\t/evil", "/\n/evil", "https://evil"] {
            assert_eq!(local(foreign), "/", "{foreign:?}");
        }
    }
}
