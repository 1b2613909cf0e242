//! The command `import app-tokens`: takes in what `export` wrote.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _};

use app_tokens::transfer::{MoveInReport, MoveProgress, TransferError, TransferFile, TransferKey};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::options::{FromAppTokens, Setting};
use crate::print::{note, say};
use crate::problem::{Exit, Problem};
use crate::progress::Bar;
use crate::setting::Needs;

pub async fn import(setting: &Setting, wish: &FromAppTokens) -> Result<(), Problem> {
    let who = setting.operator()?;
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    let file = File::open(&wish.file).map_err(|error| {
        Problem::failed(format_args!("{} can't be read: {error}", wish.file.display()))
    })?;
    let key = read_key()?;
    let opened_file = TransferFile::open(BufReader::new(file), &key);
    let mut file = opened_file
        .map_err(|error| Problem::failed(format_args!("{error}; nothing was taken in")))?;
    let source = file.source();
    note(format_args!(
        "the file has {} rows of the realm {:?}, and was begun at {}",
        file.rows(),
        source.realm,
        source.written_at
    ));
    let mut bar = Bar::new();
    let progress = |at: MoveProgress| bar.show(at.done, Some(at.total));
    let moved = opened.tokens.move_in(&who, &mut file, progress).await;
    drop(bar);
    let report = moved.map_err(|error| match error {
        TransferError::PrefixNotAccepted { .. } | TransferError::TooOld { .. } => error.into(),
        _ => Problem::failed(format_args!("{error}; what was taken in stays, so run it again")),
    })?;
    say_report(&report, setting.json)?;
    match report.kept.len() + report.left.len() {
        0 => Ok(()),
        not_moved => Err(Problem::new(
            Exit::Refused,
            format_args!("{not_moved} tokens are not as where they come from; see the report"),
        )),
    }
}

/// Reads the first line of standard input, since others can read arguments.
fn read_key() -> Result<TransferKey, Problem> {
    let input = io::stdin();
    if input.is_terminal() {
        note("type the transfer key, then Enter (it is shown as you type):");
    }
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    input.lock().take(200).read_until(b'\n', &mut line)?;
    let text = std::str::from_utf8(&line).unwrap_or_default();
    TransferKey::parse(text).map_err(|error| {
        Problem::usage(format_args!("{error}, on standard input: import app-tokens FILE < KEYFILE"))
    })
}

fn say_report(report: &MoveInReport, json: bool) -> Result<(), Problem> {
    let MoveInReport { tokens, revoked, already_there, revoked_now, superseded_now, .. } = report;
    let ids = |ids: &[app_tokens::TokenId]| ids.iter().map(ToString::to_string).collect::<Value>();
    if json {
        let because = |id: &app_tokens::TokenId, why| json!({ "id": id.to_string(), "why": why });
        let kept = report.kept.iter().map(|(id, why)| because(id, why.as_str()));
        let left = report.left.iter().map(|(id, why)| because(id, why.as_str()));
        return say(json!({
            "tokens": tokens,
            "revoked": revoked,
            "already_there": already_there,
            "revoked_now": ids(revoked_now),
            "superseded_now": ids(superseded_now),
            "kept": kept.collect::<Value>(),
            "left": left.collect::<Value>(),
        }));
    }
    say(format_args!(
        "took in {tokens} tokens and {revoked} revoked ones; {already_there} were here already"
    ))?;
    for id in revoked_now {
        say(format_args!("{id} was here already, and is revoked now"))?;
    }
    for id in superseded_now {
        say(format_args!("{id} was here already, and is superseded now"))?;
    }
    for (id, why) in &report.kept {
        say(format_args!("{id} stays as it is: {why}"))?;
    }
    for (id, why) in &report.left {
        say(format_args!("{id} is not in the file: {why}"))?;
    }
    Ok(())
}
