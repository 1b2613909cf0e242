//! Keys: making, rolling out, resealing, reading them.

mod common;

use std::fs;

use app_tokens::KeyRing;
use app_tokens::record::Status;
use common::{Host, phone};
use support::program::has;

#[test]
fn a_new_key_is_a_ring_of_its_own_and_overwrites_no_file() {
    let host = Host::new();
    let new = || host.run(host.command(&["keys", "new"]), b"").done();
    let (one, other) = (new(), new());
    assert_ne!(one, other);
    assert_eq!(KeyRing::parse(&one).unwrap().ids().count(), 1);
    let both = format!("{},{}", one.trim(), other.trim());
    assert_eq!(KeyRing::parse(&both).unwrap().ids().count(), 2, "their numbers differ");

    let to_file = || host.run(host.command(&["keys", "new", "--out", "more"]), b"");
    let said = to_file().done();
    let ring = KeyRing::load(host.path("more")).unwrap();
    assert_eq!(said, format!("made more with key {}\n", ring.active_id()));
    let text = fs::read_to_string(host.path("more")).unwrap();
    assert!(!said.contains(text.split_once(':').unwrap().1.trim()));
    to_file().exited(1, "more exists already");
    assert_eq!(fs::read_to_string(host.path("more")).unwrap(), text);
}

#[test]
fn a_new_key_is_rolled_out_as_the_help_says() {
    let host = Host::new();
    let (kept, text) = host.issue(phone());
    let (revoked, _) = host.issue(phone());
    host.admin(&["revoke", &revoked.to_string()]).done();
    let old = fs::read_to_string(host.path("keys")).unwrap().trim().to_owned();
    let old_id = old.split_once(':').unwrap().0.to_owned();
    let new = host.run(host.command(&["keys", "new"]), b"").done().trim().to_owned();
    let new_id = new.split_once(':').unwrap().0.to_owned();
    host.admin(&["keys", "may-retire", &old_id]).exited(4, "make another one active first");
    host.admin(&["keys", "may-retire", "7"]).exited(3, "no key 7, in the key ring or on a row");

    fs::write(host.path("keys"), format!("{new},{old}\n")).unwrap();
    let in_use = host.admin(&["keys", "in-use"]).done();
    assert!(in_use.contains(&format!("key {old_id}: 1 rows, retired\n")), "{in_use}");
    assert!(in_use.contains(&format!("key {new_id}: 0 rows, active\n")), "{in_use}");
    host.admin(&["keys", "may-retire", &old_id]).exited(4, "still seals 1 rows");
    let ran = host.admin(&["reseal"]);
    assert_eq!((&*ran.out, &*ran.err), ("moved 1\n", ""), "no bar in a log");
    assert_eq!(host.admin(&["reseal", "--json"]).json()["moved"], 0);
    assert!(host.admin(&["keys", "may-retire", &old_id]).done().contains("may be taken out"));

    fs::write(host.path("keys"), format!("{new}\n")).unwrap();
    assert!(host.is_good(&text));
    assert_eq!(
        host.admin(&["list", "--under-key", &new_id, "--json"]).json()[0]["id"],
        kept.to_string()
    );
}

