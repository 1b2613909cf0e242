//! The command line.

pub mod import;

use std::path::PathBuf;

use app_tokens::access::{Network, Resource, Scope};
use app_tokens::record::KeyId;
use app_tokens::store::TableName;
use app_tokens::token::{ParseError, Token};
use app_tokens::transfer::TransferKey;
use app_tokens::{KeyRing, Label, Owner, Reason, TokenId};
use clap::{Args, Parser, Subcommand};

use shared::policy_file::period::{End, Period, When};

/// Manages the tokens of a host, also while the host runs
#[derive(Parser)]
#[command(name = "admin", after_help = AFTER_HELP)]
pub struct Options {
    #[command(flatten)]
    pub setting: Setting,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Example:
  admin --store sqlite:tokens.db --policy policy.toml --key-file app.key list --owner alice

What each command needs besides --store:
  list, owners, show,     nothing; with --policy and the keys seals are checked, without them the
  revoke, forget,         status of whatever isn't revoked is \"unchecked\"
  keys in-use
  leaked                  --policy
  scanner-rules           --policy, and no store
  keys add-import         the key file, and no store
  keys new, schema,       nothing, and no store
  hash-password
  all others              --policy and the keys

admin makes and migrates no tables. The host does, or you run what schema prints.

No argument may be a secret, as others can read arguments: tokens come on standard input, keys from
a file or the environment.

Times are UTC: 2026-12-31T12:00:00Z or 2026-12-31. \"90 days\" is that long from now, or for a past
time that long ago. Hosts write last uses with a delay of a minute or so.

Exit status:
  0  done
  1  failed: the store, a file, a key, the clock; it says nothing about any token
  2  usage: an argument is missing or wrong
  3  there is no such token, or nothing matches
  4  refused by the policy, or because of the state of the token; import: some rows were refused
  5  denied: the token to be verified is not valid
  6  leaked could not read or look for everything, so there may be more tokens";

/// Where everything is, and who acts.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Setting {
    /// sqlite:PATH or postgres:URL [default: APP_TOKENS_STORE, where a URL may hold a password]
    #[arg(long, value_name = "STORE", global = true)]
    pub store: Option<String>,
    /// The table, if it isn't app_tokens; in PostgreSQL also SCHEMA.NAME
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        default_value = "app_tokens",
        hide_default_value = true
    )]
    pub table: TableName,
    /// The host's policy, as in examples/cloud/policy.toml
    #[arg(long, value_name = "FILE", global = true)]
    pub policy: Option<PathBuf>,
    /// The host's key ring, a file of mode 0600 [default: the ring in APP_TOKENS_KEYS]
    #[arg(long, value_name = "FILE", global = true)]
    pub key_file: Option<PathBuf>,
    /// Who acts, for the record [default: USER or LOGNAME]
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub operator: Option<String>,
    /// The audit log to append to, such as the host's
    #[arg(long, value_name = "FILE", global = true)]
    pub audit: Option<PathBuf>,
    /// Reports as JSON, of the commands that report; of revoke, with --dry-run
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Issue a token for an owner; prints only the token on standard output, once
    Issue(Issue),
    /// List tokens, dead ones too
    #[command(after_help = "\
Examples:
  admin list --owner alice --not-revoked
  admin list --unused-since \"180 days\"
  admin list --expiring-within \"14 days\" --json")]
    List(List),
    /// Count the tokens of each owner, for instance to find those of accounts that are gone
    #[command(after_help = "Example: admin owners --json")]
    Owners,
    /// Show everything that is known about a token
    #[command(after_help = "Example: admin show bsth14r9vj")]
    Show(Named),
    /// Revoke a token, or all that match, and what was issued under them
    Revoke(Revoke),
    /// Give a token another label
    #[command(after_help = "Example: admin rename bsth14r9vj \"Old laptop\"")]
    Rename(Rename),
    /// Take access away from a token
    #[command(
        after_help = "Example: admin narrow bsth14r9vj --scope files:read --resource under:photos"
    )]
    Narrow(Narrow),
    /// Give a token a later or an earlier end
    #[command(after_help = "Example: admin extend bsth14r9vj --expires \"90 days\"")]
    Extend(Extend),
    /// Replace a token by a new one; prints only the new one on standard output, once
    #[command(after_help = "Example: admin rotate bsth14r9vj --overlap \"1 day\" > token.txt")]
    Rotate(Rotate),
    /// Forget a token, or all of an owner: revoke it and delete its row now
    #[command(after_help = "\
