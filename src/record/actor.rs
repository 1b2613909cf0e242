//! Who made a stored change: [`Actor`].

use std::fmt;
use std::str::FromStr;

use crate::text::Operator;

/// Who made a stored change.
///
/// It prints as `owner`, `engine` or `operator NAME`, and parses from that. Stores keep this form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The token's owner.
    Owner,
    /// One of the host's operators.
    Operator(Operator),
    /// The engine, by policy.
    Engine,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Owner => f.write_str("owner"),
            Actor::Engine => f.write_str("engine"),
            Actor::Operator(name) => write!(f, "operator {name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidActor;
    fn from_str(text: &str) -> Result<Actor, InvalidActor> {
        match text {
            "owner" => Ok(Actor::Owner),
            "engine" => Ok(Actor::Engine),
            _ => {
                let name = text.strip_prefix("operator ").ok_or(InvalidActor)?;
                Ok(Actor::Operator(Operator::new(name).map_err(|_| InvalidActor)?))
            }
        }
    }
}

/// A text that is no [`Actor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an actor is `owner`, `engine` or `operator NAME`, with a name that an operator may have")]
pub struct InvalidActor;
