//! Ending: revoke, forget, purge.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use app_tokens::store::{Filter, Page};
use app_tokens::{By, Clock as _, Owner, SystemClock, TokenId, TokenView};

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
        let count = doomed(&opened, &filter).await?.count();
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

/// What a revocation would end: what matches, and what was issued under that.
#[derive(Default)]
struct Doomed {
    tokens: Vec<TokenView>,
    damaged: Vec<TokenId>,
}

impl Doomed {
    fn count(&self) -> usize {
        self.tokens.len() + self.damaged.len()
    }
}

async fn doomed(opened: &Opened, filter: &Filter) -> Result<Doomed, Problem> {
    let mut doomed = Doomed::default();
    let mut families = BTreeSet::new();
    each_page(opened, filter, |tokens, damaged| {
        families.extend(tokens.iter().map(|token| (token.owner().clone(), token.family())));
        doomed.tokens.extend(tokens.into_iter().filter(|token| token.revocation().is_none()));
        doomed.damaged.extend(damaged);
    })
    .await?;
    let known: BTreeSet<TokenId> = doomed.tokens.iter().map(TokenView::id).collect();
    let owners: BTreeSet<Owner> = families.iter().map(|(owner, _)| owner.clone()).collect();
    for owner in owners {
        let his = Filter { revoked: Some(false), ..Filter::of_owner(&owner) };
        each_page(opened, &his, |tokens, _| {
            let is_derived = |token: &TokenView| {
                let from = token.derived_from().map(|family| (owner.clone(), family));
                from.is_some_and(|from| families.contains(&from)) && !known.contains(&token.id())
            };
            doomed.tokens.extend(tokens.into_iter().filter(is_derived));
        })
        .await?;
    }
    Ok(doomed)
}

async fn each_page(
    opened: &Opened,
    filter: &Filter,
    mut take: impl FnMut(Vec<TokenView>, Vec<TokenId>),
) -> Result<(), Problem> {
    let mut page = Page::first(500);
    loop {
        let listed = opened.tokens.list(filter, page).await?;
        take(listed.tokens, listed.damaged);
        page.after = listed.next;
        if listed.next.is_none() {
            return Ok(());
        }
    }
}

async fn print_doomed(setting: &Setting, opened: &Opened, filter: &Filter) -> Result<(), Problem> {
    let doomed = doomed(opened, filter).await?;
    let mut listing = Listing::new(setting.json, opened.unclear);
    doomed.tokens.iter().try_for_each(|token| listing.token(token))?;
    doomed.damaged.iter().try_for_each(|id| listing.damaged(*id))?;
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
                let all = Filter::of_owner(owner);
                each_page(&opened, &all, |some, damaged| count += some.len() + damaged.len())
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
    let opened = setting.open(Needs::Policy).await?;
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
