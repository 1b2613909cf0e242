//! The commands `revoke`, `forget` and `purge`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::report::TokenPage;
use app_tokens::store::{Filter, Page};
use app_tokens::{Timestamp, TokenView};

use crate::look::Pages;
use crate::options::{Forget, Revoke, Setting};
use crate::print::{Listing, note, say};
use crate::problem::{Exit, Problem};
use crate::setting::{Needs, Opened};

pub async fn revoke(setting: &Setting, wish: &Revoke) -> Result<(), Problem> {
    let now = SystemClock.now();
    let filter = match wish.id {
        Some(id) => Filter::of_id(id),
        None => wish.which.filter(now),
    };
    // Hosts write last uses about a minute late, or later if they are busy. Within an hour, a token
    // that is in use may still look unused.
    let newest = now.saturating_sub(Duration::from_secs(60 * 60));
    if filter.last_used_before.is_some_and(|since| since > newest) {
        return Err(Problem::usage(
            "--unused-since is within the last hour, and those uses may not be written yet; \
             name an earlier time, or revoke every token with --all",
        ));
    }
    if wish.dry_run {
        return print_doomed(setting, &filter, now).await;
    }
    let who = setting.operator()?;
    let opened = setting.open(Needs::Store).await?;
    if wish.id.is_none() && !wish.yes {
        refuse_without_terminal()?;
        let count = count_doomed(&opened, &filter, now).await?;
        ask(format_args!("Revoke {count} tokens?"), count)?;
    }
    let ended = match wish.id {
        Some(id) => opened.tokens.revoke(&who, id, wish.reason.clone()).await?,
        None => opened.tokens.revoke_matching(&who, &filter, wish.reason.clone()).await?,
    };
    match ended {
        0 if wish.id.is_some() => say("the token was already revoked"),
        0 => Err(Problem::new(Exit::Unknown, "there is nothing to revoke")),
        _ => say(format_args!("revoked {ended}")),
    }
}

/// Calls `take` with each page of tokens that a revocation by this filter would end, each once.
///
/// First come the matching tokens that are not revoked yet. Then come those that were issued under
/// a matching line, whether or not that is revoked, unless only rotated tokens of it match that
/// have ended. A damaged row may hide what was issued under it.
async fn each_doomed(
    opened: &Opened,
    filter: &Filter,
    now: Timestamp,
    mut take: impl FnMut(&TokenPage) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let living = |filter: &Filter| Filter { revoked: Some(false), ..filter.clone() };
    let mut matching = Pages::of(opened, living(filter));
    while let Some(page) = matching.next().await? {
        take(&page)?;
    }
    let owner = match filter.id {
        None => filter.owner.clone(),
        Some(_) => match opened.tokens.list(filter, Page::first(1)).await?.tokens.first() {
            Some(token) => Some(token.owner().clone()),
            None => return Ok(()),
        },
    };
    // A token has the same owner as the one it was issued under.
    let theirs = owner.as_ref().map_or(Filter::every_token(), Filter::of_owner);
    if *filter == theirs {
        return Ok(());
    }
    let mut others = Pages::of(opened, living(&theirs));
    while let Some(page) = others.next().await? {
        let mut derived = TokenPage { tokens: Vec::new(), damaged: Vec::new(), next: None };
        for token in page.tokens {
            if ends_for_anothers_sake(opened, filter, now, &token).await? {
                derived.tokens.push(token);
            }
        }
        take(&derived)?;
    }
    Ok(())
}

/// Whether the token doesn't match itself, but the line under which it was issued does.
async fn ends_for_anothers_sake(
    opened: &Opened,
    filter: &Filter,
    now: Timestamp,
    token: &TokenView,
) -> Result<bool, Problem> {
    let Some(line) = token.derived_from() else {
        return Ok(false);
    };
    let is_meant = |family| filter.family.is_none_or(|meant| meant == family);
    if !is_meant(line) {
        return Ok(false);
    }
    let of_line = |family| Filter {
        owner: Some(token.owner().clone()),
        family: Some(family),
        ..filter.clone()
    };
    let itself = Filter { id: filter.id.or(Some(token.id())), ..of_line(token.family()) };
    let is_over = |token: &TokenView| {
        let is_named = filter.id.or(filter.family).is_some();
        !is_named && token.successor().is_some() && token.expires().has_come(now)
    };
    Ok(is_any(opened, &of_line(line), |token| !is_over(token)).await?
        && !(is_meant(token.family()) && is_any(opened, &itself, |_| true).await?))
}

/// Whether a filter matches a damaged token, or one that is meant.
async fn is_any(
    opened: &Opened,
    filter: &Filter,
    is_meant: impl Fn(&TokenView) -> bool,
) -> Result<bool, Problem> {
    let mut pages = Pages::of(opened, filter.clone());
    while let Some(page) = pages.next().await? {
        if page.tokens.iter().any(&is_meant) || !page.damaged.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn count_doomed(opened: &Opened, filter: &Filter, now: Timestamp) -> Result<usize, Problem> {
    let mut count = 0;
    each_doomed(opened, filter, now, |page| {
        count += page.tokens.len() + page.damaged.len();
        Ok(())
    })
    .await?;
    Ok(count)
}

/// Prints what would end. Nothing is changed, so no operator is needed.
async fn print_doomed(setting: &Setting, filter: &Filter, now: Timestamp) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    // Who names a token revokes its whole line. That of a damaged row is not shown, so it may be
    // longer.
    let named = match filter.id {
        Some(_) => opened.tokens.list(filter, Page::first(1)).await?.tokens,
        None => Vec::new(),
    };
    let line = named.first().map(|token| Filter::of_family(token.owner(), token.family()));
    let filter = line.as_ref().unwrap_or(filter);
    let mut listing = Listing::new(setting.json, opened.unclear);
    each_doomed(&opened, filter, now, |page| listing.page(page)).await?;
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
        (Some(id), _) => opened.tokens.forget(&who, id).await?,
        (None, Some(owner)) => {
            if !wish.yes {
                refuse_without_terminal()?;
                let mut count = 0;
                let mut pages = Pages::of(&opened, Filter::of_owner(owner));
                while let Some(page) = pages.next().await? {
                    count += page.tokens.len() + page.damaged.len();
                }
                ask(format_args!("Forget {count} tokens of {owner}?"), count)?;
            }
            opened.tokens.forget_owner(&who, owner).await?
        }
        (None, None) => {
            return Err(Problem::usage("name a token by its id, or all of an owner with --owner"));
        }
    };
    match deleted {
        0 => Err(Problem::new(Exit::Unknown, "there is nothing to forget")),
        _ => say(format_args!("forgot {deleted}")),
    }
}

pub async fn purge(setting: &Setting) -> Result<(), Problem> {
    // Another host's policy may have an idle time-out that makes tokens in use look dead.
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    say(format_args!("purged {}", opened.tokens.purge().await?))
}

/// Refuses to go on if there is no terminal to ask at.
fn refuse_without_terminal() -> Result<(), Problem> {
    if io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Problem::usage(
        "this may revoke many tokens; confirm it with --yes, or look first with revoke --dry-run",
    ))
}

/// Asks at the terminal; anything but a clear yes is a refusal.
fn ask(question: impl std::fmt::Display, count: usize) -> Result<(), Problem> {
    if count == 0 {
        return Err(Problem::new(Exit::Unknown, "no token matches"));
    }
    note(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Problem::failed("nothing was done")),
    }
}
