//! What the feature `serde` writes and reads: the shapes of views, reports, access and policies.
//!
//! | type | shape |
//! |---|---|
//! | [`TokenId`], [`Prefix`] | its text: `"askgagkera"` |
//! | [`Timestamp`] | RFC 3339 in UTC: `"2026-03-01T12:00:00Z"` |
//! | [`Expires`] | an instant, or `"never"` |
//! | [`Status`] | `"active"`, `"idle"`, `"expired"`, `"superseded"`, `"tampered"` or `"revoked"` |
//! | [`Owner`], [`Label`], [`Operator`], [`Reason`], [`Scope`] | its text |
//! | [`Actor`] | `"owner NAME"`, `"operator NAME"` or `"engine"` |
//! | [`KeyId`] | its number |
//! | [`Resource`] | `"exact:NAME"`, `"under:PATH"` or `"prefix:TEXT"` |
//! | [`Network`] | an address and a length: `"10.0.0.0/8"` |
//! | [`Selection`] | `"all"`, or a list; an empty list is nothing |
//! | [`Access`] | `scopes`, `resources` and `networks`, each a selection |
//! | [`Attributes`] | a map of texts |
//! | [`Period`] | `"90 days"`, `"12 hours"`, `"1500 ms"` |
//! | [`TokenView`](crate::TokenView) and other structs | a map by the names of the fields |
//! | [`Policy`](crate::Policy) | a map, see its `Deserialize` |
//!
//! ```
//! use app_tokens::access::Network;
//! use app_tokens::Access;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let access = Access::scopes(["files:read"])?.from_networks(["10.0.0.0/8".parse::<Network>()?])?;
//! let json = r#"{"scopes":["files:read"],"resources":"all","networks":["10.0.0.0/8"]}"#;
//! assert_eq!(serde_json::to_string(&access)?, json);
//! assert_eq!(serde_json::from_str::<Access>(json)?, access);
//! # Ok(())
//! # }
//! ```
//!
//! # Reading back
//!
//! Whatever is read is checked like a value that the host makes. Every field must be there, even if
//! it is `null`. Access that is missing is an error, and does not mean everything.
//!
//! An access with an unknown field is refused, because that field may be a limit that a newer
//! version wrote. A policy with an unknown field is refused, too. Other structs ignore unknown
//! fields.
//!
//! ```
//! use app_tokens::{Access, TokenView};
//! assert!(serde_json::from_str::<Access>("{}").is_err());
//! assert!(serde_json::from_str::<TokenView>("{}").is_err());
//! ```
//!
//! A view that was read proves nothing. Anyone may have written it.
//!
//! # What has no shape
//!
//! A secret is shown once. It can't be stored by accident:
//!
//! ```compile_fail,E0277
//! fn is_written<T: serde::Serialize>() {}
//! is_written::<app_tokens::IssuedToken>();
//! ```
//!
//! A record has a digest and a seal. Stores keep it in columns, or in the bytes of a
//! [`Row`](crate::store::Row):
//!
//! ```compile_fail,E0277
//! fn is_written<T: serde::Serialize>() {}
//! is_written::<app_tokens::record::TokenRecord>();
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::{Access, Network, Resource, Scope, Selection};
use crate::attributes::Attributes;
use crate::key::KeyId;
use crate::record::{Actor, Expires, Status};
use crate::text::{Label, Operator, Owner, Reason};
use crate::timestamp::Timestamp;
use crate::token::{Prefix, TokenId};

/// Reads a text and parses it, also if the format hands it out in pieces or owned.
struct Parsed<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Writes a type by its `Display`, and reads it by its `FromStr`.
macro_rules! as_text {
    ($($name:ty, $expected:literal;)+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(Parsed($expected, PhantomData))
            }
        }
    )+};
}

as_text! {
    TokenId, "a token id, ten characters";
    Prefix, "a token's prefix";
    Timestamp, "an instant by RFC 3339";
    Owner, "an owner";
    Label, "a label";
    Operator, "an operator";
    Reason, "a reason";
    Actor, "`owner NAME`, `operator NAME` or `engine`";
    Scope, "a scope";
    Resource, "`exact:NAME`, `under:PATH` or `prefix:TEXT`";
    Network, "a network such as 10.0.0.0/8";
    Expires, "an instant by RFC 3339, or `never`";
    Status, "a token's status";
    Period, "a length of time, such as `90 days`";
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.as_u32())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyId, D::Error> {
        let number = u32::deserialize(deserializer)?;
        KeyId::new(number).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Unsigned(0), &"the number of a key, at least 1")
        })
    }
}

/// How a selection of everything is written.
const ALL: &str = "all";

