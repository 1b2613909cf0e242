//! What happens when a revoked token is used: a line in the audit log, and a command.
//!
//! A party still has the token: a forgotten script, or a thief. The library reports every use, so
//! this file counts one per usage interval and token.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use app_tokens::TokenId;
use app_tokens::error::DenialReason;
use app_tokens::event::{Event, Observer};
use shared::log;
use tokio::process::Command;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// How long the command may run.
const LIMIT: Duration = Duration::from_secs(60);
/// How many uses wait for the command at most.
const WAITING: usize = 64;

/// Notices that a revoked token is used.
pub struct Trigger {
    seen: Mutex<HashMap<TokenId, Instant>>,
    interval: Duration,
    uses: Sender<Use>,
}

/// One use of a revoked token. It has no secret.
struct Use {
    id: TokenId,
    identity: String,
    address: String,
}

impl Trigger {
    /// Starts the task that runs the command, if there is one. It ends after the trigger, when the
    /// command has run for all that waits.
    pub fn start(command: Option<String>, interval: Duration) -> (Trigger, JoinHandle<()>) {
        let (uses, waiting) = channel(WAITING);
        let task = tokio::spawn(run_each(command, waiting));
        (Trigger { seen: Mutex::default(), interval, uses }, task)
    }

    /// Returns whether this is the token's first use in the interval.
    fn is_first(&self, id: TokenId) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        seen.retain(|_, at| now.duration_since(*at) < self.interval);
        let is_first = !seen.contains_key(&id);
        seen.entry(id).or_insert(now);
        is_first
    }
}

impl Observer for Trigger {
    fn observe(&self, event: &Event<'_>) {
        // The token is there only if the secret was right: a guess at an id triggers nothing.
        let Event::Denied { reason: DenialReason::Revoked, token: Some(token), address, .. } =
            event
        else {
            return;
        };
        if !self.is_first(token.id()) {
            return;
        }
        let (id, identity) = (token.id(), token.owner().to_string());
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        tracing::warn!(target: "audit", %id, identity, address, "a revoked App Token was used");
        // The command may be slow. The caller of an observer must not wait for it.
        if self.uses.try_send(Use { id, identity, address }).is_err() {
            log::say(
                "the command for revoked tokens can't keep up; it was not run for one of them",
            );
        }
    }
}

async fn run_each(command: Option<String>, mut uses: Receiver<Use>) {
    while let Some(this) = uses.recv().await {
        let Some(command) = &command else { continue };
        if let Err(why) = run(command, this).await {
            log::say(format_args!("the command for revoked tokens failed: {why}"));
        }
    }
}

/// Runs the command without a shell. What it is told stands in its environment: an argument is
/// readable by others.
async fn run(command: &str, this: Use) -> Result<(), String> {
    let mut command = Command::new(command);
    command
        .env("APP_TOKEN_ID", this.id.to_string())
        .env("APP_TOKEN_IDENTITY", this.identity)
        .env("APP_TOKEN_ADDRESS", this.address)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(LIMIT, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("it was stopped after {} seconds", LIMIT.as_secs())),
    }
}
