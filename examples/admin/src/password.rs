//! The command `hash-password`: a main password's hash for the hosts' users file.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use zeroize::Zeroizing;

use crate::print::{note, say};
use crate::problem::{Exit, Problem};

/// The longest password, in bytes.
const MAX_BYTES: usize = 1024;

/// Reads a password from standard input, since others can read arguments. Prints its hash.
pub fn hash() -> Result<(), Problem> {
    let input = io::stdin();
    if input.is_terminal() {
        note("type the password, then Enter (it is shown as you type):");
    }
    let mut line = Zeroizing::new(Vec::with_capacity(2 * MAX_BYTES));
    input.lock().take(MAX_BYTES as u64 + 3).read_until(b'\n', &mut line)?;
    let refused = |why: &str| Problem::new(Exit::Usage, why);
    let line = std::str::from_utf8(&line).map_err(|_| refused("the password is not UTF-8 text"))?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        return Err(refused("the password is empty; choose one"));
    }
    if password.len() > MAX_BYTES {
        return Err(refused("the password is longer than 1024 bytes; choose a shorter one"));
    }
    if password.chars().any(char::is_control) {
        return Err(refused("HTTP Basic can't carry a control character; choose another password"));
    }
    say(password_auth::generate_hash(password))
}
