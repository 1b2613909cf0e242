//! The commands `keys` and `reseal`.

mod add;

use std::collections::BTreeMap;
use std::path::Path;

use app_tokens::KeyRing;
use app_tokens::record::KeyId;
use app_tokens::report::ResealReport;
use serde_json::json;
use zeroize::Zeroizing;

use crate::options::Setting;
use crate::print::say;
use crate::problem::{Exit, Problem};
use crate::progress::Bar;
use crate::setting::{Needs, Opened};

/// Writes a new key, to a file or to standard output. No other command prints a secret key.
pub fn new(out: Option<&Path>) -> Result<(), Problem> {
    match out {
        Some(path) if path.try_exists()? => {
            let text = format_args!("{} exists already; choose another path", path.display());
            Err(Problem::failed(text))
        }
        Some(path) => {
            let ring = KeyRing::load_or_create(path)?;
            say(format_args!("made {} with key {}", path.display(), ring.active_id()))
        }
        None => say(&*Zeroizing::new(KeyRing::new_text()?)),
    }
}

/// Writes a new key for an import to standard output, for a ring that is not in a file.
pub fn new_import() -> Result<(), Problem> {
    say(&*Zeroizing::new(KeyRing::new_import_text()?))
}

/// Adds a key for an import to the key file.
pub fn add_import(setting: &Setting) -> Result<(), Problem> {
    let Some(path) = &setting.key_file else {
        return Err(Problem::usage(
            "name the key file with --key-file; if the ring is kept elsewhere, append what \
             `admin keys new --import` prints after a comma",
        ));
    };
    add::add_import(path)?;
    say(format_args!("added the import key to {}; restart the hosts with it", path.display()))
}

pub async fn in_use(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Store).await?;
    let mut rows: BTreeMap<KeyId, u64> = opened.tokens.keys_in_use().await?.into_iter().collect();
    for id in opened.ring.iter().flat_map(KeyRing::ids) {
        rows.entry(id).or_insert(0);
    }
    if setting.json {
        let keys = rows.iter().map(
            |(id, rows)| json!({ "key": id.as_u32(), "rows": rows, "role": opened.role(*id) }),
        );
        return say(keys.collect::<serde_json::Value>());
    }
    if rows.is_empty() {
        return say("no key seals any rows");
    }
    rows.iter().try_for_each(|(id, rows)| {
        let role = opened.role(*id).map_or(String::new(), |role| format!(", {role}"));
        say(format_args!("key {id}: {rows} rows{role}"))
    })
}

const MISSING: &str = "missing from the key ring";

impl Opened {
    /// Returns what the ring uses a key for, or `None` without a ring.
    fn role(&self, id: KeyId) -> Option<&'static str> {
        let ring = self.ring.as_ref()?;
        Some(match ring.ids().find(|known| *known == id) {
            Some(_) if ring.active_id() == id => "active",
            Some(_) => "retired",
            None => MISSING,
        })
    }
}

pub async fn may_retire(setting: &Setting, key: KeyId) -> Result<(), Problem> {
    let opened = setting.open(Needs::Seals).await?;
    opened.tokens.may_retire(key).await?;
    // Probably mistyped. A plain "yes" would be taken for the answer about another key.
    if opened.role(key) == Some(MISSING) {
        let text =
            format_args!("there is no key {key}, in the key ring or on a row; check the number");
        return Err(Problem::new(Exit::Unknown, text));
    }
    say(format_args!("key {key} seals no unrevoked rows; it may be taken out of the ring"))
}

pub async fn reseal(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Seals).await?;
    let mut bar = Bar::new();
    let report = opened.tokens.reseal_with_progress(|at| bar.show(at.done, Some(at.total))).await;
    drop(bar);
    let report = report.map_err(|failed| {
        Problem::failed(format_args!("{failed}; the rows moved so far stay moved, so run it again"))
    })?;
    let said = say_report(&report, setting.json);
    if report.left.is_empty() {
        return said;
    }
    let left: u64 = report.left.iter().map(|(_, rows)| rows).sum();
    Err(Problem::failed(format_args!(
        "{left} rows are not under the active key; imported ones may move at their next use; \
         find out why of others, then run it again"
    )))
}

fn say_report(report: &ResealReport, json: bool) -> Result<(), Problem> {
    let tampered: Vec<String> = report.tampered.iter().map(ToString::to_string).collect();
    if json {
        let left: Vec<_> = report
            .left
            .iter()
            .map(|(id, rows)| json!({ "key": id.as_u32(), "rows": rows }))
            .collect();
        return say(json!({ "moved": report.moved, "tampered": tampered, "left": left }));
    }
    say(format_args!("moved {}", report.moved))?;
    for id in tampered {
        say(format_args!("tampered with, so not moved: {id}"))?;
    }
    report
        .left
        .iter()
        .try_for_each(|(id, rows)| say(format_args!("key {id} still seals {rows} rows")))
}
