//! Upkeep: writes the last uses from time to time.

use std::fmt;
#[cfg(feature = "tokio")]
use std::time::Duration;

use crate::authority::TokenAuthority;
use crate::error::Failed;
use crate::event::Event;
#[cfg(feature = "tokio")]
use crate::store::StoreError;
use crate::store::TokenStore;

impl<S: TokenStore> TokenAuthority<S> {
    /// Writes the last uses noted so far. A [`UsageFlusher`] does it from time to time. A write that is held up between clock and store
    /// for more than five minutes, by a machine that was suspended for instance, may put newer uses back to what it knows.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what it did not take waits for the next time.
    pub async fn flush_usage(&self) -> Result<(), Failed> {
        let flushed = self.usage().flush(self.store(), self.now()).await.map_err(Failed::from);
        if let Err(error) = &flushed {
            self.emit(&Event::UsageNotWritten { error });
        }
        flushed.map(|_| ())
    }

    /// Attaches somebody who writes the last uses from time to time.
    pub fn usage_flusher(&self) -> UsageFlusher<S>
    where
        S: Clone,
    {
        UsageFlusher::attach(self.clone())
    }
}

/// Whoever writes the last uses from time to time: a task, a thread, or the host's own schedule.
///
/// From [`TokenAuthority::usage_flusher`]. A policy with an idle time-out is refused while there is none, as the uses that keep
/// tokens alive would be lost at every restart.
#[must_use = "without a flusher the last use is never written: keep it, and call `flush` from time to time"]
pub struct UsageFlusher<S: TokenStore + Clone> {
    tokens: TokenAuthority<S>,
}

impl<S: TokenStore + Clone> UsageFlusher<S> {
    pub(crate) fn attach(tokens: TokenAuthority<S>) -> UsageFlusher<S> {
        tokens.usage().attach_flusher();
        UsageFlusher { tokens }
    }

    /// Writes the uses noted so far. Call it every minute or so, and before the process ends.
    ///
    /// # Errors
    /// [`Failed`] if the store is; what it did not take waits for the next time.
    pub async fn flush(&self) -> Result<(), Failed> {
        self.tokens.flush_usage().await
    }
}

impl<S: TokenStore + Clone> Drop for UsageFlusher<S> {
    fn drop(&mut self) {
        self.tokens.usage().detach_flusher();
    }
}

impl<S: TokenStore + Clone> fmt::Debug for UsageFlusher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsageFlusher")
    }
}

#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
impl<S: TokenStore + Clone + 'static> UsageFlusher<S> {
    /// Writes them in a task of the tokio runtime, every `period`, until the task is stopped or dropped.
    ///
    /// A failure is an [`Event::UsageNotWritten`](crate::event::Event), and the next period tries again. Call it on a tokio
    /// runtime with its time enabled.
    pub fn spawn_every(self, period: Duration) -> FlushTask {
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        // A period of zero would never let go of the processor.
        let period = period.max(Duration::from_millis(1));
        let task = tokio::spawn(async move {
            while tokio::time::timeout(period, &mut stopped).await.is_err() {
                // ignored: the failure was emitted as an event, and the next period tries again.
                _ = self.flush().await;
            }
            self.flush().await
        });
        FlushTask { task, stop }
    }
}

/// The task of [`UsageFlusher::spawn_every`]. Dropping it makes the task write a last time and end.
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
#[must_use = "the task ends when this is dropped"]
#[derive(Debug)]
pub struct FlushTask {
    task: tokio::task::JoinHandle<Result<(), Failed>>,
    stop: tokio::sync::oneshot::Sender<()>,
}

#[cfg(feature = "tokio")]
impl FlushTask {
    /// Ends the task and waits until it has written a last time: for an orderly end of the process.
    ///
    /// # Errors
    /// [`Failed`] if the last write failed.
    pub async fn stop(self) -> Result<(), Failed> {
        drop(self.stop);
        match self.task.await {
            Ok(flushed) => flushed,
            Err(error) => Err(StoreError::unknown(error).into()),
        }
    }
}
