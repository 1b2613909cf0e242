//! An observer that hands events to `tracing`: [`TracingObserver`].

use std::fmt;

use tracing::field::{DebugValue, debug, display};

use crate::access::Selection;
use crate::error::DenialReason;
use crate::event::{Event, Observer};
use crate::record::{Actor, Status};
use crate::store::Filter;
use crate::text::Owner;

/// Emits each event by `tracing`, under the target `app_tokens`.
///
/// The field `event` is the event's [name](Event::name), such as `issued`: filter a log by it. The
/// event's name for `tracing`, which most logs leave out, has `app_tokens.` before that word.
///
/// The other fields are those of the [`Event`], with a token by its id, owner and label. A field
/// without a value is left out. `change`, `status` and the `reason` of `denied` are words such as
/// `wrong_secret`, by `as_str`. The `reason` of `revoked` is free text.
///
/// `revoked` and `forgotten` have each fact of their [`Filter`] as a field of that name. Only its
/// `revoked` and `superseded` are called `filter_revoked` and `filter_superseded`. They say which
/// tokens were selected, and not what became of them. So
/// [`revoke`](crate::TokenAuthority::revoke) tells the `family` and the `owner` of its line:
///
/// ```text
/// tokens revoked event="revoked" is_certain=true owner="alice" family=askgagkera count=2
///     reason="requested" by="owner alice"
/// ```
///
/// This is one line of `tracing_subscriber::fmt`, after its time, level and target. Texts that a
/// person or a client chose are strings for `tracing`. So a log of text writes them in quotes,
/// and none of them can pass for another field.
///
/// `changed` also has the token's access and end as they are now. So the change can be made again
/// after a backup was restored. `scopes`, `resources` and `networks` are lists, each item in
/// quotes. Each is left out if the token has all of them. `expires` is an instant or `never`.
///
/// There is no secret, digest or seal among the fields. Owners, labels, addresses and clients are
/// personal data.
///
/// | level | events |
/// |---|---|
/// | error | `usage_not_written`, `not_purged`; `denied` of a row that was tampered with |
/// | warn | `outside_network`, `reused`; every change whose outcome is uncertain, but `purged` |
/// | info | all other changes, `first_use`, `new_address`, `examined`, `denied` |
/// | debug | `purged`; `denied` of a text that is mistyped or unknown |
///
/// ```
/// # use app_tokens::event::TracingObserver;
/// # use app_tokens::store::MemoryStore;
/// # use app_tokens::{KeyRing, Policy, TokenAuthority};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (store, keys) = (MemoryStore::new(), KeyRing::ephemeral()?);
/// let tokens = TokenAuthority::builder(store, keys, Policy::new("acme")?)
///     .observer(TracingObserver)
///     .build();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

/// Writes what is selected as a list, or nothing if that is everything.
fn listed<T: fmt::Display>(selected: &Selection<T>) -> Option<DebugValue<Vec<String>>> {
    match selected {
        Selection::All => None,
        Selection::Only(items) => Some(quoted(items)),
    }
}

/// Writes the items as a list, or nothing if there are none.
fn some_of<T: fmt::Display>(items: &[T]) -> Option<DebugValue<Vec<String>>> {
    (!items.is_empty()).then(|| quoted(items))
}

/// Writes items as a list, each in quotes.
fn quoted<T: fmt::Display>(items: &[T]) -> DebugValue<Vec<String>> {
    debug(items.iter().map(T::to_string).collect())
}

/// Emits one event. The level must be known at compile time, so each level is a call of its own.
macro_rules! emit {
    (at $level:ident, $name:literal, $($field:tt)*) => {
        tracing::event!(
            name: concat!("app_tokens.", $name),
            target: "app_tokens",
            tracing::Level::$level,
            event = $name,
            $($field)*
        )
    };
    ($is_certain:expr, $name:literal, $($field:tt)*) => {
        if $is_certain {
            emit!(at INFO, $name, is_certain = true, $($field)*);
        } else {
            emit!(at WARN, $name, is_certain = false, $($field)*);
        }
    };
}

/// Emits an event about all tokens that a filter selects, with the filter's facts as fields.
///
/// A field `revoked=false` of an event `revoked` would seem to say that nothing was revoked.
macro_rules! emit_filtered {
    ($filter:expr, $is_certain:expr, $name:literal, $($field:tt)*) => {{
        // Without `..`: a fact that is left out would show a small revocation as a large one.
        let Filter {
            id,
            owner,
            family,
            except_family,
            key_id,
            except_key_ids,
            revoked,
            superseded,
            expires_before,
            expires_from,
            created_before,
            last_used_before,
        } = $filter;
        emit!($is_certain, $name, id = id.map(display), owner = owner.as_ref().map(Owner::as_str),
            family = family.map(display), except_family = except_family.map(display),
            key_id = key_id.map(display), except_key_ids = some_of(except_key_ids),
            filter_revoked = *revoked, filter_superseded = *superseded,
            expires_before = expires_before.map(display),
            expires_from = expires_from.map(display),
            created_before = created_before.map(display),
            last_used_before = last_used_before.map(display), $($field)*)
    }};
}