impl<T: Serialize> Serialize for Selection<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Selection::All => serializer.serialize_str(ALL),
            Selection::Only(items) => serializer.collect_seq(items.iter()),
        }
    }
}

impl<'de, T: Deserialize<'de> + Ord> Deserialize<'de> for Selection<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Selection<T>, D::Error> {
        deserializer.deserialize_any(Selected(PhantomData))
    }
}

/// Reads `all` or a list.
struct Selected<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Ord> Visitor<'de> for Selected<T> {
    type Value = Selection<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all` or a list")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Selection<T>, E> {
        if text == ALL {
            Ok(Selection::All)
        } else {
            Err(E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Selection<T>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element()? {
            // Checked here and not only when the access is made, so that a long text fills no
            // memory.
            if read.len() == Access::MAX_LISTED {
                return Err(A::Error::custom(format_args!(
                    "the list has more than {} items",
                    Access::MAX_LISTED
                )));
            }
            read.push(item);
        }
        Ok(Selection::only(read))
    }
}

/// The fields of an access. Each must be there: one that is missing may be a limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Access")]
struct AccessShape {
    scopes: Selection<Scope>,
    resources: Selection<Resource>,
    networks: Selection<Network>,
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Access, D::Error> {
        let AccessShape { scopes, resources, networks } = AccessShape::deserialize(deserializer)?;
        Access::from_selections(scopes, resources, networks).map_err(D::Error::custom)
    }
}

impl Serialize for Attributes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Attributes, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads a map of texts. Refuses a key that occurs twice.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Attributes, A::Error> {
        let mut attributes = Attributes::new();
        while let Some((key, value)) = pairs.next_entry::<String, String>()? {
            // `with` would replace the first value without a word.
            if attributes.get(&key).is_some() {
                return Err(A::Error::custom("the attributes have a key twice; write it once"));
            }
            attributes = attributes.with(key, value).map_err(A::Error::custom)?;
        }
        Ok(attributes)
    }
}

/// A length of time as people write it: `90 days`, `12h`, `1500 ms`.
///
/// The units are milliseconds, seconds, minutes, hours, days, weeks, and years of 365 days. They
/// are written as words or as `ms`, `s`, `m`, `min`, `h`, `d`, `w`, `y`. A month is not a unit,
/// since months differ.
///
/// It prints in the largest unit up to days that leaves no fraction. Fractions of a millisecond are
/// cut.
///
/// ```
/// use std::time::Duration;
/// use app_tokens::shapes::Period;
/// let period: Period = "12h".parse()?;
/// assert_eq!(period.0, Duration::from_secs(12 * 60 * 60));
/// assert_eq!(period.to_string(), "12 hours");
/// # Ok::<(), app_tokens::shapes::NotAPeriod>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(
    /// The length of time.
    pub Duration,
);

/// A text that is not a [`Period`], or a length of time that is too long to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a length of time; write a number and a unit as in \"90 days\" or \"12h\": \
     milliseconds, seconds, minutes, hours, days, weeks or years"
)]
pub struct NotAPeriod;

/// A second in milliseconds, as the units after it are.
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl FromStr for Period {
    type Err = NotAPeriod;

    fn from_str(text: &str) -> Result<Period, NotAPeriod> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let milliseconds: u64 = match unit.trim_start() {
            "ms" | "millisecond" | "milliseconds" => 1,
            "s" | "second" | "seconds" => SECOND,
            "m" | "min" | "minute" | "minutes" => MINUTE,
            "h" | "hour" | "hours" => HOUR,
            "d" | "day" | "days" => DAY,
            "w" | "week" | "weeks" => 7 * DAY,
            "y" | "year" | "years" => 365 * DAY,
            _ => return Err(NotAPeriod),
        };
        let number: u64 = number.parse().map_err(|_| NotAPeriod)?;
        // In seconds if it can be, since a long period may have too many milliseconds.
        let period = if milliseconds < SECOND {
            Some(Duration::from_millis(number))
        } else {
            number.checked_mul(milliseconds / SECOND).map(Duration::from_secs)
        };
        period.map(Period).ok_or(NotAPeriod)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let milliseconds = self.0.subsec_millis();
        // A great number of seconds has no number of milliseconds that fits.
        if let Some(all) = seconds.checked_mul(SECOND).filter(|_| milliseconds > 0) {
            return write!(f, "{} ms", all.saturating_add(milliseconds.into()));
        }
        let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second")];
        let fits = |unit: &&(u64, &str)| seconds > 0 && seconds.is_multiple_of(unit.0 / SECOND);
        let (unit, name) = units.iter().find(fits).copied().unwrap_or((SECOND, "second"));
        let number = seconds / (unit / SECOND);
        write!(f, "{number} {name}{}", if number == 1 { "" } else { "s" })
    }
}
