//! Upkeep: last uses are written from time to time.

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
    /// Writes the uses that are not written yet. A [`UsageFlusher`] calls it from time to time.
    ///
    /// If a write is delayed by more than five minutes, for example because the machine was
    /// suspended, it may overwrite later uses with earlier ones.
    ///
    /// # Errors
    /// [`Failed`] if the store fails. What it did not write is kept for the next call.
    pub async fn flush_usage(&self) -> Result<(), Failed> {
        let flushed = self.usage().flush(self.store(), self.now()).await.map_err(Failed::from);
        if let Err(error) = &flushed {
            self.emit(&Event::UsageNotWritten { error });
        }
        flushed
    }

    /// Attaches a flusher, which writes the last uses from time to time.
    pub fn usage_flusher(&self) -> UsageFlusher<S>
    where
        S: Clone,
    {
        UsageFlusher::attach(self.clone())
    }
}

/// Writes the last uses from time to time: in a task, or when the host calls it.
///
/// Made by [`TokenAuthority::usage_flusher`]. Under a policy with an idle time-out, the authority
/// works only while a flusher is attached. Without one, a restart would lose the uses that keep
/// tokens alive.
#[must_use = "last uses are written only by a flusher: keep it, and call `flush` now and then"]
pub struct UsageFlusher<S: TokenStore + Clone> {
    tokens: TokenAuthority<S>,
}

impl<S: TokenStore + Clone> UsageFlusher<S> {
    pub(crate) fn attach(tokens: TokenAuthority<S>) -> UsageFlusher<S> {
        tokens.usage().attach_flusher();
        UsageFlusher { tokens }
    }

    /// Writes the uses that are not written yet.
    ///
    /// Call it about once a minute, and before the process ends.
    ///
    /// # Errors
    /// [`Failed`] if the store fails. What it did not write is kept for the next call.
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
    /// Starts a tokio task that writes the uses every `period`, until it is stopped or dropped.
    ///
    /// A failure is reported as [`Event::UsageNotWritten`], and the next period tries again. Call
    /// it on a tokio runtime with time enabled. A `period` below a millisecond counts as one.
    pub fn spawn_every(self, period: Duration) -> FlushTask {
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        // A period of zero would keep the processor busy.
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

/// The task of [`UsageFlusher::spawn_every`]. If dropped, it writes a last time and ends.
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
    /// Stops the task, and waits until it has written a last time.
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
