//! The command `scanner-rules`: prints rules by which a secret scanner finds the host's tokens.

use app_tokens::token::ScannerRules;

use crate::options::{Scanner, Setting};
use crate::print::{note, say};
use crate::problem::Problem;

/// What a rule can't say, for those who receive a scanner's report.
const CHECKSUM: &str = "\
The last seven characters of a token are the CRC-32 of all that stands before them, in Crockford's
base 32. No rule can compute it, so what a scanner reports may be no token. Check it with
`Token::parse`, or pass the report to `admin leaked`, which revokes only what is a token.";

pub fn print(setting: &Setting, scanner: Scanner) -> Result<(), Problem> {
    let policy = setting.policy_file()?.policy;
    // A token with a former prefix is valid, too.
    let rules = ScannerRules::new(policy.accepted_prefixes());
    let text = match scanner {
        Scanner::Gitleaks => rules.gitleaks(),
        Scanner::Secretlint => rules.secretlint(),
        Scanner::Regex => rules.regex(),
    };
    // Standard output has rules alone, as it becomes a scanner's file.
    note(CHECKSUM);
    say(text.trim_end())
}
