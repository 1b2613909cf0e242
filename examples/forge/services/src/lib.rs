//! What a forge serves that is not about tokens: [repositories](repos) and their
//! [releases], [`git`]'s own program behind HTTP, and the formats of four
//! [package registries](packages). Its answers to requests that fail are a [`Problem`](problem).
//!
//! Who may use them is the [`Host`]'s to decide, before.

#![allow(missing_debug_implementations, reason = "what a host holds is not for printing")]

pub mod drain;
pub mod git;
pub mod json;
pub mod packages;
pub mod problem;
pub mod releases;
pub mod repos;

use axum::http::request::Parts;

use git::{Client, Places};
use packages::Place;
use problem::Problem;
use repos::{Repo, Repos};

/// The forge. It says who may, and has what all requests share.
pub trait Host: Clone + Send + Sync + 'static {
    /// Finds a repository that the sender of a request may read or write. Says who that is, too.
    ///
    /// # Errors
    /// The answer for one that may not.
    fn repo(
        &self,
        parts: &mut Parts,
        owner: &str,
        name: &str,
        writes: bool,
    ) -> impl Future<Output = Result<(Repo, Client), Problem>> + Send;

    /// Returns where an owner's packages are, for a request that may read or write them.
    ///
    /// # Errors
    /// The answer for one that may not.
    fn packages(
        &self,
        parts: &mut Parts,
        owner: &str,
        writes: bool,
    ) -> impl Future<Output = Result<Place, Problem>> + Send;

    /// Returns all repositories.
    fn repos(&self) -> &Repos;

    /// Returns how many clients git may work for.
    fn git_places(&self) -> &Places;

    /// Asks for a token.
    fn sign_in_needed(&self) -> Problem;
}
