//! The same engine for hosts without a runtime.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::access::Access;
use crate::authority::{By, TokenAuthority};
use crate::error::{AuthError, ChangeError, Failed, IssueError, ManageError, RetireError};
use crate::issue::{IssuedToken, NewToken, Rotation};
use crate::leak::LeakReport;
use crate::present::{Authenticated, Caller, Presented};
use crate::record::Expires;
use crate::seal::KeyId;
use crate::store::{Filter, Page, RuntimeFree};
use crate::text::{Owner, Reason};
use crate::token::TokenId;
use crate::transaction::InTransaction;
use crate::view::{ResealProgress, ResealReport, TokenPage, TokenView};

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

    /// [`TokenAuthority::issue_under`].
    ///
    /// # Errors
    /// As there.
    pub fn issue_under(&self, caller: &Caller, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue_under(caller, new))
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

    /// [`TokenAuthority::expiring`].
    ///
    /// # Errors
    /// As there.
    pub fn expiring(&self, within: Duration, page: Page) -> Result<TokenPage, Failed> {
        block_on(self.tokens.expiring(within, page))
    }

    /// [`TokenAuthority::rename`].
    ///
    /// # Errors
    /// As there.
    pub fn rename(
        &self,
        by: By<'_>,
        id: TokenId,
        label: impl AsRef<str> + Send,
    ) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.rename(by, id, label))
    }

    /// [`TokenAuthority::narrow`].
    ///
    /// # Errors
    /// As there.
    pub fn narrow(
        &self,
        by: By<'_>,
        id: TokenId,
        access: Access,
    ) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.narrow(by, id, access))
    }

    /// [`TokenAuthority::extend`].
    ///
    /// # Errors
    /// As there.
    pub fn extend(&self, by: By<'_>, id: TokenId, end: Expires) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.extend(by, id, end))
    }

    /// [`TokenAuthority::rotate`].
    ///
    /// # Errors
    /// As there.
    pub fn rotate(
        &self,
        by: By<'_>,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<IssuedToken, ChangeError> {
        block_on(self.tokens.rotate(by, id, rotation))
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

    /// [`TokenAuthority::revoke_leaked`].
    ///
    /// # Errors
    /// As there.
    pub fn revoke_leaked(
        &self,
        text: &(impl AsRef<[u8]> + ?Sized),
        operator: &str,
    ) -> Result<LeakReport, ManageError> {
        block_on(self.tokens.revoke_leaked(text, operator))
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

    /// [`TokenAuthority::reseal`].
    ///
    /// # Errors
    /// As there.
    pub fn reseal(&self) -> Result<ResealReport, Failed> {
        block_on(self.tokens.reseal())
    }

    /// [`TokenAuthority::reseal_with_progress`].
    ///
    /// # Errors
    /// As there.
    pub fn reseal_with_progress(
        &self,
        tell: impl FnMut(ResealProgress) + Send,
    ) -> Result<ResealReport, Failed> {
        block_on(self.tokens.reseal_with_progress(tell))
    }

    /// [`TokenAuthority::danger_reseal_without_proof`].
    ///
    /// # Errors
    /// As there.
    pub fn danger_reseal_without_proof(
        &self,
        lost: KeyId,
        operator: &str,
    ) -> Result<ResealReport, ManageError> {
        block_on(self.tokens.danger_reseal_without_proof(lost, operator))
    }

    /// [`TokenAuthority::keys_in_use`].
    ///
    /// # Errors
    /// As there.
    pub fn keys_in_use(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        block_on(self.tokens.keys_in_use())
    }

    /// [`TokenAuthority::may_retire`].
    ///
    /// # Errors
    /// As there.
    pub fn may_retire(&self, key_id: KeyId) -> Result<(), RetireError> {
        block_on(self.tokens.may_retire(key_id))
    }
}

impl<S> fmt::Debug for Blocking<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// [`InTransaction`] with calls that wait. From [`InTransaction::blocking`]; each method is the one of the same name there.
pub struct BlockingInTransaction<'a, T> {
    tokens: &'a InTransaction<T>,
}

impl<'a, T: RuntimeFree> BlockingInTransaction<'a, T> {
    pub(crate) fn new(tokens: &'a InTransaction<T>) -> BlockingInTransaction<'a, T> {
        BlockingInTransaction { tokens }
    }

    /// [`InTransaction::issue`].
    ///
    /// # Errors
    /// As there.
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue(new))
    }

    /// [`InTransaction::revoke`].
    ///
    /// # Errors
    /// As there.
    pub fn revoke(&self, by: By<'_>, id: TokenId, reason: Reason) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke(by, id, reason))
    }

    /// [`InTransaction::revoke_matching`].
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
}

impl<T> fmt::Debug for BlockingInTransaction<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingInTransaction")
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
