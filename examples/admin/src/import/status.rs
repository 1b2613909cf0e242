//! The command `import status`.

use app_tokens::import::{Import, ImportStatus};
use serde_json::{Value, json};

use crate::options::Setting;
use crate::print::say;
use crate::problem::Problem;
use crate::setting::{Needs, Opened};

pub async fn status(setting: &Setting) -> Result<(), Problem> {
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    let schemes = opened.tokens.import_status().await?;
    let waiting: u64 = schemes.iter().map(|scheme| scheme.waiting).sum();
    let is_open = opened.tokens.policy().has_open_import();
    let lost: u64 = schemes.iter().map(|scheme| scheme.lost).sum();
    let unclear: u64 = schemes.iter().map(|scheme| scheme.unclear).sum();
    if setting.json {
        let schemes: Value = schemes.iter().map(described).collect();
        return say(json!({ "schemes": schemes, "waiting": waiting, "open_import": is_open }));
    }
    if schemes.is_empty() {
        say("no token was imported")?;
    } else {
        say(format_args!(
            "{:24}  {:>9}  {:>10}  {:>9}",
            "SCHEME", "WAITING", "TAKEN OVER", "ENDED"
        ))?;
    }
    for ImportStatus { scheme, waiting, taken_over, ended, .. } in &schemes {
        say(format_args!("{scheme:24}  {waiting:>9}  {taken_over:>10}  {ended:>9}"))?;
    }
    if let Some(most) = beyond(&schemes, &Import::new()) {
        say(format_args!(
            "give --max-candidates {most} or more to the hosts and to each run, or they miss \
             tokens that share an owner or an ending"
        ))?;
    }
    if lost > 0 {
        say(format_args!(
            "{lost} more were imported under another import key, and no text finds them: bring \
             that key back"
        ))?;
    }
    if unclear > 0 {
        say(format_args!(
            "{unclear} more can't be told here: run it with all keys and the version of the hosts"
        ))?;
    }
    if lost + unclear > 0 {
        return Ok(());
    }
    advise(&opened, &schemes, waiting)
}

/// Returns how many candidates find all rows, if this import looks at fewer.
pub fn beyond(schemes: &[ImportStatus], import: &Import) -> Option<u32> {
    let beyond = schemes.iter().filter(|scheme| !import.reaches(scheme));
    beyond.map(|scheme| scheme.candidates).max()
}

/// Says what the operator does next.
fn advise(opened: &Opened, schemes: &[ImportStatus], waiting: u64) -> Result<(), Problem> {
    let is_open = opened.tokens.policy().has_open_import();
    let live: u64 = schemes.iter().map(|scheme| scheme.waiting + scheme.taken_over).sum();
    match (is_open, waiting) {
        (true, 0) if !schemes.is_empty() => say(
            "no old hash is left: delete the old table and its exports, then take open_import out \
             of the policy file",
        )?,
        (true, 0) => {}
        (true, _) => say(
            "some tokens were not used since the import: wait for their holders, or find them with \
             `admin list` and revoke them; until then keep open_import",
        )?,
        (false, 0) => say("the import is closed")?,
        (false, _) => say(
            "open_import is not in the policy file: do not import again, as a revoked token could \
             come back",
        )?,
    }
    match live {
        0 if schemes.is_empty() => Ok(()),
        0 => say("no imported token is live: take the import out of the hosts"),
        _ => say("hosts need the import and its key for as long as an imported token is live"),
    }
}

fn described(status: &ImportStatus) -> Value {
    json!({
        "scheme": &*status.scheme,
        "waiting": status.waiting,
        "taken_over": status.taken_over,
        "ended": status.ended,
        "lost": status.lost,
        "unclear": status.unclear,
        "candidates": status.candidates,
    })
}
