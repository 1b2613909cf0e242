//! [`Worker`]: a thread of the store, and a channel for its replies that needs no async runtime.

use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

/// A thread that does the jobs that it is sent, in order. Dropping it waits for all of them.
pub(super) struct Worker<J> {
    jobs: Option<Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts a thread that runs `work` until the worker is dropped.
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(Receiver<J>) + Send + 'static,
    ) -> io::Result<Worker<J>> {
        let (jobs, waiting) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(waiting))?;
        Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Sends a job. Returns `false` if the thread has died; then the job is dropped.
    pub(super) fn send(&self, job: J) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        // The thread ends after its last job once there is no sender.
        drop(self.jobs.take());
        // A waker of the host runs on this thread, and may drop the store's last clone there. A
        // thread that joined itself would wait forever.
        let thread = self.thread.take().filter(|t| t.thread().id() != thread::current().id());
        if let Some(thread) = thread {
            _ = thread.join(); // ignored: a panic there was already reported by its panic hook
        }
    }
}

impl<J> fmt::Debug for Worker<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

/// Makes a channel for one reply, from a thread to a caller.
///
/// It is a future with a plain waker, so any executor can wait for it, and so can `block_on`.
pub(super) fn reply_channel<T>() -> (ReplySender<T>, ReplyReceiver<T>) {
    let state = Arc::new(Mutex::new(ReplyState::Waiting(None)));
    (ReplySender(state.clone()), ReplyReceiver(state))
}

enum ReplyState<T> {
    Waiting(Option<Waker>),
    /// `None` if the sender was dropped without a reply, or if the reply was taken.
    Replied(Option<T>),
}

/// The sending end. If it is dropped without a reply, the caller gets `None`.
pub(super) struct ReplySender<T>(Arc<Mutex<ReplyState<T>>>);

impl<T> ReplySender<T> {
    /// Sends the reply, and wakes the caller.
    pub(super) fn send(self, reply: T) {
        self.settle(Some(reply));
    }

    fn settle(&self, reply: Option<T>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ReplyState::Waiting(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = ReplyState::Replied(reply);
        // The waker is the host's code. It may poll the receiver at once, on this thread, and that
        // takes the same lock: it would deadlock if the lock were still held.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for ReplySender<T> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

/// The receiving end: a future of the reply, or of `None` if the sender was dropped without one.
pub(super) struct ReplyReceiver<T>(Arc<Mutex<ReplyState<T>>>);

impl<T> Future for ReplyReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            ReplyState::Replied(reply) => Poll::Ready(reply.take()),
            ReplyState::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_dropped_on_its_own_thread_does_not_wait_for_itself() {
        type Task = Box<dyn FnOnce() + Send>;
        let (ended, has_ended) = mpsc::channel();
        let work = move |jobs: Receiver<Task>| {
            jobs.iter().for_each(|job| job());
            ended.send(()).unwrap();
        };
        let kept = Arc::new(Mutex::new(Some(Worker::start("test", work).unwrap())));
        let same = kept.clone();
        // As a waker of the host does that drops the store's last clone.
        let job: Task = Box::new(move || drop(same.lock().unwrap().take()));
        assert!(kept.lock().unwrap().as_ref().unwrap().send(job));
        has_ended.recv().expect("it did its jobs and ended");
    }
}
