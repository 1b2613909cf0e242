//! Changing, revoking, forgetting and purging tokens.

mod common;

use app_tokens::access::Resource;
use app_tokens::clock::{Clock as _, SystemClock};
use app_tokens::record::Status;
use app_tokens::{Access, NewToken, Operator, Rotation};
use common::{DAY, Host, days_ago, ids, phone, sorted};
use support::program::has;

#[test]
fn a_token_is_renamed_narrowed_and_given_another_end() {
    let host = Host::new();
    let resources = [Resource::under("docs").unwrap(), Resource::exact("photos").unwrap()];
    let access = Access::scopes(["files:write"]).unwrap().on(resources).unwrap();
    let wish = NewToken::new("alice", "My phone", access);
    let (id, text) = host.issue(wish);
    let name = id.to_string();
    let ran = host.admin(&["rename", &name, "Old phone"]);
    assert_eq!(ran.err, format!("{id} of alice is called \"Old phone\"\n"));
    assert_eq!(host.view(id).label().as_str(), "Old phone");

    // By the policy file, writing includes reading. What isn't named stays as it is.
    host.admin(&["narrow", &name, "--scope", "files:read"]).done();
    host.admin(&["narrow", &name, "--resource", "exact:docs/taxes"]).done();
    let shown = host.admin(&["show", &name, "--json"]).json();
    assert_eq!(shown["scopes"], serde_json::json!(["files:read"]));
    assert_eq!(shown["resources"], serde_json::json!(["exact:docs/taxes"]));
    host.admin(&["narrow", &name]).exited(2, "name what the token keeps");

    let ran = host.admin(&["extend", &name, "--expires", "2999-01-01"]);
    assert_eq!(ran.err, format!("{id} of alice ends at 2999-01-01T00:00:00Z\n"));
    host.admin(&["extend", &name, "--expires", "1 day"]).done();
    assert!(host.view(id).expires().has_come(SystemClock.now().saturating_add(2 * DAY)));
    assert!(host.is_good(&text));
}

#[test]
fn a_rotated_token_ends_at_once_or_after_the_overlap() {
    let host = Host::new();
    let (first, first_text) = host.issue(phone());
    let ran = host.admin(&["rotate", &first.to_string(), "--overlap", "1h"]);
    let (second, second_text) = host.new_token(&ran);
    assert!(host.is_good(&first_text) && host.is_good(&second_text));
    assert_eq!(host.view(first).successor(), Some(second));
    let again = host.admin(&["rotate", &second.to_string(), "--expires", "2999-01-01"]);
    let (third, third_text) = host.new_token(&again);
    assert!(!host.is_good(&second_text) && host.is_good(&third_text));
    assert_eq!(host.view(third).expires().to_string(), "2999-01-01T00:00:00Z");
    let named = format!("already rotated; use {third}");
    host.admin(&["rotate", &second.to_string()]).exited(4, &named);
}

#[test]
fn a_dry_run_lists_exactly_what_would_be_revoked_and_changes_nothing() {
    let host = Host::new();
    let (parent, parent_text) = host.issue(phone());
    let child = host.issue_under(&parent_text, "Script");
    let (other, other_text) = host.issue(NewToken::new("bob", "My phone", Access::full()));
    let (gone, _) = host.issue(phone());
    host.admin(&["revoke", &gone.to_string()]).done();
    let before = host.rows();
    for (which, expected) in [
        (vec![parent.to_string()], sorted([parent, child])),
        (vec!["--owner".into(), "alice".into()], sorted([parent, child])),
        (vec!["--owner".into(), "bob".into()], sorted([other])),
        (vec!["--all".into()], sorted([parent, child, other])),
    ] {
        let which: Vec<&str> = which.iter().map(String::as_str).collect();
        let would = host.admin(&[&["revoke", "--dry-run", "--json"], &which[..]].concat());
        assert!(would.err.contains("nothing was done"), "{would:?}");
        assert_eq!(ids(&would.json()), expected, "{which:?}");
    }
    host.admin(&["revoke", "--dry-run", &gone.to_string()]).exited(3, "nothing to revoke");
    assert_eq!(host.rows(), before);

    assert_eq!(host.admin(&["revoke", "--owner", "alice", "--yes"]).done(), "revoked 2\n");
    assert!(!host.is_good(&parent_text) && host.is_good(&other_text));
    assert_eq!(host.view(child).status(), Some(Status::Revoked));
}

