//! A thread of the store, and how a reply comes back from it without a runtime.

use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::{fmt, io};

/// A thread that does the jobs it is sent, in order. Dropping it waits for the jobs that it was
/// sent.
pub(super) struct Worker<J> {
    jobs: Option<Sender<J>>,
    thread: Option<JoinHandle<()>>,
}

impl<J: Send + 'static> Worker<J> {
    pub(super) fn start(
        name: &str,
        work: impl FnOnce(Receiver<J>) + Send + 'static,
    ) -> io::Result<Worker<J>> {
        let (jobs, waiting) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || work(waiting))?;
        Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Whether the job was sent. If the thread has died, the job is dropped.
    pub(super) fn send(&self, job: J) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        // Without a sender the thread ends after its last job.
        drop(self.jobs.take());
        // A waker may drop the store's last clone on this very thread, which can't wait for itself.
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

/// Makes the two ends of one reply, from a thread to a caller.
pub(super) fn reply_channel<T>() -> (ReplySender<T>, ReplyReceiver<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (ReplySender(state.clone()), ReplyReceiver(state))
}

enum State<T> {
    Waiting(Option<Waker>),
    /// `None` if the sender was dropped without a reply, or the reply was taken.
    Replied(Option<T>),
}

/// The thread's end. If it is dropped without a reply, the caller is told so.
pub(super) struct ReplySender<T>(Arc<Mutex<State<T>>>);

impl<T> ReplySender<T> {
    pub(super) fn send(self, reply: T) {
        self.settle(Some(reply));
    }

    fn settle(&self, reply: Option<T>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Waiting(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = State::Replied(reply);
        // The waker is the host's code: it runs without the lock, which it may need to poll.
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

/// The caller's end: a future, `None` if the sender was dropped without a reply.
pub(super) struct ReplyReceiver<T>(Arc<Mutex<State<T>>>);

impl<T> Future for ReplyReceiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Replied(reply) => Poll::Ready(reply.take()),
            State::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
