//! The brake on the main password: a few wrong ones per account and per address, then a wait.
//!
//! Only wrong passwords count, so a person who signs in often is never stopped. Tokens are not
//! guessed: they have 140 random bits, and are checked without any brake. So nobody's devices wait
//! for what an attacker does.
//!
//! What is left is the main password, of people and of their scripts. Anybody can use up the tries
//! of an account. So its tries are counted apart for each network from which it signed in lately:
//! an attacker elsewhere doesn't stop it there. Only those who share such a network gain tries, as
//! many as everybody has. Without the password, nobody can make a network known. A person who signs
//! in from a new network during an attack waits.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::front::network_of;

/// Wrong passwords for one account, whatever the address.
const PER_ACCOUNT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// Wrong passwords from one address, whatever the account.
const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(50).expect("not zero");
/// After which all of them are allowed again.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How long a network is known after a right password. A script may run once a day.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many networks of an account are known, so that no account can fill the memory.
const MOST_KNOWN: usize = 8;

/// What wrong passwords are counted by.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    /// An account, from anywhere that isn't known.
    Account(String),
    /// An account, from a network that it signed in from lately.
    AccountAtHome(String, IpAddr),
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
    /// The networks from which an account signed in, and when, the latest last. Only real accounts
    /// get here, so their number is the bound.
    known: Mutex<HashMap<String, VecDeque<(IpAddr, Instant)>>>,
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
            known: Mutex::default(),
        }
    }

    /// Notes a right password.
    pub(super) fn note_right(&self, account: &str, from: Option<IpAddr>) {
        let Some(network) = from.map(network_of) else {
            return;
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = known.entry(account.to_owned()).or_default();
        networks.retain(|(other, _)| *other != network);
        if networks.len() >= MOST_KNOWN {
            networks.pop_front();
        }
        networks.push_back((network, Instant::now()));
    }

    fn is_known(&self, account: &str, network: IpAddr) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(account).is_some_and(|networks| {
            networks.iter().any(|(own, at)| *own == network && at.elapsed() < KNOWN_FOR)
        })
    }

    fn keys(&self, account: &str, from: Option<IpAddr>) -> impl Iterator<Item = Key> + use<> {
        let network = from.map(network_of);
        let short: String = account.chars().take(128).collect();
        let account = match network.filter(|network| self.is_known(account, *network)) {
            Some(network) => Key::AccountAtHome(short, network),
            None => Key::Account(short),
        };
        [Some(account), network.map(Key::Address)].into_iter().flatten()
    }

    /// Returns how long the next try must wait; `Ok` if it need not.
    pub(super) fn ask(&self, account: &str, from: Option<IpAddr>) -> Result<(), Duration> {
        let keys = self.keys(account, from);
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let ends = keys.filter_map(|key| stopped.get(&key).copied()).max();
        match ends.and_then(|end| end.checked_duration_since(now)).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => Ok(()),
        }
    }

    /// Counts a wrong password. Returns how many more the account may try at once.
    pub(super) fn count(&self, account: &str, from: Option<IpAddr>) -> u32 {
        let mut fewest = u32::MAX;
        for key in self.keys(account, from) {
            let (counter, most) = match key {
                Key::Account(_) | Key::AccountAtHome(..) => (&self.by_account, PER_ACCOUNT),
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
    fn where_an_account_signed_in_lately_it_is_stopped_only_by_tries_from_there() {
        let brake = Brake::new();
        let at = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 9]));
        brake.note_right("alice", at(1));
        for n in 0..20 {
            brake.count("alice", at(100 + n));
        }
        assert!(brake.ask("alice", at(2)).is_err() && brake.ask("alice", None).is_err());
        assert!(brake.ask("alice", at(1)).is_ok(), "a network that is known");
        for left in (0..10).rev() {
            assert!(brake.ask("alice", at(1)).is_ok(), "{left}");
            assert_eq!(brake.count("alice", at(1)), left);
        }
        assert!(brake.ask("alice", at(1)).is_err(), "it has as many tries, and no more");
        for n in 10..=10 + u16::try_from(MOST_KNOWN).unwrap() {
            brake.note_right("alice", at(n));
        }
        assert!(!brake.is_known("alice", network_of(at(1).unwrap())), "the oldest is forgotten");
        assert!(brake.is_known("alice", network_of(at(11).unwrap())));
        assert!(!brake.is_known("bob", network_of(at(11).unwrap())), "each account has its own");
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
