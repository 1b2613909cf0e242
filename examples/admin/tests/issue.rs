//! Issuing tokens: what is printed, what the policy refuses.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use app_tokens::record::{Expires, Status};
use app_tokens::{Access, TokenId};
use common::{DAY, Host, phone, phone_that};

#[test]
fn an_issued_token_is_alone_on_standard_output_and_as_asked() {
    let host = Host::new();
    let wish = ["issue", "--owner", "alice", "--label", " My phone ", "--expires", "90 days"];
    let access =
        ["--scope", "files:read", "--resource", "under:docs", "--resource", "exact:photos"];
    let ran = host.admin(&[&wish[..], &access].concat());
    let (id, text) = host.new_token(&ran);
    assert!(ran.err.starts_with(&format!("issued {id} for alice: ends at ")), "{ran:?}");
    assert!(host.is_good(&text));
    let token = host.view(id);
    assert_eq!((token.owner().as_str(), token.label().as_str()), ("alice", "My phone"));
    assert_eq!(token.issued_by().unwrap().as_str(), "olga");
    let Expires::At(end) = token.expires() else { panic!("it ends") };
    assert_eq!(end.since(token.created_at()), 90 * DAY);
    let show = host.admin(&["show", &id.to_string(), "--json"]).json();
    assert_eq!(show["scopes"], serde_json::json!(["files:read"]));
    assert_eq!(show["resources"], serde_json::json!(["exact:photos", "under:docs"]));
}

#[test]
fn a_token_issued_without_options_has_the_policys_defaults() {
    let host = Host::with_policy("default_life = '30 days'\nidle_timeout = '7 days'");
    let (id, _) = host.new_token(&host.admin(&["issue", "--owner", "alice", "--label", "x"]));
    let token = host.view(id);
    assert_eq!(token.expires(), Expires::At(token.created_at().saturating_add(30 * DAY)));
    assert_eq!(token.access(), &Access::full());
}

