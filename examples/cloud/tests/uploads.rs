//! Files by plain HTTP: uploads that break off, what browsers may do with files, where COPY may
//! lead, what is kept.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use common::{Answer, Cloud, basic, bearer};
use support::program::{has, run_well};
use tempfile::TempDir;

const ALICE: &str = "alice:her secret";

/// A cloud with files in a folder that tests look into.
struct Host {
    cloud: Cloud,
    token: String,
    folder: TempDir,
}

impl Host {
    fn start(options: &[&str]) -> Host {
        let folder = tempfile::tempdir().unwrap();
        let cloud = Cloud::start(folder.path(), &[&["--user", ALICE], options].concat());
        let (_, token) = cloud.create(ALICE, r#"{"label": "x"}"#);
        Host { cloud, token, folder }
    }

    fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let token = bearer(&self.token);
        self.cloud.request(method, path, &[&[&*token], headers].concat(), body)
    }

    #[track_caller]
    fn put(&self, path: &str, body: &str) {
        let status = self.call("PUT", path, &[], body).status;
        assert!([201, 204].contains(&status), "{path}: {status}");
    }

    /// Returns the folder of Alice's files.
    fn files(&self) -> std::path::PathBuf {
        self.folder.path().join("files/alice/files")
    }

    /// Begins an upload of 300,000 bytes, sends 4, and goes away.
    fn break_off(&self, path: &str, header: &str) {
        let mut stream = TcpStream::connect(&self.cloud.address).unwrap();
        let (host, token) = (&self.cloud.address, bearer(&self.token));
        let head = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\n{token}\r\n{header}\r\n");
        stream.write_all(format!("{head}Content-Length: 300000\r\n\r\nlost").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        // It returns when the server has seen the end of the upload, and closed the connection.
        let _hung_up = stream.read_to_string(&mut answer);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn an_upload_that_breaks_off_leaves_the_old_version() {
    let host = Host::start(&[]);
    host.put("/dav/report", "the whole report");
    host.break_off("/dav/report", "Accept: */*");
    assert_eq!(host.call("GET", "/dav/report", &[], "").body, "the whole report");
    assert_eq!(fs::read_to_string(host.files().join("report")).unwrap(), "the whole report");
}

#[test]
fn a_first_upload_that_breaks_off_leaves_nothing() {
    let host = Host::start(&[]);
    host.break_off("/dav/new", "Accept: */*");
    assert_eq!(host.call("GET", "/dav/new", &[], "").status, 404);
    assert_eq!(entries(&host.files()), 0);
    assert_eq!(entries(&host.folder.path().join("files/alice/uploads")), 0);
}

#[test]
fn a_range_that_breaks_off_leaves_the_old_version_too() {
    let host = Host::start(&[]);
    host.put("/dav/log", "0123456789");
    let range = ["Content-Range: bytes 2-3/10"];
    assert_eq!(host.call("PUT", "/dav/log", &range, "ab").status, 204);
    assert_eq!(host.call("GET", "/dav/log", &[], "").body, "01ab456789");
    host.break_off("/dav/log", "Content-Range: bytes 0-299999/300000");
    assert_eq!(host.call("GET", "/dav/log", &[], "").body, "01ab456789");
}

#[test]
fn xml_that_is_nested_too_deep_is_refused_and_ends_nothing() {
    let host = Host::start(&[]);
    let deep = "<a>".repeat(21_000);
    for method in ["PROPFIND", "PROPPATCH", "REPORT", "LOCK"] {
        assert_eq!(host.call(method, "/dav/", &["Depth: 0"], &deep).status, 400, "{method}");
    }
    assert_eq!(host.call("PROPFIND", "/dav/", &["Depth: 0"], "").status, 207);
}

#[test]
fn a_file_that_must_be_new_replaces_none() {
    let host = Host::start(&[]);
    let new = ["If-None-Match: *"];
    assert_eq!(host.call("PUT", "/dav/note", &new, "first").status, 201);
    assert_eq!(host.call("PUT", "/dav/note", &new, "second").status, 412);
    assert_eq!(host.call("GET", "/dav/note", &[], "").body, "first");
}

#[test]
fn no_browser_shows_or_runs_what_a_user_has_uploaded() {
    let host = Host::start(&[]);
    let evil = "<script>fetch('/api/tokens', {method: 'POST'})</script>";
    host.put("/dav/evil.html", evil);
    for path in ["/dav/evil.html", "/remote.php/webdav/evil.html", "/dav/evil.html/"] {
        for method in ["GET", "HEAD"] {
            let answer = host.call(method, path, &[], "");
            assert_eq!(answer.status, 200, "{path}");
            let policy = "sandbox; default-src 'none'";
            assert_eq!(answer.header("content-security-policy"), Some(policy), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
            assert_eq!(answer.header("content-disposition"), Some("attachment"), "{path}");
        }
    }
    let event = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n";
    assert_eq!(host.call("PUT", "/calendars/personal/e.ics", &[], event).status, 201);
    let answer = host.call("GET", "/calendars/personal/e.ics", &[], "");
    assert_eq!(answer.header("content-disposition"), Some("attachment"));
}

#[test]
fn a_folder_is_a_plain_list_in_which_no_name_is_markup() {
    let host = Host::start(&[]);
    assert_eq!(host.call("MKCOL", "/dav/b%20c", &[], "").status, 201);
    host.put("/dav/a", "");
    host.put("/dav/%3Cscript%3E", "");
    for (path, to) in [
        ("/dav", "./dav/"),
        ("/dav/", ""),
        ("/remote.php/dav/files/alice", "./alice/"),
        ("/remote.php/dav/files/alice/", ""),
    ] {
        let list = host.call("GET", path, &[], "");
        assert_eq!(list.status, 200, "{path}");
        assert_eq!(list.header("content-disposition"), Some("inline"), "a person may see it");
        let policy = list.header("content-security-policy");
        assert_eq!(policy, Some("sandbox; default-src 'none'"));
        let links: Vec<&str> = list.body.split("<li>").skip(1).collect();
        let expected = [
            format!("<a href=\"{to}%3Cscript%3E\">&lt;script&gt;</a></li>"),
            format!("<a href=\"{to}a\">a</a></li>"),
            format!("<a href=\"{to}b%20c/\">b c/</a></li></ul>"),
        ];
        assert_eq!(links, expected, "{path}");
    }
    assert!(host.call("GET", "/dav/b%20c/", &[], "").body.ends_with("<ul></ul>"));
}

#[test]
fn nothing_is_copied_to_another_server_and_nothing_out_of_its_space() {
    let host = Host::start(&["--public-url", "https://cloud.example"]);
    host.put("/dav/a", "text");
    let here = &host.cloud.address;
    let copy = |method: &str, from: &str, to: &str| {
        host.call(method, from, &[&format!("Destination: {to}")], "").status
    };
    for method in ["COPY", "MOVE"] {
        assert_eq!(copy(method, "/dav/a", "http://elsewhere.example/dav/b"), 502);
        assert_eq!(copy(method, "/dav/a", &format!("http://{here}.elsewhere.example/dav/b")), 502);
    }
    for to in [
        "/dav/b1".to_owned(),
        format!("http://{here}/dav/b2"),
        format!("http://alice:token@{here}/dav/b3"),
        "https://cloud.example/dav/b4".to_owned(),
    ] {
        assert_eq!(copy("COPY", "/dav/a", &to), 201, "{to}");
    }
    assert_eq!(entries(&host.files()), 5);

    // By its own scope, a calendar's token must not reach files.
    let (_, token) = host.cloud.create(ALICE, r#"{"label": "c", "scopes": ["calendar:write"]}"#);
    let event = host.cloud.request("PUT", "/calendars/personal/e.ics", &[&bearer(&token)], "e");
    assert_eq!(event.status, 201);
    for to in ["/dav/e", "/files/e", "/uploads/e", "/calendars/../files/e", "/", "/contacts/x"] {
        let headers = [&*bearer(&token), &format!("Destination: {to}")];
        let refused = host.cloud.request("MOVE", "/calendars/personal/e.ics", &headers, "");
        assert!((400..500).contains(&refused.status), "{to}: {}", refused.status);
    }
    assert_eq!(entries(&host.files()), 5);
    let home = host.folder.path().join("files/alice");
    assert_eq!((entries(&home.join("uploads")), entries(&home.join("contacts"))), (0, 1));
}

#[test]
fn properties_are_kept_over_a_restart_and_follow_a_move() {
    let host = Host::start(&[]);
    host.put("/dav/a", "text");
    let set = "<D:propertyupdate xmlns:D='DAV:' xmlns:n='urn:n'><D:set><D:prop>\
               <n:colour>green</n:colour></D:prop></D:set></D:propertyupdate>";
    let patched = host.call("PROPPATCH", "/dav/a", &[], set);
    assert!(patched.status == 207 && patched.body.contains("200 OK"), "{}", patched.body);
    let colour = |cloud: &Cloud, path: &str| {
        let ask = "<D:propfind xmlns:D='DAV:'><D:prop><n:colour xmlns:n='urn:n'/></D:prop>\
                   </D:propfind>";
        let headers = [&*bearer(&host.token), "Depth: 0"];
        cloud.request("PROPFIND", path, &headers, ask).body.contains(">green<")
    };
    assert!(colour(&host.cloud, "/dav/a"));
    assert_eq!(host.call("MOVE", "/dav/a", &["Destination: /dav/b"], "").status, 201);
    host.put("/dav/a", "another");
    let Host { cloud, folder, .. } = &host;
    let again = Cloud::start(folder.path(), &["--user", ALICE]);
    for cloud in [cloud, &again] {
        assert!(colour(cloud, "/dav/b"));
        assert!(!colour(cloud, "/dav/a"), "a new file has none of the old one's properties");
    }
}

#[test]
fn the_etag_of_each_folder_above_changes_with_a_file_and_no_other() {
    let host = Host::start(&[]);
    for folder in ["/dav/up", "/dav/up/down", "/dav/beside"] {
        assert_eq!(host.call("MKCOL", folder, &[], "").status, 201);
    }
    host.put("/dav/up/down/a", "1");
    let etag = |path: &str| {
        let found = host.call("PROPFIND", path, &["Depth: 0"], "").body;
        found.split("<D:getetag>").nth(1).unwrap().split('<').next().unwrap().to_owned()
    };
    let paths = ["/dav/", "/dav/up/", "/dav/up/down/", "/dav/beside/"];
    let mut before = paths.map(etag);
    let changes: [&dyn Fn(); 4] = [
        &|| host.put("/dav/up/down/a", "2"),
        &|| host.put("/dav/up/down/b", "3"),
        &|| drop(host.call("MOVE", "/dav/up/down/a", &["Destination: /dav/up/down/c"], "")),
        &|| drop(host.call("DELETE", "/dav/up/down/c", &[], "")),
    ];
    for (number, change) in changes.iter().enumerate() {
        change();
        let after = paths.map(etag);
        for above in 0..3 {
            assert_ne!(before[above], after[above], "{} after change {number}", paths[above]);
        }
        assert_eq!(before[3], after[3], "after change {number}");
        before = after;
    }
    let file = host.call("HEAD", "/dav/up/down/b", &[], "");
    let listed = etag("/dav/up/down/b").replace("&quot;", "\"");
    assert_eq!(file.header("etag"), Some(&*listed), "the list and the header agree");
}

#[test]
fn pages_of_the_named_origin_may_call_and_of_no_other() {
    let named = "https://notes.example";
    let host = Host::start(&["--cors", named]);
    let preflight = |host: &Host, origin: &str| {
        let headers = [&*format!("Origin: {origin}"), "Access-Control-Request-Method: PROPFIND"];
        host.cloud.request("OPTIONS", "/dav/a", &headers, "")
    };
    let allowed = preflight(&host, named);
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(named));
    assert!(allowed.header("access-control-allow-methods").unwrap().contains("PROPFIND"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    for other in ["https://notes.example.evil", "http://notes.example", "null"] {
        let refused = preflight(&host, other);
        assert_eq!(refused.status, 401, "{other}");
        assert_eq!(refused.header("access-control-allow-origin"), None, "{other}");
    }
    let read = host.call("GET", "/dav/", &[&format!("Origin: {named}")], "");
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(named)));
    let page = host.cloud.request("GET", "/", &[&format!("Origin: {named}")], "");
    assert_eq!(page.header("access-control-allow-origin"), None, "the page is not for others");

    let host = Host::start(&[]);
    assert_eq!(preflight(&host, named).status, 401, "without --cors, nobody");
}

#[test]
fn the_main_password_is_refused() {
    let host = Host::start(&[]);
    for path in ["/dav/", "/calendars/", "/contacts/", "/remote.php/dav/files/alice/"] {
        let refused = host.cloud.request("PROPFIND", path, &[&basic(ALICE), "Depth: 0"], "");
        assert_eq!(refused.status, 401, "{path}");
    }
}

#[test]
fn a_large_upload_that_is_refused_reads_why() {
    let host = Host::start(&[]);
    let (id, revoked) = host.cloud.create(ALICE, r#"{"label": "r"}"#);
    assert_eq!(host.cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    let (_, reads) = host.cloud.create(ALICE, r#"{"label": "o", "scopes": ["files:read"]}"#);
    let (revoked, reads) = (bearer(&revoked), bearer(&reads));
    let body = "x".repeat(70_000_000);
    let dav = "/dav/large";
    for (method, path, header, status) in [
        ("PUT", dav, &*revoked, 401),
        ("PUT", dav, &*basic(ALICE), 401),
        ("PUT", dav, "X-Nothing: here", 401),
        ("PUT", dav, &reads, 403),
        ("PUT", "/remote.php/dav/files/alice/large", &revoked, 401),
        ("POST", "/api/tokens", &revoked, 401),
        ("POST", "/api/tokens", &*basic(ALICE), 413),
        ("POST", "/nothing", "X-Nothing: here", 404),
    ] {
        let answer = host.cloud.request(method, path, &[header], &body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.head);
    }
    // One that waits to be asked for its body is not asked.
    let headers = [&*revoked, "Expect: 100-continue"];
    assert_eq!(host.cloud.request("PUT", dav, &headers, "").status, 401);
    assert!(!host.files().exists(), "no folder was even made");
}

#[test]
fn a_real_client_says_that_its_upload_was_refused_and_not_that_the_network_failed() {
    if !has("curl") {
        return;
    }
    let host = Host::start(&[]);
    let large = host.folder.path().join("large");
    fs::write(&large, vec![7; 70_000_000]).unwrap();
    let (file, url) = (large.to_str().unwrap(), host.cloud.url("/dav/large"));
    // Without `Expect` it begins to send at once; from a pipe it can't say how much there is.
    let script = format!(
        "curl -sS -H Expect: -u alice:wrong -T {file} {url} -w '%{{http_code}}'; \
         cat {file} | curl -sS -H Expect: -u alice:wrong -T - {url} -w '%{{http_code}}'"
    );
    let said = run_well(host.folder.path(), "sh", &["-ec", &script]);
    assert_eq!(said.matches("401").count(), 2, "{said}");
    assert_eq!(said.matches("The app password is not valid").count(), 2, "{said}");
}

#[test]
fn a_script_is_not_challenged_so_no_browser_opens_its_dialog() {
    let host = Host::start(&[]);
    for path in
        ["/dav/", "/calendars/", "/remote.php/webdav/", "/ocs/v1.php/cloud/user", "/api/tokens"]
    {
        for header in ["X-Nothing: here", &*basic("alice:wrong")] {
            for sign in ["Sec-Fetch-Mode: cors", "X-Requested-With: XMLHttpRequest"] {
                let answer = host.cloud.request("GET", path, &[header, sign], "");
                assert_eq!(answer.status, 401, "{path}");
                assert_eq!(answer.header("www-authenticate"), None, "{path} {sign}");
            }
            let person = host.cloud.request("GET", path, &[header, "Sec-Fetch-Mode: navigate"], "");
            assert!(person.header("www-authenticate").is_some(), "{path}");
        }
    }
}
