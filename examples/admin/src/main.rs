//! An operator's tool: looks after the tokens of a host, also while the host runs.
//!
//! `cargo run -p admin -- --help`
//!
//! Modules:
//! - `options`: the command line.
//! - `setting`: the store, the policy and the keys that a command works with.
//! - `make`: new tokens.
//! - `change`: labels, access and ends.
//! - `end`, `leaked`: revoking and deleting.
//! - `scanner_rules`: rules by which scanners find what leaked.
//! - `look`, `owners`: listing and verifying.
//! - `import`: tokens of other systems.
//! - `keys`: new keys, and the move to one.
//! - `move_out`, `move_in`: to and from another store or host.
//! - `password`: hashes for the hosts' users file.
//! - `print`, `progress`: output.
//! - `problem`: errors and the exit status.

mod change;
mod end;
mod import;
mod keys;
mod leaked;
mod look;
mod make;
mod move_in;
mod move_out;
mod options;
mod owners;
mod password;
mod print;
mod problem;
mod progress;
mod scanner_rules;
mod setting;

use std::process::ExitCode;

use clap::Parser as _;

use options::import::Import;
use options::{Command, Keys, Options};
use print::{note, say};
use problem::{Exit, Problem};
use shared::audit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::args_os().any(|argument| options::is_secret(&argument.to_string_lossy())) {
        note(
            "admin: an argument is a token or a key, and others can read arguments; \
             give it on standard input or in a file, and revoke a token that was an argument",
        );
        return ExitCode::from(Exit::Usage as u8);
    }
    let done = match Options::try_parse() {
        Ok(options) => run(&options).await,
        Err(help_or_mistake) => {
            let _nobody_reads = help_or_mistake.print();
            return ExitCode::from(help_or_mistake.exit_code() as u8);
        }
    };
    let Err(Problem { exit, text }) = done else {
        return ExitCode::SUCCESS;
    };
    if !text.is_empty() {
        note(format_args!("admin: {text}"));
    }
    ExitCode::from(exit as u8)
}

async fn run(Options { setting, command }: &Options) -> Result<(), Problem> {
    if let Some(path) = &setting.audit {
        audit::open(Some(path)).map_err(Problem::failed)?;
    }
    match command {
        Command::Issue(wish) => make::issue(setting, wish).await,
        Command::List(wish) => look::list(setting, wish).await,
        Command::Owners => owners::owners(setting).await,
        Command::Show(token) => look::show(setting, token.id).await,
        Command::Revoke(wish) => end::revoke(setting, wish).await,
        Command::Rename(wish) => change::rename(setting, wish).await,
        Command::Narrow(wish) => change::narrow(setting, wish).await,
        Command::Extend(wish) => change::extend(setting, wish).await,
        Command::Rotate(wish) => make::rotate(setting, wish).await,
        Command::Forget(wish) => end::forget(setting, wish).await,
        Command::Verify => look::verify(setting).await,
        Command::Purge => end::purge(setting).await,
        Command::Import(Import::Foreign(wish)) => import::foreign(setting, wish).await,
        Command::Import(Import::Status) => import::status(setting).await,
        Command::Keys(Keys::AddImport) => keys::add_import(setting),
        Command::Keys(Keys::New { import: true, .. }) => keys::new_import(),
        Command::Keys(Keys::New { out, .. }) => keys::new(out.as_deref()),
        Command::Keys(Keys::InUse) => keys::in_use(setting).await,
        Command::Keys(Keys::MayRetire { key }) => keys::may_retire(setting, *key).await,
        Command::Reseal => keys::reseal(setting).await,
        Command::Leaked(wish) => leaked::leaked(setting, wish).await,
        Command::ScannerRules { scanner } => scanner_rules::print(setting, *scanner),
        Command::Export(wish) => move_out::export(setting, wish).await,
        Command::Import(Import::AppTokens(wish)) => move_in::import(setting, wish).await,
        Command::HashPassword => password::hash(),
        Command::Schema { kind } => {
            let schema =
                shared::store_choice::schema(kind, &setting.table).map_err(Problem::usage)?;
            say(schema.trim_end())
        }
    }
}
