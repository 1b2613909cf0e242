//! Counts the memory allocations that one presented text causes.

#![expect(unsafe_code, reason = "an allocator that counts can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use app_tokens::store::MemoryStore;
use app_tokens::{Access, NewToken, Requirement, TokenAuthority};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, with a count for each thread.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps this method's contract, which is the one of the system's
        // allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps this method's contract, which is the one of the system's
        // allocator.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<T>(call: impl FnOnce() -> T) -> u64 {
    let before = ALLOCATIONS.get();
    let answer = call();
    let after = ALLOCATIONS.get();
    drop(answer);
    after - before
}

fn authority() -> TokenAuthority<MemoryStore> {
    TokenAuthority::in_memory("acme").unwrap()
}

fn issue(tokens: &TokenAuthority<MemoryStore>) -> String {
    let new = NewToken::new("alice", "My phone", Access::scopes(["files:read"]).unwrap());
    tokens.block_on(tokens.issue(new)).unwrap().expose_secret().to_owned()
}

/// Counts the second call: the first use of a token in an interval is recorded, which may allocate.
#[track_caller]
fn assert_allocations(tokens: &TokenAuthority<MemoryStore>, text: &str, expected: u64) {
    let read = Requirement::one_of(&["files:read"]);
    tokens.block_on(tokens.authenticate(text)).unwrap().require(read).unwrap();
    let count = allocations_of(|| {
        tokens.block_on(tokens.authenticate(text)).unwrap().require(read).unwrap()
    });
    assert_eq!(count, expected, "{text}");
}

#[test]
fn a_good_token_allocates_nothing() {
    let tokens = authority();
    let text = issue(&tokens);
    assert_allocations(&tokens, &text, 0);
}

#[test]
fn a_good_token_typed_by_hand_allocates_only_the_text_that_is_wiped() {
    let tokens = authority();
    let (head, body) = (String::from("ACME"), issue(&tokens)["acme".len()..].to_uppercase());
    assert_allocations(&tokens, &format!(" {head}{body}\n"), 1);
}

#[test]
fn a_denied_text_allocates_nothing() {
    let tokens = authority();
    let good = issue(&tokens);
    let other = issue(&authority());
    let mistyped = good.chars().rev().collect::<String>();
    for text in ["", "correct horse battery staple", &other, &mistyped, &good[..20]] {
        let count = allocations_of(|| tokens.block_on(tokens.authenticate(text)).unwrap_err());
        assert_eq!(count, 0, "{text:?}");
    }
}

#[test]
fn allocations_are_counted_for_this_thread_alone() {
    assert_eq!(allocations_of(|| Box::new(7)), 1);
    assert_eq!(allocations_of(|| vec![Box::new(7)]), 2);
}