Examples:
  admin forget bsth14r9vj
  admin forget --owner alice --yes")]
    Forget(Forget),
    /// Say whether the token on standard input is valid, or why not; does not count as a use
    #[command(after_help = "Example: admin verify < token.txt")]
    Verify,
    /// Delete the rows that have been dead for longer than the policy's retention
    #[command(after_help = "Example, once a day: admin purge")]
    Purge,
    /// Make a key, count the rows under each key, check whether a key may be retired
    #[command(subcommand)]
    Keys(Keys),
    /// Seal every row under the active key; may be stopped and run again
    #[command(after_help = "Example, once a new key is the active one: admin reseal")]
    Reseal,
    /// Revoke the tokens in files or standard input: a log, a commit, a scanner's report
    Leaked(Leaked),
    /// Print rules by which a secret scanner finds this host's tokens, with former prefixes too
    #[command(after_help = "\
Examples:
  admin scanner-rules gitleaks --policy policy.toml >> .gitleaks.toml
  admin scanner-rules secretlint --policy policy.toml > .secretlintrc.json
  admin scanner-rules regex --policy policy.toml > rules.txt; rg --file rules.txt

In a new .gitleaks.toml, write [extend] and useDefault = true first, or gitleaks' own rules are off.

No rule can compute a token's checksum, so what a scanner reports may be no token. Pass its report
to `admin leaked`, which revokes only what is one.")]
    ScannerRules {
        /// For which scanner
        scanner: Scanner,
    },
    /// Write tokens into a file for another store or host; prints only the key of that file on
    /// standard output, once
    Export(Export),
    /// Take tokens in: of another host, or of another system while their holders use them
    #[command(subcommand)]
    Import(import::Import),
    /// Print the hash of the main password on standard input, for a host's users file
    #[command(after_help = "Example: admin hash-password < password.txt")]
    HashPassword,
    /// Print the SQL that makes a store's tables
    #[command(after_help = "Example: admin schema postgres | psql app")]
    Schema {
        /// sqlite or postgres
        #[arg(default_value = "sqlite")]
        kind: String,
    },
}

#[derive(Args)]
#[command(after_help = "\
Example: admin issue --owner alice --label Backup --scope files:read --expires \"90 days\"")]
pub struct Issue {
    /// The owner: the host's account id
    #[arg(long)]
    pub owner: Owner,
    /// The name that its owner sees
    #[arg(long)]
    pub label: Label,
    /// When it ends, or "never" [default: after the policy's default life]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<End>,
    #[command(flatten)]
    pub access: AccessWish,
}

/// Access as it is asked for. What isn't named is all that there is, or stays as it is when a token
/// is narrowed.
#[derive(Args)]
pub struct AccessWish {
    /// A scope of the token; may be repeated [default: all; for narrow, those it has]
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    pub scopes: Vec<Scope>,
    /// exact:NAME, under:PATH or prefix:TEXT; may be repeated [default: as above]
    #[arg(long = "resource", value_name = "RESOURCE")]
    pub resources: Vec<Resource>,
    /// A network to use it from, as 10.0.0.0/8; may be repeated [default: as above]
    #[arg(long = "network", value_name = "NETWORK")]
    pub networks: Vec<Network>,
}

