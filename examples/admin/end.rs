//! Ending: revoke, forget, purge.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use app_tokens::store::Filter;
use app_tokens::{By, Clock as _, Owner, SystemClock, TokenId, TokenPage, TokenView};

use crate::look::each_page;
use crate::options::{Forget, Revoke, Setting};
use crate::print::{Listing, note, say};
use crate::problem::{Exit, Problem};
use crate::setting::{Needs, Opened};

pub async fn revoke(setting: &Setting, wish: &Revoke) -> Result<(), Problem> {
    let who = setting.operator()?;
    let now = SystemClock.now();
    let filter = match wish.id {
        Some(id) => Filter::of_id(id),
        None => wish.which.filter(now),
    };
    // A use is written by its host a minute late, or later where that is busy.
    let newest = now.saturating_sub(Duration::from_secs(60 * 60));
    if filter.last_used_before.is_some_and(|since| since > newest) {
        return Err(Problem::usage(
            "--unused-since lies within the last hour, whose uses may not be written yet; --all ends every token",
        ));
    }
    let opened = setting.open(Needs::Store).await?;
    if wish.dry_run {
        return print_doomed(setting, &opened, &filter).await;
    }
    if wish.id.is_none() && !wish.yes {
        let doomed = doomed(&opened, &filter).await?;
        let count = doomed.tokens.len() + doomed.damaged.len();
        ask(format_args!("End {count} tokens?"), count)?;
    }
    let by = By::Operator(who.as_str());
    let ended = match wish.id {
        Some(id) => opened.tokens.revoke(by, id, wish.reason.clone()).await?,
        None => opened.tokens.revoke_matching(by, &filter, wish.reason.clone()).await?,
    };
    match ended {
        0 if wish.id.is_some() => say("it was revoked already"),
        0 => Err(Problem::new(Exit::Unknown, "there is nothing to revoke")),
        _ => say(format_args!("revoked {ended}")),
    }
}

/// What a revocation would end: what matches and is not revoked yet, and what was issued under whatever matches, so far as that can
/// be read.
async fn doomed(opened: &Opened, filter: &Filter) -> Result<TokenPage, Problem> {
    let mut doomed = TokenPage { tokens: Vec::new(), damaged: Vec::new(), next: None };
    let living = Filter { revoked: Some(false), ..filter.clone() };
    each_page(opened, &living, |page| {
        doomed.tokens.extend(page.tokens);
        doomed.damaged.extend(page.damaged);
        Ok(())
    })
    .await?;
    let mut families = BTreeSet::new();
    each_page(opened, filter, |page| {
        families.extend(page.tokens.iter().map(|token| (token.owner().clone(), token.family())));
        Ok(())
    })
    .await?;
    let known: BTreeSet<TokenId> = doomed.tokens.iter().map(TokenView::id).collect();
    let owners: BTreeSet<Owner> = families.iter().map(|(owner, _)| owner.clone()).collect();
    for owner in owners {
        let is_derived = |token: &TokenView| {
            let from = token.derived_from().map(|family| (owner.clone(), family));
            from.is_some_and(|from| families.contains(&from)) && !known.contains(&token.id())
        };
        let his = Filter { revoked: Some(false), ..Filter::of_owner(&owner) };
        each_page(opened, &his, |page| {
            doomed.tokens.extend(page.tokens.into_iter().filter(is_derived));
            Ok(())
        })
        .await?;
    }
    Ok(doomed)
}

async fn print_doomed(setting: &Setting, opened: &Opened, filter: &Filter) -> Result<(), Problem> {
    let mut listing = Listing::new(setting.json, opened.unclear);
    listing.page(&doomed(opened, filter).await?)?;
    match listing.end()? {
        0 => Err(Problem::new(Exit::Unknown, "there is nothing to revoke")),
        count => {
            note(format_args!("would revoke {count}; nothing was done"));
            Ok(())
        }
    }
}

pub async fn forget(setting: &Setting, wish: &Forget) -> Result<(), Problem> {
    let who = setting.operator()?;
    let opened = setting.open(Needs::Store).await?;
    let deleted = match (wish.id, &wish.owner) {
        (Some(id), _) => opened.tokens.forget(By::Operator(who.as_str()), id).await?,
        (None, Some(owner)) => {
            if !wish.yes {
                let mut count = 0;
                each_page(&opened, &Filter::of_owner(owner), |page| {
                    count += page.tokens.len() + page.damaged.len();
                    Ok(())
                })
                .await?;
                ask(format_args!("Erase {count} tokens of {owner}?"), count)?;
            }
            opened.tokens.forget_owner(owner, who.as_str()).await?
        }
        (None, None) => return Err(Problem::usage("which token, or whose?")),
    };
    match deleted {
        0 => Err(Problem::new(Exit::Unknown, "there is nothing to forget")),
        _ => say(format_args!("erased {deleted}")),
    }
}

pub async fn purge(setting: &Setting) -> Result<(), Problem> {
    // By another host's idle time-out it would delete tokens that are in use.
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    say(format_args!("deleted {}", opened.tokens.purge().await?))
}

/// Whether a person at a terminal wants it.
fn ask(question: impl std::fmt::Display, count: usize) -> Result<(), Problem> {
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(Problem::usage(
            "this may end many tokens: say --yes, or look with revoke --dry-run",
        ));
    }
    if count == 0 {
        return Err(Problem::new(Exit::Unknown, "no token matches"));
    }
    note(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Problem::failed("nothing was done")),
    }
}
