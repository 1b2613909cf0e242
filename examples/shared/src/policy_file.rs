//! A [`Policy`] in a TOML file, which a host and its operator's tool obey alike. `cloud/policy.toml` shows every key.

pub mod period;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use app_tokens::{Policy, Reuse, Scope, ScopeName};
use serde::Deserialize;

use period::Period;

/// What a policy file says.
#[derive(Debug)]
pub struct PolicyFile {
    /// The policy, with the library's defaults for what the file does not name.
    pub policy: Policy,
    /// The scopes that the host has; none where the file doesn't name them.
    pub scopes: Vec<&'static str>,
}

/// The longest policy file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

impl PolicyFile {
    /// Reads a file. What is wrong is said with the file's name, and with the line where it is one line's fault.
    pub fn read(path: &Path) -> Result<PolicyFile, String> {
        let refused = |why: &dyn Display| format!("the policy file {}: {why}", path.display());
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| refused(&error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(refused(&"it is longer than 64 KiB"));
        }
        PolicyFile::parse(&text).map_err(|error| refused(&error.trim_end()))
    }

    /// Reads a policy file's text. An error names the line if one line is at fault.
    pub fn parse(text: &str) -> Result<PolicyFile, String> {
        let keys: Keys = toml::from_str(text).map_err(|error| error.to_string())?;
        keys.policy()
    }
}

/// The keys of the file. What isn't there is as [`Policy`] has it by default; an unknown one is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    prefix: String,
    #[serde(default)]
    former_prefixes: Vec<String>,
    realm: Option<String>,
    default_life: Option<Period>,
    max_life: Option<Period>,
    #[serde(default)]
    never_expiring: bool,
    idle_timeout: Option<Period>,
    overlap: Option<Period>,
    max_overlap: Option<Period>,
    reuse: Option<OnReuse>,
    max_per_owner: Option<MaxPerOwner>,
    #[serde(default)]
    unique_labels: bool,
    usage_interval: Option<Period>,
    retention: Option<Period>,
    #[serde(default)]
    record_origin: bool,
    #[serde(default)]
    scopes: BTreeMap<String, Includes>,
}

/// The names of the scopes that one includes.
type Includes = Vec<String>;

#[derive(Deserialize)]
enum OnReuse {
    #[serde(rename = "report")]
    Report,
    #[serde(rename = "revoke family")]
    RevokeFamily,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number from 1 up, or \"unlimited\"")]
enum MaxPerOwner {
    Number(u32),
    Word(Unlimited),
}

#[derive(Deserialize)]
enum Unlimited {
    #[serde(rename = "unlimited")]
    Unlimited,
}

impl Keys {
    /// What contradicts itself is refused by the policy. What is longest comes before the default, which it would cut silently.
    fn policy(self) -> Result<PolicyFile, String> {
        let scopes = named(&self.scopes)?;
        let policy = self.without_scopes().map_err(|error| error.to_string())?;
        let names = scopes.iter().map(ScopeName::name).collect();
        let policy = policy.with_scopes(&scopes).map_err(|error| error.to_string())?;
        Ok(PolicyFile { policy, scopes: names })
    }

    fn without_scopes(self) -> Result<Policy, app_tokens::PolicyError> {
        let mut policy = Policy::new(self.prefix)?;
        for former in self.former_prefixes {
            policy = policy.with_former_prefix(former)?;
        }
        if let Some(realm) = self.realm {
            policy = policy.with_realm(&realm)?;
        }
        if let Some(Period(max)) = self.max_life {
            policy = policy.with_max_life(max)?;
        }
        if let Some(Period(life)) = self.default_life {
            policy = policy.with_default_life(life)?;
        }
        if self.never_expiring {
            policy = policy.with_never_expiring()?;
        }
        if let Some(Period(timeout)) = self.idle_timeout {
            policy = policy.with_idle_timeout(timeout)?;
        }
        if let Some(Period(max)) = self.max_overlap {
            policy = policy.with_max_overlap(max);
        }
        if let Some(Period(overlap)) = self.overlap {
            policy = policy.with_overlap(overlap)?;
        }
        if let Some(OnReuse::RevokeFamily) = self.reuse {
            policy = policy.with_reuse(Reuse::RevokeFamily);
        }
        policy = match self.max_per_owner {
            Some(MaxPerOwner::Number(max)) => policy.with_max_per_owner(max)?,
            Some(MaxPerOwner::Word(Unlimited::Unlimited)) => policy.with_no_limit_per_owner(),
            None => policy,
        };
        if self.unique_labels {
            policy = policy.with_unique_labels();
        }
        if let Some(Period(interval)) = self.usage_interval {
            policy = policy.with_usage_interval(interval);
        }
        if let Some(Period(retention)) = self.retention {
            policy = policy.with_retention(retention);
        }
        if self.record_origin {
            policy = policy.with_recorded_origin();
        }
        Ok(policy)
    }
}

/// A scope of the file's. Its names are kept until the process ends, as a [`ScopeName`] asks: the file is read once.
struct Named {
    name: &'static str,
    implied_by: &'static [&'static str],
}

impl ScopeName for Named {
    fn name(&self) -> &'static str {
        self.name
    }

    fn implied_by(&self) -> &'static [&'static str] {
        self.implied_by
    }
}

/// The file says what a scope includes; an engine asks what implies it.
fn named(scopes: &BTreeMap<String, Includes>) -> Result<Vec<Named>, String> {
    for (name, includes) in scopes {
        Scope::new(name).map_err(|error| format!("[scopes] {name:?}: {error}"))?;
        if let Some(unknown) = includes.iter().find(|included| !scopes.contains_key(*included)) {
            return Err(format!("[scopes] {name:?} includes {unknown:?}, which is no key there"));
        }
    }
    let kept: Vec<(&'static str, &Includes)> =
        scopes.iter().map(|(name, includes)| (&*name.clone().leak(), includes)).collect();
    let including = |this: &str| {
        let others = kept.iter().filter(|(_, includes)| includes.iter().any(|name| name == this));
        others.map(|(name, _)| *name).collect::<Vec<_>>()
    };
    Ok(kept.iter().map(|(name, _)| Named { name, implied_by: including(name).leak() }).collect())
}
