//! Holds back guesses: [`Brake`].

use std::sync::atomic::{AtomicI64, Ordering};

use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// How many slow checks of one look-up may follow each other at once.
const BURST: i64 = 60;
/// How many seconds make up for one more.
const SECONDS_EACH: i64 = 3;
/// How many counters there are. Look-ups that share one only share its brake.
const COUNTERS: usize = 4096;

/// Limits the slow checks of each look-up that match nothing: 60 at once, then 20 a minute.
///
/// Each counter is the instant at which its last check will be made up for (the generic cell rate
/// algorithm, ITU-T I.371). The memory is fixed, whatever is presented.
pub(super) struct Brake(Box<[AtomicI64]>);

impl Brake {
    pub(super) fn new() -> Brake {
        Brake((0..COUNTERS).map(|_| AtomicI64::new(i64::MIN)).collect())
    }

    /// Counts some checks of the look-up whose first candidate is `place`. Returns whether they may
    /// run.
    pub(super) fn allows(&self, place: TokenId, checks: u32, now: Timestamp) -> bool {
        let counter = &self.0[place.as_u64() as usize % COUNTERS];
        let now = now.as_unix();
        let cost = i64::from(checks).saturating_mul(SECONDS_EACH);
        let latest = now.saturating_add(BURST * SECONDS_EACH);
        // Relaxed: a counter orders nothing else.
        let counted = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made_up| {
            let start = made_up.max(now);
            // From nothing, any number may run: a look-up with more candidates than a burst must
            // not be held back for ever.
            (start == now || start.saturating_add(cost) <= latest)
                .then(|| start.saturating_add(cost))
        });
        counted.is_ok()
    }

    /// Takes back checks that were counted: one of them matched, so they were no guesses.
    pub(super) fn forgive(&self, place: TokenId, checks: u32) {
        let counter = &self.0[place.as_u64() as usize % COUNTERS];
        let cost = i64::from(checks).saturating_mul(SECONDS_EACH);
        let less = |made_up: i64| Some(made_up.saturating_sub(cost));
        // ignored: the closure always answers.
        _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds).unwrap()
    }

    #[test]
    fn sixty_checks_pass_at_once_and_then_one_in_three_seconds() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        let passed = (0..100).filter(|_| brake.allows(place, 1, at(1_000))).count();
        assert_eq!(passed, 60);
        assert!(!brake.allows(place, 1, at(1_002)));
        assert!(brake.allows(place, 1, at(1_003)));
        assert!(!brake.allows(place, 1, at(1_003)));
        assert!(brake.allows(TokenId::from_u64(6).unwrap(), 1, at(1_003)), "of another look-up");
    }

    #[test]
    fn checks_that_matched_are_not_held_against_the_next() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        for _ in 0..100 {
            assert!(brake.allows(place, 20, at(1_000)));
            brake.forgive(place, 20);
        }
        let passed = (0..100).filter(|_| brake.allows(place, 1, at(1_000))).count();
        assert_eq!(passed, 60);
    }

    #[test]
    fn many_candidates_pass_once_and_are_made_up_for() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        assert!(brake.allows(place, 1_000, at(0)));
        assert!(!brake.allows(place, 1_000, at(2_999)));
        assert!(brake.allows(place, 1_000, at(3_000)));
    }

    #[test]
    fn a_clock_that_goes_back_and_the_end_of_time_are_no_panic() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        for now in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX] {
            brake.allows(place, u32::MAX, now);
            brake.forgive(place, u32::MAX);
        }
    }
}
