//! A [`Policy`] in a TOML file, for a host and its operator's tool. `cloud/policy.toml` shows every
//! key.

pub mod period;

use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use app_tokens::Policy;
use app_tokens::access::ScopeName;

/// What a policy file says.
#[derive(Debug)]
pub struct PolicyFile {
    /// The policy, with the library's defaults for what the file does not name.
    pub policy: Policy,
    /// The scopes that the file names, or none.
    pub scopes: Vec<&'static str>,
}

/// The longest policy file, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

impl PolicyFile {
    /// Reads a policy file. An error names the file, and the line if one line is at fault.
    pub fn read(path: &Path) -> Result<PolicyFile, String> {
        let refused = |why: &dyn Display| format!("the policy file {}: {why}", path.display());
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| refused(&error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(refused(&"it is longer than 64 KiB; shorten it"));
        }
        PolicyFile::parse(&text).map_err(|error| refused(&error.trim_end()))
    }

    /// Reads a policy file's text. An error names the line if one line is at fault.
    pub fn parse(text: &str) -> Result<PolicyFile, String> {
        let policy: Policy = toml::from_str(text).map_err(|error| error.to_string())?;
        // Kept until the process ends, which is cheap: the file is read once.
        let scopes = policy.scopes().map(|scope| &*String::from(scope).leak()).collect();
        Ok(PolicyFile { policy, scopes })
    }
}

/// Checks that a policy has the scopes of a host, which defines what they mean. The operator's tool
/// must know the same ones.
///
/// `file` is the host's own policy file.
///
/// # Errors
/// A line for the operator.
pub fn check_scopes(policy: &Policy, scopes: &[impl ScopeName], file: &str) -> Result<(), String> {
    let own = policy.clone().with_scopes(scopes).map_err(|why| why.to_string())?;
    if *policy != own {
        return Err(format!("the policy file must have the [scopes] of {file}"));
    }
    Ok(())
}
