//! The operator's tool from outside: its arguments, its store, its help.

mod common;

use std::collections::BTreeMap;
use std::fs;

use app_tokens::store::{SqliteStore, postgres_sql};
use app_tokens::{Access, KeyRing, NewToken, Policy, TokenAuthority};
use common::{Host, ids, phone};

#[test]
fn bad_usage_is_exit_2() {
    let host = Host::new();
    for act in [
        &[][..],
        &["frobnicate"],
        &["issue"],
        &["issue", "--owner", "alice"],
        &["issue", "--owner", "", "--label", "x"],
        &["issue", "--owner", "alice", "--label", " "],
        &["issue", "--owner", "alice", "--label", "a\u{202e}b"],
        &["issue", "--owner", "alice", "--label", "x", "--scope", "two words"],
        &["issue", "--owner", "alice", "--label", "x", "--resource", "a*b"],
        &["issue", "--owner", "alice", "--label", "x", "--expires", "tomorrow"],
        &["issue", "--owner", "alice", "--label", "x", "--as", ""],
        &["show", "alice"],
        &["show", "000000000"],
        &["revoke"],
        &["revoke", "0000000000", "--owner", "alice"],
        &["revoke", "0000000000", "--all"],
        &["revoke", "--all", "--owner", "alice"],
        &["revoke", "0000000000", "--reason", ""],
        &["revoke", "--under-key", "0", "--yes"],
        &["forget"],
        &["forget", "0000000000", "--owner", "alice"],
        &["forget", "0000000000", "--as", " "],
        &["list", "--revoked", "--not-revoked"],
        &["list", "--expiring-within", "-1 day"],
        &["keys"],
        &["keys", "may-retire", "first"],
        &["schema", "mysql"],
        &["rotate", "0000000000", "--overlap", "1 month"],
    ] {
        let ran = host.admin(act);
        assert_eq!(ran.code, Some(2), "{act:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{act:?}: {ran:?}");
    }
}

#[test]
fn an_operator_is_required_and_recorded() {
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let store = host.store();
    let revoke = |user: Option<&str>, logname: Option<&str>| {
        let mut command = host.command(&["--store", &store, "revoke", &id.to_string()]);
        command.env_remove("USER").env_remove("LOGNAME");
        user.map(|user| command.env("USER", user));
        logname.map(|logname| command.env("LOGNAME", logname));
        host.run(command, b"")
    };
    revoke(None, None).exited(2, "USER and LOGNAME are not set; name who acts with --as NAME");
    revoke(Some(""), Some(" ")).exited(2, "name who acts with --as NAME");
    assert!(host.view(id).revocation().is_none());
    revoke(Some(""), Some("lena")).done();
    assert_eq!(host.view(id).revocation().unwrap().by.to_string(), "operator lena");
    // Looking needs no operator.
    let (other, _) = host.issue(phone());
    for look in [&["show"][..], &["revoke", "--dry-run"]] {
        let other = other.to_string();
        let mut look = host.command(&[&["--store", &store], look, &[&other]].concat());
        look.env_remove("USER");
        assert!(host.run(look, b"").done().contains(&other));
    }
    assert!(host.view(other).revocation().is_none());
}

#[test]
fn a_secret_among_the_arguments_is_refused_and_not_repeated() {
    let host = Host::new();
    let (id, text) = host.issue(phone());
    let cut = text[..text.len() - 3].to_owned();
    let mistyped = format!("{}{}", &cut, "000");
    let key = fs::read_to_string(host.path("keys")).unwrap().trim().to_owned();
    let with_owner = format!("--owner={text}");
    host.keep_secret(&cut);
    for act in [
        &["verify", &text][..],
        &["show", &text],
        &["show", &cut],
        &["show", &mistyped],
        &["revoke", &with_owner],
        &["rename", &id.to_string(), &text],
        &["list", "--unheard-of", &text.to_uppercase()],
        &["list", "--unheard-of", &key],
    ] {
        let ran = host.admin(act);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains("an argument is a token or a key"), "{ran:?}");
        assert!(!ran.err.to_lowercase().contains(&text[20..36]), "{ran:?}");
    }
    // An owner's id may look a little like a token.
    let owner = "user_0123456789abcdef0123456789abcdef01234567";
    host.new_token(&host.admin(&["issue", "--owner", owner, "--label", "x"]));
    for url in ["postgres://app:hunter2@db/app", "postgres:host=db password=hunter2"] {
        let ran = host.run(host.command(&["--store", url, "list"]), b"");
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
        ran.exited(2, "other users can read a password in an argument");
    }
}

