//! The tokens of all identities, for administrators: filter, grant, revoke.
//!
//! Only an account with the role that the host names sees these pages. To others they don't exist.

use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::record::{Actor, Expires, Status};
use app_tokens::{Access, NewToken, Operator, Owner, Timestamp};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use super::create::summary;
use super::end::{Question, ends_soon};
use super::form::{Fields, Problems};
use super::layout::{Width, act, capital, error};
use super::lines::{Line, Lines};
use super::list::head;
use super::notice::Done;
use super::pages::Pages;
use super::revoke::{reason, reasons};
use super::wording::EndQuestion;
use super::{Named, Page, SignedIn, times};
use crate::accounts::Account;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a host says about its administrators.
pub struct AdminView {
    /// The role that sees the page.
    pub role: &'static str,
    /// The roles that a token can have.
    pub roles: Vec<Role>,
    /// Returns whether a token of this account may have this role.
    pub may_have: fn(&Account, &str) -> bool,
}

/// A role that a token can have.
pub struct Role {
    /// Its name.
    pub name: String,
    /// What a token with it may do.
    pub access: Access,
}

impl Page {
    /// Returns whether this person sees the tokens of all identities.
    pub(super) fn is_admin(&self, who: &SignedIn) -> bool {
        let view = self.setup().admin.as_ref();
        view.is_some_and(|view| who.account.has_role(view.role))
    }

    /// Returns the host's view if this person may see it. To others there is no such page.
    fn admin(&self, who: &SignedIn) -> Result<&AdminView, Box<Response>> {
        let view = self.setup().admin.as_ref();
        view.filter(|_| self.is_admin(who)).ok_or_else(|| {
            let status = StatusCode::NOT_FOUND;
            Box::new(self.problem(status, "There is no such page", "Go on here.", Some(who)))
        })
    }

    async fn admin_page(
        &self,
        who: &SignedIn,
        view: &AdminView,
        query: &Fields,
        sent: (&Fields, &Problems),
    ) -> Response {
        let mut lines = match Lines::of_all(self.tokens()).await {
            Ok(lines) => lines,
            Err(failed) => return self.failed(&failed, who),
        };
        let once = match self.once(who).await {
            Ok(once) => once,
            Err(response) => return response,
        };
        let mut all = lines.in_use;
        all.append(&mut lines.ended);
        all.retain(|line| self.is_asked_for(line, query));
        all.sort_by_key(|line| (std::cmp::Reverse(line.token.created_at()), line.token.id()));
        let (wording, now) = (&self.setup().wording, SystemClock.now());
        let many = capital(wording.many);
        let (shown, pages) = Pages::of(&all, query, "page", "/admin/tokens");
        let (fields, problems) = sent;
        let body = html! {
            a.back href="/" { "My " (wording.many) }
            div.head {
                div {
                    h1 { (many) " of all identities" }
                    p { "Revoked ones stay here with their date." }
                }
                a.button.primary href="#grant" { (wording.new) }
            }
            (summary("Not granted yet", problems))
            @if query.text("done") == "revoked" {
                div.note.good role="status" { p { "It was " (wording.revoked) "." } }
            }
            (filter(view, query))
            section.card.flush {
                h2 { (many) " " span.soft { "(" (all.len()) ")" } }
                @if lines.is_cut {
                    p.soft { "There are more than can be shown. Name an identity." }
                }
                table role="table" {
                    caption.hidden { (many) " of all identities, the newest first" }
                    thead role="rowgroup" {
                        tr role="row" {
                            (head(&html! { "Identity" })) (head(&html! { "Role" }))
                            (head(&html! { "Created" })) (head(&html! { "Expiration" }))
                            (head(&html! { "Status" }))
                            (head(&html! { span.hidden { "Actions" } }))
                        }
                    }
                    tbody role="rowgroup" { @for line in shown { (self.admin_row(line, now)) } }
                }
                (pages.links("of the list"))
            }
            (self.grant_form(view, fields, problems, &once))
        };
        let (status, error) = match problems.is_empty() {
            true => (StatusCode::OK, ""),
            false => (StatusCode::UNPROCESSABLE_ENTITY, "Error: "),
        };
        let title = format!("{error}{many} of all identities");
        self.answer(status, &title, Width::Wide, Some(who), &body)
    }

    fn is_asked_for(&self, line: &Line, query: &Fields) -> bool {
        let (name, role, status) =
            (query.text("identity"), query.text("role"), query.text("status"));
        let is_role =
            role.is_empty() || self.setup().access.words(line.token.access()).contains(role);
        let is_status = match status {
            "active" => line.is_in_use(),
            "revoked" => line.token.revocation().is_some(),
            "expired" => !line.is_in_use() && line.token.revocation().is_none(),
            _ => true,
        };
        is_role && is_status && self.name_of(line.token.owner()).contains(name.trim())
    }

    /// Returns the login name of an account, or its id if the account is gone.
    fn name_of(&self, owner: &Owner) -> String {
        let account = self.0.accounts.by_owner(owner);
        account.map_or_else(|| owner.to_string(), |account| account.name)
    }

