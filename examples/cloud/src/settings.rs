//! What the cloud brings to the settings page: its choices of access, and lines for its clients.

use std::sync::Arc;

use app_tokens::error::InvalidText;
use app_tokens::{Access, Policy};
use shared::page::Setup;
use shared::page::access::{Choice, Choices, Everything};
use shared::page::wording::{Column, Recipe, Wording};

/// Makes the page's setup. Clients connect below `url`.
pub fn setup(wording: Wording, url: &str, policy: &Policy) -> Result<Setup, InvalidText> {
    // A page that doesn't show what a token may do doesn't ask for it, either.
    let shows_access = wording.columns.iter().any(|column| matches!(column, Column::Access(_)));
    Ok(Setup {
        wording,
        access: if shows_access { Arc::new(choices(policy)?) } else { Arc::new(Everything) },
        server: format!("{url}/dav/"),
        recipes: vec![
            Recipe {
                program: "rclone",
                hint: "Paste the app password and press Enter when it waits, then Ctrl-D.",
                line: "rclone config create cloud webdav url={url} vendor=other user={user} \
                       pass=\"$(rclone obscure -)\" --no-obscure",
            },
            Recipe {
                program: "curl",
                hint: "It asks for the app password.",
                line: "curl --user {user} -T FILE {url}",
            },
            Recipe {
                program: "File manager",
                hint: "Choose “Connect to server”, and type the user name and the app password.",
                line: "{url}",
            },
        ],
        admin: None,
    })
}

/// The narrowest first.
fn choices(policy: &Policy) -> Result<Choices, InvalidText> {
    let choice = |value, words, hint, access| Choice { value, words, hint, access };
    Ok(Choices {
        policy: policy.clone(),
        legend: "What may it do?",
        list: vec![
            choice(
                "files:read",
                "Only read files",
                "For players, viewers and TVs.",
                Access::scopes(["files:read"])?,
            ),
            choice(
                "files:write",
                "Read and change files",
                "For sync and backup.",
                Access::scopes(["files:write"])?,
            ),
            choice(
                "dates",
                "Calendars and contacts",
                "For phones and mail programs. No files.",
                Access::scopes(["calendar:write", "contacts:write"])?,
            ),
            choice(
                "everything",
                "Everything this account can do",
                "Except this page: an app password never makes another.",
                Access::full(),
            ),
        ],
        first: 0,
        only_in: None,
    })
}
