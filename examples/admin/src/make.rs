//! The commands `issue` and `rotate`. Only the token is written to standard output; all else goes
//! to standard error.

use std::io::{self, Write as _};

use app_tokens::access::{Scope, Selection};
use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::{ChangeError, LifeError};
use app_tokens::record::Expires;
use app_tokens::store::{Filter, Page};
use app_tokens::{Access, IssuedToken, NewToken, Owner, Reason, Rotation};

use crate::change::named;
use crate::options::{Issue, Rotate, Setting};
use crate::print::{end_of, note};
use crate::problem::{Exit, Problem};
use crate::setting::{Needs, Opened};
use shared::policy_file::period::End;

pub async fn issue(setting: &Setting, wish: &Issue) -> Result<(), Problem> {
    let who = setting.operator()?;
    refuse_unseen("the token")?;
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_unknown_scopes(&wish.access.scopes)?;
    opened.refuse_other_realm().await?;
    let is_new = opened.is_new_owner(&wish.owner).await?;
    let access = Access::from_selections(
        named(&wish.access.scopes).unwrap_or(Selection::All),
        named(&wish.access.resources).unwrap_or(Selection::All),
        named(&wish.access.networks).unwrap_or(Selection::All),
    )?;
    let new = NewToken::new(&wish.owner, &wish.label, access).issued_by(&who);
    let new = match wish.expires.map(end).transpose()? {
        Some(Expires::At(at)) => new.expires_at(at),
        Some(Expires::Never) => new.never_expires(),
        None => new,
    };
    let issued = opened.tokens.issue(new).await?;
    let id = issued.view().id();
    if let Err(error) = hand_over(&issued) {
        // Nobody has the token, and nobody ever will.
        let revoked = opened.tokens.revoke(&who, id, Reason::REQUESTED).await;
        let outcome = revoked.map_or_else(
            |failure| format!("and could not be revoked ({failure}); revoke {id}"),
            |_| "so it was revoked; issue another".into(),
        );
        let lost = format!("the token could not be written ({error}), {outcome}");
        return Err(Problem::failed(lost));
    }
    note(format_args!("issued {id} for {}: {}", wish.owner, end_of(issued.view().expires())));
    if is_new {
        note(format_args!(
            "{} had no token before; if the name is a slip: admin revoke {id}",
            wish.owner
        ));
    }
    Ok(())
}

pub async fn rotate(setting: &Setting, wish: &Rotate) -> Result<(), Problem> {
    let who = setting.operator()?;
    refuse_unseen("the token")?;
    let opened = setting.open(Needs::Seals).await?;
    let mut rotation = Rotation::new();
    if let Some(overlap) = wish.overlap {
        rotation = rotation.overlap(overlap.0);
    }
    if let Some(asked) = wish.expires {
        rotation = rotation.expires(end(asked)?);
    }
    let old = wish.token.id;
    let issued = opened.tokens.rotate(&who, old, rotation).await?;
    let id = issued.view().id();
    if let Err(error) = hand_over(&issued) {
        // Not revoked: the user of the old token needs a new one. A revoked token can't be rotated,
        // and the old one can't be rotated again.
        let overlap = wish.overlap.map_or(opened.tokens.policy().overlap(), |overlap| overlap.0);
        let old_one = match overlap.is_zero() {
            true => format!("{old} is no longer valid."),
            false => format!(
                "Until the overlap of {old} ends, run the same command again to replace {id}. Later"
            ),
        };
        return Err(Problem::failed(format_args!(
            "the new token {id} could not be written ({error}); it is valid, but nobody has it. \
             {old_one} `admin rotate {id} --overlap 0s` replaces {id}, \
             and `admin revoke {id}` revokes it"
        )));
    }
    note(format_args!(
        "{old} is rotated; the new one is {id} and {}",
        end_of(issued.view().expires())
    ));
    Ok(())
}

pub fn end(asked: End) -> Result<Expires, Problem> {
    let seen = asked.seen_from(SystemClock.now());
    seen.ok_or_else(|| ChangeError::from(LifeError::PastCalendar).into())
}

/// Refuses to make a secret that nobody would see. Rust opens /dev/null in place of a closed
/// standard output, which would take the token without an error.
pub fn refuse_unseen(secret: &str) -> Result<(), Problem> {
    #[cfg(unix)]
    {
        use std::fs::{self, File};
        use std::os::{fd::AsFd as _, unix::fs::MetadataExt as _};
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()?;
        if fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == out.rdev()) {
            return Err(Problem::usage(format_args!(
                "standard output is closed or /dev/null, so nobody would see {secret}; \
                 send it to a terminal, a file or a pipe"
            )));
        }
    }
    Ok(())
}

fn hand_over(issued: &IssuedToken) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", issued.expose_secret())?;
    out.flush()
}

impl Opened {
    /// Returns whether this owner has no token, also no ended one. Perhaps nobody has that name.
    async fn is_new_owner(&self, owner: &Owner) -> Result<bool, Problem> {
        let listed = self.tokens.list(&Filter::of_owner(owner), Page::first(1)).await?;
        Ok(listed.tokens.is_empty() && listed.damaged.is_empty())
    }

    /// Refuses scopes that the policy doesn't name. A mistyped one would make a token that can do
    /// nothing.
    pub fn refuse_unknown_scopes(&self, wished: &[Scope]) -> Result<(), Problem> {
        let is_known = |scope: &&Scope| self.scopes.contains(&scope.as_str());
        if self.scopes.is_empty() || wished.iter().all(|scope| is_known(&scope)) {
            return Ok(());
        }
        let known = self.scopes.join(", ");
        Err(Problem::new(
            Exit::Refused,
            format_args!("a scope is not in the policy file; name some of {known}"),
        ))
    }
}
