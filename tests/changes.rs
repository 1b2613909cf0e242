//! What becomes of a token after it was issued, as properties.

/// Makes two tests of each of these functions, one for each store.
macro_rules! on_both_stores {
    ($($property:ident)*) => {
        mod in_memory {
            $(#[test] fn $property() { super::$property(app_tokens::store::MemoryStore::new()); })*
        }
        mod in_sqlite {
            $(#[test] fn $property() {
                super::$property(app_tokens::store::SqliteStore::in_memory().unwrap());
            })*
        }
    };
}

mod common;
#[path = "changes/change.rs"]
mod change;
#[path = "changes/expiring.rs"]
mod expiring;
#[path = "common/file.rs"]
mod file;
#[path = "changes/issue_under.rs"]
mod issue_under;
#[path = "changes/leaks.rs"]
mod leaks;
#[path = "changes/others.rs"]
mod others;
#[path = "changes/policy.rs"]
mod policy;
#[path = "changes/reseal.rs"]
mod reseal;
#[path = "changes/reuse.rs"]
mod reuse;
#[path = "changes/rotate.rs"]
mod rotate;

use app_tokens::error::{ChangeError, DenialReason};
use app_tokens::store::RuntimeFree;
use app_tokens::{Access, Caller, IssuedToken, NewToken, Reason, Rotation, TokenView};
use common::*;

impl<S: RuntimeFree> Bench<S> {
    #[track_caller]
    fn issue_for(&self, seconds: u64) -> IssuedToken {
        let new = NewToken::new("alice", "My phone", Access::full()).expires_in(secs(seconds));
        self.tokens.block_on(self.tokens.issue(new)).unwrap()
    }

    #[track_caller]
    fn rotate(&self, token: &IssuedToken, overlap: u64) -> IssuedToken {
        let rotation = Rotation::new().overlap(secs(overlap));
        self.tokens.block_on(self.tokens.rotate(&ops(), token.id(), rotation)).unwrap()
    }

    #[track_caller]
    fn refused(&self, token: &IssuedToken, rotation: Rotation) -> ChangeError {
        self.tokens.block_on(self.tokens.rotate(&ops(), token.id(), rotation)).unwrap_err()
    }

    #[track_caller]
    fn caller(&self, token: &IssuedToken) -> Caller {
        any(self.tokens.block_on(self.tokens.authenticate(token.expose_secret())).unwrap())
    }

    #[track_caller]
    fn issue_under(&self, parent: &IssuedToken) -> IssuedToken {
        let caller = self.caller(parent);
        let new = NewToken::new("alice", "child", caller.access().clone());
        self.tokens.block_on(self.tokens.issue_under(&caller, new)).unwrap()
    }

    #[track_caller]
    fn see(&self, token: &IssuedToken) -> TokenView {
        self.tokens.block_on(self.tokens.find(&ops(), token.id())).unwrap()
    }

    #[track_caller]
    fn revoke(&self, token: &IssuedToken) {
        self.tokens.block_on(self.tokens.revoke(&ops(), token.id(), Reason::REQUESTED)).unwrap();
    }

    #[track_caller]
    fn assert_good_for(&self, token: &IssuedToken, good: bool, reason: DenialReason) {
        if good {
            self.assert_good(token.expose_secret());
        } else {
            self.assert_denied(token.expose_secret(), reason);
        }
    }
}
