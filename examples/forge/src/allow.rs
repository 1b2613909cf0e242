//! Who may do what with a repository.
//!
//! Tokens are limited to repositories by number: a new one with the name of a deleted one is not
//! meant.

use std::io;

use app_tokens::access::{Missing, Resource};
use app_tokens::error::Forbidden;
use app_tokens::{Caller, Owner, Requirement};
use forge_services::repos::{Repo, Repos};

use crate::Forge;
use crate::scopes::{PUBLIC, REPOSITORY};

/// Why a client may not do something with a repository.
#[derive(Debug)]
pub enum Refused {
    /// They may not even know that it is there.
    Hidden,
    /// They see it, but may not do this.
    Forbidden(Forbidden),
    /// They see it, but it is another's.
    NotTheirs,
}

/// What the name of such a limit begins with.
const LIMIT: &str = "repository/";

fn resource(repo: &Repo) -> String {
    format!("{LIMIT}{}", repo.facts.id)
}

impl Forge {
    /// Returns what limits a token of this person to a repository. `None` if they can't see it, or
    /// if there is none: they must not learn which private ones others have.
    pub fn limit_for(
        &self,
        person: &Owner,
        owner: &str,
        name: &str,
    ) -> io::Result<Option<Resource>> {
        let Some(account) = self.accounts.by_name(owner) else { return Ok(None) };
        let found = self.repos.find_now(&account.owner, name)?;
        let seen = found.filter(|repo| repo.owner == *person || !repo.facts.private);
        Ok(seen.and_then(|repo| Resource::exact(resource(&repo)).ok()))
    }
}

/// Finds what a token is limited to. `None` if the repository was deleted.
pub fn limited_to(repos: &Repos, limit: &Resource) -> Option<Repo> {
    repos.by_number(limit.text().strip_prefix(LIMIT)?.parse().ok()?)
}

/// Decides whether a client may read or write here. `None` is one without a token.
///
/// As in Forgejo: what is public, everybody reads. A token for some repositories or for public
/// ones writes only there, and sees no other private one.
pub fn allow(repo: &Repo, who: Option<&Caller>, writes: bool) -> Result<(), Refused> {
    let is_public = !repo.facts.private;
    let Some(caller) = who else {
        return if is_public && !writes { Ok(()) } else { Err(Refused::Hidden) };
    };
    let is_own = *caller.owner() == repo.owner;
    if !is_own && !is_public {
        return Err(Refused::Hidden);
    }
    let scope = if writes { REPOSITORY.write } else { REPOSITORY.read };
    let here = resource(repo);
    let needed = Requirement::scope(&scope);
    // A public repository is meant by its own name, and as a public one.
    let allowed = match caller.require(needed.on(&here)) {
        Err(forbidden) if is_public => caller.require(needed.on(PUBLIC)).map_err(|_| forbidden),
        allowed => allowed,
    };
    match allowed {
        Ok(()) if is_own || !writes => Ok(()),
        Ok(()) => Err(Refused::NotTheirs),
        Err(forbidden) if forbidden.missing() == Missing::Resource => match (is_public, writes) {
            (true, false) => Ok(()),
            (true, true) => Err(Refused::Forbidden(forbidden)),
            (false, _) => Err(Refused::Hidden),
        },
        Err(forbidden) => Err(Refused::Forbidden(forbidden)),
    }
}
