//! The pages of a list: so many rows each, with links between them.

use maud::{Markup, html};

use super::form::Fields;
use super::lines::Line;
use super::wording::ROWS;

/// The pages of a list.
pub(super) struct Pages {
    /// What stands before the number in a link.
    to: String,
    number: usize,
    count: usize,
    rows: usize,
}

impl Pages {
    /// Returns the rows of the page that the address asks for, or of the nearest one. The links
    /// lead to `path`, and keep what else the address asks for.
    pub(super) fn of<'l>(
        lines: &'l [Line],
        query: &Fields,
        name: &'static str,
        path: &str,
    ) -> (&'l [Line], Pages) {
        let count = lines.len().div_ceil(ROWS).max(1);
        let asked = query.text(name).parse().unwrap_or(1);
        let number = asked.clamp(1, count);
        let shown = lines.chunks(ROWS).nth(number - 1).unwrap_or_default();
        let left_out = ["done", "id", name];
        let kept: String = query
            .without(&left_out)
            .map(|(name, value)| format!("{}={}&", encoded(name), encoded(value)))
            .collect();
        (shown, Pages { to: format!("{path}?{kept}{name}="), number, count, rows: lines.len() })
    }

    pub(super) fn is_last(&self) -> bool {
        self.number == self.count
    }

    /// Writes the links, if there is more than one page.
    pub(super) fn links(&self, of: &str) -> Markup {
        if self.count == 1 {
            return html! {};
        }
        let to = |number: usize| format!("{}{number}", self.to);
        let first = (self.number - 1) * ROWS + 1;
        let last = (self.number * ROWS).min(self.rows);
        html! {
            nav.foot aria-label={ "Pages " (of) } {
                span.soft { (first) " to " (last) " of " (self.rows) }
                span.pages {
                    @if self.number > 1 {
                        a.button href=(to(self.number - 1)) {
                            "Previous" span.hidden { " page " (of) }
                        }
                    }
                    @if !self.is_last() {
                        a.button href=(to(self.number + 1)) {
                            "Next" span.hidden { " page " (of) }
                        }
                    }
                }
            }
        }
    }
}

/// Encodes a text for an address.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
