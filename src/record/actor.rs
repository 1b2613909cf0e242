//! Who makes a change: [`Actor`].

use std::fmt;
use std::str::FromStr;

use crate::text::{Operator, Owner};

/// Names who makes a change, in calls, stored rows and events.
///
/// An [`Owner`] or an [`Operator`] converts into it, by value or by reference. An owner acts on
/// their own tokens only; those of other owners are unknown to them.
///
/// It prints as `owner NAME`, `operator NAME` or `engine`, and parses from that. Stores keep this
/// form.
///
/// ```
/// use app_tokens::{Operator, record::Actor};
/// let support = Actor::from(Operator::new("support")?);
/// assert_eq!(support.to_string(), "operator support");
/// # Ok::<(), app_tokens::error::InvalidText>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The token's owner, who was authenticated by other means than a token.
    Owner(Owner),
    /// One of the host's operators, who may act on the tokens of all owners.
    Operator(Operator),
    /// The engine, by policy. A host that reads one from a stored text can't act by it.
    #[non_exhaustive]
    Engine,
}

impl From<Owner> for Actor {
    fn from(owner: Owner) -> Actor {
        Actor::Owner(owner)
    }
}

impl From<&Owner> for Actor {
    fn from(owner: &Owner) -> Actor {
        Actor::Owner(owner.clone())
    }
}

impl From<Operator> for Actor {
    fn from(operator: Operator) -> Actor {
        Actor::Operator(operator)
    }
}

impl From<&Operator> for Actor {
    fn from(operator: &Operator) -> Actor {
        Actor::Operator(operator.clone())
    }
}

impl From<&Actor> for Actor {
    fn from(actor: &Actor) -> Actor {
        actor.clone()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Owner(name) => write!(f, "owner {name}"),
            Actor::Operator(name) => write!(f, "operator {name}"),
            Actor::Engine => f.write_str("engine"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidActor;

    fn from_str(text: &str) -> Result<Actor, InvalidActor> {
        let actor = match text.split_once(' ') {
            Some(("owner", name)) => Actor::Owner(Owner::new(name).map_err(|_| InvalidActor)?),
            Some(("operator", name)) => {
                Actor::Operator(Operator::new(name).map_err(|_| InvalidActor)?)
            }
            _ if text == "engine" => Actor::Engine,
            _ => return Err(InvalidActor),
        };
        // A name that would be trimmed was not written by `Display`.
        if actor.to_string() == text { Ok(actor) } else { Err(InvalidActor) }
    }
}

/// A text that is not an [`Actor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an actor; write `owner NAME`, `operator NAME` or `engine`, with a valid name")]
pub struct InvalidActor;
