//! Who may read and publish packages. Their formats are not about tokens, and stand in
//! `forge_services::packages`.
//!
//! Packages are their owner's alone, and so need a token of that owner, with `read:package` or
//! `write:package`. They belong to no repository, so a token for some repositories or for public
//! things gets none.

use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use axum::response::Response;
use forge_services::packages::{Place, Registry};

use crate::Forge;
use crate::enter::Visitor;
use crate::problem::Problem;
use crate::scopes::{PACKAGE, Scope};

impl Registry for Forge {
    async fn packages(
        &self,
        parts: &mut Parts,
        owner: &str,
        writes: bool,
    ) -> Result<Place, Response> {
        let place = async {
            let caller = Visitor::from_request_parts(parts, self).await?.caller(self)?;
            let scope = if writes { Scope::Write(&PACKAGE) } else { Scope::Read(&PACKAGE) };
            caller.require(scope).map_err(|forbidden| self.forbidden(forbidden))?;
            let account = self.accounts.by_name(owner);
            let is_own = account.is_some_and(|account| account.owner == *caller.owner());
            if !is_own {
                return Err(Problem::not_found("package, or it is another user's"));
            }
            Ok(Place {
                folder: self.packages.join(caller.owner().as_str()),
                index: self.packages_index.clone(),
                url: format!("{}/api/packages/{owner}", self.url),
            })
        };
        place.await.map_err(Problem::into_text)
    }
}
