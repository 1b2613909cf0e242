//! Once a token is dropped, no copy of its secret is left in the process's memory. The one that
//! `sha2` leaves is not counted: see `count`.
#![cfg(target_os = "linux")]

#[cfg(all(
    feature = "import-argon2",
    feature = "import-bcrypt",
    feature = "import-blake3",
    feature = "import-pbkdf2"
))]
#[path = "wiped/import.rs"]
mod import;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use std::sync::{Mutex, MutexGuard, PoisonError};

use app_tokens::store::{MemoryStore, SqliteStore};
use app_tokens::web::{Accounts, Login, NamesAreOwners};
use app_tokens::{Access, KeyRing, NewToken, Operator, Origin, Policy, TokenAuthority};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Lets one test run at a time: its secrets would show in another's search of the memory.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts the copies of a secret in all writable memory of this process. The secret is given with
/// all its bits inverted, so that it is no copy itself.
fn copies_of(turned: &[u8]) -> usize {
    const CHUNK: usize = 1024 * 1024;
    let memory = File::open("/proc/self/mem").unwrap();
    // Wiped afterwards, so that the next search finds no copy in what this one read.
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let own = chunk.as_ptr() as usize..chunk.as_ptr() as usize + CHUNK;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let (mut start, end) =
            (usize::from_str_radix(start, 16).unwrap(), usize::from_str_radix(end, 16).unwrap());
        while start < end {
            let chunk = &mut chunk[..CHUNK.min(end - start)];
            if memory.read_exact_at(chunk, start as u64).is_err() {
                break;
            }
            // This search skips what it read itself.
            let before = own.start.saturating_sub(start).min(chunk.len());
            let after = own.end.saturating_sub(start).min(chunk.len());
            chunk[before..after].fill(0);
            found += count(chunk, turned);
            // A copy may lie across the end of a chunk.
            let is_last = start + chunk.len() >= end;
            start += if is_last { chunk.len() } else { chunk.len() - turned.len() + 1 };
        }
    }
    found
}

/// Counts the copies in a part of the memory, but not those in a padded block.
///
/// `sha2` 0.11 ends its last block with a byte `80` and copies it to its stack frame (`&[b.0]` in
/// `block_api.rs`). The copy stays until another call writes there.
fn count(memory: &[u8], turned: &[u8]) -> usize {
    let starts = memory.iter().enumerate().filter(|(_, byte)| **byte == !turned[0]);
    let is_copy =
        |at: usize| memory[at..].iter().zip(turned).all(|(byte, turned)| *byte == !turned);
    let is_padded = |at: usize| {
        let mut after = memory.iter().skip(at + turned.len()).take(64);
        after.find(|byte| !byte.is_ascii_graphic()) == Some(&0x80)
    };
    let fits = |at: usize| at + turned.len() <= memory.len();
    starts.filter(|(at, _)| fits(*at) && is_copy(*at) && !is_padded(*at)).count()
}

/// Returns a part of the secret with all its bits inverted, so that it is no copy of it.
fn turned(token: &str) -> Zeroizing<Vec<u8>> {
    turn(&token.as_bytes()[20..36])
}

fn turn(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.iter().map(|byte| !byte).collect())
}

/// Joins the parts in one piece of memory, which is wiped.
fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| all.extend_from_slice(part));
    all
}

/// Makes the header of HTTP Basic.
fn basic(user: &[u8], secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let encoded = Zeroizing::new(STANDARD.encode(&*joined(&[user, b":", secret])));
    joined(&[b"Basic ", encoded.as_bytes()])
}

fn login(tokens: TokenAuthority<MemoryStore>) -> Login<MemoryStore, impl Accounts> {
    Login::new(tokens, NamesAreOwners(|_| true))
        .with_token_header("x-token")
        .unwrap()
        .accept(|accept| accept.bare_token().token_as_user_name().placeholder("x"))
}

/// Tries to log in by each header, by both, and by a door without headers.
fn try_to_enter(login: &Login<MemoryStore, impl Accounts>, header: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (standard, own) = (("authorization", header), ("x-token", header));
    for headers in [&[standard][..], &[own], &[standard, own]] {
        let entered = login.try_enter(headers.iter().copied(), Origin::unknown());
        drop(runtime.block_on(entered));
    }
    if let Ok(secret) = std::str::from_utf8(header) {
        for name in [None, Some("alice"), Some(secret)] {
            drop(runtime.block_on(login.enter_with(name, secret, Origin::unknown())));
        }
    }
}

