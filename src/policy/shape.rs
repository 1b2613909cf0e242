//! The shape of a policy for the feature `serde`, for instance in a configuration file.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::{Scope, ScopeImplication};
use crate::policy::{Policy, PolicyError, Reuse};
use crate::shapes::Period;
use crate::token::Prefix;

/// The keys of a policy, in the order in which they are written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "Policy", expecting = "a policy")]
struct Keys {
    prefix: Prefix,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_prefixes: Vec<Prefix>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default_life: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_life: Option<Period>,
    #[serde(default)]
    never_expiring: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idle_timeout: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    overlap: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_overlap: Option<Period>,
    #[serde(default)]
    reuse: Reuse,
    #[serde(default)]
    max_per_owner: MaxPerOwner,
    #[serde(default)]
    unique_labels: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage_interval: Option<Period>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<Period>,
    #[serde(default)]
    open_import: bool,
    #[serde(default)]
    record_origin: bool,
    /// Each scope with those that it includes. Last, because in TOML a table must follow all
    /// values.
    #[serde(default)]
    scopes: BTreeMap<String, BTreeSet<String>>,
}

/// A number, or the word `unlimited`.
#[derive(Default, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number from 1 up, or \"unlimited\"")]
enum MaxPerOwner {
    // Stands for a missing key. It has no word of its own.
    #[default]
    #[serde(skip)]
    Default,
    Number(u32),
    Word(Unlimited),
}

/// The one word that is no number.
#[derive(Serialize, Deserialize)]
enum Unlimited {
    #[serde(rename = "unlimited")]
    Unlimited,
}

/// Writes every setting, under the keys that are read. It never writes `null`, which TOML lacks.
impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Keys::of(self).serialize(serializer)
    }
}

/// Reads a policy through the same checks as the methods that build one.
///
/// What is not named is as in [`Policy::new`]. An unknown key is refused. Lengths of time are
/// [`Period`]s. For each scope, `scopes` names all scopes that it includes.
///
/// ```
/// use app_tokens::Policy;
/// # #[cfg(feature = "serde")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy: Policy = serde_json::from_str(
///     r#"{
///         "prefix": "brand",
///         "former_prefixes": ["acme"],
///         "realm": "acme",
///         "default_life": "30 days",
///         "max_life": "90 days",
///         "never_expiring": false,
///         "idle_timeout": "60 days",
///         "overlap": "1 hour",
///         "max_overlap": "7 days",
///         "reuse": "revoke family",
///         "max_per_owner": 20,
///         "unique_labels": true,
///         "usage_interval": "60 seconds",
///         "retention": "90 days",
///         "open_import": false,
///         "record_origin": false,
///         "scopes": { "files:read": [], "files:write": ["files:read"] }
///     }"#,
/// )?;
/// assert_eq!(policy.max_per_owner(), Some(20));
/// let unlimited: Policy =
///     serde_json::from_str(r#"{ "prefix": "acme", "max_per_owner": "unlimited" }"#)?;
/// assert_eq!(unlimited, Policy::new("acme")?.with_no_limit_per_owner());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "serde"))] fn main() {}
/// ```
impl<'de> Deserialize<'de> for Policy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Policy, D::Error> {
        let keys = Keys::deserialize(deserializer)?;
        let scopes = implications(&keys.scopes).map_err(D::Error::custom)?;
        let policy = keys.without_scopes().map_err(D::Error::custom)?;
        policy.with_implications(scopes).map_err(D::Error::custom)
    }
}

impl Keys {
    /// Takes a policy apart into its keys.
    fn of(policy: &Policy) -> Keys {
        let period = |time| Some(Period(time));
        let mut scopes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (scope, implied_by) in &policy.scopes {
            scopes.entry(scope.to_string()).or_default();
            for implying in implied_by {
                scopes.entry(implying.to_string()).or_default().insert(scope.to_string());
            }
        }
        Keys {
            prefix: policy.prefix(),
            former_prefixes: policy.prefixes[1..].to_vec(),
            realm: policy.realm.as_deref().map(String::from),
            default_life: period(policy.default_life),
            max_life: policy.max_life.and_then(period),
            never_expiring: policy.never_expiring,
            idle_timeout: policy.idle_timeout.and_then(period),
            overlap: period(policy.overlap),
            max_overlap: period(policy.max_overlap),
            reuse: policy.reuse,
            max_per_owner: match policy.max_per_owner {
                Some(max) => MaxPerOwner::Number(max),
                None => MaxPerOwner::Word(Unlimited::Unlimited),
            },
            unique_labels: policy.unique_labels,
            usage_interval: period(policy.usage_interval),
            retention: period(policy.retention),
            open_import: policy.open_import,
            record_origin: policy.record_origin,
            scopes,
        }
    }

    /// Builds the policy from its keys, all but the scopes.
    ///
    /// Each maximum is set before its default, because it would cut a default silently. The realm
    /// is set before the former prefixes, which need it.
    fn without_scopes(self) -> Result<Policy, PolicyError> {
        let mut policy = Policy::new(self.prefix.as_str())?;
        if let Some(realm) = self.realm {
            policy = policy.with_realm(&realm)?;
        }
        for former in self.former_prefixes {
            policy = policy.with_former_prefix(former.as_str())?;
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
        policy = match self.max_per_owner {
            MaxPerOwner::Default => policy,
            MaxPerOwner::Number(max) => policy.with_max_per_owner(max)?,
            MaxPerOwner::Word(Unlimited::Unlimited) => policy.with_no_limit_per_owner(),
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
        if self.open_import {
            policy = policy.with_open_import();
        }
        if self.record_origin {
            policy = policy.with_recorded_origin();
        }
        Ok(policy.with_reuse(self.reuse))
    }
}

/// Returns what implies each scope. The keys say it the other way round: what each scope includes.
fn implications(
    scopes: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<ScopeImplication>, String> {
    for (name, included) in scopes {
        Scope::new(name).map_err(|error| format!("scopes: {name:?}: {error}"))?;
        if let Some(unknown) = included.iter().find(|included| !scopes.contains_key(*included)) {
            return Err(format!(
                "scopes: {name:?} includes {unknown:?}, which must be a key of its own"
            ));
        }
    }
    let including = |this: &str| {
        let others = scopes.iter().filter(|(_, included)| included.contains(this));
        others.map(|(name, _)| name.as_str().into()).collect()
    };
    Ok(scopes.keys().map(|name| (name.as_str().into(), including(name))).collect())
}
