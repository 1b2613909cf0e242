//! Whose act a stored change was: [`Actor`].

use std::fmt;
use std::str::FromStr;

use crate::text::{InvalidText, Operator};

/// Whose act a stored change was.
///
/// It prints as `owner`, `engine` or `operator NAME` and parses from that: the form to store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The token's owner.
    Owner,
    /// Somebody of the host's operators.
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
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Actor, InvalidText> {
        match text {
            "owner" => Ok(Actor::Owner),
            "engine" => Ok(Actor::Engine),
            _ => Operator::new(text.strip_prefix("operator ").unwrap_or_default())
                .map(Actor::Operator),
        }
    }
}
