//! Main passwords: a slow hash each, checked off the async threads.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;

/// The hash of a main password, in PHC form. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

impl Password {
    /// Takes a hash in PHC form, such as `$argon2id$…`.
    pub fn from_hash(hash: &str) -> Password {
        Password(hash.into())
    }

    /// Hashes a password. Slow.
    pub fn hash(password: &str) -> Password {
        Password(password_auth::generate_hash(password).into())
    }

    /// Returns the hash, to tell whether the password was changed.
    pub(super) fn as_hash(&self) -> &str {
        &self.0
    }

    fn is(&self, password: &str) -> bool {
        password_auth::verify_password(password, &self.0).is_ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Checks passwords, a few at a time. Each takes a core and 20 MB for a while.
pub(super) struct Checks {
    at_once: Semaphore,
    waiting: Semaphore,
}

/// More wait than this: the host is busy.
const MOST_WAITING: usize = 64;

impl Checks {
    pub(super) fn new() -> Checks {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Checks { at_once: Semaphore::new(cores.div_ceil(2)), waiting: Semaphore::new(MOST_WAITING) }
    }

    /// Checks a password. `None` if too many are waiting already.
    ///
    /// `may_go_on` is asked when this check's turn has come. If it returns an error, nothing is
    /// checked. So guesses that came together with the last allowed one don't count.
    pub(super) async fn check<E>(
        &self,
        password: &str,
        hash: Option<&Password>,
        may_go_on: impl FnOnce() -> Result<(), E>,
    ) -> Option<Result<bool, E>> {
        let _place = self.waiting.try_acquire().ok()?;
        let _turn = self.at_once.acquire().await.ok()?;
        if let Err(stopped) = may_go_on() {
            return Some(Err(stopped));
        }
        // An unknown account costs as much as a known one, so that time reveals no names.
        let is_known = hash.is_some();
        let hash = hash.unwrap_or_else(|| of_nobody()).clone();
        let password = password.to_owned();
        let checked = tokio::task::spawn_blocking(move || hash.is(&password)).await;
        checked.ok().map(|is_right| Ok(is_right && is_known))
    }
}

/// Returns a hash that stands in for the missing one. The first call makes it, and is slow.
pub(super) fn of_nobody() -> &'static Password {
    static OF_NOBODY: OnceLock<Password> = OnceLock::new();
    OF_NOBODY.get_or_init(|| Password::hash("no account has this"))
}