#[derive(Args)]
pub struct Selection {
    /// Tokens of this owner
    #[arg(long)]
    pub owner: Option<Owner>,
    /// Tokens not used since then; issuing counts as a use
    #[arg(long, value_name = "WHEN")]
    pub unused_since: Option<When>,
    /// Tokens sealed under the key with this number
    #[arg(long, value_name = "KEY", value_parser = key_id)]
    pub under_key: Option<KeyId>,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    pub which: Selection,
    /// Tokens that end within this time, except revoked and rotated ones
    #[arg(long, value_name = "PERIOD", conflicts_with_all = ["revoked", "not_revoked"])]
    pub expiring_within: Option<Period>,
    /// Only revoked tokens
    #[arg(long, conflicts_with = "not_revoked")]
    pub revoked: bool,
    /// Only tokens that are not revoked
    #[arg(long)]
    pub not_revoked: bool,
}

#[derive(Args)]
pub struct Named {
    /// The token's id: ten characters, as `list` shows them
    pub id: TokenId,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  admin revoke bsth14r9vj --reason \"laptop stolen\"
  admin revoke --owner alice --reason \"left the company\" --yes
  admin revoke --unused-since \"180 days\" --dry-run")]
pub struct Revoke {
    /// The id of one token
    #[arg(required_unless_present_any = ["owner", "unused_since", "under_key", "all"])]
    #[arg(conflicts_with_all = ["owner", "unused_since", "under_key", "all"])]
    pub id: Option<TokenId>,
    #[command(flatten)]
    pub which: Selection,
    /// Every token of every owner
    #[arg(long, conflicts_with_all = ["owner", "unused_since", "under_key"])]
    pub all: bool,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "requested")]
    pub reason: Reason,
    /// Only print what would be revoked
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask for confirmation
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args)]
pub struct Rename {
    #[command(flatten)]
    pub token: Named,
    /// The new label
    pub label: Label,
}

#[derive(Args)]
pub struct Narrow {
    #[command(flatten)]
    pub token: Named,
    #[command(flatten)]
    pub access: AccessWish,
}

#[derive(Args)]
pub struct Extend {
    #[command(flatten)]
    pub token: Named,
    /// The new end, or "never"; may be earlier, too
    #[arg(long, value_name = "WHEN")]
    pub expires: End,
}

#[derive(Args)]
pub struct Rotate {
    #[command(flatten)]
    pub token: Named,
    /// How long the old token stays valid [default: as the policy says]
    #[arg(long, value_name = "PERIOD")]
    pub overlap: Option<Period>,
    /// When the new token ends, or "never" [default: when the old one would have]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<End>,
}

