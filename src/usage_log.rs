//! Last use: noted in memory when a token authenticates, written in batches later.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::record::{CLOCK_TOLERANCE, LastUse};
use crate::seal::WholeRow;
use crate::store::{StoreError, TokenStore};
use crate::timestamp::Timestamp;
use crate::token::{IdMap, TokenId};

/// Uses that are not written yet. Shared by all clones of an authority.
pub(crate) struct UsageLog {
    shards: [Shard; SHARDS],
    /// When the reuse of a superseded token was reported last.
    reused: Mutex<IdMap<Timestamp>>,
    flushers: AtomicUsize,
    /// How often uses were taken out, having been written. Whoever reads a row first and its use here after must see it unchanged, or
    /// the use may have passed him by.
    flushes: AtomicUsize,
}

#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<IdMap<LastUse>>);

const SHARDS: usize = 64;
/// If nobody flushes, at most about a million uses wait in memory; later ones of other tokens are not noted.
const MAX_PER_SHARD: usize = 16_384;
/// How many uses one call to the store carries.
const BATCH: usize = 1000;

/// What a use was, beside a use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UseKind {
    /// One of many within the interval: nothing was noted.
    Again,
    /// The first in this interval.
    InNewInterval,
    /// The first of all.
    First,
    /// The first in this interval, from another address than the last one noted.
    NewAddress(IpAddr),
}

impl UsageLog {
    pub(crate) fn new() -> UsageLog {
        UsageLog {
            shards: std::array::from_fn(|_| Shard::default()),
            reused: Mutex::default(),
            flushers: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
        }
    }

    /// Notes a use of a token, once per interval. Within the interval the row itself answers: a row that came from the store
    /// with what is stored, a row that stays in memory with what it saw.
    pub(crate) fn note(
        &self,
        row: &WholeRow,
        is_own: bool,
        now: Timestamp,
        interval: Duration,
        this: impl FnOnce() -> LastUse,
    ) -> UseKind {
        let record = row.record();
        // A use in the future was noted by a broken clock, and answers nothing.
        let since = now.saturating_sub(interval);
        let recent = since.as_unix() + 1..=now.saturating_add(CLOCK_TOLERANCE).as_unix();
        let is_recent = |at: Timestamp| recent.contains(&at.as_unix());
        let is_believed = |known: &&LastUse| known.at.as_unix() <= *recent.end();
        let stored = record.last_use().filter(is_believed);
        if stored.is_some_and(|stored| is_recent(stored.at)) {
            return UseKind::Again;
        }
        // What a row has seen counts for the authority that keeps it only: another may share the store.
        if is_own && recent.contains(&row.seen()) {
            return UseKind::Again;
        }
        let mut pending = self.shard(record.id());
        let known = pending.get(&record.id()).filter(is_believed).or(stored);
        if is_own {
            row.set_seen(now);
        }
        if known.is_some_and(|known| is_recent(known.at)) {
            return UseKind::Again;
        }
        let this = this();
        let noted = match (known, this.address) {
            (None, _) => UseKind::First,
            (Some(known), Some(address)) if known.address.is_some_and(|a| a != address) => {
                UseKind::NewAddress(address)
            }
            (Some(_), _) => UseKind::InNewInterval,
        };
        if pending.len() < MAX_PER_SHARD || pending.contains_key(&record.id()) {
            pending.insert(record.id(), this);
        }
        noted
    }

    /// Notes the reuse of a superseded token; says whether it was the first in this interval.
    pub(crate) fn note_reuse(&self, id: TokenId, now: Timestamp, interval: Duration) -> bool {
        let mut reused = self.reused.lock().unwrap_or_else(PoisonError::into_inner);
        let since = now.saturating_sub(interval);
        let believed = now.saturating_add(CLOCK_TOLERANCE);
        if reused.get(&id).is_some_and(|at| *at > since && *at <= believed) {
            return false;
        }
        if reused.len() >= MAX_PER_SHARD {
            reused.retain(|_, at| *at > since);
        }
        if reused.len() < MAX_PER_SHARD {
            reused.insert(id, now);
        }
        true
    }

    /// The last use of a token that is not written yet.
    pub(crate) fn pending(&self, id: TokenId) -> Option<LastUse> {
        self.shard(id).get(&id).cloned()
    }

    /// Writes what was noted, and keeps it all the same.
    pub(crate) async fn write(
        &self,
        store: &impl TokenStore,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for batch in self.noted().chunks(BATCH) {
            store.touch(batch, now).await?;
        }
        Ok(())
    }

    /// Writes what was noted. What the store did not take is kept for the next time.
    pub(crate) async fn flush(
        &self,
        store: &impl TokenStore,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let noted = self.noted();
        for batch in noted.chunks(BATCH) {
            store.touch(batch, now).await?;
            self.flushes.fetch_add(1, Ordering::SeqCst);
            for (id, written) in batch {
                let mut pending = self.shard(*id);
                if pending.get(id) == Some(written) {
                    pending.remove(id);
                }
            }
        }
        Ok(noted.len() as u64)
    }

    fn noted(&self) -> Vec<(TokenId, LastUse)> {
        let of_shard = |shard: &Shard| {
            let pending = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            pending.iter().map(|(id, last_use)| (*id, last_use.clone())).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    pub(crate) fn flushes(&self) -> usize {
        self.flushes.load(Ordering::SeqCst)
    }

    pub(crate) fn attach_flusher(&self) {
        self.flushers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn detach_flusher(&self) {
        self.flushers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn has_flusher(&self) -> bool {
        self.flushers.load(Ordering::Relaxed) > 0
    }

    fn shard(&self, id: TokenId) -> MutexGuard<'_, IdMap<LastUse>> {
        let shard = &self.shards[(id.as_u64() % SHARDS as u64) as usize];
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
