//! [`TokenAuthority::block_on`]: waits for a call, for hosts without an async runtime.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::authority::TokenAuthority;
use crate::store::RuntimeFree;
use crate::transaction::InTransaction;

impl<S: RuntimeFree> TokenAuthority<S> {
    /// Runs a call of this authority to its end on this thread, for hosts without an async runtime.
    ///
    /// Calls of [`Login`](crate::web::Login), of [`Upkeep`](crate::upkeep::Upkeep) and of a
    /// transaction run by it, too. A future that needs a runtime would wait for ever: give it
    /// nothing but calls over a store that is [`RuntimeFree`].
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
    /// Runs a call within the transaction to its end on this thread, as
    /// [`TokenAuthority::block_on`] does.
    pub fn block_on<F: Future>(&self, call: F) -> F::Output {
        block_on(call)
    }
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    // A store in memory answers at the first poll: then no waker is needed, and nothing is
    // allocated.
    if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