    fn admin_row(&self, line: &Line, now: Timestamp) -> Markup {
        let token = &line.token;
        let name = self.name_of(token.owner());
        let what = format!("{} of {name}", token.id());
        html! {
            tr role="row" {
                th scope="row" role="rowheader" {
                    bdi.name { (name) }
                    small { bdi { (token.label()) } " · " (self.starts_with(token.id())) }
                }
                td role="cell" data-label="Role" { (self.setup().access.words(token.access())) }
                td role="cell" data-label="Created" { (times::ago(token.created_at(), now)) }
                td role="cell" data-label="Expiration" {
                    @match token.expires() {
                        Expires::Never => "Never"
                        Expires::At(at) if at > now => { (times::ahead(at, now)) }
                        Expires::At(at) => { (times::ago(at, now)) }
                    }
                }
                td role="cell" data-label="Status" { (self.status(line, now)) }
                td.does role="cell" {
                    @if line.is_in_use() {
                        div {
                            a.button.danger href={ "/admin/tokens/" (token.id()) } {
                                (act(self.setup().wording.revoke, &what))
                            }
                        }
                    }
                }
            }
        }
    }

    fn grant_form(
        &self,
        view: &AdminView,
        sent: &Fields,
        problems: &Problems,
        once: &str,
    ) -> Markup {
        let wording = &self.setup().wording;
        let accounts = self.0.accounts.all();
        let (identity, role) = (sent.text("identity"), sent.text("role"));
        html! {
            section.card #grant {
                h2 { (wording.new) }
                p {
                    "Its text is shown once, after this. It works until the end of its last day, "
                    "by the clock of UTC."
                }
                form method="post" action="/admin/tokens" novalidate {
                    input type="hidden" name="once" value=(once);
                    div.row {
                        div.field {
                            label for="g-identity" { "Identity" }
                            select #g-identity name="identity" {
                                @for account in accounts.iter().filter(|one| one.is_active()) {
                                    option value=(account.owner)
                                        selected[account.owner.as_str() == identity]
                                    { (account.name) }
                                }
                            }
                        }
                        div.field {
                            label for="g-role" { "Role" }
                            select #g-role name="role"
                                aria-invalid=[problems.at("g-role").map(|_| "true")]
                            {
                                @for one in &view.roles {
                                    option selected[one.name == role] { (one.name) }
                                }
                            }
                            @if let Some(words) = problems.at("g-role") {
                                (error("g-role-error", words))
                            }
                        }
                        (self.admin_end().write(sent, problems))
                    }
                    div.buttons.wide { button.primary { (wording.create) } }
                }
            }
        }
    }

    fn admin_end(&self) -> Question<'_> {
        let policy = self.tokens().policy();
        Question {
            policy,
            asked: EndQuestion::Day,
            now: SystemClock.now(),
            kept: None,
            hint: false,
        }
    }
}

fn filter(view: &AdminView, query: &Fields) -> Markup {
    let (role, status) = (query.text("role"), query.text("status"));
    html! {
        form.card method="get" action="/admin/tokens" role="search" {
            div.row {
                div.field.last {
                    label for="q" { "Identity" }
                    input #q name="identity" type="search" autocomplete="off"
                        value=(query.text("identity"));
                }
                div.field.last {
                    label for="role" { "Role" }
                    select #role name="role" {
                        option value="" { "Any" }
                        @for one in &view.roles { option selected[one.name == role] { (one.name) } }
                    }
                }
                div.field.last {
                    label for="status" { "Status" }
                    select #status name="status" {
                        option value="" { "Any" }
                        @for (value, words) in
                            [("active", "Active"), ("expired", "Expired"), ("revoked", "Revoked")]
                        {
                            option value=(value) selected[value == status] { (words) }
                        }
                    }
                }
                button { "Show" }
            }
        }
    }
}

impl Page {
    fn status(&self, line: &Line, now: Timestamp) -> Markup {
        let token = &line.token;
        if let Some(revocation) = token.revocation() {
            let by = match &revocation.by {
                Actor::Owner(owner) => self.name_of(owner),
                Actor::Operator(operator) => operator.to_string(),
                _ => "the server".into(),
            };
            return html! {
                span.badge.ended { "Revoked" }
                small {
                    (times::ago(revocation.at, now)) ", by " bdi { (by) } ": "
                    bdi { (revocation.reason) }
                }
            };
        }
        html! {
            @if line.is_unclear() { span.badge.ended { "Can't be checked" } }
            @else if token.status() == Some(Status::Idle) {
                span.badge.over { "Not used for long" }
            }
            @else if !line.is_in_use() { span.badge.over { "Expired" } }
            @else if ends_soon(token.expires(), now) { span.badge.soon { "Ends soon" } }
            @else if line.old.is_some() { span.badge.swap { "Being replaced" } }
            @else if line.last_use.is_none() { span.badge.never { "Never used" } }
            @else { span.badge.good { "Active" } }
        }
    }
}

