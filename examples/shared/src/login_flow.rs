//! Nextcloud's Login Flow v2: a device asks, a person grants in a browser, and the device fetches
//! its app password.
//!
//! 1. The device begins. It gets a secret to poll with, and a link with another secret.
//! 2. A person opens the link and grants. The host issues a token that lives as long as the request
//!    may wait, and throws its text away. What is kept here is the token's id.
//! 3. The first poll with the right secret rotates that token. Only the device gets the new text.
//!
//! So nothing here ever holds a secret, and nothing must be forgotten when tokens are revoked. An
//! act that revokes the owner's tokens, in any process, revokes this one with them. Then the
//! rotation is refused. Of many polls at once, the store lets one rotate.
//!
//! Requests are kept in memory. Several processes would keep them in a table.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use app_tokens::error::IssueError;
use app_tokens::{Access, Attributes, NewToken, Owner, Policy, TokenId, TokenView};
use sha2::{Digest as _, Sha256};

use crate::front::network_of;

/// How long a device may wait for its person. A granted token lives as long until it is fetched.
pub const LIFE: Duration = Duration::from_secs(20 * 60);
/// How many devices may wait at once. Anyone may begin, so there must be an end.
const MOST: usize = if cfg!(test) { 1_000 } else { 10_000 };

/// Marks the token of a grant. Rotations keep it.
const GRANTED: &str = "granted-to-device";

/// Makes the token of a grant. Its text is to be thrown away.
///
/// # Errors
/// [`IssueError`] never happens here.
pub fn token_to_grant(
    owner: &Owner,
    label: &str,
    access: Access,
    policy: &Policy,
) -> Result<NewToken, IssueError> {
    let life = policy.max_life().map_or(LIFE, |max| max.min(LIFE));
    let attributes = Attributes::new().with(GRANTED, "yes")?;
    Ok(NewToken::new(owner, label, access).expires_in(life).attributes(attributes))
}

/// Returns whether a token was granted to a device that has not fetched it yet. To fetch it is to
/// rotate it, and only then it gets its real end.
pub fn waits_for_device(token: &TokenView) -> bool {
    token.attributes().get(GRANTED).is_some() && token.id() == token.family()
}

/// The devices that wait. Cheap to clone.
#[derive(Clone, Default)]
pub struct LoginFlow(Arc<Mutex<VecDeque<Waiting>>>);

/// A device that waits. Of its secrets only the digests are kept.
struct Waiting {
    poll: [u8; 32],
    link: [u8; 32],
    asks: Asks,
    granted: Option<Granted>,
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

/// What a person has granted: a token whose text nobody has.
#[derive(Clone)]
pub struct Granted {
    /// Who has granted it.
    pub owner: Owner,
    /// The token that the device's poll rotates.
    pub token: TokenId,
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
            let oldest = oldest_of_largest_network(&waiting)?;
            waiting.remove(oldest);
        }
        let digests = (digest(&poll), digest(&link));
        waiting.push_back(Waiting { poll: digests.0, link: digests.1, asks, granted: None });
        Some(Begun { poll, link })
    }

    /// Says who asks by a link, unless that was answered, or is too long ago.
    pub fn asks(&self, link: &str) -> Option<Asks> {
        let link = digest(link);
        let waiting = self.waiting();
        let found = waiting.iter().find(|waiting| waiting.link == link);
        found.filter(|found| found.granted.is_none()).map(|found| found.asks.clone())
    }

    /// Grants what is asked for by a link, once. Returns whether a device waits for it.
    ///
    /// **Call it only for an owner who has just shown more than a cookie.**
    pub fn grant(&self, link: &str, granted: Granted) -> bool {
        let link = digest(link);
        let mut waiting = self.waiting();
        let found = waiting.iter_mut().find(|waiting| waiting.link == link);
        match found.filter(|found| found.granted.is_none()) {
            Some(found) => {
                found.granted = Some(granted);
                true
            }
            None => false,
        }
    }

    /// Ends a request that its person doesn't know.
    pub fn deny(&self, link: &str) {
        let link = digest(link);
        self.waiting().retain(|waiting| waiting.link != link || waiting.granted.is_some());
    }

    /// Returns what was granted to the device that polls. The store decides which poll gets it.
    pub fn granted(&self, poll: &str) -> Option<Granted> {
        let poll = digest(poll);
        self.waiting().iter().find(|waiting| waiting.poll == poll)?.granted.clone()
    }

    /// Ends a request whose device has its token, or will never get it.
    pub fn end(&self, poll: &str) {
        let poll = digest(poll);
        self.waiting().retain(|waiting| waiting.poll != poll);
    }

    /// Returns the devices that still wait.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|waiting| waiting.asks.at.elapsed() < LIFE);
        waiting
    }
}

