//! The roles: a token's scopes, and what an identity has.
//!
//! Administrator includes Operator, and Operator includes Reader. A custom role stands alone.

use app_tokens::Policy;
use app_tokens::access::ScopeName;
use shared::accounts::Account;

/// A role. The order is that of a form: nobody grants the widest by leaving its choice as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Reader,
    Operator,
    Administrator,
    /// One of the operator's own, from the policy file.
    Custom(&'static str),
}

const STANDARD: [Role; 3] = [Role::Administrator, Role::Operator, Role::Reader];

impl ScopeName for Role {
    fn name(&self) -> &'static str {
        match self {
            Role::Administrator => "Administrator",
            Role::Operator => "Operator",
            Role::Reader => "Reader",
            Role::Custom(name) => name,
        }
    }

    fn implied_by(&self) -> &'static [&'static str] {
        match self {
            Role::Operator => &["Administrator"],
            Role::Reader => &["Administrator", "Operator"],
            Role::Administrator | Role::Custom(_) => &[],
        }
    }
}

impl Role {
    /// Returns the roles that a policy file names.
    ///
    /// # Errors
    /// A line for the operator if the file gives the roles another meaning than this program.
    pub fn all(policy: &Policy, names: &[&'static str]) -> Result<Vec<Role>, String> {
        let known =
            |name: &&'static str| Role::named(name, &STANDARD).unwrap_or(Role::Custom(name));
        let roles: Vec<Role> = names.iter().map(known).collect();
        let as_here = policy.clone().with_scopes(&roles);
        if STANDARD.iter().all(|role| roles.contains(role)) && as_here.as_ref() == Ok(policy) {
            return Ok(roles);
        }
        Err("the policy file must have the [scopes] of examples/automation/policy.toml; \
             a role of your own includes no other, and no other includes it"
            .into())
    }

    /// Finds a role by its name.
    pub fn named(name: &str, all: &[Role]) -> Option<Role> {
        all.iter().find(|role| role.name() == name).copied()
    }

    /// Returns whether an identity has this role today, by itself or in another one.
    pub fn is_had_by(self, account: &Account) -> bool {
        account.has_role(self.name()) || self.implied_by().iter().any(|role| account.has_role(role))
    }

    /// Returns whether a token of this identity may have the role of this name.
    pub fn may_have(account: &Account, name: &str) -> bool {
        match Role::named(name, &STANDARD) {
            Some(role) => role.is_had_by(account),
            None => account.has_role(name),
        }
    }

    /// Returns the roles of an identity, in their order. Names that are no role are left out.
    pub fn of(account: &Account, all: &[Role]) -> Vec<Role> {
        account.roles.iter().filter_map(|name| Role::named(name, all)).collect()
    }
}