#[test]
fn a_missing_store_is_exit_1_and_is_not_made() {
    let host = Host::new();
    let run = |arguments: &[&str]| host.run(host.command(arguments), b"");
    run(&["--store", "sqlite:typo.db", "list"]).exited(1, "there is no file typo.db");
    assert!(!host.path("typo.db").exists());
    fs::write(host.path("text"), "x".repeat(5000)).unwrap();
    run(&["--store", "sqlite:text", "list"]).exited(1, "is not an SQLite database");
    run(&["--store", "postgres://app@127.0.0.1:1/app", "list"])
        .exited(1, "error connecting to server: Connection refused");
    for bad in ["tokens.db", "sqlite:", "mysql://db", ""] {
        run(&["--store", bad, "list"]).exited(2, "not a store; write sqlite:PATH or postgres:URL");
    }
    run(&["list"]).exited(2, "--store is missing; name sqlite:PATH or postgres:URL");
    let mut command = host.command(&["list"]);
    command.env("APP_TOKENS_STORE", host.store());
    host.run(command, b"").exited(3, "no token matches");
    let mut command = host.command(&["list"]);
    command.env("APP_TOKENS_STORE", "postgres://app:hunter2@127.0.0.1:1/app");
    let ran = host.run(command, b"");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
    ran.exited(1, "error connecting to server: Connection refused");
}

#[test]
fn a_database_without_our_tables_is_left_as_it_was() {
    let host = Host::new();
    let notes = "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('milk');";
    let one_of_ours = "CREATE TABLE app_tokens (id INTEGER);";
    for (name, sql) in [
        ("journal.db", notes.to_owned()),
        ("wal.db", format!("PRAGMA journal_mode = WAL; {notes}")),
        ("half.db", one_of_ours.to_owned()),
        ("empty.db", String::new()),
    ] {
        let folder = host.path(name).with_extension("folder");
        fs::create_dir(&folder).unwrap();
        rusqlite::Connection::open(folder.join(name)).unwrap().execute_batch(&sql).unwrap();
        let files = || {
            let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
            BTreeMap::from_iter(names.map(|path| (path.clone(), fs::read(path).unwrap())))
        };
        let (before, store) = (files(), format!("sqlite:{}", folder.join(name).display()));
        for act in [
            &["list"][..],
            &["issue", "--owner", "alice", "--label", "x"],
            &["revoke", "--all", "--yes"],
            &["purge"],
            &["keys", "in-use"],
        ] {
            let setting = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys"];
            let ran = host.run(host.command(&[&setting, act].concat()), b"");
            ran.exited(
                1,
                if name == "half.db" { "not made by this library" } else { "are missing or older" },
            );
            assert_eq!(files(), before, "{name} {act:?}");
        }
    }
}

#[test]
fn the_tool_works_in_the_table_it_is_given() {
    let host = Host::new();
    let (_, text) = host.issue(phone());
    let table = ["--table", "api_tokens"];
    let admin = |act: &[&str]| host.admin(&[&table, act].concat());
    admin(&["list"]).exited(1, "`admin schema sqlite --table api_tokens | sqlite3 ");
    let schema = admin(&["schema"]).done();
    let database = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    database.execute_batch(&schema).unwrap();
    admin(&["list"]).exited(3, "no token matches");
    let (id, _) = host.new_token(&admin(&["issue", "--owner", "bob", "--label", "x"]));
    assert_eq!(ids(&admin(&["list", "--json"]).json()), [id.to_string()]);
    admin(&["revoke", "--all", "--yes"]).done();
    assert!(host.is_good(&text) && host.rows().len() == 1, "the other table is left alone");
    host.admin(&["list", "--table", "auth.x"]).exited(1, "SQLite needs a table name without one");
}

#[test]
fn looking_does_not_wait_for_a_locked_file() {
    let host = Host::new();
    let (id, _) = host.issue(phone());
    let writing = rusqlite::Connection::open(host.path("tokens.db")).unwrap();
    writing.execute_batch("BEGIN IMMEDIATE").unwrap();
    let shown = host.admin(&["show", &id.to_string(), "--json"]).json();
    assert_eq!(shown["status"], "active");
}

