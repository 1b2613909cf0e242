//! How many requests git works for at once. Each costs a process of some megabytes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app_tokens::Owner;
use shared::front::network_of;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Who takes a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The owner of a token, from wherever: behind one address may be a whole company.
    Owner(Owner),
    /// Without a token: who is at this address. All whose address is unknown count as one.
    Address(Option<IpAddr>),
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This client has as many as one may have.
    ThisClient,
    /// All are taken.
    Everyone,
}

/// Places for clients with a token, and others for clients without one. So a crowd without accounts
/// keeps out nobody who has one. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    with_token: Arc<Semaphore>,
    without: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<Client, usize>>>,
}

/// The most places of each kind.
const MAX: usize = 32;
/// The most for one address.
const MAX_OF_ADDRESS: usize = 8;
/// The most for one owner, whose tokens many machines may use.
const MAX_OF_OWNER: usize = 16;

impl Default for Places {
    fn default() -> Places {
        let places = || Arc::new(Semaphore::new(MAX));
        Places { with_token: places(), without: places(), taken: Arc::default() }
    }
}

impl Places {
    /// Takes a place, until it is dropped.
    ///
    /// # Errors
    /// What is full.
    pub fn take(&self, client: Client) -> Result<Place, Full> {
        let (client, places, most) = match client {
            Client::Owner(_) => (client, &self.with_token, MAX_OF_OWNER),
            Client::Address(address) => {
                (Client::Address(address.map(network_of)), &self.without, MAX_OF_ADDRESS)
            }
        };
        let mut taken = self.taken();
        let of_this_one = taken.get(&client).copied().unwrap_or(0);
        if of_this_one >= most {
            return Err(Full::ThisClient);
        }
        let permit = places.clone().try_acquire_owned().map_err(|_| Full::Everyone)?;
        taken.insert(client.clone(), of_this_one + 1);
        Ok(Place { client, places: self.clone(), _permit: permit })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken.
pub struct Place {
    client: Client,
    places: Places,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> Client {
        Client::Address(Some(address.parse().unwrap()))
    }

    #[test]
    fn one_client_takes_some_and_clients_without_a_token_none_of_the_others() {
        let places = Places::default();
        let taken: Vec<Place> =
            (0..MAX_OF_ADDRESS).map(|_| places.take(at("2001:db8::1")).unwrap()).collect();
        for same in ["2001:db8::1", "2001:db8::ffff"] {
            assert_eq!(places.take(at(same)).err(), Some(Full::ThisClient), "{same}");
        }
        let others: Vec<Place> = (MAX_OF_ADDRESS..MAX)
            .map(|n| places.take(at(&format!("192.0.2.{n}"))).unwrap())
            .collect();
        assert_eq!(places.take(at("2001:db8:1::1")).err(), Some(Full::Everyone));
        assert_eq!(places.take(Client::Address(None)).err(), Some(Full::Everyone));
        let alice = || Client::Owner(Owner::new("alice").unwrap());
        let hers: Vec<Place> = (0..MAX_OF_OWNER).map(|_| places.take(alice()).unwrap()).collect();
        assert_eq!(places.take(alice()).err(), Some(Full::ThisClient));
        drop((taken, others, hers));
        assert!(places.taken().is_empty(), "nothing is remembered");
        assert!(places.take(at("2001:db8::1")).is_ok() && places.take(alice()).is_ok());
    }
}
