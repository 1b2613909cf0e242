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
use tokio::process::Command;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::log;
use crate::serve::DRAIN;

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
    /// Starts the task that runs the command, if there is one.
    pub fn start(command: Option<String>, interval: Duration) -> (Trigger, Commands) {
        let (uses, waiting) = channel(WAITING);
        let task = tokio::spawn(run_each(command, waiting));
        (Trigger { seen: Mutex::default(), interval, uses }, Commands(task))
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

/// The task that runs the command.
pub struct Commands(JoinHandle<()>);

impl Commands {
    /// Waits until the command has run for all that waits, once the trigger is gone. What hangs is
    /// cut off: the server was told to end, and hears no second signal.
    pub async fn end(mut self) {
        if timeout(DRAIN, &mut self.0).await.is_err() {
            log::say("the command for revoked tokens still ran, and was cut off");
            self.0.abort();
        }
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
        tracing::warn!(target: "audit", %id, identity, address, "a revoked token was used");
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
    match timeout(LIMIT, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(status.to_string()),
        Ok(Err(why)) => Err(why.to_string()),
        Err(_) => Err(format!("it was stopped after {} seconds", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_command_that_hangs_holds_up_the_end_for_a_while_only() {
        let folder = tempfile::tempdir().unwrap();
        let command = folder.path().join("hang");
        fs::write(&command, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        fs::set_permissions(&command, fs::Permissions::from_mode(0o700)).unwrap();
        let command = command.to_str().unwrap().to_owned();
        let (trigger, commands) = Trigger::start(Some(command), Duration::from_secs(60));
        let id: TokenId = "askgagkera".parse().unwrap();
        for _ in 0..WAITING {
            let this = Use { id, identity: "1".into(), address: String::new() };
            trigger.uses.try_send(this).ok().unwrap();
        }
        drop(trigger);
        let told = tokio::time::Instant::now();
        commands.end().await;
        assert_eq!(told.elapsed().as_secs(), DRAIN.as_secs());
    }
}
