//! [`Striped`]: one value that many threads read at once and few change.
//!
//! A plain `RwLock` is no bottleneck by waiting, but by its counter of readers: each reader writes
//! to it, so the cache line that holds it moves from core to core, and two cores read hardly faster
//! than one. Here each thread locks a stripe of its own, which other threads hardly ever touch. A
//! change locks every stripe.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

/// More than the cores of most machines, so that threads which read at once rarely share a stripe.
const STRIPES: usize = 32;

/// A value behind many locks, any one of which is enough to read it.
pub(super) struct Striped<T, I> {
    /// What only changes need. Its lock is taken before the stripes.
    index: Mutex<I>,
    stripes: [Stripe<T>; STRIPES],
}

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

impl<T: Default, I: Default> Striped<T, I> {
    pub(super) fn new() -> Striped<T, I> {
        let value = Arc::new(T::default());
        let stripe = |_| Stripe(RwLock::new(Some(value.clone())));
        Striped { index: Mutex::default(), stripes: std::array::from_fn(stripe) }
    }

    /// Reads the value, under one lock.
    #[expect(clippy::expect_used, reason = "a change gives the value back before it unlocks")]
    pub(super) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        let stripe = &self.stripes[STRIPE.with(|stripe| *stripe)].0;
        let value = stripe.read().unwrap_or_else(PoisonError::into_inner);
        read(value.as_deref().expect("every stripe that is not locked by a change has the value"))
    }

    /// Waits until nobody else reads or changes the value, and holds it.
    ///
    /// Every change takes the locks in the same order and a reader holds one only, so nobody waits
    /// in a circle. A change checks first and writes after, so a panic leaves none half done: a
    /// poisoned lock is good.
    #[expect(clippy::expect_used, reason = "nobody but the stripes holds the value")]
    pub(super) fn lock(&self) -> Exclusive<'_, T, I> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stripes = self
            .stripes
            .each_ref()
            .map(|stripe| stripe.0.write().unwrap_or_else(PoisonError::into_inner));
        // The value leaves its `Arc`, so that a change works on it in place. Only the last stripe
        // that is emptied gives it away.
        let value = stripes.iter_mut().find_map(|stripe| stripe.take().and_then(Arc::into_inner));
        let value = value.expect("the last of all stripes owns the value");
        Exclusive { value, stripes, index }
    }
}

/// The value, while nobody else reads or changes it.
pub(super) struct Exclusive<'a, T: Default, I> {
    pub(super) value: T,
    stripes: [RwLockWriteGuard<'a, Option<Arc<T>>>; STRIPES],
    pub(super) index: MutexGuard<'a, I>,
}

/// Gives the value back to every stripe, even if the change panicked.
impl<T: Default, I> Drop for Exclusive<'_, T, I> {
    fn drop(&mut self) {
        let value = Arc::new(std::mem::take(&mut self.value));
        self.stripes.iter_mut().for_each(|stripe| **stripe = Some(value.clone()));
    }
}
