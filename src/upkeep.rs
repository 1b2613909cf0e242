//! Upkeep: writes last uses and purges dead rows from time to time.

use std::fmt;
#[cfg(feature = "tokio")]
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::authority::TokenAuthority;
use crate::error::Failed;
use crate::event::Event;
#[cfg(feature = "tokio")]
use crate::store::StoreError;
use crate::store::TokenStore;
use crate::timestamp::Timestamp;

/// How long after a purge the next one is due: a day.
const PURGE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: TokenStore> TokenAuthority<S> {
    /// Writes the uses that are not written yet. [`Upkeep`] calls it from time to time.
    ///
    /// If a write is delayed by more than five minutes, it may overwrite later uses with earlier
    /// ones. That can happen if the machine was suspended.
    ///
    /// # Errors
    /// [`Failed`] if the store fails, also reported as [`Event::UsageNotWritten`]. What it did not
    /// write is kept for the next call.
    pub async fn flush_usage(&self) -> Result<(), Failed> {
        let flushed = self.usage().flush(self.store(), self.now()).await.map_err(Failed::from);
        if let Err(error) = &flushed {
            self.emit(&Event::UsageNotWritten { error });
        }
        flushed
    }

    /// Attaches the upkeep, which writes last uses and purges dead rows. Keep it while tokens are
    /// in use.
    pub fn upkeep(&self) -> Upkeep<S>
    where
        S: Clone,
    {
        self.usage().attach_upkeep();
        Upkeep { tokens: self.clone(), last_purge: Mutex::new(None) }
    }
}

/// Writes last uses and purges dead rows: in a task, or when the host calls [`once`](Self::once).
///
/// It purges daily, so a host need not call [`purge`](TokenAuthority::purge). The first purge is at
/// the first call of `once`, or five minutes after [`spawn`](#method.spawn). To have the work done
/// at a quiet hour, call `purge` yourself at that hour each day. Then little is left for the
/// upkeep, at whatever hour it purges.
///
/// Made by [`TokenAuthority::upkeep`]. Under a policy with an idle time-out, nothing is issued,
/// rotated, authenticated or examined unless it is attached. Without it, a restart would lose the
/// uses that keep tokens from going idle.
///
/// ```
/// # use app_tokens::TokenAuthority;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tokens = TokenAuthority::in_memory("acme")?;
/// let upkeep = tokens.upkeep();
/// // about once a minute, in a loop of the host, and before the process ends
/// tokens.block_on(upkeep.once())?;
/// # Ok(())
/// # }
/// ```
#[must_use = "last uses are written only by it: keep it, and call `once` now and then"]
pub struct Upkeep<S: TokenStore + Clone> {
    tokens: TokenAuthority<S>,
    /// When the last purge that succeeded began; `None` before the first.
    last_purge: Mutex<Option<Timestamp>>,
}

impl<S: TokenStore + Clone> Upkeep<S> {
    /// Writes the uses that are not written yet. Purges dead rows if it has not done so for a day.
    ///
    /// Call it about once a minute, and before the process ends. Its first call purges, too. The
    /// next purge is due a day later. If one of the two fails, the other is still done.
    ///
    /// # Errors
    /// [`Failed`] if the store fails, also reported as [`Event::UsageNotWritten`] or
    /// [`Event::NotPurged`]. The next call tries again.
    pub async fn once(&self) -> Result<(), Failed> {
        let flushed = self.tokens.flush_usage().await;
        let purged = if self.is_purge_due() { self.purge().await } else { Ok(()) };
        flushed.and(purged)
    }

    /// Purges, and notes when it began.
    async fn purge(&self) -> Result<(), Failed> {
        // The beginning counts, so that a long purge does not put off the next one.
        let begun = self.tokens.now();
        let purged = self.tokens.purge().await;
        match &purged {
            Ok(_) => *self.last_purge.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun),
            Err(error) => self.tokens.emit(&Event::NotPurged { error }),
        }
        purged.map(|_| ())
    }

    /// Returns whether a day has passed since the last purge that succeeded began.
    fn is_purge_due(&self) -> bool {
        let now = self.tokens.now();
        let last = *self.last_purge.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not put the purge off until it has caught up.
        last.is_none_or(|last| now < last || now >= last.saturating_add(PURGE_PERIOD))
    }
}

impl<S: TokenStore + Clone> Drop for Upkeep<S> {
    fn drop(&mut self) {
        self.tokens.usage().detach_upkeep();
    }
}

