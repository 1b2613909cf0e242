//! The list: tokens in use, those that have ended, browser sessions.

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::record::{Actor, Expires, LastUse, Status};
use app_tokens::{Timestamp, TokenId};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::form::Fields;
use super::layout::{Width, act, mark};
use super::lines::{Line, Lines};
use super::pages::Pages;
use super::wording::{Column, FormPlace, Wording};
use super::{Page, SignedIn, end, times};
use crate::login_flow::waits_for_device;

pub(super) async fn show(
    State(page): State<Page>,
    who: SignedIn,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let query = Fields(query);
    let lines = match Lines::read(page.tokens(), &who.account.owner).await {
        Ok(lines) => lines,
        Err(failed) => return page.failed(&failed, &who),
    };
    let sessions = match page.sessions(&who).await {
        Ok(sessions) => sessions,
        Err(failed) => return page.failed(&failed, &who),
    };
    let wording = &page.setup().wording;
    let form = match wording.form {
        FormPlace::OwnPage => html! {},
        FormPlace::BelowList => match page.once(&who).await {
            Ok(once) => page.form_below(&who, &once),
            Err(response) => return response,
        },
    };
    let (now, new) = (SystemClock.now(), new_link(wording));
    let is_empty = lines.in_use.is_empty() && lines.damaged.is_empty();
    let has_link = !is_empty || wording.form == FormPlace::BelowList;
    let body = html! {
        div.head {
            div { h1 { (wording.title) } p { (wording.lead) } }
            @if page.is_admin(&who) { a.button href="/admin/tokens" { "All identities" } }
            @if has_link { (new) }
        }
        (page.notice(&query, &lines))
        (page.soon(&lines, now))
        @if is_empty { (page.nothing_yet()) } @else { (page.in_use(&lines, &query, now)) }
        @if !lines.ended.is_empty() { (page.ended(&lines, &query, now)) }
        (sessions)
        (form)
    };
    page.answer(StatusCode::OK, wording.title, Width::Wide, Some(&who), &body)
}

fn new_link(wording: &Wording) -> Markup {
    let to = match wording.form {
        FormPlace::OwnPage => "/new",
        FormPlace::BelowList => "#new",
    };
    html! { a.button.primary href=(to) { (wording.new) } }
}

impl Page {
    fn nothing_yet(&self) -> Markup {
        let wording = &self.setup().wording;
        html! {
            section.card.empty aria-labelledby="none" {
                (mark())
                h2 #none { "No " (wording.many) " yet" }
                p { (wording.empty) }
                (new_link(wording))
            }
        }
    }

    /// Points out what ends soon, wherever it is in the list.
    fn soon(&self, lines: &Lines, now: Timestamp) -> Markup {
        let ends = |line: &&Line| ends_soon(line, now);
        let mut soon: Vec<_> = lines.in_use.iter().filter(ends).collect();
        soon.sort_by_key(|line| line.token.expires().at());
        let wording = &self.setup().wording;
        let Some(first) = soon.first() else {
            return html! {};
        };
        let may_replace = wording.acts.replace;
        html! {
            div.note.warn role="note" {
                p {
                    "“" bdi { (first.token.label()) } "” " (wording.ends.to_lowercase()) " "
                    @if let Some(at) = first.token.expires().at() { (times::ahead(at, now)) }
                    @match soon.len() - 1 {
                        0 => "."
                        1 => ", and one more within 7 days."
                        more => { ", and " (more) " more within 7 days." }
                    }
                    @if may_replace { " " (wording.replace) " it before, and nothing stops." }
                }
            }
        }
    }

    fn in_use(&self, lines: &Lines, query: &Fields, now: Timestamp) -> Markup {
        let wording = &self.setup().wording;
        let count = lines.in_use.len() + lines.damaged.len();
        let (shown, pages) = Pages::of(&lines.in_use, query, "page", "/");
        let is_last = pages.is_last();
        let selects = wording.acts.select && lines.in_use.len() > 1;
        let head = html! {
            tr role="row" {
                @if selects { (head(&html! { span.hidden { "Select" } })) }
                (head(&html! { (wording.name) }))
                @for column in wording.columns { (head(&html! { (column.head(wording)) })) }
                (head(&html! { span.hidden { "Actions" } }))
            }
        };
        let content = html! {
            h2 { (wording.in_use) " " span.soft { "(" (count) ")" } }
            @if lines.is_cut {
                p.soft { "There are more than can be shown. Revoke what is not needed." }
            }
            table role="table" {
                caption.hidden { (wording.in_use) ", the newest first" }
                thead role="rowgroup" { (head) }
                tbody role="rowgroup" {
                    @for line in shown { (self.row(line, selects, now)) }
                    @if is_last {
                        @for id in &lines.damaged { (self.damaged_row(*id, selects)) }
                    }
                }
            }
            @if selects {
                div.foot {
                    span.soft { "You'll be asked once more." }
                    button.danger { (wording.revoke) " selected " (wording.many) }
                }
            }
            (pages.links("of the list"))
        };
        html! {
            @if selects {
                form.card.flush method="post" action="/tokens/revoke" { (content) }
            } @else {
                section.card.flush { (content) }
            }
            @for Line { token, .. } in shown { (self.popup(token.id(), token.label().as_str())) }
            @if is_last {
                @for id in &lines.damaged { (self.popup(*id, &id.to_string())) }
            }
        }
    }

