//! The runbook of DEPLOYING.md for a restored backup, acted out: its commands are read from the
//! document and run, over an SQLite file and over PostgreSQL.
#![cfg(unix)]

#[path = "restore/imported.rs"]
mod imported;
#[path = "restore/moved.rs"]
mod moved;
#[path = "restore/runbook.rs"]
mod runbook;
#[path = "restore/site.rs"]
mod site;
#[path = "restore/steps.rs"]
mod steps;

use runbook::Runbook;
use site::Site;
use steps::{Sources, Steps};
use support::postgres::{RUNTIME, Server};
use support::program::has;

/// The steps and their commands. If one of them changes in the document, this test must change,
/// too: look whether what it does is still what the step says.
const STEPS: [(&str, &[&str]); 7] = [
    (
        "Stop every process, and put the copy in place.",
        &[
            "grep -hE '\"event\":\"(revoked|forgotten|rotated|changed|imported|moved_in)\"' \
             audit.log > since.log",
            "rm -f tokens.db tokens.db-wal tokens.db-shm",
            "cp copy.db tokens.db",
            "pg_restore --clean --if-exists --single-transaction --dbname=app copy.dump",
            "admin keys in-use",
        ],
    ),
    (
        "Run each import again that ran since the copy.",
        &[
            "grep -E '\"event\":\"(imported|moved_in)\"' since.log",
            "admin import FORMAT rows.jsonl",
            "admin export tokens.transfer --key-out transfer.key",
            "admin import app-tokens tokens.transfer < transfer.key",
        ],
    ),
    (
        "Revoke what was revoked or forgotten.",
        &[
            "admin list --owner OWNER --json",
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
        &[
            "admin keys new",
            "admin reseal",
            "admin keys may-retire KEY",
            "admin revoke --under-key KEY --reason \"sealed under an old key\" --yes",
        ],
    ),
    (
        "Look at what is alive, and start the processes.",
        &["admin list --not-revoked", "rm -f since.log rows.jsonl tokens.transfer transfer.key"],
    ),
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

/// Acts a story out over an SQLite file.
fn in_sqlite(act_out: fn(&Site<'_>)) {
    if has("sqlite3") {
        act_out(&Site::in_sqlite());
    }
}

/// Acts a story out over a database of its own in PostgreSQL.
fn in_postgres(act_out: fn(&Site<'_>)) {
    let Some(server) = Server::shared() else { return };
    let database = RUNTIME.block_on(server.database());
    act_out(&Site::in_postgres(server, &database.name));
}

#[test]
fn after_the_runbook_an_old_copy_of_an_sqlite_file_revives_nothing() {
    in_sqlite(act_out);
}

#[test]
fn after_the_runbook_an_old_copy_of_a_postgres_database_revives_nothing() {
    in_postgres(act_out);
}

#[test]
fn after_the_runbook_no_imported_token_lives_again_in_an_sqlite_file() {
    in_sqlite(imported::act_out);
}

#[test]
fn after_the_runbook_no_imported_token_lives_again_in_a_postgres_database() {
    in_postgres(imported::act_out);
}

#[test]
fn after_the_runbook_no_moved_token_lives_again_in_an_sqlite_file() {
    in_sqlite(moved::act_out);
}

#[test]
fn after_the_runbook_no_moved_token_lives_again_in_a_postgres_database() {
    in_postgres(moved::act_out);
}

/// A token of the host's: its id and text.
type Held = (String, String);

/// The host's own tokens.
fn act_out(site: &Site<'_>) {
    let steps = Steps::of(site);
    let [expired, leaked] = ["expired", "leaked"].map(|label| site.issue("alice", label));
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
    let [spared, other] = ["this one", "elsewhere"].map(|label| site.issue("dave", label));
    let under = site.issue_under(&narrowed.1, "alice");
    let (_, new_of_reused) = site.rotate(&reused.0, "0 days");
    let (_, new_of_overlapping) = site.rotate(&overlapping.0, "5 days");
    steps.take_copy();
    let old_row = site.row(&revoked.0);

    // -- what happened after the copy was taken, and before the restore
    site.admin(&["revoke", &revoked.0]).done();
    site.admin(&["forget", &forgotten.0]).done();
    site.admin_reading(&["leaked"], &leaked.1).done();
    site.admin(&["revoke", "--owner", "bob", "--yes"]).done();
    site.admin(&["forget", "--owner", "carol", "--yes"]).done();
    site.revoke_others("dave", &spared.0);
    let (second, _) = site.rotate(&rotated.0, "0 days");
    let (_, third) = site.rotate(&second, "0 days");
    let narrow = ["--scope", "files:read", "--resource", "under:a b", "--resource", "exact:c"];
    site.admin(&[&["narrow", &narrowed.0][..], &narrow].concat()).done();
    site.admin(&["extend", &shortened.0, "--expires", "2 days"]).done();
    let end = site.end_of(&shortened.0);
    site.admin(&["extend", &expired.0, "--expires", "1 second"]).done();
    site.admin(&["rename", &kept.0, "renamed"]).done();
    assert!(!site.is_good(&reused.1), "an old token ends its line: the engine acts");
    assert!(!site.is_good(&new_of_reused));
    site.end_overlap(&overlapping.0);
    // No label passes for a line that the steps need.
    for label in
        ["\"tokens revoked", "\"token of another system imported", "x \"event\":\"revoked\""]
    {
        site.admin(&["issue", "--owner", "erin", "--label", label]).done();
    }
    let late = site.issue("alice", "late");
    assert!(site.is_good(&late.1) && site.is_good(&third));

    while site.is_good(&expired.1) {
        std::thread::yield_now();
    }

    let ended: [&Held; 11] = [
        &revoked,
        &forgotten,
        &expired,
        &leaked,
        &gone,
        &more,
        &erased,
        &other,
        &rotated,
        &under,
        &overlapping,
    ];
    // To present a rotated one would revoke its line. Here, only the runbook may do that.
    let by_the_runbook = [&rotated.1, &overlapping.1];
    let mut others = ended.iter().filter(|(_, text)| !by_the_runbook.contains(&text));
    assert!(others.all(|(_, text)| !site.is_good(text)));

    // -- the runbook
    let events = steps.restore(None);
    // So the next steps are needed.
    for (at, (id, text)) in ended.iter().enumerate() {
        assert_eq!(site.refusal(text), None, "number {at} of those that ended: {id}");
    }
    assert!(site.is_good(&new_of_reused) && !site.is_good(&late.1) && !site.is_good(&third));
    assert!(steps.import_again(&Sources::default()).is_empty());
    steps.end_again(&events);
    steps.seal_anew(None);
    let alive = steps.look();

    site.assert_rows_are_sound();
    for (id, text) in [&kept, &narrowed, &shortened, &spared] {
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