impl<S: TokenStore + Clone> fmt::Debug for Upkeep<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upkeep")
    }
}

/// How often the task writes last uses.
#[cfg(feature = "tokio")]
const FLUSH_PERIOD: Duration = Duration::from_secs(60);
/// How long after the start, or after a failure, the task purges.
#[cfg(feature = "tokio")]
const PURGE_DELAY: Duration = Duration::from_secs(5 * 60);

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl<S: TokenStore + Clone + 'static> Upkeep<S> {
    /// Starts the upkeep on the tokio runtime, until it is stopped or dropped.
    ///
    /// It writes last uses every minute. It purges dead rows five minutes after the start and then
    /// daily. A long purge does not delay the writes. A failure is reported as
    /// [`Event::UsageNotWritten`] or [`Event::NotPurged`]. After that a write is tried again in a
    /// minute, and a purge in five.
    ///
    /// ```
    /// # use app_tokens::TokenAuthority;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let tokens = TokenAuthority::in_memory("acme")?;
    /// let upkeep = tokens.upkeep().spawn();
    /// // … serve until the process is told to end
    /// upkeep.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Panics outside of a tokio runtime, as [`tokio::spawn`] does. Its tasks panic if the runtime
    /// has no time enabled.
    pub fn spawn(self) -> UpkeepTask {
        let (stop, stopped) = tokio::sync::watch::channel(());
        let upkeep = Arc::new(self);
        // Two tasks, since a purge may take long, and uses must be written meanwhile.
        let purging = tokio::spawn({
            let (upkeep, stopped) = (upkeep.clone(), stopped.clone());
            async move {
                let mut pause = PURGE_DELAY;
                while sleep(pause, stopped.clone()).await {
                    pause = if upkeep.purge().await.is_ok() { PURGE_PERIOD } else { PURGE_DELAY };
                }
            }
        });
        let flushing = tokio::spawn(async move {
            while sleep(FLUSH_PERIOD, stopped.clone()).await {
                // ignored: the failure was emitted as an event, and the next minute tries again.
                _ = upkeep.tokens.flush_usage().await;
            }
            upkeep.tokens.flush_usage().await
        });
        UpkeepTask {
            stop: Mutex::new(Some(stop)),
            flushing: tokio::sync::Mutex::new(Some(flushing)),
            purging: purging.abort_handle(),
        }
    }
}

/// Sleeps, and returns whether the task shall go on. Dropping the sender stops it.
#[cfg(feature = "tokio")]
async fn sleep(period: Duration, mut stopped: tokio::sync::watch::Receiver<()>) -> bool {
    tokio::time::timeout(period, stopped.changed()).await.is_err()
}

/// The tasks of [`Upkeep::spawn`]. If dropped, they write last uses once more and end.
///
/// That last write needs the runtime, which a process that ends may not give it: call
/// [`stop`](Self::stop) instead.
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
#[must_use = "the upkeep ends when this is dropped"]
#[derive(Debug)]
pub struct UpkeepTask {
    /// `None` once it is stopped.
    stop: Mutex<Option<tokio::sync::watch::Sender<()>>>,
    /// `None` once a caller has its result. An async lock, because it is held while `stop` waits.
    flushing: tokio::sync::Mutex<Option<tokio::task::JoinHandle<Result<(), Failed>>>>,
    purging: tokio::task::AbortHandle,
}

#[cfg(feature = "tokio")]
impl UpkeepTask {
    /// Stops the upkeep, and waits until it has written last uses once more.
    ///
    /// A purge that runs is aborted, also at an await inside a call of the store. So its last batch
    /// may be deleted or not; the next start goes on with the rest. Stopping again, or from several
    /// places at once, is no error.
    ///
    /// # Errors
    /// [`Failed`] if the last write failed. Only the first call that waits to the end receives it.
    pub async fn stop(&self) -> Result<(), Failed> {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.purging.abort();
        let mut flushing = self.flushing.lock().await;
        let Some(task) = flushing.as_mut() else {
            return Ok(());
        };
        // Taken out only after it has ended: if this future is dropped while it waits, another call
        // can still wait for it.
        let ended = task.await;
        *flushing = None;
        ended.unwrap_or_else(|error| Err(StoreError::unknown(error).into()))
    }
}

#[cfg(feature = "tokio")]
impl Drop for UpkeepTask {
    fn drop(&mut self) {
        self.purging.abort();
    }
}
