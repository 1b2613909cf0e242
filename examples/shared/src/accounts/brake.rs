//! The brake on the main password: a few wrong ones per account and per address, then a wait.
//!
//! Only wrong passwords count, so a person who signs in often is never stopped. Tokens are not
//! guessed: they have 140 random bits, and no brake.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Wrong passwords for one account, whatever the address.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// Wrong passwords from one address, whatever the account.
const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
/// After which all of them are allowed again.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// What wrong passwords are counted by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
}

type Counter = RateLimiter<Key, HashMapStateStore<Key>, DefaultClock, StateInformationMiddleware>;

/// Counts wrong passwords.
pub(super) struct Brake {
    by_account: Counter,
    by_address: Counter,
    clock: DefaultClock,
    /// Governor has no way to ask without counting. So what it said last is kept here.
    stopped: Mutex<HashMap<Key, Instant>>,
}

impl Brake {
    pub(super) fn new() -> Brake {
        let counter = |most: NonZeroU32| {
            let quota =
                Quota::with_period(WINDOW / most.get()).map(|quota| quota.allow_burst(most));
            let quota = quota.unwrap_or_else(|| Quota::per_minute(most));
            RateLimiter::hashmap(quota).with_middleware()
        };
        Brake {
            by_account: counter(PER_ACCOUNT),
            by_address: counter(PER_ADDRESS),
            clock: DefaultClock::default(),
            stopped: Mutex::default(),
        }
    }

    /// Returns how long the next try must wait; `Ok` if it need not.
    pub(super) fn ask(&self, account: &str, from: Option<IpAddr>) -> Result<(), Duration> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ends = keys(account, from).filter_map(|key| stopped.get(&key).copied()).max();
        match ends.and_then(|end| end.checked_duration_since(now)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => Ok(()),
        }
    }

    /// Counts a wrong password. Returns how many more the account may try at once.
    pub(super) fn count(&self, account: &str, from: Option<IpAddr>) -> u32 {
        let mut fewest = u32::MAX;
        for key in keys(account, from) {
            let (counter, most) = match key {
                Key::Account(_) => (&self.by_account, PER_ACCOUNT),
                Key::Address(_) => (&self.by_address, PER_ADDRESS),
            };
            let wait = match counter.check_key(&key) {
                Ok(left) if left.remaining_burst_capacity() > 0 => {
                    fewest = fewest.min(left.remaining_burst_capacity());
                    continue;
                }
                Ok(_) => WINDOW / most.get(),
                Err(refused) => refused.wait_time_from(self.clock.now()),
            };
            fewest = 0;
            let now = Instant::now();
            let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
            // Names and addresses are the clients' choice, so what is over must not pile up.
            if stopped.len() >= 1000 {
                stopped.retain(|_, end| *end > now);
            }
            stopped.insert(key, now + wait);
        }
        for counter in [&self.by_account, &self.by_address] {
            if counter.len() >= 10_000 {
                counter.retain_recent();
            }
        }
        fewest
    }
}

fn keys(account: &str, from: Option<IpAddr>) -> impl Iterator<Item = Key> {
    let account: String = account.chars().take(128).collect();
    [Some(Key::Account(account)), from.map(|from| Key::Address(network_of(from)))]
        .into_iter()
        .flatten()
}

/// Returns what one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_stopped_after_ten_wrong_passwords_wherever_they_come_from() {
        let brake = Brake::new();
        for n in 0..10 {
            let from = IpAddr::from([192, 0, 2, n]);
            assert!(brake.ask("alice", Some(from)).is_ok(), "{n}");
            assert_eq!(brake.count("alice", Some(from)), 9 - u32::from(n));
        }
        let from = IpAddr::from([192, 0, 2, 99]);
        assert!(brake.ask("alice", Some(from)).is_err_and(|wait| wait <= WINDOW / 10));
        assert!(brake.ask("alice", None).is_err());
        assert!(brake.ask("bob", Some(from)).is_ok(), "another account from there");
    }

    #[test]
    fn an_address_is_stopped_after_fifty_whatever_accounts_it_tries() {
        let brake = Brake::new();
        let within = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, n]);
        for n in 0..50 {
            assert!(brake.ask(&format!("user{n}"), Some(within(n))).is_ok(), "{n}");
            brake.count(&format!("user{n}"), Some(within(n)));
        }
        assert!(brake.ask("alice", Some(within(99))).is_err(), "one network of a subscriber");
        assert!(brake.ask("alice", Some(IpAddr::from([192, 0, 2, 1]))).is_ok());
    }
}
