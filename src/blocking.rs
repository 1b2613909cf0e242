//! Calls that wait, for hosts without an async runtime.

use std::fmt;
use std::time::Duration;

use crate::access::Access;
use crate::authority::TokenAuthority;
use crate::block_on::block_on;
use crate::error::{AuthError, ChangeError, Failed, IssueError, ManageError, RetireError};
use crate::issue::{IssuedToken, NewToken, Rotation};
use crate::key::KeyId;
use crate::leak::LeakReport;
use crate::present::{Authenticated, Caller, Origin};
use crate::record::{Actor, Expires};
use crate::store::{Filter, Page, RuntimeFree};
use crate::text::{Operator, Owner, Reason};
use crate::token::TokenId;
use crate::transaction::InTransaction;
use crate::view::{ResealProgress, ResealReport, TokenPage, TokenView};

/// Calls of a [`TokenAuthority`] that wait, over a store that needs no async runtime.
///
/// Made by [`TokenAuthority::blocking`]. Each method calls the one of the same name there.
pub struct Blocking<'a, S> {
    tokens: &'a TokenAuthority<S>,
}

impl<S: RuntimeFree> TokenAuthority<S> {
    /// Gives access to calls that wait, for hosts without an async runtime.
    pub fn blocking(&self) -> Blocking<'_, S> {
        Blocking { tokens: self }
    }
}

impl<S: RuntimeFree> Blocking<'_, S> {
    /// Calls [`TokenAuthority::issue`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::issue`].
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue(new))
    }

    /// Calls [`TokenAuthority::issue_under`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::issue_under`].
    pub fn issue_under(&self, caller: &Caller, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue_under(caller, new))
    }

    /// Calls [`TokenAuthority::authenticate`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::authenticate`].
    pub fn authenticate(&self, text: &str) -> Result<Authenticated, AuthError> {
        block_on(self.tokens.authenticate(text))
    }

    /// Calls [`TokenAuthority::authenticate_from`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::authenticate_from`].
    pub fn authenticate_from<'p>(
        &self,
        text: &'p str,
        origin: impl Into<Origin<'p>>,
    ) -> Result<Authenticated, AuthError> {
        block_on(self.tokens.authenticate_from(text, origin))
    }

    /// Calls [`TokenAuthority::authenticate_as`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::authenticate_as`].
    pub fn authenticate_as<'p>(
        &self,
        owner: &Owner,
        text: &'p str,
        origin: impl Into<Origin<'p>>,
    ) -> Result<Authenticated, AuthError> {
        block_on(self.tokens.authenticate_as(owner, text, origin))
    }

    /// Calls [`TokenAuthority::list`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::list`].
    pub fn list(&self, filter: &Filter, page: Page) -> Result<TokenPage, Failed> {
        block_on(self.tokens.list(filter, page))
    }

    /// Calls [`TokenAuthority::find`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::find`].
    pub fn find(&self, by: impl Into<Actor>, id: TokenId) -> Result<TokenView, ManageError> {
        block_on(self.tokens.find(by, id))
    }

    /// Calls [`TokenAuthority::expiring`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::expiring`].
    pub fn expiring(&self, within: Duration, page: Page) -> Result<TokenPage, Failed> {
        block_on(self.tokens.expiring(within, page))
    }

    /// Calls [`TokenAuthority::rename`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::rename`].
    pub fn rename(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        label: impl AsRef<str> + Send,
    ) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.rename(by, id, label))
    }

    /// Calls [`TokenAuthority::narrow`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::narrow`].
    pub fn narrow(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        access: Access,
    ) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.narrow(by, id, access))
    }

    /// Calls [`TokenAuthority::extend`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::extend`].
    pub fn extend(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        end: Expires,
    ) -> Result<TokenView, ChangeError> {
        block_on(self.tokens.extend(by, id, end))
    }

    /// Calls [`TokenAuthority::rotate`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::rotate`].
    pub fn rotate(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        rotation: Rotation,
    ) -> Result<IssuedToken, ChangeError> {
        block_on(self.tokens.rotate(by, id, rotation))
    }

    /// Calls [`TokenAuthority::revoke`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::revoke`].
    pub fn revoke(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke(by, id, reason))
    }

    /// Calls [`TokenAuthority::revoke_matching`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::revoke_matching`].
    pub fn revoke_matching(
        &self,
        by: impl Into<Actor>,
        filter: &Filter,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke_matching(by, filter, reason))
    }

    /// Calls [`TokenAuthority::revoke_leaked`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::revoke_leaked`].
    pub fn revoke_leaked(
        &self,
        text: &(impl AsRef<[u8]> + ?Sized),
        operator: &Operator,
    ) -> Result<LeakReport, ManageError> {
        block_on(self.tokens.revoke_leaked(text, operator))
    }

    /// Calls [`TokenAuthority::forget`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::forget`].
    pub fn forget(&self, by: impl Into<Actor>, id: TokenId) -> Result<u64, ManageError> {
        block_on(self.tokens.forget(by, id))
    }

    /// Calls [`TokenAuthority::forget_owner`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::forget_owner`].
    pub fn forget_owner(&self, owner: &Owner, operator: &Operator) -> Result<u64, ManageError> {
        block_on(self.tokens.forget_owner(owner, operator))
    }

    /// Calls [`TokenAuthority::flush_usage`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::flush_usage`].
    pub fn flush_usage(&self) -> Result<(), Failed> {
        block_on(self.tokens.flush_usage())
    }

    /// Calls [`TokenAuthority::purge`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::purge`].
    pub fn purge(&self) -> Result<u64, Failed> {
        block_on(self.tokens.purge())
    }

    /// Calls [`TokenAuthority::reseal`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::reseal`].
    pub fn reseal(&self) -> Result<ResealReport, Failed> {
        block_on(self.tokens.reseal())
    }

    /// Calls [`TokenAuthority::reseal_with_progress`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::reseal_with_progress`].
    pub fn reseal_with_progress(
        &self,
        report: impl FnMut(ResealProgress) + Send,
    ) -> Result<ResealReport, Failed> {
        block_on(self.tokens.reseal_with_progress(report))
    }

    /// Calls [`TokenAuthority::danger_reseal_without_proof`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::danger_reseal_without_proof`].
    pub fn danger_reseal_without_proof(
        &self,
        lost: KeyId,
        operator: &Operator,
    ) -> Result<ResealReport, ManageError> {
        block_on(self.tokens.danger_reseal_without_proof(lost, operator))
    }

    /// Calls [`TokenAuthority::keys_in_use`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::keys_in_use`].
    pub fn keys_in_use(&self) -> Result<Vec<(KeyId, u64)>, Failed> {
        block_on(self.tokens.keys_in_use())
    }

    /// Calls [`TokenAuthority::may_retire`] and waits.
    ///
    /// # Errors
    /// Those of [`TokenAuthority::may_retire`].
    pub fn may_retire(&self, key_id: KeyId) -> Result<(), RetireError> {
        block_on(self.tokens.may_retire(key_id))
    }
}