#[test]
fn a_token_may_end_at_an_instant_a_day_or_never() {
    let host = Host::with_policy("never_expiring = true");
    for (end, expected) in [
        ("2999-12-31T12:00:00Z", "2999-12-31T12:00:00Z"),
        ("2999-12-31", "2999-12-31T00:00:00Z"),
        ("never", "never"),
    ] {
        let wish = ["issue", "--owner", "alice", "--label", "x", "--expires", end];
        let (id, _) = host.new_token(&host.admin(&wish));
        assert_eq!(host.view(id).expires().to_string(), expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_new_token_that_cannot_be_written_is_revoked() {
    let host = Host::new();
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let store = host.store();
    let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
    let mut command = host.command(&setting);
    command.args(["issue", "--owner", "alice", "--label", "lost"]).stdout(full());
    host.run(command, b"").exited(1, "could not be written");
    let listed = host.admin(&["list", "--json"]).json();
    assert_eq!((&listed[0]["label"], &listed[0]["status"]), (&"lost".into(), &"revoked".into()));

    // Doing what the message says must replace the token, and must not end or keep alive another.
    let lose = |old: TokenId, more: &[&str]| {
        let mut command = host.command(&setting);
        command.args([&["rotate", &old.to_string()], more].concat()).stdout(full());
        let ran = host.run(command, b"");
        (ran.code, ran.err, host.view(old).successor().unwrap())
    };
    let overlap = ["--overlap", "1h"];
    let (old, text) = host.issue(phone());
    let script = host.issue_under(&text, "Script");
    let (code, said, unseen) = lose(old, &overlap);
    let next = format!("Until the overlap of {old} ends, run the same command again");
    assert!(code == Some(1) && said.contains(&next), "{said}");
    let again = ["rotate", &old.to_string(), "--overlap", "1h"];
    let (_, again) = host.new_token(&host.admin(&again));
    assert!(host.is_good(&again) && host.is_good(&text));
    assert_eq!(host.view(unseen).status(), Some(Status::Revoked));
    assert_eq!(host.view(script).status(), Some(Status::Active));

    let (old, text) = host.issue(phone_that(&["files:read"]));
    let (code, said, unseen) = lose(old, &[]);
    let next = format!("{old} is no longer valid. `admin rotate {unseen} --overlap 0s`");
    assert!(code == Some(1) && said.contains(&next) && !host.is_good(&text), "{said}");
    let again = ["rotate", &unseen.to_string(), "--overlap", "0s"];
    let (new, again) = host.new_token(&host.admin(&again));
    assert!(host.is_good(&again));
    assert_eq!(host.view(unseen).status(), Some(Status::Superseded));
    let (new, old) = (host.view(new), host.view(old));
    assert_eq!((new.label(), new.access()), (old.label(), old.access()));
}

#[cfg(target_os = "linux")]
#[test]
fn no_token_is_made_if_nobody_could_see_it() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let before = host.rows();
    let store = host.store();
    let program = host.command(&[]).get_program().to_str().unwrap().to_owned();
    let rotate = ["rotate", &id.to_string()];
    for act in [&["issue", "--owner", "alice", "--label", "lost"][..], &rotate] {
        let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
        let all = [&setting, act].concat();
        let mut discarded = host.command(&all);
        discarded.stdout(Stdio::null());
        let mut closed = Command::new("sh");
        closed.args(["-c", r#"exec "$0" "$@" >&-"#, &program, "--as", "olga"]).args(&all);
        closed.current_dir(host.folder.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
        for command in [discarded, closed] {
            host.run(command, b"").exited(2, "standard output is closed or /dev/null");
            assert_eq!(host.rows(), before, "{act:?}");
        }
    }
    assert!(host.is_good(&text));
}

#[test]
fn what_the_policy_forbids_is_exit_4() {
    let host = Host::with_policy("max_life = '90 days'\nmax_per_owner = 2\nunique_labels = true");
    let issue = |label: &str, more: &[&str]| {
        host.admin(&[&["issue", "--owner", "alice", "--label", label], more].concat())
    };
    issue("long", &["--expires", "91 days"]).exited(4, "may live for at most 90 days");
    issue("for ever", &["--expires", "never"]).exited(4, "does not allow tokens that never expire");
    issue("past", &["--expires", "2020-01-01"]).exited(4, "would expire as soon as it is made");
    issue("far", &["--expires", "9000 years"]).exited(4, "after the year 9999");
    issue("typo", &["--scope", "files:raed"]).exited(4, "name some of files:read, files:write");
    let (id, _) = host.new_token(&issue("My phone", &["--scope", "files:read"]));
    issue("My phone", &[]).exited(4, "another token has that label");
    let (other, _) = host.new_token(&issue("Backup", &[]));
    issue("Third", &[]).exited(4, "the limit of 2 tokens is reached");

    let id = id.to_string();
    host.admin(&["rename", &id, "Backup"]).exited(4, "another token has that label");
    host.admin(&["narrow", &id, "--scope", "files:write"]).exited(4, "would do more");
    host.admin(&["narrow", &id, "--scope", "files:raed"]).exited(4, "name some of files:read");
    host.admin(&["extend", &id, "--expires", "91 days"]).exited(4, "at most");
    host.admin(&["extend", &id, "--expires", "never"])
        .exited(4, "does not allow tokens that never expire");
    host.admin(&["rotate", &id, "--expires", "91 days"]).exited(4, "at most");
    host.admin(&["rotate", &id, "--expires", "9000 years"]).exited(4, "after the year 9999");
    host.admin(&["revoke", &other.to_string()]).done();
    for act in [&["rename"][..], &["narrow", "--scope", "files:read"], &["rotate"]] {
        let more: &[&str] = if act[0] == "rename" { &["New"] } else { &[] };
        host.admin(&[act, &[&other.to_string()], more].concat()).exited(4, "is revoked");
    }
}
