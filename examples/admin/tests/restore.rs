//! The runbook of DEPLOYING.md for a restored backup, acted out: its commands are read from the
//! document and run, over an SQLite file and over PostgreSQL.
#![cfg(unix)]

#[path = "restore/runbook.rs"]
mod runbook;
#[path = "restore/site.rs"]
mod site;

use runbook::{Runbook, fill};
use serde_json::Value;
use site::Site;
use support::postgres::{RUNTIME, Server};
use support::program::has;

/// The steps and their commands. If one of them changes in the document, this test must change,
/// too: look whether what it does is still what the step says.
const STEPS: [(&str, &[&str]); 7] = [
    (
        "Stop every process, and put the copy in place.",
        &[
            "rm -f tokens.db tokens.db-wal tokens.db-shm",
            "cp copy.db tokens.db",
            "pg_restore --clean --if-exists --single-transaction --dbname=app copy.dump",
        ],
    ),
    ("Run each import again that ran since the copy.", &[]),
    (
        "Revoke what was revoked or forgotten.",
        &[
            "admin revoke ID --reason \"revoked before the restore\"",
            "admin revoke --owner OWNER --reason \"revoked before the restore\" --yes",
            "admin forget ID",
            "admin forget --owner OWNER --yes",
        ],
    ),
    ("Revoke what was rotated.", &["admin revoke ID --reason \"rotated before the restore\""]),
    (
        "Narrow and shorten again.",
        &[
            "admin narrow ID --scope SCOPE --resource RESOURCE --network NETWORK",
            "admin extend ID --expires END",
        ],
    ),
    (
        "Seal every row under a new key.",
        &["admin keys new", "admin reseal", "admin keys may-retire KEY"],
    ),
    ("Look at what is alive, and start the processes.", &["admin list --not-revoked"]),
];

