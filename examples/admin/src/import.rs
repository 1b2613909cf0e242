//! The commands `import`: tokens of other systems, taken over while their holders use them.
//!
//! - `lines`, `row`: the file, as the old database prints it.
//! - `owners`: whose account is meant.
//! - `facts`: what a row says in the words of this host.
//! - `format`: each system's columns, and what its words for access mean here.
//! - `report`: what became of each row.

mod facts;
pub mod format;
mod lines;
mod owners;
mod report;
mod row;
mod status;

use std::collections::HashSet;
use std::path::Path;

use app_tokens::Operator;
use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::error::{Failed, IssueError};
use app_tokens::import::{Import, Imported};
use app_tokens::record::Expires;

use crate::options::Setting;
use crate::options::import::Foreign;
use crate::problem::{Exit, Problem};
use crate::progress::Bar;
use crate::setting::{Needs, Opened};
use facts::{Found, NotTaken, Policy};
use format::Format;
use lines::{Line, Lines};
use owners::Owners;
use report::Report;
use row::Row;
use shared::policy_file::period::Period;
pub use status::status;

/// Imports the rows of a file.
///
/// Each row is one insert of its own. So a run that was stopped leaves whole tokens, and the next
/// one finds them there.
pub async fn foreign(setting: &Setting, wish: &Foreign) -> Result<(), Problem> {
    let common = wish.common();
    let format = wish.format()?;
    let who = setting.operator()?;
    let opened = setting.open(Needs::Seals).await?;
    opened.refuse_other_realm().await?;
    opened.refuse_closed_import()?;
    let import = Import::new().max_candidates(common.max_candidates);
    opened.refuse_too_few_candidates(&import).await?;
    let owners = common.owners.as_deref().map(Owners::read).transpose()?;
    let run = Run {
        opened: &opened,
        who,
        import,
        policy: Policy {
            scopes: &opened.scopes,
            now: SystemClock.now(),
            old_life: common.old_life.map(|Period(life)| life),
        },
        format: &*format,
        owners,
    };
    let mut report = Report::default();
    let done = run.all(&common.file, &mut report).await;
    // Also if it stopped midway, unless that was before the first row.
    let is_said = done.is_ok() || !report.is_empty();
    let said = if is_said { report.say(setting.json) } else { Ok(()) };
    done.and(said)?;
    match report.refused() {
        0 => Ok(()),
        refused => Err(Problem::new(
            Exit::Refused,
            format_args!("{refused} rows were refused; the report names them and says why"),
        )),
    }
}

impl Opened {
    /// Refuses to go on if dead rows may be purged.
    ///
    /// A revoked token would then be forgotten, and the next run would bring it back.
    fn refuse_closed_import(&self) -> Result<(), Problem> {
        if self.tokens.policy().has_open_import() {
            return Ok(());
        }
        Err(Problem::new(
            Exit::Refused,
            "the policy file does not keep dead rows, so a second run could bring a revoked token \
             back; write `open_import = true` into it, before [scopes], and restart the hosts",
        ))
    }

    /// Refuses a run that looks at fewer places than a run before it.
    ///
    /// It would not find the tokens beyond, and bring back a revoked one if a place got free.
    async fn refuse_too_few_candidates(&self, import: &Import) -> Result<(), Problem> {
        match status::beyond(&self.tokens.import_status().await?, import) {
            Some(most) => Err(Problem::new(
                Exit::Refused,
                format_args!(
                    "a run before this one was told a greater --max-candidates, so this one could \
                     bring a revoked token back; give --max-candidates {most} or more"
                ),
            )),
            None => Ok(()),
        }
    }
}

/// One run of an import.
struct Run<'a> {
    opened: &'a Opened,
    who: Operator,
    import: Import,
    policy: Policy<'a>,
    format: &'a dyn Format,
    owners: Option<Owners>,
}

impl Run<'_> {
    /// Imports all rows. The report has those before an error, too.
    async fn all(&self, file: &Path, report: &mut Report) -> Result<(), Problem> {
        let mut lines = Lines::open(file)?;
        // So that two rows of one token are told from a second run.
        let mut seen = HashSet::new();
        let mut bar = Bar::new();
        while let Some(line) = lines.next()? {
            let number = lines.number();
            bar.show(number, lines.total());
            let found = match self.row(&line, number)? {
                Ok(found) => found,
                Err(why) => {
                    report.not_taken(number, why);
                    continue;
                }
            };
            match self.opened.tokens.import(&self.who, &self.import, found.token).await {
                Ok(Imported::Done(id)) => {
                    seen.insert(id);
                    report.imported += 1;
                    report.ends_given += u64::from(self.gets_an_end(found.expires));
                    report.labels_changed.extend(found.label_changed.then_some(number));
                }
                Ok(Imported::AlreadyThere(id)) if seen.insert(id) => report.already_there += 1,
                Ok(Imported::AlreadyThere(_)) => {
                    report.not_taken(number, NotTaken::refused("a row before it has this token"));
                }
                Ok(Imported::Forgotten) => {
                    report.not_taken(number, NotTaken::skipped("it was forgotten here"));
                }
                Ok(Imported::TooManyCandidates) => {
                    let why = "its owner or its last characters have as many tokens as \
                               --max-candidates allows";
                    report.not_taken(number, NotTaken::refused(why));
                }
                Ok(Imported::DamagedRow(id)) => {
                    let why = format!("the row of token {id} is damaged, and may be this one");
                    report.not_taken(number, NotTaken::refused(why));
                }
                Err(IssueError::Failed(failed)) => return Err(stopped(number, &failed)),
                Err(error) => report.not_taken(number, NotTaken::refused(error)),
            }
        }
        Ok(())
    }

    /// Returns whether the policy gives an end to a token that has none.
    fn gets_an_end(&self, expires: Expires) -> bool {
        expires == Expires::Never && !self.opened.tokens.policy().allows_never_expiring()
    }

    /// Reads one row. An error is a mistake of the whole file.
    fn row(&self, line: &Line, number: u64) -> Result<Result<Found, NotTaken>, Problem> {
        let Line::Whole(line) = line else { return Ok(Err(NotTaken::refused(lines::TOO_LONG))) };
        match Row::parse(line, &self.format.columns()) {
            Ok(row) => Ok(self.token(row)),
            Err(why) if number == 1 => Err(Problem::usage(format_args!(
                "row 1 is not of this format: {why}; `admin import {} --help` shows the query",
                self.format.name()
            ))),
            Err(why) => Ok(Err(NotTaken::refused(why))),
        }
    }

    fn token(&self, mut row: Row) -> Result<Found, NotTaken> {
        let facts = self.format.facts(&row, &self.policy)?;
        let owner = Owners::owner(self.owners.as_ref(), &facts.owner)?;
        let prefixes = self.opened.tokens.policy().accepted_prefixes();
        self.format.refuse_unusable(&row, prefixes)?;
        let secret = self.format.secret(&mut row, &owner).map_err(NotTaken::refused)?;
        facts.token(secret, &owner, &self.policy)
    }
}

/// Says that the store or the keys failed. The rows before are imported.
fn stopped(number: u64, failed: &Failed) -> Problem {
    match failed {
        Failed::NoImportKey => Problem::failed(
            "the key ring has no key for an import; make one with `admin keys add-import`, and \
             restart the hosts with it",
        ),
        Failed::OtherImportKey(_) => Problem::failed(format_args!("{failed}")),
        failed => Problem::failed(format_args!(
            "row {number}: {failed}; the rows before it are done, so run it again"
        )),
    }
}
