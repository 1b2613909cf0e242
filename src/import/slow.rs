//! Runs slow checks on threads of their own, a few at a time: [`SlowChecks`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use super::brake::{Brake, Counted};
use crate::error::Failed;
use crate::timestamp::Timestamp;

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

    /// Takes back what was counted for a text that matched.
    pub(crate) fn forgive(&self, counted: &[Counted]) {
        self.brake.forgive(counted);
    }

    /// Runs `check` on a thread of its own. It compares a text with the rows that are counted.
    ///
    /// # Errors
    /// [`Failed::ImportBusy`] if too many run or ran, or if the check panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        counted: &[Counted],
        now: Timestamp,
        check: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let waiting = Waiting::one_more(&self.waiting, self.most * WAITING_EACH);
        let waiting = waiting.ok_or(Failed::ImportBusy)?;
        if !self.brake.allows(counted, now) {
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::{Context, Waker};

    use super::*;
    use crate::block_on::block_on;
    use crate::token::TokenId;

    fn one_row(first: TokenId) -> [Counted; 1] {
        [Counted { first, rows: 1 }]
    }

    type Check = Pin<Box<dyn Future<Output = Result<(), Failed>> + Send>>;

    /// Makes a check that says when it runs, and ends when it is told to.
    fn check(checks: &Arc<SlowChecks>, place: u64) -> (Check, Receiver<()>, Sender<()>) {
        let ((runs, is_running), (end, may_end)) = (channel(), channel::<()>());
        let (checks, place) = (checks.clone(), TokenId::from_u64(place).unwrap());
        let work = move || {
            _ = runs.send(()); // ignored: the test may not listen
            _ = may_end.recv(); // an error once the test has dropped the other end
        };
        let run = async move { checks.run(&one_row(place), Timestamp::MIN, work).await };
        (Box::pin(run), is_running, end)
    }

    fn poll(check: &mut Check) -> std::task::Poll<Result<(), Failed>> {
        check.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn so_many_run_and_eight_times_as_many_wait_and_no_more() {
        let checks = Arc::new(SlowChecks::new(2));
        let mut all: Vec<_> = (0..18).map(|place| check(&checks, place)).collect();
        for (check, ..) in &mut all {
            assert!(poll(check).is_pending());
        }
        for (_, is_running, _) in &all[..2] {
            is_running.recv().unwrap();
        }
        assert!(all[2..].iter().all(|(_, is_running, _)| is_running.try_recv().is_err()));
        let (mut refused, ..) = check(&checks, 99);
        assert!(matches!(poll(&mut refused), std::task::Poll::Ready(Err(Failed::ImportBusy))));
        // A caller who gives up leaves their place in the queue to another.
        drop(all.pop());
        all.push(check(&checks, 100));
        assert!(poll(&mut all[17].0).is_pending());
        for (check, _, end) in all {
            drop(end);
            block_on(check).unwrap();
        }
    }

    #[test]
    fn a_caller_who_gives_up_does_not_let_another_check_run_beside_theirs() {
        let checks = Arc::new(SlowChecks::new(1));
        let (mut first, first_is_running, end_of_first) = check(&checks, 1);
        assert!(poll(&mut first).is_pending());
        first_is_running.recv().unwrap();
        drop(first);
        let (mut second, _running, end_of_second) = check(&checks, 2);
        assert!(poll(&mut second).is_pending());
        assert_eq!(checks.waiting.load(Ordering::Relaxed), 1);
        drop((end_of_first, end_of_second));
        block_on(second).unwrap();
    }

    #[test]
    fn a_guess_that_the_brake_holds_back_takes_no_place() {
        let checks = Arc::new(SlowChecks::new(1));
        let place = TokenId::from_u64(1).unwrap();
        let guess = |place| block_on(checks.run(&one_row(place), Timestamp::MIN, || ()));
        let refused = (0..500).filter(|_| guess(place).is_err()).count();
        assert_eq!(refused, 100);
        guess(TokenId::MAX).unwrap();
    }
}