#[test]
fn a_dry_run_lists_each_derived_token_once_however_many_there_are() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (parent, parent_text) = host.issue_by(&old, phone());
    let (twin, twin_text) = host.issue_by(&old, phone());
    let child = host.issue_under(&parent_text, "Script");
    let grown = host.issue_under_by(&host.tokens_at(days_ago(190)), &twin_text, "Old script");
    let (used, used_text) = host.issue_by(&old, NewToken::new("bob", "Desktop", Access::full()));
    let his = host.issue_under(&used_text, "Script");
    host.use_now(&used_text);
    host.copy_row(used, 1200);
    let dry = |which: &[&str]| {
        let ran = host.admin(&[&["revoke", "--dry-run", "--json"], which].concat());
        (ran.err.clone(), ids(&ran.json()).into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let unused = ["--unused-since", "180 days"];
    let (said, named) = dry(&unused);
    assert!(said.contains("would revoke 4;"), "{said}");
    assert_eq!(named, sorted([parent, twin, child, grown]), "not {his}, whose parent is in use");
    let (said, named) = dry(&[&unused[..], &["--owner", "alice"]].concat());
    assert!(said.contains("would revoke 4;") && named.len() == 4, "{said}");
    let (said, named) = dry(&["--all"]);
    assert!(said.contains("would revoke 1206;") && named.len() == 1206, "{said}");
    let (said, named) = dry(&["--owner", "bob"]);
    assert!(said.contains("would revoke 1202;") && named.len() == 1202, "{said}");
    let ran = host.admin(&[&["revoke", "--yes"], &unused[..]].concat());
    assert_eq!(ran.done(), "revoked 4\n", "as it was said");
}

#[test]
fn a_dry_run_lists_the_whole_line_of_the_token_that_is_named() {
    let host = Host::new();
    let tokens = host.tokens_at(days_ago(1));
    let (first, _) = host.issue_by(&tokens, phone());
    let (olga, rotation) = (Operator::new("olga").unwrap(), Rotation::new().overlap(DAY));
    let current = tokens.block_on(tokens.rotate(&olga, first, rotation)).unwrap();
    host.keep_secret(current.expose_secret());
    let child = host.issue_under(current.expose_secret(), "Script");
    for named in [first, current.id()] {
        let would = host.admin(&["revoke", "--dry-run", "--json", &named.to_string()]);
        assert_eq!(ids(&would.json()), sorted([first, current.id(), child]));
    }
    assert_eq!(host.admin(&["revoke", &first.to_string()]).done(), "revoked 3\n", "as was said");
}

#[test]
fn a_dry_run_spares_what_was_issued_under_a_line_in_use() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (first, _) = host.issue_by(&old, phone());
    let (olga, rotation) = (Operator::new("olga").unwrap(), Rotation::new().overlap(DAY));
    let current = old.block_on(old.rotate(&olga, first, rotation)).unwrap();
    host.keep_secret(current.expose_secret());
    let child = host.issue_under_by(&host.tokens_at(days_ago(190)), current.expose_secret(), "Old");
    host.use_now(current.expose_secret());
    let unused = ["--unused-since", "180 days"];
    // The child itself was never used. It matches by its own age.
    let would = host.admin(&[&["revoke", "--dry-run", "--json"], &unused[..]].concat());
    assert_eq!(ids(&would.json()), sorted([first, child]));
    let young = host.issue_under(current.expose_secret(), "Script");
    let would = host.admin(&[&["revoke", "--dry-run", "--json"], &unused[..]].concat());
    assert_eq!(ids(&would.json()), sorted([first, child]), "not {young}, whose line is in use");
    let ran = host.admin(&[&["revoke", "--yes"], &unused[..]].concat());
    assert_eq!(ran.done(), "revoked 2\n", "as it was said");
    assert_eq!(host.view(young).status(), Some(Status::Active));
}

#[test]
fn the_first_revocation_stays_and_a_repeat_is_no_error() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let revoke = ["revoke", &id.to_string(), "--reason"];
    assert_eq!(host.admin(&[&revoke[..], &["stolen"]].concat()).done(), "revoked 1\n");
    let again = host.admin(&[&revoke[..], &["left", "--as", "paul"]].concat());
    assert_eq!(again.done(), "the token was already revoked\n");
    let view = host.view(id);
    let revocation = view.revocation().unwrap();
    assert_eq!(revocation.reason.as_str(), "stolen");
    assert_eq!(revocation.by.to_string(), "operator olga");
    assert!(!host.is_good(&text));
}

#[test]
fn a_bulk_act_without_yes_changes_nothing() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let before = host.rows();
    for act in [["revoke", "--owner", "alice"], ["forget", "--owner", "alice"]] {
        host.admin(&act).exited(2, "confirm it with --yes");
    }
    host.admin(&["revoke", "--all"]).exited(2, "confirm it with --yes");
    assert_eq!(host.rows(), before);
    assert!(host.is_good(&text));
}

