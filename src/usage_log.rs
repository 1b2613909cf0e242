//! The log of uses that are not written yet. A use is noted when a token authenticates, and flushed
//! later.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::present::Origin;
use crate::record::{CLOCK_TOLERANCE, LastUse};
use crate::row::ReadableRow;
use crate::store::{StoreError, TokenStore};
use crate::timestamp::Timestamp;
use crate::token::{IdMap, TokenId};

/// The uses that are not written yet. All clones of an authority share one log.
pub(crate) struct UsageLog {
    shards: [Shard; SHARDS],
    reuses: Reports,
    uses_from_outside: Reports,
    examinations: Reports,
    first_uses: Reports,
    addresses: Reports<(TokenId, IpAddr)>,
    upkeeps: AtomicUsize,
    /// Counts flushes. Read it before the row and again after the pending use. If it changed, the
    /// use may have moved to the store in between.
    flushes: AtomicUsize,
}

/// A part of the pending uses. Aligned to two cache lines, so that threads with different shards do
/// not contend.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<IdMap<LastUse>>);

/// Notes when something was last reported of each token, or of what else `K` names.
///
/// Holds the latest [`MAX_REPORTS`] reports. An older one is forgotten, and may be sent again.
pub(crate) struct Reports<K = TokenId>(Mutex<Reported<K>>);

struct Reported<K> {
    /// When each was last reported.
    last: HashMap<K, Timestamp>,
    /// The reports in their order. The one to forget is in front, so nothing is searched for it.
    order: VecDeque<(K, Timestamp)>,
}

impl<K> Default for Reports<K> {
    fn default() -> Reports<K> {
        Reports(Mutex::new(Reported { last: HashMap::new(), order: VecDeque::new() }))
    }
}

/// Many, so that threads seldom wait for each other's lock.
const SHARDS: usize = 64;
/// Bounds the memory if nothing flushes: about a million uses. Further tokens are not noted.
const MAX_PER_SHARD: usize = 16_384;
/// Bounds the memory for reports of one kind.
const MAX_REPORTS: usize = 16_384;
/// How many uses one call to the store writes.
const BATCH: usize = 1000;
/// How long a new address is remembered as reported. Two holders who take turns are reported once.
const ADDRESS_TOLD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What is new about a use.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UseKind {
    /// Nothing: a use within the same interval is known already. It was not noted.
    Again,
    /// It is the first in its interval.
    InNewInterval,
    /// It is the token's first use.
    First,
    /// It is from another address than the last one noted, which was not reported yet.
    NewAddress(IpAddr),
}

impl UsageLog {
    /// Makes an empty log.
    pub(crate) fn new() -> UsageLog {
        UsageLog {
            shards: std::array::from_fn(|_| Shard::default()),
            reuses: Reports::default(),
            uses_from_outside: Reports::default(),
            examinations: Reports::default(),
            first_uses: Reports::default(),
            addresses: Reports::default(),
            upkeeps: AtomicUsize::new(0),
            flushes: AtomicUsize::new(0),
        }
    }