    fn row(&self, line: &Line, selects: bool, now: Timestamp) -> Markup {
        let (wording, token) = (&self.setup().wording, &line.token);
        let (id, label) = (token.id(), token.label().as_str());
        html! {
            tr role="row" {
                @if selects {
                    td.pick role="cell" {
                        label.check {
                            input type="checkbox" name="id" value=(id);
                            span.hidden { "Select " bdi { (label) } }
                        }
                    }
                }
                th scope="row" role="rowheader" {
                    @if wording.acts.change {
                        a.name href={ "/tokens/" (id) } { bdi { (label) } }
                    } @else {
                        bdi.name { (label) }
                    }
                    (badge(line, wording, now))
                    small {
                        (self.starts_with(id)) " · "
                        @if let Some(old) = &line.old {
                            (wording.replaced) " " (times::ago(token.created_at(), now))
                            ". The old one, " (self.starts_with(old.id())) ", works until "
                            @if let Some(at) = old.expires().at() {
                                time datetime=(at) { (times::instant_in_words(at)) }
                            }
                            "."
                        } @else {
                            "made " (times::ago(token.created_at(), now))
                        }
                    }
                }
                @for column in wording.columns {
                    td role="cell" data-label=(column.head(wording)) {
                        (self.cell(*column, line, now))
                    }
                }
                td.does role="cell" { div { (self.acts(line, now)) } }
            }
        }
    }

    /// Writes what is urgent, and else what there is to change. The name leads there in any case.
    fn acts(&self, line: &Line, now: Timestamp) -> Markup {
        let wording = &self.setup().wording;
        let (id, label) = (line.token.id(), line.token.label().as_str());
        let works = !line.is_unclear();
        let is_urgent = ends_soon(line, now) || !wording.acts.change;
        // Another text would end the device's request.
        let may_be_replaced = works && is_urgent && !waits_for_device(&line.token);
        html! {
            @if line.old.is_some() {
                a.button href={ "/tokens/" (id) "/end-old" } {
                    (act("End old one", &format!("of {label}")))
                }
            } @else if wording.acts.replace && may_be_replaced {
                a.button href={ "/tokens/" (id) "/replace" } { (act(wording.replace, label)) }
            } @else if wording.acts.change && works {
                a.button href={ "/tokens/" (id) } { (act("Change", label)) }
            }
            (self.revoke_button(id, label))
        }
    }

    fn damaged_row(&self, id: TokenId, selects: bool) -> Markup {
        let wording = &self.setup().wording;
        let name = id.to_string();
        html! {
            tr role="row" {
                @if selects { td.pick role="cell" {} }
                th scope="row" role="rowheader" {
                    (self.starts_with(id)) " " span.badge.ended { "Can't be checked" }
                    small { "It lets nobody in." }
                }
                @for column in wording.columns {
                    td role="cell" data-label=(column.head(wording)) { "Unknown" }
                }
                td.does role="cell" {
                    div { (self.revoke_button(id, &name)) }
                }
            }
        }
    }

    fn cell(&self, column: Column, line: &Line, now: Timestamp) -> Markup {
        match column {
            Column::Access(_) => html! { (self.setup().access.words(line.token.access())) },
            Column::Created => times::ago(line.token.created_at(), now),
            Column::LastUsed(_) => used(line, now),
            Column::Ends => match line.token.expires() {
                Expires::Never => html! { "Never" },
                Expires::At(at) => html! {
                    (times::ahead(at, now))
                    small {
                        @if waits_for_device(&line.token) { "unless its device fetches it" }
                        @else { (times::short_day(at)) }
                    }
                },
            },
        }
    }

