//! Reads token texts, one a line, and prints what each is, one JSON object a line:
//! `echo acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92 | cargo run -q --example inspect`
//!
//! Any well-formed prefix is accepted. The canonical text holds the secret: guard the output as
//! carefully as the input.

use std::io::{self, BufRead as _, Write as _};

use app_tokens::record::Digest;
use app_tokens::token::Token;
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut output = io::stdout().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        match writeln!(output, "{}", inspect(without_line_end(&line))) {
            // The reader has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            written => written?,
        }
        line.clear();
    }
    Ok(())
}

/// Cuts the line's end only. White space around a token is for the parser to judge.
fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn inspect(presented: &[u8]) -> Value {
    let Ok(presented) = std::str::from_utf8(presented) else {
        return json!({"valid": false, "reason": "the token is not UTF-8 text"});
    };
    match Token::parse_any_prefix(presented) {
        Ok(token) => json!({
            "valid": true,
            "prefix": token.prefix().as_str(),
            "id": token.id().to_string(),
            "canonical": token.expose_secret(),
            "digest": hex(&Digest::of(&token).to_bytes()[1..]),
        }),
        Err(error) => json!({"valid": false, "reason": error.to_string()}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
