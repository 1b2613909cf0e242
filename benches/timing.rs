//! Tests whether the time of a call reveals where two digests differ, or why a token is denied.
//!
//! Runs Welch's t-test between two classes of input in random order, as dudect does
//! (<https://eprint.iacr.org/2016/1123>). If |t| is above 4.5, the classes can be told apart. The
//! first line is a control: it compares byte by byte and stops at the first difference. If its t
//! stays below 4.5, the machine is too busy for the other lines to mean anything.
//!
//! `cargo bench --bench timing`

mod harness;

use std::hint::black_box;
use std::time::Instant;

use app_tokens::record::Digest;
use app_tokens::{Access, NewToken, Operator, Reason};
use harness::fixture::Tokens;
use harness::{mix, ready};

/// How many samples both classes have together.
const SAMPLES: usize = 400_000;
/// How many calls one sample takes.
const CALLS: u32 = 32;
/// The share of samples that is kept: interrupts cause the slowest ones.
const KEPT: f64 = 0.9;

fn main() {
    // `cargo test --benches` asks for a list of tests; there is none.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    println!("\n| {:<66} | {:>13} | {:>9} |", "one, or the other", "ns", "t");
    println!("|{}|{}:|{}:|", "-".repeat(68), "-".repeat(14), "-".repeat(10));
    comparisons();
    denials();
}

fn comparisons() {
    let stored = [1; 33];
    let [in_first, in_last] = [1, 32].map(|place: usize| {
        let mut bytes = stored;
        bytes[place] ^= 1;
        bytes
    });
    let stops_early = |bytes: &[u8; 33]| {
        let mut pairs = bytes[1..].iter().zip(black_box(&stored)[1..].iter());
        pairs.all(|(one, other)| one == other)
    };
    tell("byte by byte: differing in the first, in the last", &[in_first, in_last], stops_early);
    let digest = |bytes: [u8; 33]| Digest::from_bytes(&bytes).unwrap();
    let ours = digest(stored);
    let is_ours = |other: &Digest| *other == *black_box(&ours);
    let [in_first, in_last] = [digest(in_first), digest(in_last)];
    let first_and_last = [in_first, in_last.clone()];
    tell("digests: differing in the first byte, in the last", &first_and_last, is_ours);
    tell("digests: differing in the last byte, nowhere", &[in_last, ours.clone()], is_ours);
}

fn denials() {
    let (good, wrong) = (Tokens::new(2, 1), Tokens::with_secrets(2, 1, 1));
    let unknown =
        ready(wrong.authority.issue(NewToken::new("somebody", "My phone", Access::full())))
            .unwrap();
    let [revoked, wrong] = [&*good.texts[0], &*wrong.texts[0]];
    let id = revoked["acme_".len()..][..10].parse().unwrap();
    ready(good.authority.revoke(&Operator::new("bench").unwrap(), id, Reason::REQUESTED)).unwrap();
    let is_denied = |text: &&str| ready(good.authority.authenticate(text)).is_err();
    let unknown = unknown.expose_secret();
    tell("denied: wrong secret, right secret of a revoked token", &[wrong, revoked], is_denied);
    tell("denied: wrong secret, id that no token has", &[wrong, unknown], is_denied);
}

/// Times both in random order. Equal inputs lie in one place, so that no cache tells them apart.
fn tell<T: Clone>(what: &str, pair: &[T; 2], call: impl Fn(&T) -> bool) {
    let mut samples = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    for number in 0..SAMPLES {
        let class = usize::from(mix(number as u64) & 1 == 1);
        let input = black_box(pair[class].clone());
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(call(black_box(&input)));
        }
        samples[class].push(start.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    let [one, other] = samples.map(Sample::of);
    let t = (one.mean - other.mean) / (one.error + other.error).sqrt();
    let verdict = if t.abs() > 4.5 { "told apart" } else { "" };
    println!("| {what:<66} | {:>6.2} {:>6.2} | {t:>9.1} | {verdict}", one.mean, other.mean);
}

struct Sample {
    mean: f64,
    /// The mean's variance.
    error: f64,
}

impl Sample {
    fn of(mut values: Vec<f64>) -> Sample {
        values.sort_by(f64::total_cmp);
        values.truncate((values.len() as f64 * KEPT) as usize);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let spread = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        Sample { mean, error: spread / (count - 1.0) / count }
    }
}
