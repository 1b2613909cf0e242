//! Once a token is dropped, no copy of its secret is left in the process's memory.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use app_tokens::store::SqliteStore;
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
use zeroize::Zeroizing;

/// How often a secret, given with all bits turned over, is in any memory of this process that can be written.
fn copies_of(turned: &[u8]) -> usize {
    let memory = File::open("/proc/self/mem").unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let (start, end) =
            (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        let mut region = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut region, start).is_err() {
            continue;
        }
        // The copy of the region must not be found by the next look.
        region.iter_mut().for_each(|byte| *byte = !*byte);
        found += region.windows(turned.len()).filter(|window| *window == turned).count();
    }
    found
}

/// A part of the secret with all bits turned over, so that this is no copy of it.
fn turned(token: &str) -> Vec<u8> {
    token.as_bytes()[20..36].iter().map(|byte| !byte).collect()
}

#[test]
fn a_dropped_token_is_nowhere_in_memory() {
    let policy = Policy::new("acme").unwrap();
    let ring = KeyRing::ephemeral().unwrap();
    let tokens = TokenAuthority::new(SqliteStore::in_memory().unwrap(), ring, policy);
    let tokens = tokens.blocking();

    let issued = tokens.issue(NewToken::new("alice", "My phone", Access::full())).unwrap();
    let secret = turned(issued.expose_secret());
    assert!(copies_of(&secret) >= 1, "the search finds what is there");
    let presented = Zeroizing::new(issued.expose_secret().to_owned());
    let by_hand = Zeroizing::new(issued.expose_secret().to_uppercase());
    drop(issued);
    assert_eq!(copies_of(&secret), 1, "what the client presents, and nothing else");

    drop(tokens.authenticate(presented.as_str()).unwrap());
    drop(tokens.authenticate(by_hand.as_str()).unwrap());
    drop(presented);
    assert_eq!(copies_of(&secret), 0);
}
