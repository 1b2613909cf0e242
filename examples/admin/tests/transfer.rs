//! `export` and `import app-tokens`: tokens move to another store or host.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use common::{Host, phone, phone_that};
use support::program::has;

/// Exports all tokens of a host into `tokens.transfer`, and returns the key.
#[track_caller]
fn export(host: &Host) -> String {
    let ran = host.admin(&["export", "tokens.transfer"]);
    let key = ran.out.trim().to_owned();
    assert!(ran.code == Some(0) && key.len() == 44 && ran.err.contains("wrote"), "{ran:?}");
    assert!(!ran.err.contains(&key), "the key is shown once");
    key
}

/// Copies the export of one host to the other.
fn carry(from: &Host, to: &Host) {
    fs::copy(from.path("tokens.transfer"), to.path("tokens.transfer")).unwrap();
    fs::remove_file(from.path("tokens.transfer")).unwrap();
}

#[track_caller]
fn import(host: &Host, key: &str) -> common::Ran {
    host.admin_reading(key, &["import", "app-tokens", "tokens.transfer"])
}

#[test]
fn tokens_move_to_another_host_with_their_revocations_and_last_uses() {
    let (from, to) = (Host::new(), Host::new());
    let (good, text) = from.issue(phone_that(&["files:read"]));
    let (revoked, revoked_text) = from.issue(phone());
    from.use_now(&text);
    from.admin(&["revoke", &revoked.to_string(), "--reason", "lost"]).done();
    let key = export(&from);
    let mode = fs::metadata(from.path("tokens.transfer")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    carry(&from, &to);
    let ran = import(&to, &format!("{key}\n"));
    assert!(ran.err.contains("2 rows of the realm \"acme\""), "{ran:?}");
    assert_eq!(ran.done(), "took in 1 tokens and 1 revoked ones; 0 were here already\n");
    assert!(to.is_good(&text) && !to.is_good(&revoked_text));
    assert_eq!(from.view(good).last_use(), to.view(good).last_use());
    assert_eq!(to.view(revoked).revocation().unwrap().reason.as_str(), "lost");
    assert_ne!(fs::read(from.path("keys")).unwrap(), fs::read(to.path("keys")).unwrap());

    let again = import(&to, &key).done();
    assert_eq!(again, "took in 0 tokens and 0 revoked ones; 2 were here already\n");
}

#[test]
fn a_second_export_carries_over_what_happened_in_between() {
    let (from, to) = (Host::new(), Host::new());
    let (lost, lost_text) = from.issue(phone());
    let (kept_revoked, kept_text) = from.issue(phone());
    let key = export(&from);
    carry(&from, &to);
    import(&to, &key).done();
    from.admin(&["revoke", &lost.to_string()]).done();
    to.admin(&["revoke", &kept_revoked.to_string()]).done();
    let (_, new_text) = from.issue(phone());
    let key = export(&from);
    carry(&from, &to);
    let said = import(&to, &key).done();
    assert!(said.contains("took in 1 tokens and 0 revoked ones; 1 were here already\n"), "{said}");
    assert!(said.contains(&format!("{lost} was here already, and is revoked now\n")), "{said}");
    assert!(to.is_good(&new_text) && !to.is_good(&lost_text) && !to.is_good(&kept_text));
}

#[test]
fn the_key_may_go_into_a_file_for_its_owner_alone_and_no_file_is_overwritten() {
    let host = Host::new();
    host.issue(phone());
    let arguments = ["export", "tokens.transfer", "--key-out", "transfer.key", "--json"];
    let ran = host.admin(&arguments);
    let key = fs::read_to_string(host.path("transfer.key")).unwrap();
    assert!(!ran.out.contains(key.trim()) && !ran.err.contains(key.trim()), "{ran:?}");
    let report = ran.json();
    assert!(report["tokens"] == 1 && report["key"].is_null(), "{report}");
    let mode = fs::metadata(host.path("transfer.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = fs::read(host.path("tokens.transfer")).unwrap();
    host.admin(&arguments).exited(1, "tokens.transfer exists already; choose another path");
    host.admin(&["export", "other", "--key-out", "transfer.key"]).exited(1, "exists already");
    assert!(!host.path("other").exists(), "without its key it is of no use");
    assert_eq!(fs::read(host.path("tokens.transfer")).unwrap(), file);
    let shown = host.admin(&["export", "other", "--json"]).json();
    assert_eq!(shown["key"].as_str().unwrap().len(), 44);
}

#[test]
fn a_key_that_nobody_would_see_leaves_no_file() {
    let host = Host::new();
    host.issue(phone());
    let arguments = ["--policy", "policy.toml", "--key-file", "keys", "export", "tokens.transfer"];
    let store = host.store();
    let all = [&["--store", &store][..], &arguments].concat();
    let mut unseen = host.command(&all);
    unseen.stdout(Stdio::null());
    host.run(unseen, b"").exited(2, "nobody would see the transfer key");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut lost = host.command(&all);
    lost.stdout(full);
    host.run(lost, b"").exited(1, "so the file was removed; export again");
    assert!(!host.path("tokens.transfer").exists());
}

#[test]
fn a_wrong_key_and_a_changed_or_cut_file_are_refused_before_anything_is_written() {
    let (from, to) = (Host::new(), Host::new());
    from.issue(phone());
    from.issue(phone());
    let key = export(&from);
    carry(&from, &to);
    let other = export(&from);
    import(&to, &other).exited(1, "the transfer key is not the one of this file");
    import(&to, "").exited(2, "not a transfer key");
    import(&to, &key[1..]).exited(2, "not a transfer key");
    let arguments = ["import", "app-tokens", "tokens.transfer", &key];
    let ran = to.admin(&arguments);
    assert!(ran.code == Some(2) && !ran.err.contains(&key), "{ran:?}");
    assert!(ran.err.contains("an argument is a token or a key"), "{ran:?}");

    let whole = fs::read_to_string(to.path("tokens.transfer")).unwrap();
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    for (changed, why) in [
        (lines[..3].concat(), "cut off"),
        ([lines[0], lines[2], lines[1], lines[3]].concat(), "line 2 of the transfer file"),
        (whole.replacen("row", "raw", 1), "line 2 of the transfer file"),
        (format!("{whole}more\n"), "goes on after its end"),
        (whole.replacen("transfer 1", "transfer 2", 1), "has version 2"),
        ("{}\n".into(), "not a transfer file"),
    ] {
        fs::write(to.path("tokens.transfer"), changed).unwrap();
        import(&to, &key).exited(1, why);
    }
    fs::remove_file(to.path("tokens.transfer")).unwrap();
    import(&to, &key).exited(1, "tokens.transfer can't be read");
    assert!(to.rows().is_empty());
}

#[test]
fn a_file_that_is_cut_while_it_is_taken_in_leaves_what_was_taken_in() {
    let (from, to) = (Host::new(), Host::new());
    // More than are written at the same time.
    (0..100).for_each(|_| drop(from.issue(phone())));
    to.issue(phone());
    let key = export(&from);
    carry(&from, &to);
    let database = rusqlite::Connection::open(to.path("tokens.db")).unwrap();
    // Until the file is cut, nothing can be written.
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = to.store();
    let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
    let arguments = ["import", "app-tokens", "tokens.transfer"];
    let mut process = to.command(&[&setting[..], &arguments].concat()).spawn().unwrap();
    writeln!(process.stdin.take().unwrap(), "{key}").unwrap();
    let mut said = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("100 rows of the realm") {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended early");
    }
    let file = fs::File::options().write(true).open(to.path("tokens.transfer")).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    database.execute_batch("ROLLBACK").unwrap();
    line.clear();
    said.read_to_string(&mut line).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(1));
    assert!(line.contains("is cut off") && line.contains("what was taken in stays"), "{line}");
    assert!(to.rows().len() > 1, "{line}");
}

#[test]
fn a_host_with_another_prefix_must_accept_theirs_first() {
    let (from, to) = (Host::new(), Host::new());
    let (_, text) = from.issue(phone());
    let key = export(&from);
    carry(&from, &to);
    let policy = |former: &str| {
        let text = format!("prefix = 'brand'\nrealm = 'brand'\nformer_prefixes = [{former}]\n");
        fs::write(to.path("policy.toml"), text).unwrap();
    };
    policy("");
    import(&to, &key).exited(4, "add acme to its former prefixes");
    policy("'acme'");
    import(&to, &key).done();
    assert!(to.admin_reading(&text, &["verify"]).done().starts_with("valid\n"));
}

#[test]
fn what_stays_behind_is_named_on_both_hosts() {
    let (from, to) = (Host::new(), Host::new());
    let (good, text) = from.issue(phone());
    let (tampered, _) = from.issue(phone());
    let database = rusqlite::Connection::open(from.path("tokens.db")).unwrap();
    let sql = "UPDATE app_tokens SET owner = 'root' WHERE id = ?1";
    assert_eq!(database.execute(sql, [tampered.as_u64() as i64]).unwrap(), 1);
    let ran = from.admin(&["export", "tokens.transfer"]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    let said = format!("{tampered} stays behind: its row is not as it was written");
    assert!(ran.err.contains(&said) && ran.err.contains("but 1 tokens are not in it"), "{ran:?}");
    let key = ran.out.clone();
    carry(&from, &to);
    let ran = import(&to, &key);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.out.contains(&format!("{tampered} is not in the file: its row")), "{ran:?}");
    let all = ["import", "app-tokens", "tokens.transfer", "--json"];
    let report = to.admin_reading(&key, &all).json();
    assert_eq!(report["left"][0]["why"], "tampered");
    assert_eq!((&report["already_there"], &report["tokens"]), (&1.into(), &0.into()));
    assert!(to.is_good(&text) && to.view(good).owner().as_str() == "alice");
}

#[test]
fn the_tokens_of_one_owner_move_alone() {
    let (from, to) = (Host::new(), Host::new());
    from.issue(phone());
    let of_bob = app_tokens::NewToken::new("bob", "Job", app_tokens::Access::full());
    let (bobs, text) = from.issue(of_bob);
    let ran = from.admin(&["export", "tokens.transfer", "--owner", "bob"]);
    carry(&from, &to);
    import(&to, &ran.done()).done();
    assert!(to.is_good(&text));
    assert_eq!(to.admin(&["list", "--json"]).json()[0]["id"], bobs.to_string());
    assert_eq!(to.rows().len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn both_show_their_progress_on_a_terminal() {
    if !has("script") {
        return;
    }
    let host = Host::new();
    host.issue(phone());
    host.issue(phone());
    let setting = "--store sqlite:tokens.db --policy policy.toml --key-file keys";
    let command = format!("{setting} export tokens.transfer --key-out transfer.key");
    let ran = host.admin_at_terminal(&command, "");
    let bar = format!("\r[{}] 2 of 2 rows, 100%, ", "#".repeat(30));
    assert!(ran.code == Some(0) && ran.out.contains(&bar), "{ran:?}");
    let key = fs::read_to_string(host.path("transfer.key")).unwrap();
    let command = format!("{setting} import app-tokens tokens.transfer");
    let ran = host.admin_at_terminal(&command, &key);
    assert!(ran.code == Some(0) && ran.out.contains(&bar), "{ran:?}");
    assert!(ran.out.contains("type the transfer key, then Enter"), "{ran:?}");
    assert!(ran.out.contains("2 were here already"), "{ran:?}");
}

#[test]
fn the_audit_log_says_what_left_and_what_came() {
    let (from, to) = (Host::new(), Host::new());
    let (id, _) = from.issue(phone());
    let ran = from.admin(&["--audit", "audit.log", "export", "tokens.transfer"]);
    carry(&from, &to);
    let arguments = ["--audit", "audit.log", "import", "app-tokens", "tokens.transfer"];
    to.admin_reading(ran.done(), &arguments).done();
    let log = |host: &Host| fs::read_to_string(host.path("audit.log")).unwrap();
    let (left, came) = (log(&from), log(&to));
    assert!(left.contains("\"count\":1") && left.contains("operator olga"), "{left}");
    assert!(came.contains(&id.to_string()) && came.contains("operator olga"), "{came}");
}
