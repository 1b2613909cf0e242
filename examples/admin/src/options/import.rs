//! The command line of `import`, with the query of each old system.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::import::format::Format;
use crate::import::format::forgejo::Forgejo;
use crate::import::format::generic::{blake3, phc, plain, sha256};
use crate::import::format::jwt::Jwt;
use crate::import::format::nextcloud::Nextcloud;
use crate::import::format::nuxeo::Nuxeo;
use crate::import::format::sanctum::Sanctum;
use crate::options::FromAppTokens;
use crate::problem::Problem;
use shared::policy_file::period::Period;

#[derive(Subcommand)]
#[command(after_help = AFTER_HELP)]
pub enum Import {
    #[command(flatten)]
    Foreign(Foreign),
    /// From a file that export wrote, whose key is on standard input; may be stopped and run again
    #[command(after_help = "Example: admin import app-tokens tokens.transfer < transfer.key")]
    AppTokens(FromAppTokens),
    /// Count the imported tokens, and say when the import may be closed
    #[command(after_help = "\
Example: admin import status --json

WAITING are live tokens that still have the old hash. ENDED ones that were never used here have it,
too. If it is slow, as Argon2id is, a wrong password costs one hash for each of these tokens of its
owner. Ended ones cost it until they are purged, also if WAITING is 0: that is after open_import was
taken out, and after the policy's retention.")]
    Status,
}

const AFTER_HELP: &str = "\
Each format's help has the query that makes its file: `admin import nextcloud --help`. The file has
a JSON object a line, which SQLite, PostgreSQL, and MySQL or MariaDB print so:
  sqlite3 -list -noheader old.db < query.sql > rows.jsonl

  sed 's/json_object/json_build_object/; s/json_group_array/json_agg/' query.sql |
    psql -XAt old > rows.jsonl

  sed s/json_group_array/json_arrayagg/ query.sql |
    mysql -Nr --init-command=\"SET NAMES utf8mb4,sql_mode=ANSI,time_zone='+00:00'\" old > rows.jsonl

MariaDB's client may be called mariadb. The file holds hashes or tokens. Delete it after the import,
or give - for FILE and pipe the rows. Compare the report with the number of rows in the old table,
as a query may fail on its way.

Times are Unix seconds, or a date and a time, which is UTC unless an offset follows. If the old
system wrote another zone's, convert them in the query. MySQL prints a TIMESTAMP in the zone of its
session, so its line sets that.

Examples:
  admin import nextcloud rows.jsonl
  sqlite3 old.db < query.sql | admin import plain - --owners owners.jsonl

Before the first import:
  1. admin keys add-import, and restart the hosts
  2. write open_import = true into the policy file, before [scopes]
  3. switch the import on in the hosts

An import may be stopped and run again. It never changes a token that is there, also if that was
revoked since. A run with too small a --max-candidates for the tokens of an earlier one is refused,
since it could bring a revoked token back.

Exit status:
  0  done; rows of other kinds, or that have ended, may have been skipped
  1  failed: the store, a file, a key; the report has the rows before
  2  usage: an argument is wrong, or row 1 is not of the format
  4  some rows were refused, or the policy file lacks open_import";

/// A format of another system.
#[derive(Subcommand)]
pub enum Foreign {
    /// Nextcloud's app passwords
    #[command(after_help = NEXTCLOUD)]
    Nextcloud(Common),
    /// Access tokens of Forgejo from 15 on
    #[command(after_help = FORGEJO)]
    Forgejo(Common),
    /// Access tokens of Gitea, and of Forgejo before 15
    #[command(after_help = GITEA)]
    Gitea(Common),
    /// Laravel Sanctum's personal access tokens
    #[command(after_help = SANCTUM)]
    Sanctum {
        #[command(flatten)]
        common: Common,
        /// Whose tokens are taken, as tokenable_type names it; others are skipped
        #[arg(long, value_name = "MODEL", default_value = "App\\Models\\User")]
        model: String,
    },
    /// Tokens of which SHA-256 is kept
    #[command(after_help = SHA256)]
    Sha256(Generic),
    /// Tokens of which BLAKE3 is kept
    #[command(after_help = BLAKE3)]
    Blake3 {
        #[command(flatten)]
        common: Common,
        /// It was made with a key; only the hosts are told which, by --import blake3:FILE
        #[arg(long)]
        keyed: bool,
    },
    /// Tokens that are kept in clear
    #[command(after_help = PLAIN)]
    Plain(Generic),
    /// Tokens of which Argon2, bcrypt or PBKDF2 is kept, and which are found by their owner
    #[command(after_help = PHC)]
    Phc(Common),
    /// PowerShell Universal's app tokens
    #[command(after_help = POWERSHELL)]
    PowershellUniversal {
        #[command(flatten)]
        common: Common,
        /// A file with the server's Jwt.SigningKey
        #[arg(long, value_name = "FILE")]
        signing_key_file: PathBuf,
    },
    /// Nuxeo's tokens
    #[command(after_help = NUXEO)]
    Nuxeo(Common),
}

