//! Holds back guesses: [`Brake`].

use std::sync::atomic::{AtomicI64, Ordering};

use crate::timestamp::Timestamp;
use crate::token::TokenId;

/// How many texts of one look-up may follow each other at once.
const BURST: i64 = 60;
/// How many seconds make up for one more.
const SECONDS_EACH: i64 = 3;
/// How many counters there are. Look-ups that share one only share its brake.
const COUNTERS: usize = 4096;

/// Limits the texts that are checked slowly and match nothing: for each look-up 60 at once, then 20
/// a minute.
///
/// Each counter is the instant at which its last check will be made up for (the generic cell rate
/// algorithm, ITU-T I.371). The memory is fixed, whatever is presented.
pub(super) struct Brake(Box<[AtomicI64]>);

impl Brake {
    pub(super) fn new() -> Brake {
        Brake((0..COUNTERS).map(|_| AtomicI64::new(i64::MIN)).collect())
    }

    /// Counts a text of the look-up whose first candidate is `place`. Returns whether it may be
    /// checked.
    pub(super) fn allows(&self, place: TokenId, now: Timestamp) -> bool {
        let counter = &self.0[place.as_u64() as usize % COUNTERS];
        let now = now.as_unix();
        let latest = now.saturating_add(BURST * SECONDS_EACH);
        // Relaxed: a counter orders nothing else.
        let counted = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |made_up| {
            let counted = made_up.max(now).saturating_add(SECONDS_EACH);
            (counted <= latest).then_some(counted)
        });
        counted.is_ok()
    }

    /// Takes back a text that was counted: it matched, so it was no guess.
    pub(super) fn forgive(&self, place: TokenId) {
        let counter = &self.0[place.as_u64() as usize % COUNTERS];
        let less = |made_up: i64| Some(made_up.saturating_sub(SECONDS_EACH));
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
    fn sixty_texts_pass_at_once_and_then_one_in_three_seconds() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        let passed = (0..100).filter(|_| brake.allows(place, at(1_000))).count();
        assert_eq!(passed, 60);
        assert!(!brake.allows(place, at(1_002)));
        assert!(brake.allows(place, at(1_003)));
        assert!(!brake.allows(place, at(1_003)));
        assert!(brake.allows(TokenId::from_u64(6).unwrap(), at(1_003)), "of another look-up");
    }

    #[test]
    fn texts_that_matched_are_not_held_against_the_next() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        for _ in 0..100 {
            assert!(brake.allows(place, at(1_000)));
            brake.forgive(place);
        }
        let passed = (0..100).filter(|_| brake.allows(place, at(1_000))).count();
        assert_eq!(passed, 60);
    }

    #[test]
    fn a_clock_that_goes_back_and_the_end_of_time_are_no_panic() {
        let (brake, place) = (Brake::new(), TokenId::from_u64(5).unwrap());
        for now in [Timestamp::MAX, Timestamp::MIN, Timestamp::MAX] {
            brake.allows(place, now);
            brake.forgive(place);
        }
    }
}