#[derive(Args)]
pub struct Forget {
    /// The id of one token
    #[arg(required_unless_present = "owner", conflicts_with = "owner")]
    pub id: Option<TokenId>,
    /// All of this owner's
    #[arg(long)]
    pub owner: Option<Owner>,
    /// Don't ask for confirmation
    #[arg(long)]
    pub yes: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  git log -p --all | admin leaked
  admin leaked app.log app.log.1.gz
  find checkout -type f -exec admin leaked {} +

It reads any bytes: every encoding that keeps ASCII, UTF-16, and gzip. It names what it could not
read, such as archives, images and encrypted data, and then ends with 6. Unpack that and search it.
A place in a gzip file is one in its decompressed text.

It finds no token of another system. While an imported one may be valid, it says so and ends with 6.
If such a token leaked, find its id by its label, and revoke it by that:
  admin list --owner alice
  admin revoke bsth14r9vj --reason leaked

Exit status:
  0  every token that was found is revoked, and everything was read
  1  failed, or a token that was found may be valid still; the lines say which
  3  everything was read, and no token of this host was found
  6  not everything could be read, or a token of another system may be valid; what was found is
     revoked")]
pub struct Leaked {
    /// The files to search, and - for standard input [default: -]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Whose rules to print.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Scanner {
    /// Rules for .gitleaks.toml
    Gitleaks,
    /// A whole .secretlintrc.json, for @secretlint/secretlint-rule-pattern
    Secretlint,
    /// A regular expression a line, for RE2, Go, Rust, PCRE, Python and Java
    Regex,
}

#[derive(Subcommand)]
#[command(after_help = "\
Example: a new key is rolled out, the active one always first in the ring:
  1. admin keys new, and append it after a comma on every machine: 1:OLD,2:NEW
  2. when all run with it, make it the active one everywhere: 2:NEW,1:OLD
  3. admin reseal
  4. admin keys may-retire 1, and then take it out: 2:NEW
An entry import:KEY stays in the ring throughout.")]
pub enum Keys {
    /// Add the key that an import needs to the key file; refuses if there is one
    #[command(after_help = "\
Every host needs it before the first token is imported, so restart them with the new file. It never
changes: without it no imported token is found.

Example: admin keys add-import --key-file app.key")]
    AddImport,
    /// Make a key, as NUMBER:KEY: on standard output, or in a new file of mode 0600
    #[command(after_help = "\
Examples:
  admin keys new --out app.key
  admin keys new --import, to append after a comma where the ring is kept")]
    New {
        /// Make the key that an import needs, as import:KEY on standard output
        #[arg(long, conflicts_with = "out")]
        import: bool,
        /// The file to make; it must not be there yet
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Count the rows that each key seals, revoked ones left out
    #[command(after_help = "Example: admin keys in-use")]
    InUse,
    /// Say whether a key may be taken out of the ring
    #[command(after_help = "Example: admin keys may-retire 1")]
    MayRetire {
        /// The key's number
        #[arg(value_parser = key_id)]
        key: KeyId,
    },
}

#[derive(Args)]
#[command(after_help = "\
Example:
  admin export tokens.transfer --key-out transfer.key
  and on the other host, once both files are there by two different ways:
  admin import app-tokens tokens.transfer < transfer.key

The file is sealed and not encrypted: it shows owners, labels, access and times. Anyone who has the
key can write a file that makes tokens of any owner. Run it again once the host has stopped: the
second file carries over what was revoked, rotated, made or used in between.")]
pub struct Export {
    /// The file to make; it must not be there yet
    pub file: PathBuf,
    /// Only the tokens of this owner
    #[arg(long)]
    pub owner: Option<Owner>,
    /// Write the key to this new file of mode 0600, and not to standard output
    #[arg(long, value_name = "FILE")]
    pub key_out: Option<PathBuf>,
}

#[derive(Args)]
pub struct FromAppTokens {
    /// The file
    pub file: PathBuf,
}

fn scope(text: &str) -> Result<Scope, app_tokens::error::InvalidText> {
    Scope::new(text)
}

fn key_id(text: &str) -> Result<KeyId, &'static str> {
    text.parse().ok().and_then(KeyId::new).ok_or("a key's number is 1 or more")
}

/// Whether an argument is a token or a key, or nearly one. No error may repeat it then, not even
/// the argument parser's.
pub fn is_secret(argument: &str) -> bool {
    let value = argument.split_once('=').map_or(argument, |(_, value)| value);
    let is_token = |text: &str| {
        // A text with a wrong checksum, or cut off, is nearly the secret. An owner's id may end in
        // a long hexadecimal number, which is none.
        let body = text.rsplit_once('_').map_or("", |(_, body)| body.trim()).as_bytes();
        let is_nearly = (30..60).contains(&body.len())
            && body.iter().all(u8::is_ascii_alphanumeric)
            && !body.iter().all(u8::is_ascii_hexdigit);
        is_nearly || matches!(Token::parse_any_prefix(text), Ok(_) | Err(ParseError::Checksum))
    };
    // A key for an import alone is no ring. Forty characters are nearly a key.
    let is_import_key = |text: &str| {
        let key = text.trim().strip_prefix("import:");
        key.is_some_and(|key| key.len() >= 40 && !key.contains(char::is_whitespace))
    };
    let is_key = |text: &str| {
        KeyRing::parse(text).is_ok() || TransferKey::parse(text).is_ok() || is_import_key(text)
    };
    [argument, value].into_iter().any(|text| is_token(text) || is_key(text))
}