    /// Notes a use of a token, once per interval, and returns what is new about it.
    ///
    /// The log and its lock are skipped if the row itself shows a use within the interval. That is
    /// either the stored use or, for a row that stays in memory, the use that this process saw. If
    /// origins are recorded, a new address is still looked for.
    ///
    /// `is_own` says whether the authority of this log sealed the row.
    pub(crate) fn note(
        &self,
        row: &ReadableRow,
        is_own: bool,
        now: Timestamp,
        interval: Duration,
        recorded: Option<&Origin<'_>>,
    ) -> UseKind {
        let record = row.record();
        // A use in the future was noted by a broken clock, so it is ignored.
        let since = now.saturating_sub(interval);
        let recent = since.as_unix() + 1..=now.saturating_add(CLOCK_TOLERANCE).as_unix();
        let is_recent = |at: Timestamp| recent.contains(&at.as_unix());
        let is_believed = |known: &&LastUse| known.at.as_unix() <= *recent.end();
        let stored = record.last_use().filter(is_believed);
        let address = || recorded.and_then(Origin::known_address);
        // Compared in one form: the row may be older than the rule by which addresses are brought
        // to it.
        let is_new = |known: &LastUse| match (known.address, address()) {
            (Some(known), Some(this)) => known.to_canonical() != this,
            _ => false,
        };
        if stored.is_some_and(|stored| is_recent(stored.at) && !is_new(stored)) {
            return UseKind::Again;
        }
        // Only for the authority that marked the row. Another one over the same store must note the
        // use in its own log.
        if is_own && !recorded.is_some_and(Origin::has_address) && recent.contains(&row.seen()) {
            return UseKind::Again;
        }
        let mut pending = self.shard(record.id());
        let known = pending.get(&record.id()).filter(is_believed).or(stored);
        if is_own {
            row.set_seen(now);
        }
        let new_address = known.and_then(|known| address().filter(|_| is_new(known)));
        let is_in_interval = known.is_some_and(|known| is_recent(known.at));
        let is_first = known.is_none();
        if !is_in_interval {
            let has_room = pending.len() < MAX_PER_SHARD || pending.contains_key(&record.id());
            if has_room {
                let client = recorded.and_then(Origin::known_client).map(Box::from);
                pending.insert(record.id(), LastUse { at: now, address: address(), client });
            }
            // First uses are also noted apart, for two reasons. A use that found no room would be
            // the first again each time. And a use that a flush wrote after the row was read, and
            // removed before the log was, shows in none of the two.
            if is_first && self.first_uses.note(record.id(), now, Duration::MAX) {
                return UseKind::First;
            }
        }
        // The lock on the shard is not held while the addresses are locked.
        drop(pending);
        let told = |address| self.addresses.note((record.id(), address), now, ADDRESS_TOLD_FOR);
        match new_address.filter(|address| told(*address)) {
            Some(address) => UseKind::NewAddress(address),
            None if is_in_interval => UseKind::Again,
            None => UseKind::InNewInterval,
        }
    }

    /// Returns the reports of superseded tokens that were presented again.
    pub(crate) fn reuses(&self) -> &Reports {
        &self.reuses
    }

    /// Returns the reports of tokens that were presented from outside their networks.
    pub(crate) fn uses_from_outside(&self) -> &Reports {
        &self.uses_from_outside
    }

    /// Returns the reports of tokens that were examined.
    pub(crate) fn examinations(&self) -> &Reports {
        &self.examinations
    }

    /// Returns the token's use that is not written yet.
    pub(crate) fn pending(&self, id: TokenId) -> Option<LastUse> {
        self.shard(id).get(&id).cloned()
    }

    /// Writes what is pending, and keeps it in the log. For a transaction, which may be rolled
    /// back.
    pub(crate) async fn write(
        &self,
        store: &impl TokenStore,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for batch in self.all_pending().chunks(BATCH) {
            store.touch(batch, now).await?;
        }
        Ok(())
    }

    /// Writes what is pending, and removes from the log what was written.
    ///
    /// In batches, so that a failure keeps only those that were not written.
    pub(crate) async fn flush(
        &self,
        store: &impl TokenStore,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let pending = self.all_pending();
        for batch in pending.chunks(BATCH) {
            store.touch(batch, now).await?;
            // Before the removal: a reader that misses the removed use must see the new count.
            self.flushes.fetch_add(1, Ordering::SeqCst);
            for (id, written) in batch {
                let mut pending = self.shard(*id);
                // A later use may have been noted while the store wrote this one, and must stay.
                if pending.get(id) == Some(written) {
                    pending.remove(id);
                }
            }
        }
        Ok(())
    }