    fn ended(&self, lines: &Lines, query: &Fields, now: Timestamp) -> Markup {
        let (shown, pages) = Pages::of(&lines.ended, query, "ended", "/");
        let kept = times::in_days(self.tokens().policy().retention());
        let has_retention = !self.tokens().policy().retention().is_zero();
        let name = self.setup().wording.name;
        html! {
            section.card.flush {
                h2 { "No longer valid " span.soft { "(" (lines.ended.len()) ")" } }
                @if has_retention {
                    p.soft { "Kept for " (kept) ", so that you can see what there was." }
                }
                table role="table" {
                    caption.hidden { "No longer valid, the newest first" }
                    thead role="rowgroup" {
                        tr role="row" {
                            (head(&html! { (name) })) (head(&html! { "Was good" }))
                            (head(&html! { "Last used" })) (head(&html! { "Ended" }))
                        }
                    }
                    tbody role="rowgroup" {
                        @for line in shown { (self.ended_row(line, now)) }
                    }
                }
                div.foot {
                    span.soft { "You'll be asked once more." }
                    a.button.danger href="/tokens/erase" { "Erase what is no longer valid" }
                }
                (pages.links("of what is no longer valid"))
            }
        }
    }

    fn ended_row(&self, line: &Line, now: Timestamp) -> Markup {
        let (token, wording) = (&line.token, &self.setup().wording);
        let (badge, at, why) = match (token.revocation(), token.status()) {
            (Some(revocation), _) => {
                let by = match &revocation.by {
                    Actor::Owner(_) => html! { "by you: " bdi { (revocation.reason) } },
                    Actor::Operator(_) => {
                        html! { "by an administrator: " bdi { (revocation.reason) } }
                    }
                    _ => html! { bdi { (revocation.reason) } },
                };
                let word = super::layout::capital(wording.revoked);
                (html! { span.badge.ended { (word) } }, Some(revocation.at), by)
            }
            (None, Some(Status::Idle)) => {
                let badge = html! { span.badge.over { "Not used for long" } };
                (badge, None, html! { "it was not used" })
            }
            (None, Some(Status::Superseded)) => {
                let badge = html! { span.badge.over { "Replaced" } };
                (badge, token.expires().at(), html! { "it was replaced" })
            }
            _ => {
                let badge = html! { span.badge.over { "Expired" } };
                (badge, token.expires().at(), html! { "its time was over" })
            }
        };
        html! {
            tr role="row" {
                th scope="row" role="rowheader" {
                    bdi.name { (token.label()) } " " (badge)
                    small { (self.starts_with(token.id())) }
                }
                td role="cell" data-label="Was good" {
                    (times::months(token.created_at(), at))
                }
                td role="cell" data-label="Last used" { (used(line, now)) }
                td role="cell" data-label="Ended" {
                    @if let Some(at) = at { (times::ago(at, now)) }
                    small { (why) }
                }
            }
        }
    }

    /// Writes the public beginning of a token.
    pub(super) fn starts_with(&self, id: TokenId) -> Markup {
        html! { code { (self.tokens().policy().prefix()) "_" (id) "…" } }
    }
}

impl Column {
    fn head(self, wording: &Wording) -> &'static str {
        match self {
            Column::Access(head) | Column::LastUsed(head) => head,
            Column::Created => "Created",
            Column::Ends => wording.ends,
        }
    }
}

pub(super) fn head(content: &Markup) -> Markup {
    html! { th scope="col" role="columnheader" { (content) } }
}

fn ends_soon(line: &Line, now: Timestamp) -> bool {
    let may_be_replaced = !line.is_unclear() && !waits_for_device(&line.token);
    may_be_replaced && end::ends_soon(line.token.expires(), now)
}

fn badge(line: &Line, wording: &Wording, now: Timestamp) -> Markup {
    html! {
        @if line.is_unclear() { " " span.badge.ended { "Can't be checked" } }
        @if ends_soon(line, now) { " " span.badge.soon { (wording.ends) " soon" } }
        @if line.old.is_some() { " " span.badge.swap { "Being replaced" } }
        @else if waits_for_device(&line.token) { " " span.badge.swap { "Waits for its device" } }
        @else if line.last_use.is_none() && !line.is_unclear() {
            " " span.badge.never { "Never used" }
        }
    }
}

fn used(line: &Line, now: Timestamp) -> Markup {
    let Some(last) = &line.last_use else {
        return html! { "Never" };
    };
    html! {
        (times::ago(last.at, now))
        @if line.used_old { small { "with the old one" } }
        (origin(last))
    }
}

/// Writes where a use came from, if the policy records it. A program may call itself anything.
pub(super) fn origin(last: &LastUse) -> Markup {
    html! {
        @if last.address.is_some() || last.client.is_some() {
            small.origin {
                @if let Some(address) = last.address { "from " bdi { (address) } " " }
                @if let Some(client) = &last.client { "with " bdi { (client) } }
            }
        }
    }
}
