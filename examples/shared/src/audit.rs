//! The audit log: one JSON object a line, of a host and of its operator's tool.
//!
//! The idea is `tracing`. The library's [`TracingObserver`] emits each event, this file adds what
//! is not about a token, and `tracing-subscriber` writes the lines. Another subscriber in place of
//! [`open`] sends the same to journald or elsewhere.
//!
//! ```text
//! {"timestamp":"2026-11-27T09:00:00.1Z","level":"WARN","message":"sign-in refused",
//!  "address":"192.0.2.7","account":"alice","reason":"wrong name or password","target":"audit"}
//! ```
//!
//! A line never holds a secret. What only looks like one, in a label or a name that a person
//! chose, is left out. Owners, labels and addresses are personal data: the file is for its owner
//! only.
//!
//! `fail2ban/` has a filter for these lines. The file is only appended to, so `logrotate` needs its
//! `copytruncate`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

pub use app_tokens::event::TracingObserver;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Opens the log: a file, or else standard error. Once in a process.
///
/// # Errors
/// A line for the operator if the file can't be opened.
pub fn open(path: Option<&Path>) -> Result<(), String> {
    let out = match path {
        Some(path) => {
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(path).map_err(|why| {
                format!("the audit log {} can't be opened: {why}", path.display())
            })?;
            Out::File(Arc::new(file))
        }
        None => Out::StandardError,
    };
    // `denied` comes at every level, as each is a refused login. Other crates are left out: they
    // may log what they are given.
    let ours =
        Targets::new().with_target("app_tokens", Level::DEBUG).with_target("audit", Level::INFO);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(out);
    let opened = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
    opened.map_err(|_| "the audit log is open already; open it once".into())
}

/// Writes one line for a refused sign-in by main password, or by what is no token.
///
/// A denied token has a line of its own, by [`TracingObserver`].
pub fn refused(from: Option<IpAddr>, account: Option<&str>, reason: &str) {
    let address = from.map(|from| from.to_canonical().to_string());
    // Cut, as it is the client's text.
    let account = account.map(|name| name.chars().take(64).collect::<String>());
    tracing::warn!(target: "audit", address, account, reason, "sign-in refused");
}

/// Writes one line for something else that happened in the host, such as its start.
pub fn note(what: &str) {
    tracing::info!(target: "audit", "{what}");
}

/// Where the lines go.
#[derive(Clone)]
enum Out {
    File(Arc<std::fs::File>),
    StandardError,
}

impl<'a> MakeWriter<'a> for Out {
    type Writer = Out;

    fn make_writer(&'a self) -> Out {
        self.clone()
    }
}

impl Write for Out {
    /// Gets a whole line, and writes it at once: several processes may append to one file.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let clean = without_secrets(&String::from_utf8_lossy(line));
        match self {
            Out::File(file) => (&**file).write_all(clean.as_bytes())?,
            Out::StandardError => io::stderr().write_all(clean.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves out what looks like a token or a part of one: 30 or more letters and digits in a row,
/// other than a hexadecimal number or a long word.
fn without_secrets(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (row, after) = rest.split_at(end);
        let is_secret = row.len() >= 30
            && row.bytes().any(|byte| byte.is_ascii_digit())
            && !row.bytes().all(|byte| byte.is_ascii_hexdigit());
        clean.push_str(if is_secret { "(looks like a token)" } else { row });
        let next = after.chars().next().map_or(0, char::len_utf8);
        clean.push_str(&after[..next]);
        rest = &after[next..];
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_is_left_out_and_all_else_stays() {
        let token = "acme_askgagkera541e85krhxfcabpg2244em9e3f3p37q4h92";
        let line = format!("{{\"label\":\"my {token}, é\",\"owner\":\"alice\"}}\n");
        let clean = "{\"label\":\"my acme_(looks like a token), é\",\"owner\":\"alice\"}\n";
        assert_eq!(without_secrets(&line), clean);
        for harmless in [
            "",
            "b1946ac984929e2a0a5e1c9b7e1b2c3d4e5f60718293a4b5c6d7e8f901234567",
            "svc-deploy-frontend-production-eu-west-1-blue",
            "Donaudampfschifffahrtsgesellschaftskapitän",
            "\"timestamp\":\"2026-11-27T09:00:00.123456Z\"",
        ] {
            assert_eq!(without_secrets(harmless), harmless);
        }
    }
}
