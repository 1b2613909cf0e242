//! The popup that asks before a token ends, without script. A browser that knows no popups shows
//! the link to the page that asks instead.

use app_tokens::TokenId;
use maud::{Markup, html};

use super::Page;
use super::layout::act;

impl Page {
    /// Writes the button that revokes a token in the end: it opens the popup, or leads to the page.
    pub(super) fn revoke_button(&self, id: TokenId, name: &str) -> Markup {
        let wording = &self.setup().wording;
        let words = act(wording.revoke, name);
        let page = format!("/tokens/{id}/revoke");
        html! {
            @if wording.popup.is_some() {
                button.danger type="button" popovertarget=(of(id)) { (words) }
                a.button.danger.else href=(page) { (words) }
            } @else {
                a.button.danger href=(page) { (words) }
            }
        }
    }

    /// Writes the popup of a token, if the system has one. It stands outside of the list, which may
    /// be a form.
    pub(super) fn popup(&self, id: TokenId, name: &str) -> Markup {
        let wording = &self.setup().wording;
        let Some(yes) = wording.popup else {
            return html! {};
        };
        let (popup, title) = (of(id), format!("{}-title", of(id)));
        html! {
            div #(popup) popover role="dialog" aria-labelledby=(title) {
                h3 #(title) { (wording.revoke) " “" bdi { (name) } "”?" }
                p {
                    "What uses it is signed out at once. This can't be undone; " (wording.stays) "."
                }
                form.buttons method="post" action={ "/tokens/" (id) "/revoke" } {
                    button.primary.danger {
                        (yes)
                        span.hidden { ", " (wording.revoke.to_lowercase()) " " bdi { (name) } }
                    }
                    // Enter alone ends nothing.
                    button type="button" autofocus popovertarget=(popup)
                        popovertargetaction="hide" {
                        "No" span.hidden { ", keep " bdi { (name) } }
                    }
                }
            }
        }
    }
}

fn of(id: TokenId) -> String {
    format!("end-{id}")
}
