//! The command `export`: writes tokens into a transfer file for another store or host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use app_tokens::transfer::{MoveOutReport, TransferKey};
use serde_json::json;
use zeroize::Zeroizing;

use crate::make::refuse_unseen;
use crate::options::{Export, Setting};
use crate::print::note;
use crate::problem::{Exit, Problem};
use crate::progress::Bar;
use crate::setting::Needs;

pub async fn export(setting: &Setting, wish: &Export) -> Result<(), Problem> {
    let who = setting.operator()?;
    if wish.key_out.is_none() {
        refuse_unseen("the transfer key")?;
    }
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    let key = TransferKey::draw()?;
    let file = Draft::new(&wish.file)?;
    let key_file = wish.key_out.as_deref().map(Draft::new).transpose()?;
    let mut bar = Bar::new();
    let mut out = BufWriter::new(&file.file);
    let progress = |at: app_tokens::transfer::MoveProgress| bar.show(at.done, Some(at.total));
    let moved = opened.tokens.move_out(&who, wish.owner.as_ref(), &key, &mut out, progress).await;
    drop(bar);
    let report = moved?;
    out.flush()?;
    drop(out);
    file.file.sync_all()?;
    let text = key.expose_secret();
    match &key_file {
        Some(draft) => {
            (&draft.file).write_all(Zeroizing::new(format!("{}\n", *text)).as_bytes())?;
            draft.file.sync_all()?;
        }
        None if setting.json => {}
        None => hand_over(&text)?,
    }
    if setting.json {
        let shown = key_file.is_none().then_some(text.as_str());
        hand_over(&Zeroizing::new(as_json(&report, shown).to_string()))?;
    }
    file.keep();
    key_file.into_iter().for_each(Draft::keep);
    if !setting.json {
        told(&report, &wish.file);
    }
    match report.left.len() {
        0 => Ok(()),
        left => Err(Problem::new(
            Exit::Refused,
            format_args!("the file is whole, but {left} tokens are not in it"),
        )),
    }
}

/// Prints what is shown once. Without the key nobody can use the file, so that goes, too, if this
/// fails.
fn hand_over(text: &str) -> Result<(), Problem> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| {
        Problem::failed(format_args!(
            "the transfer key could not be written ({error}), so the file was removed; export again"
        ))
    })
}

fn told(report: &MoveOutReport, path: &Path) {
    let MoveOutReport { tokens, revoked, left } = report;
    for (id, why) in left {
        note(format_args!("{id} stays behind: {why}"));
    }
    note(format_args!(
        "wrote {tokens} tokens and {revoked} revoked ones to {}; carry the key to the other host \
         by another way, and delete both afterwards",
        path.display()
    ));
}

fn as_json(report: &MoveOutReport, key: Option<&str>) -> serde_json::Value {
    let left: Vec<_> = report
        .left
        .iter()
        .map(|(id, why)| json!({ "id": id.to_string(), "why": why.as_str() }))
        .collect();
    json!({ "tokens": report.tokens, "revoked": report.revoked, "left": left, "key": key })
}

/// A new file that is removed again, unless it is kept.
struct Draft<'p> {
    path: Option<&'p Path>,
    file: File,
}

impl<'p> Draft<'p> {
    /// Makes a file that only its owner may read and write.
    fn new(path: &'p Path) -> Result<Draft<'p>, Problem> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Problem::failed(format_args!(
                "{} exists already; choose another path",
                path.display()
            )),
            _ => Problem::failed(format_args!("{} can't be made: {error}", path.display())),
        })?;
        Ok(Draft { path: Some(path), file })
    }

    fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.path
            && let Err(error) = fs::remove_file(path)
        {
            note(format_args!("{} could not be removed: {error}; remove it", path.display()));
        }
    }
}