#[test]
fn the_runbook_has_these_steps_and_commands_and_the_guide_the_same_steps() {
    let runbook = Runbook::read();
    let steps: Vec<(&str, Vec<&str>)> = runbook
        .steps
        .iter()
        .map(|step| (step.title.as_str(), step.commands.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(steps, STEPS.map(|(title, commands)| (title, commands.to_vec())));
    let titles: Vec<&str> = STEPS.iter().map(|(title, _)| *title).collect();
    assert_eq!(runbook::titles_of_the_guide(), titles);
}

#[test]
fn after_the_runbook_an_old_copy_of_an_sqlite_file_revives_nothing() {
    if has("sqlite3") {
        act_out(&Site::in_sqlite());
    }
}

#[test]
fn after_the_runbook_an_old_copy_of_a_postgres_database_revives_nothing() {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    act_out(&Site::in_postgres(server, &database.name));
}

/// A token of the host's: its id and text.
type Held = (String, String);

fn act_out(site: &Site<'_>) {
    let runbook = Runbook::read();
    let [kept, revoked, forgotten, rotated, narrowed, shortened, reused, overlapping] = [
        "kept",
        "revoked",
        "forgotten",
        "rotated",
        "narrowed",
        "shortened",
        "reused",
        "overlapping",
    ]
    .map(|label| site.issue("alice", label));
    let [gone, more] = ["phone", "laptop"].map(|label| site.issue("bob", label));
    let erased = site.issue("carol", "phone");
    let under = site.issue_under(&narrowed.1, "alice");
    let (_, new_of_reused) = site.rotate(&reused.0, "0 days");
    let (_, new_of_overlapping) = site.rotate(&overlapping.0, "5 days");
    site.run(&site.adapted(&runbook.copy_command(site.is_sqlite())), "");
    let old_row = site.row(&revoked.0);

    // -- what happened after the copy was taken, and before the restore
    site.keeps_its_log();
    site.admin(&["revoke", &revoked.0]).done();
    site.admin(&["forget", &forgotten.0]).done();
    site.admin(&["revoke", "--owner", "bob", "--yes"]).done();
    site.admin(&["forget", "--owner", "carol", "--yes"]).done();
    let (second, _) = site.rotate(&rotated.0, "0 days");
    let (_, third) = site.rotate(&second, "0 days");
    let narrow = ["--scope", "files:read", "--resource", "under:a b", "--resource", "exact:c"];
    site.admin(&[&["narrow", &narrowed.0][..], &narrow].concat()).done();
    site.admin(&["extend", &shortened.0, "--expires", "2 days"]).done();
    let end = site.end_of(&shortened.0);
    site.admin(&["rename", &kept.0, "renamed"]).done();
    assert!(!site.is_good(&reused.1), "an old token ends its line: the engine acts");
    assert!(!site.is_good(&new_of_reused));
    site.end_overlap(&overlapping.0);
    let late = site.issue("alice", "late");
    assert!(site.is_good(&late.1) && site.is_good(&third));

    let ended: [&Held; 8] =
        [&revoked, &forgotten, &gone, &more, &erased, &rotated, &under, &overlapping];
    assert!(ended.iter().all(|(_, text)| !site.is_good(text)));

    // -- 1. Stop every process, and put the copy in place.
    let [stop, _, revoke, rotate, narrow, seal, look] = &runbook.steps[..] else { panic!() };
    let commands = stop.commands.iter().filter(|line| line.contains("pg_") != site.is_sqlite());
    commands.for_each(|line| drop(site.run(&site.adapted(line), "")));
    // So the next steps are needed.
    for (at, (id, text)) in ended.iter().enumerate() {
        assert_eq!(site.refusal(text), None, "number {at} of those that ended: {id}");
    }
    assert!(site.is_good(&new_of_reused) && !site.is_good(&late.1) && !site.is_good(&third));

    // -- 2. No import ran. 3 to 5: what the log says, in its order.
    let events = site.events();
    for event in &events {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        let line = match text("message") {
            "tokens revoked" => fill_by_filter(&revoke.commands[..2], text("filter")),
            "tokens forgotten" => fill_by_filter(&revoke.commands[2..], text("filter")),
            "token rotated" => fill(&rotate.commands[0], &[("ID", &[text("old")])]),
            "token changed" => match text("change") {
                "OverlapEnded" => fill(&rotate.commands[0], &[("ID", &[text("id")])]),
                "Narrowed" => fill_by_access(&narrow.commands[0], event),
                "Extended" => {
                    let to = [("ID", &[text("id")][..]), ("END", &[text("expires")])];
                    fill(&narrow.commands[1], &to)
                }
                "Renamed" => continue,
                other => panic!("no step for a change {other}"),
            },
            // Gone with the database.
            "token issued" => continue,
            other => panic!("no step for {other:?}"),
        };
        let ran = site.run_admin(&line);
        // The copy may have no such token: it was issued later, or its line has ended.
        let is_gone = ran.code == Some(3) && !ran.err.is_empty();
        assert!(ran.code == Some(0) || is_gone, "{line:?}: {ran:?}");
    }

    // -- 6. Seal every row under a new key.
    let [new, reseal, may_retire] = &seal.commands[..] else { panic!() };
    let new = site.run_admin(&fill(new, &[])).done();
    let old = site.keys();
    site.write_keys(&format!("{},{old}", new.trim()));
    site.run_admin(&fill(reseal, &[])).done();
    let old_entry = old.split(',').next().unwrap();
    let old_id = old_entry.split(':').next().unwrap();
    site.run_admin(&fill(may_retire, &[("KEY", &[old_id])])).done();
    site.write_keys(&format!("{},{old}", new.trim()).replace(&format!("{old_entry},"), ""));
    assert!(site.keys().contains("import:") && !site.keys().contains(old_entry));

    // -- 7. Look at what is alive, and start the processes.
    let alive = site.run_admin(&fill(&look.commands[0], &[])).done();
    site.assert_rows_are_sound();
    for (id, text) in [&kept, &narrowed, &shortened] {
        assert!(site.is_good(text) && alive.contains(id.as_str()), "{alive}");
    }
    for (id, text) in ended {
        assert!(!site.is_good(text) && !alive.contains(id.as_str()), "{id} in {alive}");
    }
    for text in [&new_of_reused, &new_of_overlapping, &late.1, &third] {
        assert!(!site.is_good(text), "{alive}");
    }
    let access = site.show(&narrowed.0);
    assert_eq!(access["scopes"], serde_json::json!(["files:read"]));
    assert_eq!(access["resources"], serde_json::json!(["exact:c", "under:a b"]));
    assert_eq!(site.end_of(&shortened.0), end);
    // An older copy of a row is no way in any more.
    site.put_row_back(&old_row);
    assert!(!site.is_good(&revoked.1));
}

/// Fills the command for a token's line, or the one for all tokens of an owner.
fn fill_by_filter(commands: &[String], filter: &str) -> Vec<String> {
    let fact = |begin: &str, end: &str| Some(filter.split_once(begin)?.1.split_once(end)?.0);
    match fact("family: Some(TokenId(", ")") {
        Some(family) => fill(&commands[0], &[("ID", &[family])]),
        None => fill(&commands[1], &[("OWNER", &[fact("owner: Some(\"", "\"").unwrap()])]),
    }
}

fn fill_by_access(command: &str, event: &Value) -> Vec<String> {
    let list = |name: &str| -> Vec<String> {
        event[name].as_str().map_or(Vec::new(), |list| serde_json::from_str(list).unwrap())
    };
    let [scopes, resources, networks] = ["scopes", "resources", "networks"].map(list);
    let [scopes, resources, networks] =
        [&scopes, &resources, &networks].map(|list| list.iter().map(String::as_str).collect());
    let (scopes, resources, networks): (Vec<_>, Vec<_>, Vec<_>) = (scopes, resources, networks);
    let id = [event["id"].as_str().unwrap()];
    let values =
        [("ID", &id[..]), ("SCOPE", &scopes), ("RESOURCE", &resources), ("NETWORK", &networks)];
    fill(command, &values)
}
