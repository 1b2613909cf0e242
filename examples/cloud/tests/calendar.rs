//! Calendars and contacts: scopes of their own, and two real clients.

mod common;

use std::fs;
use std::path::Path;

use common::{Cloud, bearer};
use support::program::{has, has_python_module, run_well};

const ALICE: &str = "alice:her secret";
const EVENT: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//y//EN\r\nBEGIN:VEVENT\r\n\
                     UID:tea@example\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260301T120000Z\r\n\
                     SUMMARY:Tea & cake\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
const CARD: &str =
    "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:bob\r\nFN:Bob Builder\r\nN:Builder;Bob;;;\r\nEND:VCARD\r\n";

fn start(data: &Path) -> Cloud {
    Cloud::start(data, &["--user", ALICE])
}

#[test]
fn each_scope_reaches_its_own_space_and_no_other() {
    let data = tempfile::tempdir().unwrap();
    let cloud = start(data.path());
    let spaces = [
        ("files", "/dav/", "/dav/x"),
        ("calendar", "/calendars/personal/", "/calendars/personal/x.ics"),
        ("contacts", "/contacts/personal/", "/contacts/personal/x.vcf"),
    ];
    for (space, _, _) in spaces {
        for scope in ["read", "write"] {
            let wish = format!(r#"{{"label": "{space}", "scopes": ["{space}:{scope}"]}}"#);
            let (_, token) = cloud.create(ALICE, &wish);
            for (other, folder, file) in spaces {
                let case = format!("{space}:{scope} in {other}");
                let read = cloud.dav("PROPFIND", folder, &bearer(&token));
                assert_eq!(read, if space == other { 207 } else { 403 }, "{case}");
                let write = cloud.request("PUT", file, &[&bearer(&token)], "x").status;
                let may_write = space == other && scope == "write";
                assert_eq!(matches!(write, 201 | 204), may_write, "{case}: {write}");
                assert!(may_write || write == 403, "{case}: {write}");
            }
        }
    }
}

#[test]
fn a_refusal_names_the_scope_that_is_missing() {
    let data = tempfile::tempdir().unwrap();
    let cloud = start(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "x", "scopes": ["files:write"]}"#);
    for (method, path, scope) in [
        ("REPORT", "/calendars/personal/", "calendar:read"),
        ("MKCALENDAR", "/calendars/new/", "calendar:write"),
        ("PROPPATCH", "/contacts/personal/", "contacts:write"),
    ] {
        let refused = cloud.request(method, path, &[&bearer(&token)], "");
        assert_eq!(refused.status, 403, "{method}");
        assert!(refused.head.contains(&format!("scope=\"{scope}\"")), "{}", refused.head);
    }
}

#[test]
fn clients_find_calendars_and_contacts_by_the_servers_name() {
    let data = tempfile::tempdir().unwrap();
    let cloud = start(data.path());
    for (name, place) in [("caldav", "/calendars/"), ("carddav", "/contacts/")] {
        let found = cloud.request("PROPFIND", &format!("/.well-known/{name}"), &[], "");
        assert_eq!((found.status, found.header("location")), (308, Some(place)));
    }
}

#[test]
fn each_account_has_calendars_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, alices) = cloud.create(ALICE, r#"{"label": "x"}"#);
    let (_, bobs) = cloud.create("bob:his secret", r#"{"label": "x"}"#);
    let path = "/calendars/personal/e.ics";
    assert_eq!(cloud.request("PUT", path, &[&bearer(&alices)], EVENT).status, 201);
    assert_eq!(cloud.request("GET", path, &[&bearer(&bobs)], "").status, 404);
    assert_eq!(cloud.request("GET", path, &[&bearer(&alices)], "").body, EVENT);
}

/// Finds the calendar, and makes, reads, changes, searches and deletes an event in it. Then it
/// makes a calendar.
const PYTHON: &str = r#"
import sys, caldav
url, token, event = sys.argv[1:]
client = caldav.DAVClient(url=url, username="alice", password=token)
principal = client.principal()
[calendar] = principal.calendars()
saved = calendar.save_event(event)
[found] = calendar.events()
assert str(found.icalendar_component["SUMMARY"]) == "Tea & cake", found.data
assert calendar.todos() == []
found = calendar.event_by_uid("tea@example")
found.icalendar_component["SUMMARY"] = "Coffee"
found.save()
[found] = calendar.events()
assert str(found.icalendar_component["SUMMARY"]) == "Coffee", found.data
found.delete()
assert calendar.events() == []
principal.make_calendar(name="Work & play")
names = {calendar.get_display_name() for calendar in principal.calendars()}
assert "Work & play" in names, names
"#;

#[test]
fn pythons_caldav_works_with_a_calendar_token_and_not_with_a_files_token() {
    if !has_python_module("caldav") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let cloud = start(data.path());
    let url = cloud.url("/calendars/");
    let (_, token) = cloud
        .create(ALICE, r#"{"label": "caldav", "scopes": ["calendar:read", "calendar:write"]}"#);
    run_well(data.path(), "python3", &["-c", PYTHON, &url, &token, EVENT]);

    let (_, token) = cloud.create(ALICE, r#"{"label": "files", "scopes": ["files:write"]}"#);
    let output =
        support::program::run(data.path(), "python3", &["-c", PYTHON, &url, &token, EVENT]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("403") || said.contains("Forbidden"), "{said}");
}

/// Writes vdirsyncer's configuration: a local folder beside each collection of the server.
fn configure(home: &Path, url: &str, token: &str) -> String {
    let mut config = format!("[general]\nstatus_path = \"{}/status/\"\n", home.display());
    for (kind, ending) in [("caldav", ".ics"), ("carddav", ".vcf")] {
        config += &format!(
            "[pair {kind}]\na = \"{kind}_here\"\nb = \"{kind}_there\"\n\
             collections = [\"personal\"]\n\
             [storage {kind}_here]\ntype = \"filesystem\"\npath = \"{}/{kind}/\"\n\
             fileext = \"{ending}\"\n\
             [storage {kind}_there]\ntype = \"{kind}\"\nurl = \"{url}\"\n\
             username = \"alice\"\npassword = \"{token}\"\n",
            home.display()
        );
        fs::create_dir_all(home.join(kind).join("personal")).unwrap();
    }
    let file = home.join("config");
    fs::write(&file, config).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn vdirsyncer_syncs_events_and_contacts_both_ways() {
    if !has("vdirsyncer") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cloud = start(data.path());
    let wish = r#"{"label": "vdirsyncer", "scopes": ["calendar:write", "contacts:write"]}"#;
    let (_, token) = cloud.create(ALICE, wish);
    let config = configure(home.path(), &cloud.url("/"), &token);
    let sync = || run_well(home.path(), "vdirsyncer", &["-c", &config, "sync"]);
    run_well(home.path(), "vdirsyncer", &["-c", &config, "discover"]);

    fs::write(home.path().join("caldav/personal/tea.ics"), EVENT).unwrap();
    fs::write(home.path().join("carddav/personal/bob.vcf"), CARD).unwrap();
    sync();
    let said = sync();
    assert!(!said.contains("Copying"), "a second sync has nothing to do: {said}");

    let theirs = data.path().join("files/alice");
    let only = |folder: &Path| {
        let mut entries = fs::read_dir(folder).unwrap();
        let entry = entries.next().unwrap().unwrap().path();
        assert!(entries.next().is_none(), "{folder:?} has one file");
        entry
    };
    let card = fs::read_to_string(only(&theirs.join("contacts/personal"))).unwrap();
    assert!(card.contains("FN:Bob Builder"), "{card}");

    // On the server, an event changes.
    let event = only(&theirs.join("calendars/personal"));
    let path = format!("/calendars/personal/{}", event.file_name().unwrap().to_str().unwrap());
    let changed = fs::read_to_string(&event).unwrap().replace("Tea", "Coffee");
    assert_eq!(cloud.request("PUT", &path, &[&bearer(&token)], &changed).status, 204);
    sync();
    let here = fs::read_to_string(only(&home.path().join("caldav/personal"))).unwrap();
    assert!(here.contains("SUMMARY:Coffee & cake"), "{here}");

    // Here, a contact goes.
    fs::remove_file(only(&home.path().join("carddav/personal"))).unwrap();
    fs::write(home.path().join("carddav/personal/eve.vcf"), CARD.replace("bob", "eve")).unwrap();
    sync();
    let card = fs::read_to_string(only(&theirs.join("contacts/personal"))).unwrap();
    assert!(card.contains("UID:eve"), "{card}");
}
