//! Makes calls at the same moment, on real threads, and calls that are abandoned.

use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::runner::{Runner, run};

/// How many calls take part in a race.
pub(super) const CALLS: u64 = 8;
/// How often a race is run, each time with another owner.
pub(super) const ROUNDS: u64 = 12;

/// One of the calls of a race.
pub(super) type Call<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes the calls at the same moment, and waits for their answers.
///
/// Each call runs on a thread of its own, by the host's runner. The thread that waits is not
/// blocked, so that a runtime with one thread can go on.
pub(super) async fn at_once<T: Send + 'static>(runner: Runner, calls: Vec<Call<T>>) -> Vec<T> {
    let start = Arc::new(Barrier::new(calls.len()));
    let mut running = Vec::new();
    for call in calls {
        let start = Arc::clone(&start);
        let ended = Arc::new(Ended::default());
        let when_ended = TellWhenDropped(Arc::clone(&ended));
        let thread = thread::spawn(move || {
            // Moved here first, so that it is dropped last, even if the call panics: otherwise the
            // waiting task would never be woken.
            let _when_ended = when_ended;
            let answer = Arc::new(Mutex::new(None));
            let place = Arc::clone(&answer);
            // Each thread waits until all of them are ready. A loop that only spawned them would
            // finish the first calls before the last began, and lose no race.
            start.wait();
            run(
                runner,
                Box::pin(async move {
                    let answer = call.await;
                    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                }),
            );
            answer.lock().unwrap_or_else(PoisonError::into_inner).take()
        });
        running.push((thread, ended));
    }
    let mut answers = Vec::new();
    for (thread, ended) in running {
        // `join` alone would block this thread, and with it a runtime that has no other.
        std::future::poll_fn(|context| ended.poll(context)).await;
        match thread.join() {
            Ok(answer) => answers.extend(answer),
            Err(panic) => resume_unwind(panic),
        }
    }
    answers
}

/// Polls a call `polls` times, then drops it, as a host does when its client disconnects. Returns
/// `None` if the call was not done by then.
pub(super) async fn abandoned<F: Future>(polls: usize, call: F) -> Option<F::Output> {
    let mut call = Box::pin(call);
    let mut left = polls;
    std::future::poll_fn(|context| {
        // With 0 polls the call is dropped before it ever ran: that must change nothing, either.
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Says whether a thread has ended, and holds the waker of the task that waits for it.
#[derive(Default)]
struct Ended(Mutex<(bool, Option<Waker>)>);

impl Ended {
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Wakes the waiting task when it is dropped: when its thread ends, even by a panic.
struct TellWhenDropped(Arc<Ended>);

impl Drop for TellWhenDropped {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }
}