pub(super) async fn show(
    State(page): State<Page>,
    who: SignedIn,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    // The form begins with the last whole day of the policy's default life.
    let whole_days = page.tokens().policy().default_life().saturating_sub(DAY);
    let last = times::iso_day(SystemClock.now().saturating_add(whole_days));
    let sent = (Fields::default().with("date", &last), Problems::default());
    match page.admin(&who) {
        Ok(view) => page.admin_page(&who, view, &Fields(query), (&sent.0, &sent.1)).await,
        Err(response) => *response,
    }
}

pub(super) async fn grant(State(page): State<Page>, who: SignedIn, fields: Fields) -> Response {
    if page.is_fresh(&who) {
        grant_now(&page, &who, &fields).await
    } else if let Some(response) = page.ask_proxy(&who, "/admin/tokens").await {
        response
    } else {
        ask_again(&page, &who, &fields, None)
    }
}

/// Asks for the main password, and shows what is about to be granted.
pub(super) fn ask_again(
    page: &Page,
    who: &SignedIn,
    fields: &Fields,
    refused: Option<&str>,
) -> Response {
    if let Err(response) = page.admin(who) {
        return *response;
    }
    let owner = Owner::new(fields.text("identity")).ok();
    let name = owner.map(|owner| page.name_of(&owner)).unwrap_or_default();
    let facts = html! {
        dt { "Identity" } dd { bdi { (name) } }
        dt { "Role" } dd { bdi { (fields.text("role")) } }
        dt { "Expiration" } dd { (fields.text("date")) }
    };
    page.ask_again(who, "grant", fields, &facts, refused)
}

/// Grants a token to an identity, by an administrator who has just signed in.
pub(super) async fn grant_now(page: &Page, who: &SignedIn, fields: &Fields) -> Response {
    let view = match page.admin(who) {
        Ok(view) => view,
        Err(response) => return *response,
    };
    let mut problems = Problems::default();
    let owner = Owner::new(fields.text("identity")).ok();
    let account = owner.and_then(|owner| page.0.accounts.by_owner(&owner));
    let account = account.filter(Account::is_active);
    if account.is_none() {
        problems.add("g-identity", "The identity is missing", "Choose one of these.");
    }
    let role = view.roles.iter().find(|role| Some(&*role.name) == fields.get("role"));
    let allowed =
        |role: &&Role| account.as_ref().is_some_and(|account| (view.may_have)(account, &role.name));
    let role = role.filter(allowed);
    if role.is_none() {
        let words = "Choose a role that this identity has. Give it one first if it has none.";
        problems.add("g-role", "The identity doesn't have this role", words);
    }
    let end = page.admin_end().read(fields, &mut problems);
    let query = Fields::default();
    let (Some(account), Some(role), Some(end)) = (account, role, end) else {
        return page.admin_page(who, view, &query, (fields, &problems)).await;
    };
    if !page.take_once(who, fields.text("once")).await {
        return Done::MadeBefore.redirect(None).into_response();
    }
    let one = capital(page.setup().wording.one);
    let mut new = NewToken::new(&account.owner, one, role.access.clone());
    if account.owner != who.account.owner
        && let Ok(operator) = Operator::new(&who.account.name)
    {
        new = new.issued_by(&operator);
    }
    match page.tokens().issue(end.of(new)).await {
        Ok(issued) => page.show_once(who, &issued, None),
        Err(error) => match page.blame(&error, "", &mut problems, who) {
            Ok(()) => page.admin_page(who, view, &query, (fields, &problems)).await,
            Err(response) => *response,
        },
    }
}

pub(super) async fn ask(State(page): State<Page>, who: SignedIn, Named(id): Named) -> Response {
    if let Err(response) = page.admin(&who) {
        return *response;
    }
    let operator = match Operator::new(&who.account.name) {
        Ok(operator) => operator,
        Err(_) => return page.no_such_token(Some(&who)),
    };
    let token = match page.tokens().find(&operator, id).await {
        Ok(token) => token,
        Err(error) => return page.refused(&error.into(), &who),
    };
    let (name, word) = (page.name_of(token.owner()), page.setup().wording.revoke);
    let body = html! {
        (page.facts(&token))
        form.after method="post" action={ "/admin/tokens/" (id) } {
            (reasons())
            div.buttons.wide {
                button.primary.danger { (act(word, &format!("{id} of {name}"))) }
                a.button href="/admin/tokens" { "Keep it" }
            }
        }
    };
    let question = html! { (word) " “" bdi { (token.label()) } "” of " bdi { (name) } "?" };
    page.ask(&who, &format!("{word} a token of {name}?"), &question, &body)
}

pub(super) async fn revoke(
    State(page): State<Page>,
    who: SignedIn,
    Named(id): Named,
    fields: Fields,
) -> Response {
    if let Err(response) = page.admin(&who) {
        return *response;
    }
    let Ok(operator) = Operator::new(&who.account.name) else {
        return page.no_such_token(Some(&who));
    };
    match page.tokens().revoke(&operator, id, reason(&fields)).await {
        Ok(_) => Redirect::to("/admin/tokens?done=revoked").into_response(),
        Err(error) => page.refused(&error.into(), &who),
    }
}
