//! The same engine for hosts without a runtime.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::authority::{By, TokenAuthority};
use crate::error::{AuthError, Failed, IssueError, ManageError};
use crate::issue::{IssuedToken, NewToken};
use crate::present::{Authenticated, Presented};
use crate::store::{Filter, Page, RuntimeFree};
use crate::text::{Owner, Reason};
use crate::token::TokenId;
use crate::view::{TokenPage, TokenView};

/// [`TokenAuthority`] with calls that wait, over a store that needs no runtime. From [`TokenAuthority::blocking`]; each method is
/// the one of the same name there.
pub struct Blocking<'a, S> {
    tokens: &'a TokenAuthority<S>,
}

impl<'a, S: RuntimeFree> Blocking<'a, S> {
    pub(crate) fn new(tokens: &'a TokenAuthority<S>) -> Blocking<'a, S> {
        Blocking { tokens }
    }

    /// [`TokenAuthority::issue`].
    ///
    /// # Errors
    /// As there.
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue(new))
    }

    /// [`TokenAuthority::authenticate`].
    ///
    /// # Errors
    /// As there.
    pub fn authenticate<'p>(
        &self,
        presented: impl Into<Presented<'p>> + Send,
    ) -> Result<Authenticated, AuthError> {
        block_on(self.tokens.authenticate(presented))
    }

    /// [`TokenAuthority::authenticate_as`].
    ///
    /// # Errors
    /// As there.
    pub fn authenticate_as<'p>(
        &self,
        owner: &Owner,
        presented: impl Into<Presented<'p>> + Send,
    ) -> Result<Authenticated, AuthError> {
        block_on(self.tokens.authenticate_as(owner, presented))
    }

    /// [`TokenAuthority::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, filter: &Filter, page: Page) -> Result<TokenPage, Failed> {
        block_on(self.tokens.list(filter, page))
    }

    /// [`TokenAuthority::find`].
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, by: By<'_>, id: TokenId) -> Result<TokenView, ManageError> {
        block_on(self.tokens.find(by, id))
    }

    /// [`TokenAuthority::revoke`].
    ///
    /// # Errors
    /// As there.
    pub fn revoke(&self, by: By<'_>, id: TokenId, reason: Reason) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke(by, id, reason))
    }

    /// [`TokenAuthority::revoke_matching`].
    ///
    /// # Errors
    /// As there.
    pub fn revoke_matching(
        &self,
        by: By<'_>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke_matching(by, filter, reason))
    }

    /// [`TokenAuthority::forget`].
    ///
    /// # Errors
    /// As there.
    pub fn forget(&self, by: By<'_>, id: TokenId) -> Result<u64, ManageError> {
        block_on(self.tokens.forget(by, id))
    }

    /// [`TokenAuthority::forget_owner`].
    ///
    /// # Errors
    /// As there.
    pub fn forget_owner(&self, owner: &Owner, operator: &str) -> Result<u64, ManageError> {
        block_on(self.tokens.forget_owner(owner, operator))
    }

    /// [`TokenAuthority::flush_usage`].
    ///
    /// # Errors
    /// As there.
    pub fn flush_usage(&self) -> Result<(), Failed> {
        block_on(self.tokens.flush_usage())
    }

    /// [`TokenAuthority::purge`].
    ///
    /// # Errors
    /// As there.
    pub fn purge(&self) -> Result<u64, Failed> {
        block_on(self.tokens.purge())
    }
}

impl<S> fmt::Debug for Blocking<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// Waits for a future on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    // A store in memory has its answer at once: then there is nobody to wake, and nothing is allocated.
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
