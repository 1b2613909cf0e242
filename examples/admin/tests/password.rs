//! The command `hash-password`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn hash(input: &[u8], arguments: &[&str]) -> Output {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_admin"));
    tool.arg("hash-password").args(arguments);
    tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    // A tool that refuses its arguments reads no input.
    let _written = tool.stdin.take().unwrap().write_all(input);
    tool.wait_with_output().unwrap()
}

#[test]
fn the_hash_is_of_the_first_line_and_needs_no_store() {
    for input in [&b"her secret"[..], b"her secret\n", b"her secret\r\nmore"] {
        let output = hash(input, &[]);
        assert!(output.status.success());
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.starts_with("$argon2id$") && printed.lines().count() == 1, "{printed}");
        password_auth::verify_password("her secret", printed.trim()).unwrap();
    }
}

#[test]
fn a_password_that_no_client_could_send_is_refused_and_never_repeated() {
    let long = "hunter2".repeat(200);
    for input in [&b""[..], b"\n", b"hunter2\tx", b"hunter2\xff", long.as_bytes()] {
        let output = hash(input, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(!String::from_utf8(output.stderr).unwrap().contains("hunter2"));
    }
    let argument = hash(b"", &["hunter2"]);
    assert_eq!(argument.status.code(), Some(2), "a password is never an argument");
}