    /// Returns a copy of all pending uses. Each shard is locked alone and not during the writes.
    fn all_pending(&self) -> Vec<(TokenId, LastUse)> {
        let of_shard = |shard: &Shard| {
            let pending = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
            pending.iter().map(|(id, last_use)| (*id, last_use.clone())).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of_shard).collect()
    }

    /// Returns how many batches were flushed.
    pub(crate) fn flushes(&self) -> usize {
        self.flushes.load(Ordering::SeqCst)
    }

    /// Notes that an upkeep writes the uses. There may be several.
    pub(crate) fn attach_upkeep(&self) {
        self.upkeeps.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that an upkeep no longer writes the uses.
    pub(crate) fn detach_upkeep(&self) {
        self.upkeeps.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether an upkeep writes the uses.
    pub(crate) fn has_upkeep(&self) -> bool {
        self.upkeeps.load(Ordering::Relaxed) > 0
    }

    /// Locks the shard of a token.
    fn shard(&self, id: TokenId) -> MutexGuard<'_, IdMap<LastUse>> {
        let shard = &self.shards[(id.as_u64() % SHARDS as u64) as usize];
        shard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Reports<K> {
    /// Notes a report, unless there was one in this interval. Returns whether to send it.
    pub(crate) fn note(&self, id: K, now: Timestamp, interval: Duration) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Reported { last, order } = &mut *reported;
        let since = now.saturating_sub(interval);
        let believed = now.saturating_add(CLOCK_TOLERANCE);
        if last.get(&id).is_some_and(|at| *at > since && *at <= believed) {
            return false;
        }
        last.insert(id, now);
        order.push_back((id, now));
        if order.len() > MAX_REPORTS
            && let Some((oldest, at)) = order.pop_front()
            // If it was reported again since, that report stays.
            && last.get(&oldest) == Some(&at)
        {
            last.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{at, example};
    use crate::record::{RecordParts, TokenRecord};

    #[test]
    fn a_first_use_is_one_event_also_if_its_shard_is_full() {
        let log = UsageLog::new();
        let row = |number: u64| {
            let id = TokenId::from_u64(number * SHARDS as u64).unwrap();
            let parts = RecordParts { id, last_use: None, created_at: at(0), ..example() };
            ReadableRow::unmarked(TokenRecord::from_parts(parts))
        };
        let note = |row: &ReadableRow, seconds| {
            log.note(row, false, at(seconds), Duration::from_secs(60), None)
        };
        for number in 0..MAX_PER_SHARD as u64 {
            assert_eq!(note(&row(number), 0), UseKind::First);
        }
        let one_more = row(MAX_PER_SHARD as u64);
        let kinds: Vec<_> = (0..1000).map(|seconds| note(&one_more, seconds)).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == UseKind::First).count(), 1);
        assert!(log.pending(one_more.record().id()).is_none(), "it is bounded");
    }

    #[test]
    fn reports_are_bounded_and_forget_the_oldest() {
        let reports = Reports::default();
        let all = MAX_REPORTS as u64;
        let note = |id, seconds| reports.note(id, at(seconds), Duration::MAX);
        for id in 0..all {
            assert!(note(id, 1) && !note(id, 2));
        }
        assert!(note(all, 3), "the oldest makes room");
        assert!((1..=all).all(|id| !note(id, 4)), "all but the oldest are known");
        assert!(note(0, 5));
        assert!(!note(2, 6) && note(1, 6), "the next to oldest made room");
        let reported = reports.0.lock().unwrap();
        assert_eq!((reported.last.len(), reported.order.len()), (MAX_REPORTS, MAX_REPORTS));
    }

    #[test]
    fn a_report_that_was_sent_again_is_not_the_oldest() {
        let reports = Reports::default();
        let note = |id, seconds| reports.note(id, at(seconds), Duration::from_secs(60));
        assert!(note(0, 0) && note(0, 60));
        for id in 1..MAX_REPORTS as u64 {
            assert!(note(id, 61));
        }
        assert!(!note(0, 62), "only its first report was forgotten");
    }
}
