//! Who may read and publish packages. Their formats are not about tokens, and stand in
//! `forge_services::packages`.
//!
//! Packages are their owner's alone, and so need a token of that owner, with `read:package` or
//! `write:package`. They belong to no repository, so a token for some repositories or for public
//! things gets none.

use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use forge_services::packages::{Place, Registry};
use forge_services::problem::Problem;

use crate::Forge;
use crate::enter::Visitor;
use crate::scopes::{PACKAGE, Scope};

impl Registry for Forge {
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
}
