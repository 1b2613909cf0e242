//! [`Shards`]: a map that many threads read at once and few change.
//!
//! The map is cut into shards by id, so that a reader isn't stopped by a change of other rows.
//!
//! Each shard is behind many locks, any one of which is enough to read it. A single `RwLock` would
//! be a bottleneck, though nobody waits for it: each reader writes to its counter of readers, so
//! the cache line that holds the counter moves from core to core, and two cores read hardly faster
//! than one. Here each thread uses a lock of its own, its stripe, which other threads hardly ever
//! touch. A change takes all locks of the shards that it writes to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::token::{IdMap, TokenId};

const SHARDS: usize = 16;
/// More than the cores of most machines, so that threads which read at once rarely share a stripe.
const STRIPES: usize = 32;

/// A map by id.
pub(super) struct Shards<V>(Box<[Striped<IdMap<V>>]>);

impl<V: Clone> Shards<V> {
    pub(super) fn new() -> Shards<V> {
        Shards((0..SHARDS).map(|_| Striped::new()).collect())
    }

    pub(super) fn get(&self, id: TokenId) -> Option<V> {
        self.0[shard_of(id)].read(|shard| shard.get(&id).cloned())
    }

    /// Shows every value to a function, in no order.
    pub(super) fn for_each(&self, mut show: impl FnMut(&V)) {
        self.0.iter().for_each(|shard| shard.read(|shard| shard.values().for_each(&mut show)));
    }

    /// Waits until nobody else reads or changes the shards of these ids, and holds them.
    ///
    /// Only one change at a time may do this: two that need the same shards in another order would
    /// wait for each other. A reader holds one lock only, so it waits in no circle.
    pub(super) fn lock(&self, ids: impl IntoIterator<Item = TokenId>) -> Locked<'_, V> {
        let mut locked = BTreeMap::new();
        for shard in ids.into_iter().map(shard_of) {
            locked.entry(shard).or_insert_with(|| self.0[shard].lock());
        }
        Locked(locked)
    }
}

/// By the lowest bits, which the hash of the map does not use alone.
fn shard_of(id: TokenId) -> usize {
    id.as_u64() as usize % SHARDS
}

/// The shards of some ids, while nobody else reads or changes them.
pub(super) struct Locked<'a, V>(BTreeMap<usize, Exclusive<'a, IdMap<V>>>);

impl<V> Locked<'_, V> {
    pub(super) fn insert(&mut self, id: TokenId, value: V) {
        self.shard(id).insert(id, value);
    }

    pub(super) fn remove(&mut self, id: TokenId) {
        self.shard(id).remove(&id);
    }

    #[expect(clippy::expect_used, reason = "the caller locked the shards of the ids it writes")]
    fn shard(&mut self, id: TokenId) -> &mut IdMap<V> {
        &mut self.0.get_mut(&shard_of(id)).expect("the shard of this id is locked").value
    }
}

/// A value behind many locks, any one of which is enough to read it.
struct Striped<T>(Box<[Stripe<T>; STRIPES]>);

/// A lock on the one value. It is `None` only while a change holds every stripe.
///
/// The alignment keeps two stripes out of one cache line: 128 bytes, as many processors fetch lines
/// in pairs.
#[repr(align(128))]
struct Stripe<T>(RwLock<Option<Arc<T>>>);

thread_local! {
    /// The stripe in which this thread reads.
    static STRIPE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

impl<T: Default> Striped<T> {
    fn new() -> Striped<T> {
        let value = Arc::new(T::default());
        let stripe = |_| Stripe(RwLock::new(Some(value.clone())));
        Striped(Box::new(std::array::from_fn(stripe)))
    }

    /// Reads the value, under one lock.
    #[expect(clippy::expect_used, reason = "a change gives the value back before it unlocks")]
    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        let stripe = &self.0[STRIPE.with(|stripe| *stripe)].0;
        let value = stripe.read().unwrap_or_else(PoisonError::into_inner);
        read(value.as_deref().expect("every stripe that is not locked by a change has the value"))
    }

    /// Waits until nobody else reads or changes the value, and holds it.
    ///
    /// A poisoned lock is good: a change decides first and writes after, so a panic leaves none
    /// half done.
    #[expect(clippy::expect_used, reason = "nobody but the stripes holds the value")]
    fn lock(&self) -> Exclusive<'_, T> {
        let mut stripes = self
            .0
            .each_ref()
            .map(|stripe| stripe.0.write().unwrap_or_else(PoisonError::into_inner));
        // The value leaves its `Arc`, so that a change works on it in place. Only the last stripe
        // that is emptied gives it away.
        let value = stripes.iter_mut().find_map(|stripe| stripe.take().and_then(Arc::into_inner));
        let value = value.expect("the last of all stripes owns the value");
        Exclusive { value, stripes }
    }
}

/// The value, while nobody else reads or changes it.
struct Exclusive<'a, T: Default> {
    value: T,
    stripes: [RwLockWriteGuard<'a, Option<Arc<T>>>; STRIPES],
}

/// Gives the value back to every stripe, even if the change panicked.
impl<T: Default> Drop for Exclusive<'_, T> {
    fn drop(&mut self) {
        let value = Arc::new(std::mem::take(&mut self.value));
        self.stripes.iter_mut().for_each(|stripe| **stripe = Some(value.clone()));
    }
}
