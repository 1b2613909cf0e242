//! Holds back guesses: [`Brake`].

use std::sync::atomic::{AtomicI64, Ordering};

use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// How many rows of one look-up may be compared at once.
///
/// 20 devices of one user may come together after the move, and 20 tokens may share a look-up. Each
/// text is then compared with all that were not used yet.
const BURST: i64 = 20 * 20;
/// How many seconds make up for one row.
///
/// The slowest hash that the schemes accept takes about a second. So one look-up keeps no more than
/// one thread busy for long.
const SECONDS_EACH: i64 = 1;
/// How many counters there are. Look-ups that share one only share its brake.
const COUNTERS: usize = 4096;

/// What a text counts against one brake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// The look-up's first place, which names its brake.
    pub(crate) first: TokenId,
    /// How many rows of the look-up the text is compared with.
    pub(crate) rows: usize,
}

impl Counted {
    /// Returns how long it takes to make up for it.
    ///
    /// It is no more than a brake that has rested allows. Otherwise nobody could use a token whose
    /// owner has more.
    fn seconds(self) -> i64 {
        i64::try_from(self.rows).unwrap_or(BURST).min(BURST) * SECONDS_EACH
    }
}

/// Limits the rows that are compared slowly with texts that match nothing: for each look-up 400 at
/// once, then one a second.
///
/// Each counter is the instant at which its last check will be made up for (the generic cell rate
/// algorithm, ITU-T I.371). The memory is fixed, whatever is presented.
pub(super) struct Brake(Box<[AtomicI64]>);

impl Brake {
    pub(super) fn new() -> Brake {
        Brake((0..COUNTERS).map(|_| AtomicI64::new(i64::MIN)).collect())
    }

    /// Counts a text that is compared with these rows. Returns whether it may be: if one brake
    /// holds it back, it is compared with no row, and counts nowhere.
    pub(super) fn allows(&self, all: &[Counted], now: Timestamp) -> bool {
        let held_back = all.iter().position(|counted| !self.count(*counted, now));
        if let Some(held_back) = held_back {
            self.forgive(&all[..held_back]);
        }
        held_back.is_none()
    }

    fn count(&self, counted: Counted, now: Timestamp) -> bool {
        let now = now.as_unix();
        let latest = now.saturating_add(BURST * SECONDS_EACH);
        let more = |made_up: i64| {
            let made_up = made_up.max(now).saturating_add(counted.seconds());
            (made_up <= latest).then_some(made_up)
        };
        // Relaxed: a counter orders nothing else.
        self.counter(counted).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Takes back what was counted for a text. It matched, so it was no guess.
    pub(super) fn forgive(&self, all: &[Counted]) {
        for counted in all {
            let less = |made_up: i64| Some(made_up.saturating_sub(counted.seconds()));
            // ignored: the closure always answers.
            _ = self.counter(*counted).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    fn counter(&self, counted: Counted) -> &AtomicI64 {
        &self.0[counted.first.as_u64() as usize % COUNTERS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    fn counted(first: u64, rows: usize) -> Counted {
        Counted { first: TokenId::from_u64(first).unwrap(), rows }
    }

    fn passed(brake: &Brake, counted: Counted, now: i64) -> usize {
        (0..1_000).filter(|_| brake.allows(&[counted], at(now))).count()
    }

    #[test]
    fn four_hundred_rows_pass_at_once_and_then_one_a_second() {
        for (rows, texts, seconds) in [(1, 400, 1), (20, 20, 20), (400, 1, 400)] {
            let (brake, counted_of) = (Brake::new(), |first| counted(first, rows));
            assert_eq!(passed(&brake, counted_of(5), 1_000), texts);
            assert_eq!(passed(&brake, counted_of(5), 1_000 + seconds - 1), 0);
            assert_eq!(passed(&brake, counted_of(5), 1_000 + seconds), 1);
            assert!(brake.allows(&[counted_of(6)], at(1_000)), "of another look-up");
        }
    }

    #[test]
    fn texts_that_matched_are_not_held_against_the_next() {
        for rows in [1, 20, 1_000] {
            let (brake, all) = (Brake::new(), [counted(5, rows), counted(6, rows)]);
            for _ in 0..1_000 {
                assert!(brake.allows(&all, at(1_000)));
                brake.forgive(&all);
            }
            assert_eq!(passed(&brake, counted(6, 1), 1_000), 400);
        }
    }

    #[test]
    fn a_text_that_one_brake_holds_back_counts_on_no_other() {
        let brake = Brake::new();
        assert_eq!(passed(&brake, counted(6, 1), 1_000), 400);
        assert!(!brake.allows(&[counted(5, 20), counted(6, 1), counted(7, 20)], at(1_000)));
        assert_eq!(passed(&brake, counted(5, 1), 1_000), 400);
        assert_eq!(passed(&brake, counted(7, 1), 1_000), 400);
    }

    #[test]
    fn a_look_up_with_more_rows_than_pass_at_once_is_tried_when_its_brake_has_rested() {
        let (brake, many) = (Brake::new(), counted(5, 1_000));
        assert_eq!(passed(&brake, many, 1_000), 1);
        assert_eq!(passed(&brake, many, 1_399), 0);
        assert_eq!(passed(&brake, many, 1_400), 1);
    }

    #[test]
    fn a_clock_that_goes_back_and_the_end_of_time_are_no_panic() {
        let (brake, all) = (Brake::new(), [counted(5, 20)]);
        for now in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX] {
            brake.allows(&all, now);
            brake.forgive(&all);
        }
    }
}
