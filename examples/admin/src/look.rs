//! The commands `list`, `show` and `verify`. They write nothing and count as no use.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::time::Duration;

use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::{AuthError, DenialReason};
use app_tokens::report::TokenPage;
use app_tokens::store::{Filter, Page};
use app_tokens::token::Token;
use app_tokens::{Timestamp, TokenId, TokenView};
use serde_json::json;
use zeroize::Zeroizing;

use crate::options::{List, Selection, Setting};
use crate::print::{Listing, describe, note, say, say_all};
use crate::problem::{Exit, Problem};
use crate::setting::{Needs, Opened};

/// How many rows one page holds in memory.
const PAGE: u32 = 500;

impl Selection {
    pub fn filter(&self, now: Timestamp) -> Filter {
        Filter {
            owner: self.owner.clone(),
            last_used_before: self.unused_since.map(|since| since.before(now)),
            key_id: self.under_key,
            ..Filter::every_token()
        }
    }
}

pub async fn list(setting: &Setting, wish: &List) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    opened.note_unchecked();
    let now = SystemClock.now();
    let mut filter = wish.which.filter(now);
    if wish.revoked || wish.not_revoked {
        filter.revoked = Some(wish.revoked);
    }
    if let Some(within) = wish.expiring_within {
        filter.revoked = Some(false);
        filter.superseded = Some(false);
        let second = Duration::from_secs(1);
        filter.expires_from = Some(now.saturating_add(second));
        filter.expires_before = Some(now.saturating_add(within.0).saturating_add(second));
    }
    let mut listing = Listing::new(setting.json, opened.unclear);
    let mut pages = Pages::of(&opened, filter);
    while let Some(page) = pages.next().await? {
        listing.page(&page)?;
    }
    match listing.end()? {
        0 => Err(Problem::new(Exit::Unknown, "no token matches")),
        _ => Ok(()),
    }
}

/// Reads all that matches a filter, page by page.
pub struct Pages<'o> {
    opened: &'o Opened,
    filter: Filter,
    next: Option<Page>,
}

impl<'o> Pages<'o> {
    pub fn of(opened: &'o Opened, filter: Filter) -> Pages<'o> {
        Pages { opened, filter, next: Some(Page::first(PAGE)) }
    }

    pub async fn next(&mut self) -> Result<Option<TokenPage>, Problem> {
        let Some(page) = self.next.take() else {
            return Ok(None);
        };
        let listed = self.opened.tokens.list(&self.filter, page).await?;
        self.next = listed.next.map(|last| Page { after: Some(last), ..page });
        Ok(Some(listed))
    }
}

/// Shows a token. It is read by a list of one, as only a list tells a damaged row from a missing
/// one.
pub async fn show(setting: &Setting, id: TokenId) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    opened.note_unchecked();
    let token = find(&opened, id).await?;
    match setting.json {
        true => say(describe(&token, opened.unclear)),
        false => say_all(&token, opened.unclear),
    }
}

pub async fn find(opened: &Opened, id: TokenId) -> Result<TokenView, Problem> {
    let TokenPage { tokens, damaged, .. } =
        opened.tokens.list(&Filter::of_id(id), Page::first(1)).await?;
    if !damaged.is_empty() {
        return Err(Problem::failed(
            "the row can't be read, so the token is not valid; revoke or forget it",
        ));
    }
    tokens.into_iter().next().ok_or_else(Problem::unknown)
}

pub async fn verify(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Seals).await?;
    let text = read_token()?;
    // Looked up before it is presented: afterwards the list would show that as a use until this
    // process ends.
    let token = match Token::parse(&text, opened.tokens.policy().accepted_prefixes()) {
        Ok(token) => find(&opened, token.id()).await.ok(),
        Err(_) => None,
    };
    let why = match opened.tokens.authenticate(&text).await {
        Ok(_whatever_it_may_do) => None,
        Err(AuthError::NotOurs(error)) => Some(error.to_string()),
        Err(AuthError::Denied(denied)) => Some(words_for(denied.reason()).to_owned()),
        Err(AuthError::Failed(failed)) => return Err(failed.into()),
    };
    let said = answer(setting, &opened, token.as_ref(), why.as_deref());
    // Set even if standard output is closed: the process must not exit as if the token were good.
    why.map_or(said, |why| Err(Problem::new(Exit::Denied, why)))
}

fn answer(
    setting: &Setting,
    opened: &Opened,
    token: Option<&TokenView>,
    why: Option<&str>,
) -> Result<(), Problem> {
    if setting.json {
        let token = token.map(|token| describe(token, opened.unclear));
        return say(json!({ "good": why.is_none(), "why": why, "token": token }));
    }
    say(if why.is_none() { "valid" } else { "not valid" })?;
    token.map_or(Ok(()), |token| say_all(token, opened.unclear))
}

/// Reads the first line of standard input. It stops one byte past the longest text of a token, so
/// that a longer line is seen to be too long.
fn read_token() -> Result<Zeroizing<String>, Problem> {
    let input = io::stdin();
    if input.is_terminal() {
        note("type the token, then Enter (it is shown as you type):");
    }
    let mut line = Zeroizing::new(Vec::with_capacity(4096));
    input.lock().take(Token::MAX_PRESENTED as u64 + 3).read_until(b'\n', &mut line)?;
    let line = std::str::from_utf8(&line)
        .map_err(|_| Problem::new(Exit::Denied, "the token is not UTF-8 text"))?;
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Says why a token was denied. For the operator only: the client must not learn it.
fn words_for(reason: DenialReason) -> &'static str {
    match reason {
        DenialReason::Mistyped => "its checksum is wrong, so it was mistyped or cut",
        DenialReason::Unknown => "there is no such token",
        DenialReason::WrongSecret => "there is a token with this id, but it has another secret",
        DenialReason::Revoked => "it was revoked",
        DenialReason::Tampered => {
            "its row is not as the engine wrote it for this realm, or can't be read"
        }
        DenialReason::Superseded => "it was rotated, and its overlap is over",
        DenialReason::Expired => "it has expired",
        DenialReason::Idle => "it was not used for longer than the policy allows",
        _ => "it is not valid",
    }
}
