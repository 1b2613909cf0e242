//! Waits for a call, for hosts without an async runtime: [`TokenAuthority::block_on`].

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::authority::TokenAuthority;
use crate::store::RuntimeFree;
use crate::transaction::InTransaction;

impl<S: RuntimeFree> TokenAuthority<S> {
    /// Runs a call of this authority to its end on this thread, for hosts without an async runtime.
    ///
    /// It also runs calls of [`Login`](crate::web::Login), of [`Upkeep`](crate::upkeep::Upkeep) and
    /// of a transaction. **Give it only calls over a store that is [`RuntimeFree`].** A future that
    /// needs a runtime would wait for ever, or panic. Don't call it on a thread of an async
    /// runtime, which it would block.
    ///
    /// ```
    /// # use app_tokens::{Access, NewToken, Requirement, TokenAuthority};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let tokens = TokenAuthority::in_memory("acme")?;
    /// let new = NewToken::new("alice", "My phone", Access::full());
    /// let issued = tokens.block_on(tokens.issue(new))?;
    /// assert!(tokens.block_on(tokens.authenticate(issued.expose_secret())).is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn block_on<F: Future>(&self, call: F) -> F::Output {
        block_on(call)
    }
}

impl<T: RuntimeFree> InTransaction<T> {
    /// Runs a call within the transaction to its end on this thread.
    ///
    /// It works like [`TokenAuthority::block_on`].
    pub fn block_on<F: Future>(&self, call: F) -> F::Output {
        block_on(call)
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    /// Wakes the thread that waits.
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    // A store in memory answers at the first poll. Then no waker is needed, and nothing is
    // allocated. The loop below polls again with a real waker, so a wake that the first poll lost
    // is not missed.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // A wake before `park` is not lost: it makes the next `park` return at once. One that
            // comes for no reason costs one more poll.
            Poll::Pending => thread::park(),
        }
    }
}
