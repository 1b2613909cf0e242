//! [`Shards`]: a map that many threads read at once and few change.
//!
//! The map is divided into shards by id, so that a change of some rows doesn't block readers of
//! others.
//!
//! Each shard has 32 locks, called stripes. A reader takes one of them; a change takes all of them.
//!
//! Why not a single `RwLock`? It would be a bottleneck even if no reader ever waits. Each reader
//! writes to the lock's counter of readers. The cache line with that counter then moves from core
//! to core, and two cores read hardly faster than one. Here each thread reads through a stripe of
//! its own, which other threads rarely touch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use crate::token::{IdMap, TokenId};

const SHARDS: usize = 16;
/// More than most machines have cores, so that threads that read at once rarely share a stripe.
const STRIPES: usize = 32;

/// A map by id, in shards.
pub(super) struct Shards<V>(Box<[Striped<IdMap<V>>]>);

impl<V: Clone> Shards<V> {
    pub(super) fn new() -> Shards<V> {
        Shards((0..SHARDS).map(|_| Striped::new()).collect())
    }

    /// Returns a copy of the value with this id.
    pub(super) fn get(&self, id: TokenId) -> Option<V> {
        self.0[shard_of(id)].read(|shard| shard.get(&id).cloned())
    }

    /// Waits until no other thread reads or changes the shards of these ids, and locks them.
    ///
    /// Only one change at a time may call this. Two that lock the same shards in different order
    /// would deadlock. A reader can't be part of a deadlock, as it holds one lock only.
    pub(super) fn lock(&self, ids: impl IntoIterator<Item = TokenId>) -> LockedShards<'_, V> {
        let mut locked = BTreeMap::new();
        for shard in ids.into_iter().map(shard_of) {
            locked.entry(shard).or_insert_with(|| self.0[shard].lock());
        }
        LockedShards(locked)
    }
}

/// Returns the shard of an id, by its lowest bits. The map's hash uses the other bits, too, so ids
/// of one shard still spread over its buckets.
fn shard_of(id: TokenId) -> usize {
    id.as_u64() as usize % SHARDS
}

/// The shards of some ids, while no other thread reads or changes them.
pub(super) struct LockedShards<'a, V>(BTreeMap<usize, Exclusive<'a, IdMap<V>>>);

impl<V> LockedShards<'_, V> {
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

/// A value behind many locks. Any one of them is enough to read it; all are needed to change it.
struct Striped<T>([Stripe<T>; STRIPES]);

/// One of the locks on the value. It is `None` only while a change holds every stripe.
///
/// The alignment keeps two stripes out of one cache line. It is 128 bytes and not 64, as many
/// processors fetch lines in pairs.
#[repr(align(128))]
struct Stripe<T>(RwLock<Option<Arc<T>>>);

thread_local! {
    /// The stripe through which this thread reads.
    static STRIPE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

impl<T: Default> Striped<T> {
    fn new() -> Striped<T> {
        let value = Arc::new(T::default());
        let stripe = |_| Stripe(RwLock::new(Some(value.clone())));
        Striped(std::array::from_fn(stripe))
    }

    /// Reads the value under this thread's stripe.
    #[expect(clippy::expect_used, reason = "a change gives the value back before it unlocks")]
    fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        let stripe = &self.0[STRIPE.with(|stripe| *stripe)].0;
        let value = stripe.read().unwrap_or_else(PoisonError::into_inner);
        read(value.as_deref().expect("every stripe that is not locked by a change has the value"))
    }

    /// Waits until no other thread reads or changes the value, and locks it.
    ///
    /// A poisoned lock is safe to use: a change decides before it writes, so a panic leaves nothing
    /// half done.
    #[expect(clippy::expect_used, reason = "nobody but the stripes holds the value")]
    fn lock(&self) -> Exclusive<'_, T> {
        let mut stripes = self
            .0
            .each_ref()
            .map(|stripe| stripe.0.write().unwrap_or_else(PoisonError::into_inner));
        // Takes the value out of its `Arc`, so that a change works in place instead of on a copy of
        // the whole shard. `into_inner` returns it for the last stripe only: until then other
        // stripes still hold it.
        let value = stripes.iter_mut().find_map(|stripe| stripe.take().and_then(Arc::into_inner));
        let value = value.expect("the last of all stripes owns the value");
        Exclusive { value, stripes }
    }
}

/// The value, while no other thread reads or changes it.
struct Exclusive<'a, T: Default> {
    value: T,
    stripes: [RwLockWriteGuard<'a, Option<Arc<T>>>; STRIPES],
}

/// Puts the value back into every stripe, even if the change panicked. A reader must always find
/// it.
impl<T: Default> Drop for Exclusive<'_, T> {
    fn drop(&mut self) {
        let value = Arc::new(std::mem::take(&mut self.value));
        self.stripes.iter_mut().for_each(|stripe| **stripe = Some(value.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;

    #[test]
    fn a_change_that_panics_keeps_every_row_and_blocks_no_thread() {
        let shards = Shards::new();
        // Two of one shard.
        let [before, during] = [1, 1 + SHARDS as u64].map(|id| TokenId::from_u64(id).unwrap());
        shards.lock([before]).insert(before, "before");
        let change = || {
            let mut locked = shards.lock([before, during]);
            locked.insert(during, "during");
            panic!("in the middle of a change");
        };
        catch_unwind(AssertUnwindSafe(change)).unwrap_err();
        thread::scope(|scope| {
            // Enough of them to read by every stripe.
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    assert_eq!(
                        [before, during].map(|id| shards.get(id)),
                        [Some("before"), Some("during")]
                    );
                });
            }
        });
        shards.lock([before]).remove(before);
        assert_eq!(shards.get(before), None);
    }
}
