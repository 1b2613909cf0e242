//! The command `owners`: whose tokens there are.

use std::collections::BTreeMap;

use app_tokens::record::{LastUse, Status};
use app_tokens::store::Filter;
use app_tokens::{Owner, Timestamp};
use serde_json::{Value, json};

use crate::look::Pages;
use crate::options::Setting;
use crate::print::{minute, note, say};
use crate::problem::{Exit, Problem};
use crate::setting::Needs;

/// The tokens of one owner.
#[derive(Default)]
struct Count {
    /// Those that may authenticate: active, or unchecked without the keys.
    live: u64,
    all: u64,
    last_used: Option<Timestamp>,
}

/// Counts the tokens of each owner. It holds one count an owner, and not the tokens.
pub async fn owners(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    opened.note_unchecked();
    let mut owners: BTreeMap<Owner, Count> = BTreeMap::new();
    let mut damaged = 0;
    let mut pages = Pages::of(&opened, Filter::every_token());
    while let Some(page) = pages.next().await? {
        damaged += page.damaged.len();
        for token in page.tokens {
            let count = owners.entry(token.owner().clone()).or_default();
            count.all += 1;
            count.live += u64::from(matches!(token.status(), Some(Status::Active) | None));
            count.last_used = count.last_used.max(token.last_use().map(|LastUse { at, .. }| *at));
        }
    }
    if damaged > 0 {
        note(format_args!("{damaged} rows can't be read, so their owners are not counted"));
    }
    if setting.json {
        let listed = owners.iter().map(|(owner, count)| {
            let last_used = count.last_used.map(|at| at.to_string());
            json!({
                "owner": owner.as_str(),
                "live": count.live,
                "all": count.all,
                "last_used_at": last_used,
            })
        });
        return say(listed.collect::<Value>());
    }
    if owners.is_empty() {
        return Err(Problem::new(Exit::Unknown, "there is no token"));
    }
    say(format_args!("{:>8}  {:>8}  {:16}  OWNER", "LIVE", "ALL", "LAST USED"))?;
    owners.iter().try_for_each(|(owner, count)| {
        let last_used = count.last_used.map_or("never".into(), minute);
        say(format_args!("{:8}  {:8}  {last_used:16}  {owner}", count.live, count.all))
    })
}
