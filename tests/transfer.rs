//! Moves tokens from one host to another by a transfer file.
//!
//! What could go wrong within a year, and what holds instead: a token is lost or revived, may do
//! more, or lets the wrong owner in; a file is changed; a run is stopped or repeated; a host of
//! another prefix, clock or policy takes it in.

mod common;
#[path = "transfer/acting.rs"]
mod acting;
#[path = "transfer/again.rs"]
mod again;
#[path = "transfer/alone.rs"]
mod alone;
#[path = "transfer/large.rs"]
mod large;
#[path = "transfer/line.rs"]
mod line;
#[path = "transfer/meanwhile.rs"]
mod meanwhile;
#[path = "transfer/moved.rs"]
mod moved;
#[path = "transfer/narrowed.rs"]
mod narrowed;
#[path = "transfer/refused.rs"]
mod refused;
#[path = "transfer/rotated.rs"]
mod rotated;
#[path = "transfer/slow.rs"]
mod slow;

use std::io::Cursor;
use std::sync::LazyLock;

use app_tokens::store::{RuntimeFree, TokenStore};
use app_tokens::transfer::{MoveInReport, MoveOutReport, TransferError, TransferFile, TransferKey};
use app_tokens::{KeyRing, Operator, Policy};
use common::*;

/// Who moves tokens.
fn who() -> &'static Operator {
    static WHO: LazyLock<Operator> = LazyLock::new(ops);
    &WHO
}

/// A host with a ring of its own, whose rows come from outside the process.
fn host() -> Bench<outside::Outside> {
    host_with(policy())
}

fn host_with(policy: Policy) -> Bench<outside::Outside> {
    bench_with_ring(outside::Outside::new(), KeyRing::ephemeral().unwrap(), policy)
}

/// A file and its key.
struct Sealed {
    bytes: Vec<u8>,
    key: TransferKey,
    report: MoveOutReport,
}

/// Writes the tokens of all owners into a file.
#[track_caller]
fn out<S: TokenStore + RuntimeFree>(from: &Bench<S>) -> Sealed {
    let (key, mut bytes) = (TransferKey::draw().unwrap(), Vec::new());
    let moved = from.tokens.move_out(who(), None, &key, &mut bytes, |_| {});
    is_send(&moved);
    let report = from.tokens.block_on(moved).unwrap();
    Sealed { bytes, key, report }
}

fn try_in<S: TokenStore + RuntimeFree>(
    to: &Bench<S>,
    Sealed { bytes, key, .. }: &Sealed,
) -> Result<MoveInReport, TransferError> {
    let mut file = TransferFile::open(Cursor::new(bytes), key)?;
    let taking_in = to.tokens.move_in(who(), &mut file, |_| {});
    is_send(&taking_in);
    to.tokens.block_on(taking_in)
}

/// Does not compile for a future that a runtime could not move to another thread.
fn is_send(_: &impl Send) {}

/// Takes a file in.
#[track_caller]
fn take_in<S: TokenStore + RuntimeFree>(to: &Bench<S>, sealed: &Sealed) -> MoveInReport {
    try_in(to, sealed).unwrap()
}

/// Moves all tokens, and returns what was taken in.
#[track_caller]
fn moved<S: TokenStore + RuntimeFree, T: TokenStore + RuntimeFree>(
    from: &Bench<S>,
    to: &Bench<T>,
) -> MoveInReport {
    take_in(to, &out(from))
}