/// What every format takes.
#[derive(Args)]
pub struct Common {
    /// What the query printed; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A line for each account: {"name": "OLD NAME", "owner": "ACCOUNT ID"}; others are skipped
    /// [default: the column owner is the account id]
    #[arg(long, value_name = "FILE")]
    pub owners: Option<PathBuf>,
    /// How long a token lived in the old system, if its rows don't say so, such as "90 days"
    #[arg(long, value_name = "PERIOD")]
    pub old_life: Option<Period>,
    /// How many tokens may share an owner or an ending, as in the hosts; later runs and hosts with
    /// too small a number are refused
    #[arg(long, value_name = "NUMBER", default_value = "20")]
    pub max_candidates: NonZeroU32,
}

/// What a format of many systems takes.
#[derive(Args)]
pub struct Generic {
    #[command(flatten)]
    pub common: Common,
    /// All tokens were drawn at random, with 112 bits or more
    #[arg(long)]
    pub random: bool,
}

impl Foreign {
    pub fn common(&self) -> &Common {
        match self {
            Foreign::Nextcloud(common)
            | Foreign::Forgejo(common)
            | Foreign::Gitea(common)
            | Foreign::Sanctum { common, .. }
            | Foreign::Sha256(Generic { common, .. })
            | Foreign::Blake3 { common, .. }
            | Foreign::Plain(Generic { common, .. })
            | Foreign::Phc(common)
            | Foreign::PowershellUniversal { common, .. }
            | Foreign::Nuxeo(common) => common,
        }
    }

    pub fn format(&self) -> Result<Box<dyn Format>, Problem> {
        Ok(match self {
            Foreign::Nextcloud(_) => Box::new(Nextcloud::new()),
            Foreign::Forgejo(_) => Box::new(Forgejo::new()),
            Foreign::Gitea(_) => Box::new(Forgejo::of_gitea()),
            Foreign::Sanctum { model, .. } => Box::new(Sanctum::new(model)),
            Foreign::Sha256(Generic { random, .. }) => Box::new(sha256(*random)),
            Foreign::Blake3 { keyed, .. } => Box::new(blake3(*keyed)),
            Foreign::Plain(Generic { random, .. }) => Box::new(plain(*random)),
            Foreign::Phc(_) => Box::new(phc()),
            Foreign::PowershellUniversal { signing_key_file, .. } => {
                Box::new(Jwt::read(signing_key_file)?)
            }
            Foreign::Nuxeo(_) => Box::new(Nuxeo),
        })
    }
}

const NEXTCLOUD: &str = "\
SELECT json_object('owner', uid, 'label', name, 'hash', token, 'type', type, 'version', version,
                   'invalid', password_invalid, 'scope', scope, 'created', NULL,
                   'expires', expires, 'used', last_activity)
FROM oc_authtoken;

Only app passwords are taken (type 1). Sessions, tokens to be wiped and tokens for one use are
skipped. A token without file access becomes one for calendars and contacts.";

const FORGEJO: &str = "\
SELECT json_object('owner', t.uid, 'label', t.name, 'hash', t.token_hash, 'salt', t.token_salt,
                   'last_eight', t.token_last_eight, 'scope', t.scope, 'created', t.created_unix,
                   'expires', NULL, 'used', t.updated_unix,
                   'all_repositories', t.resource_all_repos,
                   'repositories', (SELECT json_group_array(r.owner_name || '/' || r.name || ';')
                                    FROM access_token_resource_repo a
                                    JOIN repository r ON r.id = a.repo_id
                                    WHERE a.token_id = t.id))
FROM access_token t;

Scopes keep their names. public-only becomes the resource exact:public, and a repository
exact:OWNER/NAME. If your host names repositories otherwise, write its names into the query. A
semicolon ends each, as a database may cut a long list within a name: such a row is refused.

