//! Measures how many bytes a million tokens take in memory. Each has a label, one scope and a place
//! in its owner's list.
//!
//! `cargo bench --bench memory`

#![expect(unsafe_code, reason = "an allocator that counts can't be written without")]

mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use app_tokens::record::LastUse;
use app_tokens::store::{Filter, MemoryStore, Page, TokenStore};
use app_tokens::{Access, NewToken, Timestamp, TokenAuthority, TokenId};

use harness::ready;

const COUNT: usize = 1_000_000;
const TO_REACH: f64 = 300.0;

/// Bytes that are allocated, as they were asked for.
static ASKED_FOR: AtomicUsize = AtomicUsize::new(0);
/// Bytes that are allocated, with what malloc of the GNU C library adds to each allocation.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with a count of its bytes.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED_FOR.fetch_add(layout.size(), Ordering::Relaxed);
        TAKEN.fetch_add(taken(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps this method's contract, which is the one of the system's
        // allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ASKED_FOR.fetch_sub(layout.size(), Ordering::Relaxed);
        TAKEN.fetch_sub(taken(layout), Ordering::Relaxed);
        // SAFETY: the caller keeps this method's contract, which is the one of the system's
        // allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Returns what malloc takes for an allocation: eight bytes more than asked for, rounded up to 16,
/// at least 32.
fn taken(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    println!("\nbytes for each of {COUNT} tokens in memory\n");
    println!("| {:<60} | asked for | with malloc's own | to reach |", "what");
    println!("|{}|----------:|------------------:|----------|", "-".repeat(62));
    for (tokens_per_owner, scopes, what) in [
        (10, &[][..], "full access, 10 tokens per owner"),
        (10, &["files:read"][..], "one scope, 10 tokens per owner"),
        (1, &["files:read"][..], "one scope, one token per owner"),
    ] {
        let before = now();
        let tokens = issue(tokens_per_owner, scopes);
        tell(what, before);
        use_once(&tokens);
        tell(&format!("{what}, each used once"), before);
    }
}

fn now() -> [usize; 2] {
    [&ASKED_FOR, &TAKEN].map(|count| count.load(Ordering::Relaxed))
}

fn issue(per_owner: usize, scopes: &[&str]) -> TokenAuthority<MemoryStore> {
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    for number in 0..COUNT {
        let access = match scopes {
            [] => Access::full(),
            scopes => Access::scopes(scopes.iter().copied()).unwrap(),
        };
        let new = NewToken::new(format!("user-{}", number / per_owner), "My phone", access);
        _ = ready(tokens.issue(new)).unwrap();
    }
    tokens
}

fn use_once(tokens: &TokenAuthority<MemoryStore>) {
    let at = Timestamp::MAX;
    let mut page = Page::first(10_000);
    loop {
        let rows = ready(tokens.store().list(&Filter::every_token(), page)).unwrap();
        let Some(last) = rows.last() else {
            return;
        };
        page.after = Some(last.id());
        let uses: Vec<(TokenId, LastUse)> = rows
            .iter()
            .map(|row| (row.id(), LastUse { at, address: None, client: None }))
            .collect();
        ready(tokens.store().touch(&uses, at)).unwrap();
    }
}

fn tell(what: &str, before: [usize; 2]) {
    let [asked_for, taken] = now();
    let each = |now: usize, before: usize| (now - before) as f64 / COUNT as f64;
    let (asked_for, taken) = (each(asked_for, before[0]), each(taken, before[1]));
    let missed = if asked_for > TO_REACH { " MISSED" } else { "" };
    println!("| {what:<60} | {asked_for:>9.0} | {taken:>17.0} | <= {TO_REACH}{missed} |");
}