/// Returns which device makes room: the oldest of the network in which most wait.
///
/// So a flood pushes out its own, also if it comes from some networks: a provider's customer may
/// have many of IPv6. What was granted stays.
fn oldest_of_largest_network(waiting: &VecDeque<Waiting>) -> Option<usize> {
    let mut networks: HashMap<Option<IpAddr>, (usize, usize)> = HashMap::new();
    for (at, waiting) in waiting.iter().enumerate() {
        if waiting.granted.is_none() {
            let network = waiting.asks.address.map(network_of);
            networks.entry(network).or_insert((0, at)).0 += 1;
        }
    }
    networks.into_values().max_by_key(|(count, _)| *count).map(|(_, oldest)| oldest)
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

    fn granted(owner: &str) -> Granted {
        let token = "askgagkera".parse().unwrap();
        Granted { owner: Owner::new(owner).unwrap(), token }
    }

    /// Makes all that waits older.
    fn age(flow: &LoginFlow, by: Duration) {
        for waiting in flow.0.lock().unwrap().iter_mut() {
            waiting.asks.at -= by;
        }
    }

    #[test]
    fn a_grant_is_found_by_the_poll_secret_only_until_its_request_ends() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        let other = flow.begin("other", None).unwrap();
        assert!(flow.granted(&poll).is_none(), "nobody has granted it");
        assert!(flow.grant(&link, granted("alice")));
        assert!(flow.granted(&link).is_none(), "the link is no poll secret");
        assert!(flow.granted(&other.poll).is_none(), "another device");
        assert_eq!(flow.granted(&poll).unwrap().owner.as_str(), "alice");
        flow.end(&link);
        assert!(flow.granted(&poll).is_some(), "the link ends nothing");
        flow.end(&poll);
        assert!(flow.granted(&poll).is_none() && flow.asks(&other.link).is_some());
    }

    #[test]
    fn a_request_is_answered_once() {
        let flow = LoginFlow::default();
        let Begun { poll, link } = flow.begin("phone", None).unwrap();
        assert!(flow.grant(&link, granted("alice")));
        assert!(flow.asks(&link).is_none());
        assert!(!flow.grant(&link, granted("mallory")), "nobody grants over another's grant");
        flow.deny(&link);
        assert_eq!(flow.granted(&poll).unwrap().owner.as_str(), "alice");
    }

    #[test]
    fn a_request_that_is_too_old_is_gone_also_when_it_was_granted() {
        let flow = LoginFlow::default();
        let (early, late) = (flow.begin("a", None).unwrap(), flow.begin("b", None).unwrap());
        assert!(flow.grant(&early.link, granted("alice")));
        age(&flow, LIFE);
        assert!(flow.granted(&early.poll).is_none());
        assert!(flow.asks(&late.link).is_none());
        assert!(!flow.grant(&late.link, granted("alice")));
    }

    #[test]
    fn what_was_denied_is_gone() {
        let flow = LoginFlow::default();
        let denied = flow.begin("a", None).unwrap();
        flow.deny(&denied.link);
        assert!(flow.asks(&denied.link).is_none());
        assert!(!flow.grant(&denied.link, granted("alice")));
    }

    #[test]
    fn a_flood_is_bounded_and_pushes_out_no_grant() {
        let flow = LoginFlow::default();
        let first = flow.begin("first", None).unwrap();
        assert!(flow.grant(&first.link, granted("alice")));
        let from = |n: usize| Some(IpAddr::from([192, 0, 2, u8::try_from(n % 20).unwrap()]));
        let second = flow.begin("second", from(0)).unwrap();
        for n in 0..MOST {
            flow.begin("flood", from(n)).unwrap();
        }
        assert_eq!(flow.0.lock().unwrap().len(), MOST);
        assert!(flow.asks(&second.link).is_none());
        assert!(flow.granted(&first.poll).is_some());
    }

    #[test]
    fn a_flood_from_some_networks_pushes_out_no_device_of_another() {
        for networks in [1, 16] {
            let flow = LoginFlow::default();
            let from = |n: u16| {
                Some(IpAddr::from([0x2001, 0xdb8, 0, n % networks, 0, 0, 0, n / networks]))
            };
            let phone = flow.begin("phone", Some([192, 0, 2, 1].into())).unwrap();
            let unknown = flow.begin("unknown", None).unwrap();
            let first = flow.begin("flood", from(0)).unwrap();
            let neighbour = flow.begin("neighbour", from(0)).unwrap();
            for n in 0..u16::try_from(MOST).unwrap() / 2 {
                flow.begin("flood", from(n)).unwrap();
            }
            assert!(flow.asks(&neighbour.link).is_some(), "there is room for all");
            for n in 0..u16::try_from(MOST).unwrap() {
                flow.begin("flood", from(n)).unwrap();
            }
            assert!(flow.asks(&phone.link).is_some() && flow.asks(&unknown.link).is_some());
            assert!(flow.asks(&first.link).is_none());
            assert_eq!(flow.0.lock().unwrap().len(), MOST);
        }
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
