//! Nextcloud's Login Flow v2: a device asks, a person grants in a browser, and the device fetches
//! its app password.
//!
//! 1. The device begins. It gets a secret to poll with, and a link with another secret.
//! 2. A person opens the link and grants. What is kept of that: owner, label, access.
//! 3. The first poll with the right secret takes the grant. Only then the token is issued, so
//!    nothing here ever holds one.
//!
//! Requests are kept in memory. Several processes would keep them in a table, and take a grant by
//! `DELETE … WHERE poll = $1 AND owner IS NOT NULL RETURNING …`.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use app_tokens::{Access, Label, Owner};
use sha2::{Digest as _, Sha256};

/// How long a device may wait for its person.
const LIFE: Duration = Duration::from_secs(20 * 60);
/// How many devices may wait at once. Anyone may begin, so there must be an end.
const MOST: usize = 10_000;

/// The devices that wait. Cheap to clone.
#[derive(Clone, Default)]
pub struct LoginFlow(Arc<Mutex<VecDeque<Waiting>>>);

/// A device that waits. Of its secrets only the digests are kept.
struct Waiting {
    poll: [u8; 32],
    link: [u8; 32],
    asks: Asks,
    grant: Option<Grant>,
}

/// Who asks.
#[derive(Clone)]
pub struct Asks {
    /// What the program calls itself. It may lie.
    pub program: String,
    /// Where it asks from, if that is known.
    pub address: Option<IpAddr>,
    /// When it began.
    pub at: Instant,
}

/// What a person has granted.
#[derive(Clone)]
pub struct Grant {
    /// Who has granted it.
    pub owner: Owner,
    /// What the token will be called.
    pub label: Label,
    /// What the token may do.
    pub access: Access,
}

/// A grant that only one poll has.
pub struct Taken {
    /// What was granted.
    pub grant: Grant,
    waiting: Waiting,
}

/// The two secrets of a device that has begun.
pub struct Begun {
    /// Only the device knows it, and polls with it.
    pub poll: String,
    /// It is in the link that a person opens.
    pub link: String,
}

impl LoginFlow {
    /// Lets a device wait. `None` if the system has no randomness, or if all places are taken by
    /// devices that were granted.
    pub fn begin(&self, program: &str, address: Option<IpAddr>) -> Option<Begun> {
        let (poll, link) = (secret()?, secret()?);
        // As it is shown to people: no line ends, and no longer than a line.
        let program = program.chars().filter(|c| !c.is_control()).take(100).collect();
        let asks = Asks { program, address, at: Instant::now() };
        let mut waiting = self.waiting();
        if waiting.len() >= MOST {
            // The oldest makes room. A flood can push out devices, but not what was granted.
            let oldest = waiting.iter().position(|waiting| waiting.grant.is_none())?;
            waiting.remove(oldest);
        }
        let digests = (digest(&poll), digest(&link));
        waiting.push_back(Waiting { poll: digests.0, link: digests.1, asks, grant: None });
        Some(Begun { poll, link })
    }

    /// Says who asks by a link, unless that was answered, or is too long ago.
    pub fn asks(&self, link: &str) -> Option<Asks> {
        let link = digest(link);
        let waiting = self.waiting();
        let found = waiting.iter().find(|waiting| waiting.link == link);
        found.filter(|found| found.grant.is_none()).map(|found| found.asks.clone())
    }

    /// Grants what is asked for by a link, once. Returns whether a device waits for it.
    ///
    /// **Call it only for an owner who has just shown more than a cookie.**
    pub fn grant(&self, link: &str, grant: Grant) -> bool {
        let link = digest(link);
        let mut waiting = self.waiting();
        let found = waiting.iter_mut().find(|waiting| waiting.link == link);
        match found.filter(|found| found.grant.is_none()) {
            Some(found) => {
                found.grant = Some(grant);
                true
            }
            None => false,
        }
    }

    /// Ends a request that its person doesn't know.
    pub fn deny(&self, link: &str) {
        let link = digest(link);
        self.waiting().retain(|waiting| waiting.link != link || waiting.grant.is_some());
    }

    /// Takes the grant that a device polls for. Of many polls at once, one gets it.
    pub fn take(&self, poll: &str) -> Option<Taken> {
        let poll = digest(poll);
        let mut waiting = self.waiting();
        let is_it = |waiting: &Waiting| waiting.poll == poll && waiting.grant.is_some();
        let found = waiting.iter().position(is_it)?;
        let mut taken = waiting.remove(found)?;
        let grant = taken.grant.take()?;
        Some(Taken { grant, waiting: taken })
    }

    /// Gives a grant back from which no token was made. The device polls again.
    pub fn give_back(&self, taken: Taken) {
        let Taken { grant, waiting } = taken;
        self.waiting().push_front(Waiting { grant: Some(grant), ..waiting });
    }

