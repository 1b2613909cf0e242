//! What fail2ban takes for a guess, by the filter that the hosts come with.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::has;

/// Returns the address of each line of an audit log that the filter takes for a guess. `None` if
/// there is no `fail2ban-regex` here.
#[track_caller]
pub fn guesses(log: &Path) -> Option<Vec<String>> {
    if !has("fail2ban-regex") {
        return None;
    }
    let filter = "../../examples/shared/fail2ban/app-tokens.conf";
    let filter = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(filter);
    let run = |out: &[&str]| {
        let mut command = Command::new("fail2ban-regex");
        let ran = command.args(out).args([log, &filter]).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let addresses = run(&["-o", "<ip>"]);
    Some(addresses.lines().map(|line| line.trim().to_owned()).collect())
}
