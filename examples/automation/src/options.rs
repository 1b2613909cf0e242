//! The command line.

use std::collections::BTreeMap;
use std::ffi::OsString;

use shared::options::{CommonOptions, USAGE};

/// The roles of an account for a demo.
pub const DEMO: [&str; 3] = ["Administrator", "Operator", "Reader"];

/// The usage text.
pub fn usage() -> String {
    format!(
        "\
usage: automation --data DIR [options]

{USAGE}
  In the users file, the roles stand behind the hash: roles=A,B. A --user has the standard ones.
  --endpoint PATH=ROLE  an endpoint of your own, for tokens with this role; may be repeated
  --on-revoked COMMAND  run when a revoked token is used, once per usage interval and token, with
                        APP_TOKEN_ID, APP_TOKEN_IDENTITY and APP_TOKEN_ADDRESS set
  --help                this text"
    )
}

/// The options.
pub struct Options {
    pub common: CommonOptions,
    /// The endpoints of the operator's own: paths, and the role of each.
    pub endpoints: BTreeMap<String, String>,
    pub on_revoked: Option<String>,
}

impl Options {
    /// Parses the command line. `None` if it asks for help.
    pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Option<Options>, String> {
        let (mut endpoints, mut on_revoked) = (BTreeMap::new(), None);
        let common = CommonOptions::parse(arguments, |option, value| {
            match option {
                "--endpoint" => {
                    let (path, role) = endpoint(&value()?)?;
                    if endpoints.insert(path, role).is_some() {
                        return Err("a path of --endpoint is given twice; give it once".into());
                    }
                }
                "--on-revoked" => on_revoked = Some(value()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(common.map(|common| Options { common, endpoints, on_revoked }))
    }

    /// Says where the server is, and how to begin.
    pub fn print_welcome(&self, url: &str) {
        if self.common.is_demo() {
            println!("there are no accounts, so there is one for a demo: user demo, password demo");
        }
        println!("automation is at {url}");
        if !self.common.has_passwords() {
            return;
        }
        println!(
            "\
Sign in, and grant yourself an App Token:
  curl -c cookies {url}/api/v1/signin -H 'Content-Type: application/json' \\
      -d '{{\"username\":\"NAME\",\"password\":\"PASSWORD\"}}'
  curl -b cookies -X POST {url}/api/v1/apptoken/grant
and use it:
  curl -H \"Authorization: Bearer $TOKEN\" {url}/api/v1/variable"
        );
    }
}

/// Where paths of the management API, of OAuth and of the settings page begin.
const TAKEN: &str = "admin again api copy.js grant new oauth sessions sign-in sign-out style.css \
                     tokens";

fn endpoint(value: &str) -> Result<(String, String), String> {
    let (path, role) = value.split_once('=').ok_or("--endpoint needs PATH=ROLE")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if !path.starts_with('/') || path.len() < 2 || !path.chars().all(is_plain) {
        return Err(format!("--endpoint {path}: write a path such as /release"));
    }
    let first = path.split('/').nth(1).unwrap_or_default();
    if first.is_empty() || TAKEN.split(' ').any(|taken| taken == first) {
        return Err(format!("--endpoint {path}: the server has paths there; choose another"));
    }
    Ok((path.into(), role.into()))
}
