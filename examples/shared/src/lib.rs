//! What the hosts and their operator's tool share: reading the policy file, and choosing the store.
//!
//! With the feature `host`, also what every host needs around its tokens: the [command
//! line](options), the [accounts] and their main passwords, the [sessions](session) of browsers,
//! the [check of other sites](site), and [what stands in front](front), such as a [login
//! proxy](proxy). [`gate`] lets tokens in, [`serve`] begins and ends in order, and [`audit`] is the
//! log. The [settings page](page) stands on all of these.

#![allow(missing_debug_implementations, reason = "what a host holds is not for printing")]

#[cfg(feature = "host")]
pub mod accounts;
#[cfg(feature = "audit")]
pub mod audit;
#[cfg(feature = "host")]
pub mod front;
#[cfg(feature = "host")]
pub mod gate;
#[cfg(feature = "host")]
pub mod log;
#[cfg(feature = "host")]
pub mod options;
#[cfg(feature = "host")]
pub mod page;
pub mod policy_file;
#[cfg(feature = "host")]
pub mod proxy;
#[cfg(feature = "host")]
pub mod serve;
#[cfg(feature = "host")]
pub mod session;
#[cfg(feature = "host")]
pub mod site;
pub mod store_choice;
