//! The command `leaked`: revokes every token in a text of any length.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use app_tokens::report::{LeakOutcome, LeakReport};
use app_tokens::{Operator, TokenId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::options::Setting;
use crate::print::say;
use crate::problem::{Exit, Problem};
use crate::setting::{Needs, Opened};

/// How many bytes are looked through at once.
const WINDOW: usize = 1024 * 1024;
/// How many bytes at the end of a window are looked through again with the next one, as a token may
/// lie across the end.
const OVERLAP: usize = LeakReport::MAX_REACH;

pub async fn leaked(setting: &Setting) -> Result<(), Problem> {
    let who = setting.operator()?;
    // The keys aren't needed: the digest proves that the text holds the right secret.
    let opened = setting.open(Needs::Policy).await?;
    let mut found = Found::default();
    let looked = look_through(&opened, &who, &mut found).await;
    // Reports what was revoked even if the work failed half-way.
    let said = found.say(setting.json);
    looked.and(said)
}

async fn look_through(opened: &Opened, who: &Operator, found: &mut Found) -> Result<(), Problem> {
    let mut input = io::stdin().lock();
    let mut window = Zeroizing::new(Vec::with_capacity(WINDOW));
    let mut passed = 0;
    loop {
        let room = WINDOW - window.len();
        input.by_ref().take(room as u64).read_to_end(&mut window)?;
        let report = opened.tokens.revoke_leaked(&**window, who).await?;
        let is_last = window.len() < WINDOW && report.rest.is_none();
        let done = report.rest.unwrap_or(window.len().saturating_sub(OVERLAP));
        found.add(report, passed);
        if is_last {
            return Ok(());
        }
        window.drain(..done);
        passed += done;
    }
}

/// The tokens that were found, each once, with its first place in the text.
#[derive(Default)]
struct Found {
    seen: BTreeSet<(TokenId, bool)>,
    leaks: Vec<(usize, TokenId, LeakOutcome)>,
}

impl Found {
    fn add(&mut self, report: LeakReport, passed: usize) {
        for leak in report.leaks {
            if self.seen.insert((leak.id, leak.outcome != LeakOutcome::NoToken)) {
                self.leaks.push((passed + leak.position.start, leak.id, leak.outcome));
            }
        }
    }

    fn say(self, json: bool) -> Result<(), Problem> {
        let is_token = self.leaks.iter().any(|(_, _, outcome)| *outcome != LeakOutcome::NoToken);
        if json {
            let leaks = self.leaks.iter().map(|(at, id, outcome)| {
                json!({ "at": at, "id": id.to_string(), "outcome": words_for(*id, *outcome) })
            });
            say(leaks.collect::<Value>())?;
        } else {
            self.leaks.iter().try_for_each(|(at, id, outcome)| {
                say(format_args!("byte {at}: {id} {}", words_for(*id, *outcome)))
            })?;
        }
        if self.leaks.iter().any(|(_, _, outcome)| is_left(*outcome)) {
            return Err(Problem::failed("not all tokens could be revoked; do what the lines say"));
        }
        if is_token {
            Ok(())
        } else {
            Err(Problem::new(Exit::Unknown, "the text holds no token of this host"))
        }
    }
}

/// Returns whether the token may be valid still.
fn is_left(outcome: LeakOutcome) -> bool {
    match outcome {
        LeakOutcome::Damaged | LeakOutcome::UnknownScheme(_) => true,
        LeakOutcome::Revoked | LeakOutcome::AlreadyRevoked | LeakOutcome::NoToken => false,
    }
}

fn words_for(id: TokenId, outcome: LeakOutcome) -> String {
    match outcome {
        LeakOutcome::Revoked => "revoked".into(),
        LeakOutcome::AlreadyRevoked => "was revoked before".into(),
        LeakOutcome::Damaged => format!(
            "has a damaged row, so its secret could not be checked; \
             revoke it with `admin revoke {id} --reason leaked`"
        ),
        LeakOutcome::UnknownScheme(scheme) => format!(
            "has a digest of scheme {scheme}, which this program does not know; \
             run a newer one, or `admin revoke {id} --reason leaked`"
        ),
        LeakOutcome::NoToken => "no such token, or another secret".into(),
    }
}
