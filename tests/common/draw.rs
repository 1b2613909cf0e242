//! The chance that programs of acts are drawn with.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use support::chance::Chance;

/// [`Chance`] over places. The tests that draw acts add methods of their own to it.
pub struct Draw(Chance);

impl Draw {
    pub fn of_seed(seed: u64) -> Draw {
        Draw(Chance(seed))
    }

    pub fn number(&mut self) -> u64 {
        self.0.number()
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.place(end)
    }

    pub fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        self.0.of(choices)
    }

    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}