#[test]
fn a_mistake_in_the_policy_file_is_explained() {
    let host = Host::with_policy("max_lief = '90 days'");
    let ran = host.admin(&["list"]);
    assert_eq!(ran.code, Some(1));
    for said in ["the policy file policy.toml", "line 1", "unknown field `max_lief`"] {
        assert!(ran.err.contains(said), "{said}: {ran:?}");
    }
    let host = Host::with_policy("max_life = '90 days'\nnever_expiring = true");
    host.admin(&["list"]).exited(1, "can't allow tokens that never expire");
    fs::remove_file(host.path("policy.toml")).unwrap();
    host.admin(&["list"]).exited(1, "No such file");
}

#[test]
fn nothing_is_issued_or_purged_by_the_policy_of_another_realm() {
    let host = Host::with_policy("realm = 'staging'");
    host.new_token(&host.admin(&["issue", "--owner", "alice", "--label", "the first"]));
    let host = Host::with_policy("realm = 'staging'");
    host.issue(phone()); // by the host, whose realm is another
    let ran = host.admin(&["issue", "--owner", "alice", "--label", "x"]);
    ran.exited(1, "no seal in this store is right for the realm \"staging\"");
    host.admin(&["purge"]).exited(1, "name the host's own policy file");
    assert_eq!(host.rows().len(), 1);
}

#[test]
fn a_closed_standard_output_is_no_error_and_no_panic() {
    let host = Host::new();
    let tokens = host.tokens();
    for n in 0..100 {
        host.issue_by(
            &tokens,
            NewToken::new(format!("owner {n}"), "x".repeat(100), Access::full()),
        );
    }
    let store = host.store();
    for how in [&["list"][..], &["list", "--json"], &["schema"], &["--help"], &["keys", "in-use"]] {
        let mut command = host.command(&[&["--store", &store], how].concat());
        let mut process = command.spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{how:?}: {err}");
        assert!(!err.contains("panicked"), "{how:?}: {err}");
    }
    let verify = ["--store", &store, "--policy", "policy.toml", "--key-file", "keys", "verify"];
    let mut process = host.command(&verify).spawn().unwrap();
    drop((process.stdout.take(), process.stdin.take()));
    assert_eq!(process.wait().unwrap().code(), Some(5), "no good token by that");
    let mut command = host.command(&["--store", &store, "show", "0000000000"]);
    let mut process = command.spawn().unwrap();
    drop(process.stderr.take());
    assert_eq!(process.wait().unwrap().code(), Some(3), "and nobody who hears why");
}

#[test]
fn the_help_has_every_command_and_every_exit_status() {
    let host = Host::new();
    let help = host.run(host.command(&["--help"]), b"").done();
    for status in ["0  done", "1  failed", "2  usage", "3  there is no", "4  refused", "5  denied"]
    {
        assert!(help.contains(status), "{status}: {help}");
    }
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert_eq!(names.len(), 19, "{names:?}");
    for name in names {
        let help = host.run(host.command(&[name, "--help"]), b"").done();
        assert!(help.contains("--policy") && help.lines().all(|line| line.len() < 120), "{help}");
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&format!("admin {name}")), "{help}");
    }
}

#[test]
fn the_printed_schema_is_the_stores_own() {
    let host = Host::new();
    let schema = |kind: &[&str]| host.run(host.command(&[&["schema"], kind].concat()), b"").done();
    assert_eq!(schema(&["postgres"]).trim_end(), postgres_sql::SCHEMA.trim_end());
    let elsewhere = schema(&["postgres", "--table", "auth.app_passwords"]);
    assert!(
        elsewhere.contains("CREATE TABLE auth.app_passwords_owners (")
            && !elsewhere.contains("app_tokens")
    );
    let bad = ["schema", "--table", "users; DROP TABLE users"];
    host.run(host.command(&bad), b"").exited(2, "not a table name");
    let with_schema = ["schema", "sqlite", "--table", "auth.x"];
    host.run(host.command(&with_schema), b"").exited(2, "a table name without a schema");
    let schema = schema(&[]);
    assert!(SqliteStore::MIGRATIONS.iter().all(|step| schema.contains(step.trim())));
    let path = host.path("made-by-hand.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(&schema).unwrap();
    let ring = KeyRing::ephemeral().unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let tokens = TokenAuthority::new(store, ring, Policy::new("acme").unwrap());
    assert!(tokens.block_on(tokens.issue(phone())).is_ok());
}
