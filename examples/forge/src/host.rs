//! Who may use what `forge-services` serves: repositories by git, releases, packages.

use app_tokens::Caller;
use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use forge_services::Host;
use forge_services::git::{Client, Places};
use forge_services::packages::Place;
use forge_services::problem::Problem;
use forge_services::repos::{Repo, Repos};

use crate::Forge;
use crate::enter::Visitor;
use crate::scopes::{PACKAGE, Scope};

impl Host for Forge {
    async fn repo(
        &self,
        parts: &mut Parts,
        owner: &str,
        name: &str,
        writes: bool,
    ) -> Result<(Repo, Client), Problem> {
        let visitor = Visitor::from_request_parts(parts, self).await?;
        let repo = self.allowed_repo(owner, name, &visitor, writes).await?;
        let owner = visitor.caller.as_ref().map(Caller::owner).cloned();
        Ok((repo, owner.map_or(Client::Address(visitor.address), Client::Owner)))
    }

    /// Packages are their owner's alone, and so need a token of that owner, with `read:package` or
    /// `write:package`. They belong to no repository, so a token for some repositories or for
    /// public things gets none.
    async fn packages(
        &self,
        parts: &mut Parts,
        owner: &str,
        writes: bool,
    ) -> Result<Place, Problem> {
        let caller = Visitor::from_request_parts(parts, self).await?.caller(self)?;
        let scope = if writes { Scope::Write(&PACKAGE) } else { Scope::Read(&PACKAGE) };
        caller.require(scope).map_err(|forbidden| self.forbidden(forbidden))?;
        let account = self.accounts.by_name(owner);
        if account.is_none_or(|account| account.owner != *caller.owner()) {
            return Err(Problem::not_found("package, or it is another user's"));
        }
        Ok(Place {
            folder: self.packages.join(caller.owner().as_str()),
            index: self.packages_index.clone(),
            url: format!("{}/api/packages/{owner}", self.url),
        })
    }

    fn repos(&self) -> &Repos {
        &self.repos
    }

    fn git_places(&self) -> &Places {
        &self.git_places
    }

    fn sign_in_needed(&self) -> Problem {
        Forge::sign_in_needed(self)
    }
}
