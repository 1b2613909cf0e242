//! What a hostile or unlucky client sends, and what happens beside it.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use common::{ALICE, BOB, Forge, basic, bearer, git, git_well, said};
use serde_json::{Value, json};
use support::program::{has, run_well};
use tempfile::TempDir;

const NONE: &Value = &Value::Null;
const REFS: &str = "info/refs?service=git-upload-pack";

/// A forge where alice has a private repository.
fn start() -> Option<(Forge, TempDir)> {
    if !has("git") {
        return None;
    }
    let data = tempfile::tempdir().unwrap();
    let forge = Forge::start(data.path());
    forge.repo(ALICE, "site", true);
    Some((forge, data))
}

#[test]
fn a_package_that_is_no_document_is_refused_and_writes_nothing() {
    let Some((forge, _data)) = start() else { return };
    let header = bearer(&forge.token(ALICE, &["all"]));
    let archive = r#""_attachments":{"x-1.tgz":{"data":"AA=="}}"#;
    for body in [
        "[]".to_owned(),
        "1".to_owned(),
        format!(r#"{{"name":"x",{archive}}}"#),
        format!(r#"{{"name":"x",{archive},"versions":{{"1":"s"}}}}"#),
        format!(r#"{{"name":"x",{archive},"versions":{{"1":{{"dist":1}}}}}}"#),
    ] {
        let path = "/api/packages/alice/npm/x";
        let answer = forge.request("PUT", path, &[&header], body.as_bytes());
        assert!((400..500).contains(&answer.status), "{} for {body}", answer.status);
    }
    let path = "/api/packages/alice/npm/x/-/x-1.tgz";
    assert_eq!(forge.request("GET", path, &[&header], b"").status, 404);
}

#[test]
fn no_name_or_path_leads_out_of_a_repository_or_into_its_files() {
    let Some((forge, data)) = start() else { return };
    let header = bearer(&forge.token(ALICE, &["all"]));
    let get = |path: &str| forge.request("GET", path, &[&header], b"");
    assert_eq!(get(&format!("/alice/site.git/{REFS}")).status, 200);
    // A repository beside those of the accounts, which git would serve.
    let outside = data.path().join("outside.git");
    git_well(data.path(), &["init", "-q", "--bare", outside.to_str().unwrap()]);
    fs::write(outside.join("forge.json"), r#"{"id":1,"private":false}"#).unwrap();
    for name in [
        "../../outside.git",
        "..%2f..%2foutside.git",
        "%2e%2e/%2e%2e/outside.git",
        "%2e%2e%2f%2e%2e%2foutside",
        "..%5c..%5coutside.git",
        "site.git%2f..%2f..%2f..%2foutside",
        "site%00",
        "site.git.git",
        ".",
        "..",
        "%2f",
        "--upload-pack=x",
        "",
    ] {
        let answer = get(&format!("/alice/{name}/{REFS}"));
        assert!((400..=404).contains(&answer.status), "{name}: {}", answer.status);
        assert!(!answer.body.contains("git-upload-pack"), "{name}: {}", answer.body);
    }
    for owner in ["..", "%2e%2e", "u-1001", "ALICE", "alice%2f..", ".parts", ".numbers"] {
        assert_eq!(get(&format!("/{owner}/site.git/{REFS}")).status, 404, "{owner}");
    }
    // The program is asked for three paths only; the files of a repository are none of them.
    for path in [
        "HEAD",
        "config",
        "forge.json",
        "objects/info/packs",
        "info/refs/../../forge.json",
        "info%2frefs",
        "git-upload-archive",
        "git-upload-pack/x",
    ] {
        let answer = get(&format!("/alice/site.git/{path}"));
        assert!((400..=405).contains(&answer.status), "{path}: {}", answer.status);
    }
    for query in ["", "?service=", "?service=git-upload-archive", "?service=../x", "?x=1"] {
        let answer = get(&format!("/alice/site.git/info/refs{query}"));
        assert_eq!(answer.status, 403, "{query}");
        assert!(answer.body.contains("smart protocol"));
    }
}

#[test]
fn a_huge_or_strange_header_is_refused_and_nobody_else_notices() {
    let Some((forge, _data)) = start() else { return };
    let token = forge.token(ALICE, &["write:repository"]);
    let path = "/alice/site.git/info/refs?service=git-receive-pack";
    let status = |headers: &[&str]| forge.request("GET", path, headers, b"").status;
    let long = bearer(&"x".repeat(10_000));
    assert_eq!(status(&[&long]), 400, "git keeps its token");
    let good = bearer(&token);
    assert_eq!(status(&[&good, &good]), 400, "two of them");
    let huge = format!("X-Huge: {}", "x".repeat(2_000_000));
    assert!([0, 400, 431].contains(&status(&[&good, &huge])), "hyper refuses it");
    let many: Vec<String> = (0..5000).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!([0, 400, 431].contains(&status(&many)));
    // They reach git's program, which ignores what it doesn't know.
    let protocol = format!("Git-Protocol: version=2:{}", "x".repeat(20_000));
    assert_eq!(status(&[&good, &protocol, "Content-Encoding: nonsense"]), 200);
    assert_eq!(status(&[&good]), 200);
}

#[test]
fn a_push_that_breaks_off_or_is_nonsense_changes_nothing() {
    let Some((forge, data)) = start() else { return };
    let token = forge.token(ALICE, &["write:repository"]);
    let home = data.path().join("home");
    fs::create_dir(&home).unwrap();
    let url = forge.url_as("alice", &token, "/alice/site.git");
    let before = git_well(&home, &["ls-remote", &url]);
    let kind = "Content-Type: application/x-git-receive-pack-request";
    let push = |headers: &[&str], body: &[u8]| {
        let header = bearer(&token);
        let headers = [&[kind, &*header], headers].concat();
        forge.request("POST", "/alice/site.git/git-receive-pack", &headers, body).status
    };
    // Deletes main, without the flush that ends the list of commands.
    let id = before.split('\t').next().unwrap();
    let line = format!("{id} {} refs/heads/main\0report-status delete-refs", "0".repeat(40));
    let whole = format!("{:04x}{line}", line.len() + 4);
    for body in [&whole.as_bytes()[..60], b"", b"0000", b"ffff", b"PACK", &[0; 100_000]] {
        push(&[], body);
        push(&["Content-Encoding: gzip"], body);
    }
    assert_eq!(git_well(&home, &["ls-remote", &url]), before);
    // Many that stop in the middle, each with a process of git's: they end with their connections.
    let waiting: Vec<_> = (0..70)
        .map(|_| {
            let mut stream = TcpStream::connect(&forge.address).unwrap();
            let head = format!(
                "POST /alice/site.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n{}\r\n{kind}\r\n\
                 Content-Length: 1000000\r\n\r\n0000",
                bearer(&token)
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    drop(waiting);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !git(&home, &["ls-remote", &url]).status.success() {
        assert!(std::time::Instant::now() < deadline, "it serves again");
    }
    assert_eq!(git_well(&home, &["ls-remote", &url]), before);
}

#[test]
fn a_token_in_a_url_is_not_read_and_one_beside_another_is_refused() {
    let Some((forge, _data)) = start() else { return };
    let token = forge.token(ALICE, &["all"]);
    for query in ["token", "access_token"] {
        let answer = forge.api("X: y", "GET", &format!("/user?{query}={token}"), NONE);
        assert_eq!(answer.status, 401, "it would stand in logs");
    }
    let other = forge.token(ALICE, &["read:user"]);
    let both = basic(&format!("{token}:{other}"));
    assert_eq!(forge.api(&both, "GET", "/user", NONE).status, 401);
    for header in ["Authorization: Digest username=\"alice\"", "Authorization: Negotiate YII="] {
        assert_eq!(forge.api(header, "GET", "/user", NONE).status, 401);
    }
    let from_elsewhere = [&*basic(ALICE), "Origin: http://evil.example"];
    let path = "/api/v1/users/alice/tokens";
    let wish = br#"{"name":"x","scopes":["all"]}"#;
    assert_eq!(forge.request("POST", path, &from_elsewhere, wish).status, 403, "another site");
}

#[test]
fn a_store_that_fails_is_no_reason_for_git_to_forget_a_token() {
    let Some((forge, data)) = start() else { return };
    let token = forge.token(ALICE, &["all"]);
    let home = data.path().join("home");
    fs::create_dir(&home).unwrap();
    let file = home.join("credentials");
    fs::write(&file, format!("http://alice:{token}@{}\n", forge.address)).unwrap();
    let store = format!("credential.helper=store --file={}", file.to_str().unwrap());
    let ask = || git(&home, &["-c", &store, "ls-remote", &forge.url("/alice/site.git")]);
    assert!(ask().status.success());
    let database = rusqlite::Connection::open(data.path().join("tokens.db")).unwrap();
    database.execute_batch("ALTER TABLE app_tokens RENAME TO elsewhere").unwrap();
    let failed = said(&ask());
    assert!(failed.contains("503"), "{failed}");
    let answer = forge.api(&bearer(&token), "GET", "/user", NONE);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(!answer.body.contains("elsewhere") && !answer.body.contains("SQL"), "{}", answer.body);
    let path = "/users/alice/tokens/for%20all";
    assert_eq!(forge.api(&basic(ALICE), "DELETE", path, NONE).status, 503, "never 204");
    database.execute_batch("ALTER TABLE elsewhere RENAME TO app_tokens").unwrap();
    assert!(ask().status.success(), "{}", said(&ask()));
}

#[test]
fn of_many_who_make_one_repository_or_release_one_does() {
    let Some((forge, _data)) = start() else { return };
    let header = bearer(&forge.token(ALICE, &["all"]));
    for (path, wish) in [
        ("/user/repos", json!({ "name": "new", "private": true })),
        ("/repos/alice/site/releases", json!({ "tag_name": "v1" })),
    ] {
        let ask = || forge.api(&header, "POST", path, &wish).status;
        let mut answers: Vec<u16> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        answers.sort_unstable();
        assert_eq!(answers, [201, 409, 409, 409, 409, 409, 409, 409], "{path}");
    }
}

#[test]
fn a_renamed_account_keeps_its_repositories_and_tokens_and_a_disabled_one_is_out() {
    let Some((forge, data)) = start() else { return };
    let token = forge.token(ALICE, &["all"]);
    let users = data.path().join("users");
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(&users).unwrap().replace(from, to);
        fs::write(&users, text).unwrap();
    };
    let status = |user: &str| {
        let header = basic(&format!("{user}:{token}"));
        forge.request("GET", &format!("/{user}/site.git/{REFS}"), &[&header], b"").status
    };
    assert_eq!((status("alice"), status("alicia")), (200, 401));
    edit("alice u-1001", "alicia u-1001");
    assert_eq!((status("alice"), status("alicia")), (401, 200));
    // A new person with the old name has nothing of it.
    edit("bob u-1002", "alice u-1002");
    assert_eq!(status("alice"), 401);
    let new = forge.api(&basic("alice:his secret"), "GET", "/users/alice/tokens", NONE);
    assert_eq!((new.status, new.json()), (200, json!([])));
    edit("alicia@", "alice@");
    edit("alice@example.org $", "alice@example.org !$");
    assert_eq!(status("alicia"), 401);
}

#[test]
fn the_printed_commands_work_and_what_they_made_outlives_a_restart() {
    if !has("git") || !has("curl") {
        return;
    }
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let forge = Forge::demo(data.path(), &[]);
    let welcome = forge.welcome.replace("\\\n", " ");
    let line = |start: &str| welcome.lines().find(|line| line.starts_with(start)).unwrap();
    let made = run_well(home.path(), "sh", &["-c", &format!("{} -s", line("curl -u demo:demo"))]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let token = common::text(&made);
    let script = format!("set -e\nTOKEN={token}\n{}\n{}", line("git clone"), line("curl -H"));
    let said = run_well(home.path(), "sh", &["-c", &script]);
    assert!(said.contains("\"login\":\"demo\""), "{said}");
    assert!(Path::new(&home.path().join("hello/README.md")).exists());
    forge.terminate();
    let forge = Forge::demo(data.path(), &[]);
    git_well(home.path(), &["ls-remote", &forge.url_as("demo", &token, "/demo/hello.git")]);
}

#[test]
fn an_open_download_is_finished_before_the_forge_ends() {
    let Some((forge, _data)) = start() else { return };
    let header = bearer(&forge.token(ALICE, &["write:package"]));
    let path = "/api/packages/alice/maven/large/large.bin";
    let large = vec![7; 20_000_000];
    assert_eq!(forge.request("PUT", path, &[&header], &large).status, 201);
    let mut stream = TcpStream::connect(&forge.address).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 1000];
    stream.read_exact(&mut begun).unwrap();
    forge.tell_to_stop();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > large.len() - begun.len(), "{} of {}", rest.len(), large.len());
    forge.terminate();
}

#[test]
fn a_large_upload_that_is_refused_reads_why() {
    let Some((forge, _data)) = start() else { return };
    let good = bearer(&forge.token(ALICE, &["read:package", "read:repository"]));
    let writer = bearer(&forge.token(ALICE, &["write:package"]));
    let bad = bearer("forge_00000000000000000000000000000000000000000000000");
    let body = vec![7; 70_000_000];
    let package = "/api/packages/alice/maven/large/large.bin";
    for (method, path, header, status) in [
        ("PUT", package, &bad, 401),
        ("PUT", package, &good, 403),
        ("PUT", package, &writer, 413),
        ("POST", "/alice/site.git/git-receive-pack", &bad, 401),
        ("POST", "/alice/site.git/git-receive-pack", &good, 403),
        ("POST", "/api/v1/user/repos", &bad, 401),
        ("POST", "/api/v1/nothing", &bad, 404),
    ] {
        let answer = forge.request(method, path, &[header], &body);
        assert_eq!(answer.status, status, "{method} {path}");
    }
    // One that waits to be asked for its body is not asked.
    let headers = [&*bad, "Expect: 100-continue"];
    let answer = forge.request("PUT", package, &headers, b"");
    assert_eq!(answer.status, 401, "{}", answer.head);
}

#[test]
fn a_script_is_not_challenged_so_no_browser_opens_its_dialog() {
    let Some((forge, _data)) = start() else { return };
    let bad = bearer("forge_00000000000000000000000000000000000000000000000");
    for path in ["/api/v1/user", "/api/v1/users/alice/tokens", "/api/packages/alice/npm/x"] {
        for sign in ["Sec-Fetch-Mode: cors", "X-Requested-With: XMLHttpRequest"] {
            for header in ["X: y", &*bad, &*basic("alice:wrong")] {
                let answer = forge.request("GET", path, &[header, sign], b"");
                assert_eq!(answer.status, 401, "{path}");
                assert_eq!(answer.header("www-authenticate"), None, "{path} {sign}");
            }
        }
        let person = forge.request("GET", path, &["Sec-Fetch-Mode: navigate"], b"");
        assert!(person.header("www-authenticate").is_some(), "{path}");
    }
}

#[test]
fn behind_a_login_proxy_no_main_password_makes_a_token() {
    let data = tempfile::tempdir().unwrap();
    let proxy = ["--sso-header", "Remote-User", "--sso-from", "127.0.0.1"];
    let forge = Forge::start_with(data.path(), &proxy);
    for headers in [&[&*basic(ALICE)][..], &[&basic(ALICE), "Remote-User: alice"]] {
        let headers = [&["Content-Type: application/json"], headers].concat();
        let wish = br#"{"name": "x", "scopes": ["all"]}"#;
        let refused = forge.request("POST", "/api/v1/users/alice/tokens", &headers, wish);
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert!(refused.body.contains("nobody has a main password here"), "{}", refused.body);
        assert!(refused.header("www-authenticate").is_none(), "no dialog asks for one");
    }
}

#[test]
fn git_works_for_sixteen_requests_of_one_owner_whatever_they_ask_for() {
    let Some((forge, _data)) = start() else { return };
    forge.repo(BOB, "his", true);
    let hers = bearer(&forge.token(ALICE, &["all"]));
    // Each push has begun, and sends no more.
    let push = || {
        let mut stream = TcpStream::connect(&forge.address).unwrap();
        let head = format!(
            "POST /alice/site.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n{hers}\r\n\
             Content-Type: application/x-git-receive-pack-request\r\nContent-Length: 99\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let _pushes: Vec<TcpStream> = (0..40).map(|_| push()).collect();
    let release = |account: &str, header: &str, path: &str| {
        let wish = json!({ "tag_name": format!("v-{account}"), "target_commitish": "main" });
        forge.api(header, "POST", &format!("/repos/{path}/releases"), &wish)
    };
    // Until sixteen have their places, others find one.
    let refs = || forge.request("GET", &format!("/alice/site.git/{REFS}"), &[&hers], b"");
    assert!((0..10_000).any(|_| refs().status == 429), "nothing limits them");
    let refused = release("alice", &hers, "alice/site");
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.header("retry-after").is_some());
    let wish = json!({ "name": "another" });
    assert_eq!(forge.api(&hers, "POST", "/user/repos", &wish).status, 429);
    let his = bearer(&forge.token(BOB, &["all"]));
    assert_eq!(release("bob", &his, "bob/his").status, 201, "others go on");
}
