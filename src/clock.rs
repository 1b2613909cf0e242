//! Clocks. This is the only file that reads the wall clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::timestamp::Timestamp;

/// A clock that the engine reads: [`SystemClock`], or in tests a [`ManualClock`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a clock",
    note = "take `SystemClock` or, in tests, a `ManualClock`, or implement `Clock`"
)]
pub trait Clock: Send + Sync {
    /// Returns the present instant, in whole UTC seconds.
    ///
    /// A clock that can't tell returns [`Timestamp::MIN`]. The engine treats a time more than five
    /// minutes before a token was issued as a failure, not as a denial.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
///
/// Before 1970 it shows [`Timestamp::MIN`], and after the year 9999 [`Timestamp::MAX`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let now = SystemTime::now();
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::MIN.saturating_add(since_epoch)
    }
}

/// A clock for tests, which stands still until it is moved. Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use app_tokens::clock::{Clock, ManualClock};
/// use app_tokens::Timestamp;
/// let clock = ManualClock::at("2026-03-01T12:00:00Z".parse::<Timestamp>()?);
/// let same = clock.clone();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(same.now().to_string(), "2026-03-01T12:01:00Z");
/// # Ok::<(), app_tokens::error::OutOfCalendar>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Makes a clock that shows `now`.
    pub fn at(now: Timestamp) -> ManualClock {
        ManualClock(Arc::new(AtomicI64::new(now.as_unix())))
    }

    /// Sets the clock, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_unix(), Ordering::SeqCst);
    }

    /// Moves the clock forwards, at most to [`Timestamp::MAX`].
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::expect_used, reason = "only a timestamp's seconds are stored")]
        Timestamp::from_unix(self.0.load(Ordering::SeqCst)).expect("a timestamp's seconds")
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", self.now())
    }
}