#[cfg(target_os = "linux")]
#[test]
fn at_a_terminal_a_bulk_act_asks_and_only_yes_goes_on() {
    if !has("script") {
        return;
    }
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let at_terminal = |act: &str, answer: &str| {
        let line = format!("--store {} {act} --owner alice", host.store());
        host.admin_at_terminal(&line, answer)
    };
    for answer in ["n\n", "\n", "what?\n"] {
        let ran = at_terminal("revoke", answer);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.contains("Revoke 1 tokens? [y/N]"), "{ran:?}");
        assert!(ran.out.contains("nothing was done"), "{ran:?}");
    }
    assert!(host.view(id).revocation().is_none());
    assert_eq!(at_terminal("revoke", "y\n").code, Some(0));
    assert!(host.view(id).revocation().is_some());
    assert_eq!(at_terminal("revoke", "y\n").code, Some(3));
    let ran = at_terminal("forget", "yes\n");
    assert!(ran.code == Some(0) && ran.out.contains("Forget 1 tokens of alice?"), "{ran:?}");
    assert!(host.rows().is_empty());
}

#[test]
fn tokens_unused_for_long_are_revoked_and_those_that_may_be_in_use_are_not() {
    let host = Host::new();
    let old = host.tokens_at(days_ago(200));
    let (unused, _) = host.issue_by(&old, NewToken::new("bob", "Old laptop", Access::full()));
    let (used, used_text) = host.issue_by(&old, NewToken::new("bob", "Desktop", Access::full()));
    host.use_now(&used_text);
    let (new, _) = host.issue(phone());
    for too_late in ["59 minutes", "2999-01-01", "0s"] {
        let ran = host.admin(&["revoke", "--unused-since", too_late, "--yes"]);
        ran.exited(2, "within the last hour");
    }
    let ran = host.admin(&["revoke", "--unused-since", "180 days", "--yes", "--reason", "unused"]);
    assert_eq!(ran.done(), "revoked 1\n");
    assert_eq!(host.view(unused).revocation().unwrap().reason.as_str(), "unused");
    assert!([used, new].iter().all(|id| host.view(*id).revocation().is_none()));
}

#[test]
fn a_forgotten_token_is_deleted_with_what_was_issued_under_it() {
    let host = Host::new();
    let (parent, text) = host.issue(phone());
    let child = host.issue_under(&text, "Script");
    let (_, his) = host.issue(NewToken::new("bob", "My phone", Access::full()));
    assert_eq!(host.admin(&["forget", &parent.to_string()]).done(), "forgot 1\n");
    host.admin(&["show", &parent.to_string()]).exited(3, "no such token");
    assert_eq!(host.view(child).status(), Some(Status::Revoked));
    assert_eq!(host.admin(&["forget", "--owner", "alice", "--yes"]).done(), "forgot 1\n");
    host.admin(&["forget", "--owner", "alice", "--yes"]).exited(3, "nothing to forget");
    assert!(host.is_good(&his));
    assert_eq!(host.rows().len(), 1);
}

#[test]
fn a_purge_deletes_by_the_policys_retention() {
    let host = Host::with_policy("retention = '30 days'");
    let (dead, _) = host.issue_by(&host.tokens_at(days_ago(40)), phone().expires_in(DAY));
    let (ended, _) = host.issue_by(&host.tokens_at(days_ago(20)), phone().expires_in(DAY));
    assert_eq!(host.admin(&["purge"]).done(), "purged 1\n");
    host.admin(&["show", &dead.to_string()]).exited(3, "no such token");
    assert_eq!(host.view(ended).status(), Some(Status::Expired));
    assert_eq!(host.admin(&["purge"]).done(), "purged 0\n");
}

#[test]
fn an_unknown_token_is_exit_3_for_every_command() {
    let host = Host::new();
    for act in [
        &["show", "0000000000"][..],
        &["revoke", "0000000000"],
        &["rename", "0000000000", "x"],
        &["narrow", "0000000000", "--scope", "files:read"],
        &["extend", "0000000000", "--expires", "1 day"],
        &["rotate", "0000000000"],
        &["forget", "0000000000"],
    ] {
        host.admin(act).exited(3, "there is no such token");
    }
    host.admin(&["revoke", "--owner", "nobody", "--yes"]).exited(3, "nothing to revoke");
    host.admin(&["list"]).exited(3, "no token matches");
    assert_eq!(host.admin(&["list", "--json"]).json(), serde_json::json!([]));
}