impl<S> fmt::Debug for Blocking<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

/// Calls of an [`InTransaction`] that wait.
///
/// Made by [`InTransaction::blocking`]. Each method calls the one of the same name there.
pub struct BlockingInTransaction<'a, T> {
    tokens: &'a InTransaction<T>,
}

impl<T: RuntimeFree> InTransaction<T> {
    /// Gives access to calls that wait, for hosts without an async runtime.
    pub fn blocking(&self) -> BlockingInTransaction<'_, T> {
        BlockingInTransaction { tokens: self }
    }
}

impl<T: RuntimeFree> BlockingInTransaction<'_, T> {
    /// Calls [`InTransaction::issue`] and waits.
    ///
    /// # Errors
    /// Those of [`InTransaction::issue`].
    pub fn issue(&self, new: NewToken) -> Result<IssuedToken, IssueError> {
        block_on(self.tokens.issue(new))
    }

    /// Calls [`InTransaction::revoke`] and waits.
    ///
    /// # Errors
    /// Those of [`InTransaction::revoke`].
    pub fn revoke(
        &self,
        by: impl Into<Actor>,
        id: TokenId,
        reason: Reason,
    ) -> Result<u64, ManageError> {
        block_on(self.tokens.revoke(by, id, reason))
    }

    /// Calls [`InTransaction::revoke_matching`] and waits.
    ///
    /// # Errors
    /// Those of [`InTransaction::revoke_matching`].
    pub fn revoke_matching(
        &self,
        by: impl Into<Actor>,
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
