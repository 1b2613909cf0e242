//! The command `leaked`: revokes every token in texts of any length.
//!
//! - `input`: files, standard input and gzip.
//! - `unread`: what the search can't read.
//! - `found`: the report.

mod found;
mod input;
mod unread;

use std::io::Read as _;

use app_tokens::Operator;
use app_tokens::import::ImportStatus;
use app_tokens::report::LeakReport;
use zeroize::Zeroizing;

use crate::options::{Leaked, Setting};
use crate::problem::Problem;
use crate::setting::{Needs, Opened};
use found::Found;
use input::Input;
use unread::Unread;

/// How many bytes are looked through at once.
const WINDOW: usize = 1024 * 1024;
/// How many bytes at the end of a window are looked through again with the next one, as a token may
/// lie across the end.
const OVERLAP: usize = LeakReport::MAX_REACH;

pub async fn leaked(setting: &Setting, wish: &Leaked) -> Result<(), Problem> {
    let who = setting.operator()?;
    // The keys aren't needed: the digest proves that the text holds the right secret.
    let opened = setting.open(Needs::Policy).await?;
    let mut found = Found::default();
    let looked = look_through_all(&opened, &who, wish, &mut found).await;
    // Counted last, as it reads all rows.
    let counted = other_systems(&opened).await.map(|count| found.other_systems = count);
    // Reports what was revoked even if the work failed half-way.
    let said = found.say(setting.json);
    looked.and(counted).and(said)
}

/// Counts the tokens of other systems that may be valid. Without keys, nobody knows whether one has
/// expired.
async fn other_systems(opened: &Opened) -> Result<u64, Problem> {
    let schemes = opened.tokens.import_status().await?;
    let count = |of: &ImportStatus| of.waiting + of.taken_over + of.lost + of.unclear;
    Ok(schemes.iter().map(count).sum())
}

/// Searches every input. One that can't be read keeps none of the others from being searched.
async fn look_through_all(
    opened: &Opened,
    who: &Operator,
    wish: &Leaked,
    found: &mut Found,
) -> Result<(), Problem> {
    for (name, input) in input::all(&wish.files) {
        found.begin(name);
        match input {
            Ok(input) => look_through(opened, who, input, found).await?,
            Err(why) => found.could_not_read(0, &why),
        }
    }
    Ok(())
}

async fn look_through(
    opened: &Opened,
    who: &Operator,
    mut input: Input,
    found: &mut Found,
) -> Result<(), Problem> {
    let mut window = Zeroizing::new(Vec::with_capacity(WINDOW));
    let mut passed = 0;
    let mut unread = Unread::default();
    let mut end = None;
    loop {
        let held = window.len();
        if end.is_none() {
            let room = (WINDOW - held) as u64;
            // What was read before an error is in the window, and is searched, too.
            match input.by_ref().take(room).read_to_end(&mut window) {
                Err(error) => end = Some(Err(error)),
                Ok(_) if window.len() < WINDOW => end = Some(Ok(())),
                Ok(_) => {}
            }
        }
        unread.look(&window, held);
        let report = opened.tokens.revoke_leaked(who, &**window).await?;
        let is_last = end.is_some() && report.rest.is_none();
        let done = report.rest.unwrap_or(window.len().saturating_sub(OVERLAP));
        found.add(report, passed);
        if is_last {
            break;
        }
        window.drain(..done);
        passed += done as u64;
    }
    unread.end().for_each(|(at, what, places)| found.unread(at, what, places));
    if let Some(Err(error)) = end {
        found.could_not_read(passed + window.len() as u64, &error);
    }
    Ok(())
}