#[test]
fn a_reseal_lists_tampered_rows_and_fails_while_rows_are_left() {
    let host = Host::new();
    let (tampered, _) = host.issue(phone());
    let (good, text) = host.issue(phone());
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    let sql = "UPDATE app_tokens SET owner = 'root' WHERE id = ?1";
    assert_eq!(database.execute(sql, [tampered.as_u64() as i64]).unwrap(), 1);
    let old = fs::read_to_string(host.path("keys")).unwrap();
    let new = host.run(host.command(&["keys", "new"]), b"").done();
    fs::write(host.path("keys"), format!("{},{old}", new.trim())).unwrap();
    let ran = host.admin(&["reseal", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("1 rows are not under the active key"), "{ran:?}");
    let report = ran.json();
    assert_eq!(
        (&report["moved"], &report["tampered"]),
        (&1.into(), &[tampered.to_string()][..].into())
    );
    let said = host.admin(&["reseal"]);
    assert!(said.out.contains(&format!("tampered with, so not moved: {tampered}\n")), "{said:?}");
    host.admin(&["revoke", &tampered.to_string()]).done();
    assert_eq!(host.admin(&["reseal"]).done(), "moved 0\n");
    assert!(host.is_good(&text) && host.view(good).status() == Some(Status::Active));
}

#[cfg(target_os = "linux")]
#[test]
fn a_reseal_shows_its_progress_on_a_terminal() {
    if !has("script") {
        return;
    }
    let host = Host::new();
    host.issue(phone());
    host.issue(phone());
    let old = fs::read_to_string(host.path("keys")).unwrap();
    fs::write(host.path("keys"), format!("{},{old}", KeyRing::new_text().unwrap())).unwrap();
    let setting = "--store sqlite:tokens.db --policy policy.toml --key-file keys";
    let ran = host.admin_at_terminal(&format!("{setting} reseal"), "");
    assert!(ran.code == Some(0), "{ran:?}");
    let bar = format!("\r[{}] 2 of 2 rows, 100%, ", "#".repeat(30));
    assert!(ran.out.contains(&bar) && ran.out.ends_with("\r\nmoved 2\r\n"), "{ran:?}");
    let again = host.admin_at_terminal(&format!("{setting} reseal"), "");
    assert_eq!(again.out, "moved 0\r\n", "nothing to wait for");
}

#[test]
fn keys_come_from_the_environment_too_and_bad_ones_are_not_repeated() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let ring = fs::read_to_string(host.path("keys")).unwrap();
    let store = host.store();
    let verify = |keys: &str| {
        let mut command = host.command(&["--store", &store, "--policy", "policy.toml", "verify"]);
        command.env("APP_TOKENS_KEYS", keys);
        host.run(command, text.as_bytes())
    };
    assert!(verify(ring.trim()).done().starts_with("valid\n"));
    verify("").exited(1, "the key ring has no key");
    let cut = &ring.trim()[..40];
    host.keep_secret(&ring.trim()[..40]);
    verify(cut).exited(1, "key");
    // With another key ring, nothing can be said about the token.
    let other = KeyRing::new_text().unwrap();
    verify(&other).exited(1, "which the key ring lacks");
    fs::write(host.path("keys"), format!("{other}\n")).unwrap();
    let issue = ["issue", "--owner", "alice", "--label", "x"];
    host.admin(&issue).exited(1, "bring that key back");
    host.admin(&["rename", "0000000000", "x"]).exited(3, "no such token");
    let listed = host.admin(&["list", "--json"]).json();
    assert_eq!(listed[0]["status"], "unknown");
    let in_use = host.admin(&["keys", "in-use"]).done();
    assert!(in_use.contains("1 rows, missing from the key ring"), "{in_use}");
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::new();
    fs::set_permissions(host.path("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    host.admin(&["list"]).exited(1, "keys is open to other users (mode 644)");
    host.admin(&["list", "--key-file", "none"]).exited(1, "none can't be used: No such file");
}

/// Returns the commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let (_, listed) = help.split_once("\nCommands:\n").unwrap();
    let of_line = |line: &str| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    };
    listed.lines().take_while(|line| !line.is_empty()).filter_map(of_line).collect()
}

#[cfg(unix)]
#[test]
fn no_command_changes_the_key_file_or_loses_its_import_key() {
    use std::os::unix::fs::MetadataExt as _;
    let host = Host::new();
    let ring = fs::read_to_string(host.path("keys")).unwrap();
    let import_key = KeyRing::new_import_text().unwrap();
    let ring = format!("{},{import_key}\n", ring.trim());
    fs::write(host.path("keys"), &ring).unwrap();
    let (id, text) = host.issue(phone());
    let (id, forgotten) = (id.to_string(), host.issue(phone()).0.to_string());
    let key = ring.split_once(':').unwrap().0;
    let acts: &[&[&str]] = &[
        &["issue", "--owner", "alice", "--label", "x"],
        &["list"],
        &["owners"],
        &["show", &id],
        &["verify"],
        &["rename", &id, "y"],
        &["narrow", &id, "--scope", "files:read"],
        &["extend", &id, "--expires", "9 days"],
        &["rotate", &id],
        &["keys", "new"],
        &["keys", "new", "--out", "keys"],
        &["keys", "in-use"],
        &["keys", "may-retire", key],
        &["reseal"],
        &["purge"],
        &["leaked"],
        &["scanner-rules", "regex"],
        &["export", "moved"],
        &["import", "status"],
        &["revoke", &id],
        &["forget", &forgotten],
        &["hash-password"],
        &["schema"],
    ];
    for group in [&[][..], &["keys"]] {
        let help = host.admin(&[group, &["--help"]].concat()).done();
        for command in commands(&help) {
            let named = [group, &[&*command]].concat();
            // The one command that changes the file adds what others keep; see import.rs.
            let is_tried = acts.iter().any(|act| act.starts_with(&named));
            assert!(is_tried || command == "add-import", "{command} is not tried here");
        }
    }
    let file = || fs::metadata(host.path("keys")).unwrap();
    let before = (file().ino(), file().mode());
    for act in acts {
        let ran = host.admin_reading(&text, act);
        // Only the path of a new file is refused, and no command fails because of the ring.
        let fails = act.contains(&"--out");
        assert!(ran.code != Some(2) && fails == (ran.code == Some(1)), "{act:?}: {ran:?}");
        assert_eq!(fs::read_to_string(host.path("keys")).unwrap(), ring, "{act:?}");
        assert_eq!((file().ino(), file().mode()), before, "{act:?}");
    }
    assert!(KeyRing::load(host.path("keys")).unwrap().has_import_key());
    // A host that makes its key file if there is none leaves this one.
    assert!(KeyRing::load_or_create(host.path("keys")).unwrap().has_import_key());
    assert_eq!(fs::read_to_string(host.path("keys")).unwrap(), ring);
}
