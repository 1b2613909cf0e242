//! Runs slow checks on threads of their own, a few at a time: [`SlowChecks`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use super::brake::Brake;
use crate::error::Failed;
use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// How many checks may wait for each that runs.
const WAITING_EACH: usize = 8;

/// Bounds how many slow checks run, wait, and follow each other.
///
/// The threads are not kept: beside a slow hash, a new one costs nothing.
pub(crate) struct SlowChecks {
    places: Arc<Semaphore>,
    most: usize,
    waiting: Arc<AtomicUsize>,
    brake: Brake,
}

impl SlowChecks {
    pub(super) fn new(most: u32) -> SlowChecks {
        let most = (most as usize).min(1024);
        let places = Arc::new(Semaphore::new(most));
        SlowChecks { places, most, waiting: Arc::default(), brake: Brake::new() }
    }

    /// Takes back the work of checks of which one matched.
    pub(crate) fn forgive(&self, place: TokenId, checks: u32) {
        self.brake.forgive(place, checks);
    }

    /// Runs `check` on a thread of its own, as the work of `checks` checks of one look-up.
    ///
    /// # Errors
    /// [`Failed::ImportBusy`] if too many run or ran, or if the check panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        place: TokenId,
        checks: u32,
        now: Timestamp,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let waiting = Waiting::one_more(&self.waiting, self.most * WAITING_EACH);
        let waiting = waiting.ok_or(Failed::ImportBusy)?;
        if !self.brake.allows(place, checks, now) {
            return Err(Failed::ImportBusy);
        }
        let permit = self.places.clone().acquire_owned().await.map_err(|_| Failed::ImportBusy)?;
        drop(waiting);
        let (answer, answered) = oneshot::channel();
        let work = move || {
            // Held by the thread: a caller who gives up does not end the work.
            let _permit = permit;
            if let Ok(done) = catch_unwind(AssertUnwindSafe(check)) {
                _ = answer.send(done); // ignored: the caller is gone
            }
        };
        thread::Builder::new()
            .name("app-tokens import".into())
            .spawn(work)
            .map_err(|_| Failed::ImportBusy)?;
        answered.await.map_err(|_| Failed::ImportBusy)
    }
}

/// One check that waits. Counted until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Counts one more, unless `most` wait.
    fn one_more(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Waiting> {
        // Relaxed: the number orders nothing else.
        let more = |count| (count < most).then_some(count + 1);
        let counted = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.ok().map(|_| Waiting(waiting.clone()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
