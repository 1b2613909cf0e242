//! The store, the policy and the keys that a command works with, and who acts.

use app_tokens::record::Status;
use app_tokens::store::{DynStore, Filter, Page};
use app_tokens::upkeep::Upkeep;
use app_tokens::{KeyRing, Operator, Policy, Reuse, TokenAuthority};

use crate::options::Setting;
use crate::print::note;
use crate::problem::Problem;
use shared::audit::TracingObserver;
use shared::policy_file::PolicyFile;
use shared::store_choice::{StoreChoice, VARIABLE};

/// The variable that may hold the keys, as DEPLOYING.md says.
const KEYS_VARIABLE: &str = "APP_TOKENS_KEYS";

/// What a command needs beside the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing more: it reads or revokes rows without checking seals.
    Store,
    /// The policy, for the prefix.
    Policy,
    /// The policy, for the realm, and the keys: it checks or writes seals.
    Seals,
}

/// An authority over the host's store.
pub struct Opened {
    pub tokens: TokenAuthority<DynStore>,
    pub ring: Option<KeyRing>,
    /// The scopes that the policy file names.
    pub scopes: Vec<&'static str>,
    /// The status to print if a token's status isn't known: its seal was not checked, or its key is
    /// missing.
    pub unclear: &'static str,
    /// Attached because a policy with an idle time-out needs one. It never flushes: verifying here
    /// counts as no use.
    _upkeep: Upkeep<DynStore>,
}

impl Setting {
    /// Opens the store. Without a policy or keys, the key ring is a new one that knows no row's
    /// key. Then no row gets a status by a seal that nobody can check.
    pub async fn open(&self, needs: Needs) -> Result<Opened, Problem> {
        let file = match needs {
            Needs::Store if self.policy.is_none() => None,
            _ => Some(self.policy_file()?),
        };
        let ring = self.ring()?;
        if needs == Needs::Seals && ring.is_none() {
            return Err(Problem::usage(format_args!(
                "the keys are missing; name --key-file FILE, or set {KEYS_VARIABLE}"
            )));
        }
        let checks_seals = file.is_some() && ring.is_some();
        let (policy, scopes) = match file {
            // Verifying a token must never revoke its line.
            Some(PolicyFile { policy, scopes }) => (policy.with_reuse(Reuse::Report), scopes),
            None => (Policy::new("unknown").map_err(Problem::failed)?, Vec::new()),
        };
        let store = self.store().await?;
        let known = ring.clone().filter(|_| checks_seals);
        let known = known.map_or_else(KeyRing::ephemeral, Ok)?;
        // Without `--audit`, nobody listens.
        let tokens =
            TokenAuthority::builder(store, known, policy).observer(TracingObserver).build();
        let unclear = if checks_seals { "unknown" } else { "unchecked" };
        Ok(Opened { _upkeep: tokens.upkeep(), tokens, ring, scopes, unclear })
    }

    /// Reads the policy file, which must be named.
    pub fn policy_file(&self) -> Result<PolicyFile, Problem> {
        let path = self.policy.as_deref().ok_or_else(|| {
            Problem::usage(
                "--policy FILE is missing; name the host's policy file, for its prefix and realm",
            )
        })?;
        PolicyFile::read(path).map_err(Problem::failed)
    }

    async fn store(&self) -> Result<DynStore, Problem> {
        let choice = StoreChoice::told(self.store.as_deref()).map_err(Problem::usage)?;
        let choice = choice.ok_or_else(|| {
            Problem::usage(format_args!(
                "--store is missing; name sqlite:PATH or postgres:URL, or set {VARIABLE}"
            ))
        })?;
        choice.open_existing(&self.table).await.map_err(Problem::failed)
    }

    fn ring(&self) -> Result<Option<KeyRing>, Problem> {
        match &self.key_file {
            Some(path) => Ok(Some(KeyRing::load(path)?)),
            None if std::env::var_os(KEYS_VARIABLE).is_some() => {
                Ok(Some(KeyRing::from_env(KEYS_VARIABLE)?))
            }
            None => Ok(None),
        }
    }

    /// Returns who acts.
    pub fn operator(&self) -> Result<Operator, Problem> {
        let from_system = || {
            let names = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
            names.into_iter().find(|name| !name.trim().is_empty())
        };
        let name = self.operator.clone().or_else(from_system).ok_or_else(|| {
            Problem::usage("USER and LOGNAME are not set; name who acts with --as NAME")
        })?;
        Operator::new(name)
            .map_err(|error| Problem::usage(format_args!("{error}; name who acts with --as NAME")))
    }
}

impl Opened {
    pub fn note_unchecked(&self) {
        if self.unclear == "unchecked" {
            note("seals are not checked; name --policy and the keys to check them");
        }
    }

    /// Refuses to go on if no seal among the first 100 unrevoked rows is right for this realm. With
    /// another host's policy file, new tokens would be good nowhere, and a purge would go by wrong
    /// times.
    pub async fn refuse_other_realm(&self) -> Result<(), Problem> {
        let filter = Filter { revoked: Some(false), ..Filter::every_token() };
        let seen = self.tokens.list(&filter, Page::first(100)).await?.tokens;
        if seen.is_empty() || seen.iter().any(|token| token.status() != Some(Status::Tampered)) {
            return Ok(());
        }
        Err(Problem::failed(format_args!(
            "no seal in this store is right for the realm {:?}; name the host's own policy file",
            self.tokens.policy().realm()
        )))
    }
}