#[test]
fn a_dropped_token_leaves_no_copy_in_memory() {
    let _alone = alone();
    let policy = Policy::new("acme").unwrap();
    let ring = KeyRing::ephemeral().unwrap();
    let tokens = TokenAuthority::new(SqliteStore::in_memory().unwrap(), ring, policy);

    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "My phone", Access::full()))).unwrap();
    let secret = turned(issued.expose_secret());
    assert!(copies_of(&secret) >= 1, "the search finds what is there");
    let presented = Zeroizing::new(issued.expose_secret().to_owned());
    let by_hand = Zeroizing::new(issued.expose_secret().to_uppercase());
    drop(issued);
    assert_eq!(copies_of(&secret), 1, "what the client presents, and nothing else");

    drop(tokens.block_on(tokens.authenticate(presented.as_str())).unwrap());
    drop(tokens.block_on(tokens.authenticate(by_hand.as_str())).unwrap());
    drop(presented);
    assert_eq!(copies_of(&secret), 0);
}

#[test]
fn a_main_password_at_login_leaves_no_copy_in_memory_in_any_letter_case() {
    let _alone = alone();
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let login = login(tokens);
    // The start of freed memory is soon overwritten, so the pattern stands far behind it. The
    // constant is inverted, so that the pattern isn't in memory before.
    let (pattern, lower) = (turn(b"CorrectHorse3Btt"), turn(b"correcthorse3btt"));
    for after in [&b""[..], b"_StapleAndSomeMore", b"_x\n", b"_\xe9", b"_ask", &[b'_'; 60]] {
        let password = joined(&[&[b'x'; 64], &turn(&pattern), after]);
        // Made one after the other, and dropped before the search.
        let headers: [&dyn Fn() -> Zeroizing<Vec<u8>>; 5] = [
            &|| basic(b"alice", &password),
            &|| basic(b"x", &password),
            &|| basic(&password, b""),
            &|| joined(&[b"Bearer ", &password]),
            &|| joined(&[&password]),
        ];
        for header in headers {
            try_to_enter(&login, &header());
            assert_eq!((copies_of(&pattern), copies_of(&lower)), (1, 0));
        }
    }
}

#[test]
fn a_token_at_login_or_in_a_leaked_text_leaves_no_copy_in_memory() {
    let _alone = alone();
    let tokens = TokenAuthority::in_memory("acme").unwrap();
    let login = login(tokens.clone());
    let issued =
        tokens.block_on(tokens.issue(NewToken::new("alice", "x", Access::full()))).unwrap();
    let scanner = Operator::new("scanner").unwrap();
    let secret = turned(issued.expose_secret());
    let upper = turned(&Zeroizing::new(issued.expose_secret().to_uppercase()));
    let token = joined(&[issued.expose_secret().as_bytes()]);
    drop(issued);
    for (before, after) in [("", ""), ("\u{e9}", "\n"), (" ", "!"), ("DOMAIN\\", "@host")] {
        let text = joined(&[before.as_bytes(), &token, after.as_bytes()]);
        let encoded = Zeroizing::new(STANDARD.encode(&*text));
        // Made one after the other, and dropped before the search.
        let headers: [&dyn Fn() -> Zeroizing<Vec<u8>>; 6] = [
            &|| basic(b"alice", &text),
            &|| basic(b"\xe9lise", &text),
            &|| basic(&text, b""),
            &|| basic(encoded.as_bytes(), b"x"),
            &|| joined(&[b"Bearer ", &text]),
            &|| joined(&[&text]),
        ];
        for header in headers {
            try_to_enter(&login, &header());
            assert_eq!((copies_of(&secret), copies_of(&upper)), (2, 0));
        }
        // Invalid UTF-8 follows it. The long text before it makes the allocation too large for its
        // memory to be reused soon.
        let inside = joined(&[&[b'.'; 3000], &text, b"\xff\xfe"]);
        let once = Zeroizing::new(STANDARD.encode(&*inside));
        let twice = Zeroizing::new(STANDARD.encode(once.as_bytes()));
        for leaked in [&*inside, once.as_bytes(), twice.as_bytes()] {
            let report = tokens.block_on(tokens.revoke_leaked(&scanner, leaked)).unwrap();
            assert_eq!(report.leaks.len(), 1);
            assert_eq!((copies_of(&secret), copies_of(&upper)), (3, 0));
        }
    }
    // By authentication schemes that are not ours.
    for header in [b"ApiKey ", b"Basicx "] {
        let encoded = Zeroizing::new(STANDARD.encode(&*token));
        try_to_enter(&login, &joined(&[header, &token]));
        try_to_enter(&login, &joined(&[header, encoded.as_bytes()]));
    }
    assert_eq!(copies_of(&secret), 1, "what the client presents, and nothing else");
    drop(token);
    for pattern in [&secret, &upper] {
        assert_eq!(copies_of(pattern), 0);
    }
}