    /// Ends what an owner has granted and no device has fetched. Call it wherever all of an owner's
    /// tokens are revoked.
    pub fn forget(&self, owner: &Owner) {
        let is_theirs =
            |waiting: &Waiting| waiting.grant.as_ref().is_some_and(|grant| grant.owner == *owner);
        self.waiting().retain(|waiting| !is_theirs(waiting));
    }

    /// Returns the devices that still wait.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|waiting| waiting.asks.at.elapsed() < LIFE);
        waiting
    }
}

/// Draws a secret of 256 bits.
fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    #[expect(clippy::disallowed_methods, reason = "no token is made of it")]
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(owner: &str) -> Grant {
        let (owner, label) = (Owner::new(owner).unwrap(), Label::new("Phone").unwrap());
        Grant { owner, label, access: Access::full() }
    }

    /// Makes all that waits older.
    fn age(flow: &LoginFlow, by: Duration) {
        for waiting in flow.0.lock().unwrap().iter_mut() {
            waiting.asks.at -= by;
        }
    }

    #[test]
    fn a_grant_is_taken_once_and_by_the_poll_secret_only() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        assert!(flow.take(&poll).is_none(), "nobody has granted it");
        assert!(flow.grant(&link, grant("alice")));
        assert!(flow.take(&link).is_none(), "the link is no poll secret");
        assert_eq!(flow.take(&poll).unwrap().grant.owner.as_str(), "alice");
        assert!(flow.take(&poll).is_none());
    }

    #[test]
    fn a_grant_that_was_given_back_is_taken_again_but_no_later_than_any_other() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        assert!(flow.grant(&link, grant("alice")));
        flow.give_back(flow.take(&poll).unwrap());
        let mut taken = flow.take(&poll).unwrap();
        taken.waiting.asks.at -= LIFE;
        flow.give_back(taken);
        assert!(flow.take(&poll).is_none());
    }

    #[test]
    fn of_many_polls_at_once_one_takes_the_grant() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        assert!(flow.grant(&link, grant("alice")));
        let taken: usize = std::thread::scope(|scope| {
            let polls: Vec<_> =
                (0..16).map(|_| scope.spawn(|| usize::from(flow.take(&poll).is_some()))).collect();
            polls.into_iter().map(|poll| poll.join().unwrap()).sum()
        });
        assert_eq!(taken, 1);
    }

    #[test]
    fn a_request_is_answered_once() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        assert!(flow.grant(&link, grant("alice")));
        assert!(flow.asks(&link).is_none());
        assert!(!flow.grant(&link, grant("mallory")), "nobody grants over another's grant");
        flow.deny(&link);
        assert_eq!(flow.take(&poll).unwrap().grant.owner.as_str(), "alice");
    }

    #[test]
    fn a_request_that_is_too_old_is_gone_also_when_it_was_granted() {
        let flow = LoginFlow::default();
        let (early, late) = (flow.begin("a", None).unwrap(), flow.begin("b", None).unwrap());
        assert!(flow.grant(&early.link, grant("alice")));
        age(&flow, LIFE);
        assert!(flow.take(&early.poll).is_none());
        assert!(flow.asks(&late.link).is_none());
        assert!(!flow.grant(&late.link, grant("alice")));
    }

    #[test]
    fn what_was_denied_or_whose_owner_was_ended_is_gone() {
        let flow = LoginFlow::default();
        let (denied, granted) = (flow.begin("a", None).unwrap(), flow.begin("b", None).unwrap());
        flow.deny(&denied.link);
        assert!(!flow.grant(&denied.link, grant("alice")));
        assert!(flow.grant(&granted.link, grant("alice")));
        flow.forget(&Owner::new("bob").unwrap());
        assert!(flow.asks(&granted.link).is_none());
        flow.forget(&Owner::new("alice").unwrap());
        assert!(flow.take(&granted.poll).is_none());
    }

    #[test]
    fn a_flood_is_bounded_and_pushes_out_no_grant() {
        let flow = LoginFlow::default();
        let first = flow.begin("first", None).unwrap();
        assert!(flow.grant(&first.link, grant("alice")));
        let second = flow.begin("second", None).unwrap();
        for _ in 0..MOST {
            flow.begin("flood", None).unwrap();
        }
        assert_eq!(flow.0.lock().unwrap().len(), MOST);
        assert!(flow.asks(&second.link).is_none());
        assert!(flow.take(&first.poll).is_some());
    }

    #[test]
    fn no_secret_is_kept() {
        let flow = LoginFlow::default();
        let begun = flow.begin("phone", None).unwrap();
        let waiting = flow.0.lock().unwrap();
        for (kept, secret) in [(waiting[0].poll, &begun.poll), (waiting[0].link, &begun.link)] {
            assert_eq!(kept, <[u8; 32]>::from(Sha256::digest(secret)));
        }
        assert_ne!(begun.poll, begun.link);
    }
}