// A `%` writes a value without quotes, so a label could add fields to a line of text. It is for
// values of ours, such as ids and instants; every other text is handed in as a string.
impl Observer for TracingObserver {
    fn observe(&self, event: &Event<'_>) {
        match *event {
            Event::Issued { token, by, is_certain } => {
                emit!(is_certain, "issued", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), by = by.to_string(), "token issued");
            }
            Event::Imported { token, by, is_certain } => {
                emit!(is_certain, "imported", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), by = by.to_string(),
                    "token of another system imported");
            }
            Event::TakenOver { token, is_certain } => {
                emit!(is_certain, "taken_over", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), "imported token used, and digested anew");
            }
            Event::MovedOut { count, owner, by, is_certain } => {
                emit!(
                    is_certain,
                    "moved_out",
                    count,
                    owner = owner.map(Owner::as_str),
                    by = by.to_string(),
                    "tokens written into a transfer file"
                );
            }
            Event::MovedIn { token, by, is_certain } => {
                emit!(is_certain, "moved_in", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), by = by.to_string(),
                    "token taken in from a transfer file");
            }
            Event::FirstUse { token, address } => {
                emit!(at INFO, "first_use", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), address = address.map(display),
                    "token used for the first time");
            }
            Event::NewAddress { token, address } => {
                emit!(at INFO, "new_address", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), %address, "token used from a new address");
            }
            Event::OutsideNetwork { token, address } => {
                emit!(at WARN, "outside_network", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), address = address.map(display),
                    "token presented from outside its networks");
            }
            Event::Denied { id, reason, token, address, client } => {
                let id = id.map(display);
                let owner = token.map(|token| token.owner().as_str());
                let label = token.map(|token| token.label().as_str());
                let address = address.map(display);
                macro_rules! denied {
                    ($level:ident) => {
                        emit!(at $level, "denied", id, reason = reason.as_str(), owner, label,
                            address, client, "token denied")
                    };
                }
                match reason {
                    DenialReason::Tampered => denied!(ERROR),
                    // At a level that most hosts leave off: anyone can send as many of these as
                    // they like.
                    DenialReason::Mistyped | DenialReason::Unknown => denied!(DEBUG),
                    _ => denied!(INFO),
                }
            }
            Event::Rotated { old, replaced, revoked_derived, token, by, is_certain } => {
                emit!(is_certain, "rotated", %old, replaced = replaced.map(display),
                    revoked_derived, id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), by = by.to_string(), "token rotated");
            }
            Event::Reused { token } => {
                emit!(at WARN, "reused", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), "superseded token presented again");
            }
            Event::Examined { token } => {
                emit!(at INFO, "examined", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), status = token.status().map(Status::as_str),
                    "token examined by its holder");
            }
            Event::Changed { token, change, revoked_derived, by, is_certain } => {
                let access = token.access();
                emit!(is_certain, "changed", id = %token.id(), owner = token.owner().as_str(),
                    label = token.label().as_str(), change = change.as_str(),
                    scopes = listed(access.granted_scopes()),
                    resources = listed(access.granted_resources()),
                    networks = listed(access.granted_networks()), expires = %token.expires(),
                    revoked_derived, by = by.to_string(), "token changed");
            }
            Event::Resealed { count, trusted, trusted_by } => {
                emit!(at INFO, "resealed", count, trusted = some_of(trusted),
                    trusted_by = trusted_by.map(Actor::to_string), "rows resealed");
            }
            Event::Revoked { filter, count, is_certain, reason, by } => {
                emit_filtered!(
                    filter,
                    is_certain,
                    "revoked",
                    count,
                    reason = reason.as_str(),
                    by = by.to_string(),
                    "tokens revoked"
                );
            }
            Event::Forgotten { filter, count, is_certain, by } => {
                emit_filtered!(
                    filter,
                    is_certain,
                    "forgotten",
                    count,
                    by = by.to_string(),
                    "tokens forgotten"
                );
            }
            Event::UsageNotWritten { error } => {
                emit!(at ERROR, "usage_not_written", error = error.to_string(),
                    "last uses not written");
            }
            Event::NotPurged { error } => {
                emit!(at ERROR, "not_purged", error = error.to_string(), "dead rows not purged");
            }
            // An uncertain purge is no reason to warn: the next one does the rest.
            Event::Purged { count, is_certain } => {
                emit!(at DEBUG, "purged", count, is_certain, "dead rows purged");
            }
        }
    }
}
