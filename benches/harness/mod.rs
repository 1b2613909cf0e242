//! Measures a call of ours and its floor in turns, within one run, so that whatever else the
//! machine does slows both.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod fixture;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long one turn takes at least.
const TURN: Duration = Duration::from_micros(500);
/// How many turns each side has.
const TURNS: usize = 301;

/// The ratio that a line should reach.
#[derive(Clone, Copy)]
pub(crate) enum ToReach {
    AtMost(f64),
    AtLeast(f64),
    /// No goal: the line is for comparison.
    Told,
}

/// Prints the lines of one benchmark. Words on the command line pick the lines that hold one of
/// them.
pub(crate) struct Table {
    wanted: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: &str) -> Table {
        println!("\n{title}\n");
        println!(
            "| {:<72} | {:>9} | {:>9} | {:>6} | to reach |",
            "what", "ours ns", "floor ns", "ratio"
        );
        println!(
            "|{}|{}:|{}:|{}:|----------|",
            "-".repeat(74),
            "-".repeat(10),
            "-".repeat(10),
            "-".repeat(7)
        );
        Table { wanted: std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect() }
    }

    pub(crate) fn wants(&self, what: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|word| what.contains(word.as_str()))
    }

    /// Measures two sides in turns, and prints the median of the ratios of the pairs. Each side is
    /// given a number of calls and returns how long they took.
    pub(crate) fn compare(
        &self,
        what: &str,
        to_reach: ToReach,
        mut ours: impl FnMut(u32) -> Duration,
        mut floor: impl FnMut(u32) -> Duration,
    ) {
        if !self.wants(what) {
            return;
        }
        let (our_calls, floor_calls) = (calls_per_turn(&mut ours), calls_per_turn(&mut floor));
        let mut turns = Vec::with_capacity(TURNS);
        for turn in 0..TURNS {
            // The sides take turns in beginning, so that each finds the caches as the other left
            // them equally often.
            let floor_first = turn % 2 == 0;
            let before = floor_first.then(|| per_call(&mut floor, floor_calls));
            let mine = per_call(&mut ours, our_calls);
            turns.push((mine, before.unwrap_or_else(|| per_call(&mut floor, floor_calls))));
        }
        let ratio = median(turns.iter().map(|(ours, floor)| ours / floor));
        let ours = median(turns.iter().map(|turn| turn.0));
        let floor = median(turns.iter().map(|turn| turn.1));
        self.line(what, ours, floor, ratio, to_reach);
    }

    pub(crate) fn line(&self, what: &str, ours: f64, floor: f64, ratio: f64, to_reach: ToReach) {
        let goal = match to_reach {
            ToReach::AtMost(most) => {
                format!("<= {most}{}", if ratio > most { " MISSED" } else { "" })
            }
            ToReach::AtLeast(least) => {
                format!(">= {least}{}", if ratio < least { " MISSED" } else { "" })
            }
            ToReach::Told => String::new(),
        };
        println!("| {what:<72} | {ours:>9.1} | {floor:>9.1} | {ratio:>6.3} | {goal:<8} |");
    }
}

/// Makes a side that calls `once` again and again.
pub(crate) fn timed<T>(mut once: impl FnMut() -> T) -> impl FnMut(u32) -> Duration {
    move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(once());
        }
        start.elapsed()
    }
}

/// Makes a side that calls `once` with texts picked at random.
///
/// The texts are copied into one warm buffer before the time is taken, as a request arrives. Each
/// call's place depends on the last answer, which is below 2^63, so that the processor can't fetch
/// ahead.
pub(crate) fn arriving(
    texts: &[String],
    mut once: impl FnMut(&str) -> u64,
) -> impl FnMut(u32) -> Duration {
    const BATCH: u32 = 16;
    let mut random = 0;
    let mut arrived = vec![String::new(); BATCH as usize];
    move |calls| {
        let batches = calls.div_ceil(BATCH);
        let mut spent = Duration::ZERO;
        for _ in 0..batches {
            for text in &mut arrived {
                random += 1;
                text.clone_from(&texts[(mix(random) % texts.len() as u64) as usize]);
            }
            let start = Instant::now();
            let mut always_zero = 0;
            for place in 0..arrived.len() {
                let answer = once(&arrived[place + always_zero]);
                always_zero = (black_box(answer) >> 63) as usize;
            }
            spent += start.elapsed();
        }
        spent * calls / (batches * BATCH)
    }
}

/// Returns the value of a future that is ready at the first poll, so that no runtime is measured.
/// Inlined, so that the future lies where it is made, as in a host's own `async fn`.
#[inline(always)]
pub(crate) fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future is not ready at the first poll"),
    }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn calls_per_turn(side: &mut impl FnMut(u32) -> Duration) -> u32 {
    let mut calls = 1;
    while side(calls) < TURN {
        calls *= 2;
    }
    calls
}

fn per_call(side: &mut impl FnMut(u32) -> Duration, calls: u32) -> f64 {
    side(calls).as_nanos() as f64 / f64::from(calls)
}

/// Spreads a number over all bits: the finalizer of SplitMix64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