`admin import --help` has the line that runs the query on each database.";

const GITEA: &str = "\
SELECT json_object('owner', uid, 'label', name, 'hash', token_hash, 'salt', token_salt,
                   'last_eight', token_last_eight, 'scope', scope, 'created', created_unix,
                   'expires', NULL, 'used', updated_unix)
FROM access_token;

Scopes keep their names, and public-only becomes the resource exact:public. For Forgejo from 15 on
take `admin import forgejo`: this query leaves out that a token is limited to some repositories.";

const SANCTUM: &str = "\
SELECT json_object('owner', tokenable_id, 'model', tokenable_type, 'label', name, 'hash', token,
                   'abilities', abilities, 'created', created_at, 'expires', expires_at,
                   'used', last_used_at)
FROM personal_access_tokens;

If config/sanctum.php sets expiration, name it with --old-life, such as \"525600 minutes\". Its
token_prefix must not be your own prefix: such a text is never tried. An ability becomes the scope
of the same name.";

const SHA256: &str = "\
SELECT json_object('owner', user_id, 'label', name, 'hash', lower(hex(token)), 'scopes', '*',
                   'created', created_at, 'expires', expired_at, 'used', last_used_at,
                   'revoked', revoked)
FROM api_tokens;

The hash has 64 hexadecimal digits. If the column has them already, write it without lower(hex(…)).
In PostgreSQL write encode(token, 'hex'). scopes are the host's names with commas, or * for
everything. All names must be there: if the table has no such column, write 'used', NULL.";

const BLAKE3: &str = "\
SELECT json_object('owner', user_id, 'label', name, 'hash', lower(hex(token)), 'scopes', '*',
                   'created', created_at, 'expires', expired_at, 'used', last_used_at,
                   'revoked', revoked)
FROM api_tokens;

The hash has 64 hexadecimal digits. If the column has them already, write it without lower(hex(…)).
In PostgreSQL write encode(token, 'hex'). scopes are the host's names with commas, or * for
everything.

If --keyed is given without a key in the old system, or the other way round, the rows are imported
all the same, and no text finds them.";

const PLAIN: &str = "\
SELECT json_object('owner', user_id, 'label', name, 'token', token, 'scopes', scopes,
                   'created', created_at, 'expires', expires_at, 'used', last_used_at,
                   'revoked', revoked)
FROM api_tokens;

scopes are the host's names with commas, or * for everything. All names must be there: if the table
has no such column, write 'used', NULL.";

const PHC: &str = "\
SELECT json_object('owner', user_id, 'label', name, 'hash', hash, 'scopes', scopes,
                   'created', created_at, 'expires', expires_at, 'used', last_used_at,
                   'revoked', revoked)
FROM app_passwords;

scopes are the host's names with commas, or * for everything. OpenCloud keeps no table. It has a
file appauth.json, or in later versions one for each user, in the space jsoncs3-appauth-data:
  jq -c '.. | objects | select(has(\"password\")) | {owner: .user.opaque_id,
           label: .label, hash: .password,
           scopes: (if .token_scope.user.role == 1 then \"*\" else \"?\" end),
           created: .ctime.seconds, expires: .expiration.seconds, used: .utime.seconds,
           revoked: false}' *.json > rows.jsonl
Take no blobs from that space's folder: some may be older versions, with revoked tokens.";

const POWERSHELL: &str = "\
SELECT json_object('owner', i.\"Name\", 'label', 'App token ' || t.\"Id\", 'token', t.\"Token\",
                   'created', t.\"Created\", 'expires', t.\"Expiration\", 'used', NULL,
                   'revoked', t.\"Revoked\")
FROM \"AppToken\" t JOIN \"Identity\" i ON i.\"Id\" = t.\"IdentityId\";

The names of tables and columns may differ in your version. Roles become scopes of the same names.";

const NUXEO: &str = "\
SELECT json_object('owner', t.\"userName\", 'label', t.\"applicationName\", 'token', t.token,
                   'device', t.\"deviceId\", 'description', t.\"deviceDescription\",
                   'permission', t.permission, 'created', t.\"creationDate\", 'expires', NULL,
                   'used', NULL)
FROM auth_tokens t;

Nuxeo never enforced permission. It is kept as an attribute. `admin import --help` has the line that
runs the query on each database. Without its ANSI mode, MySQL takes a name in quotes for a text.";
