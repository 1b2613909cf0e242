//! Real WebDAV clients against the cloud, by Basic and Bearer, before and after a restart: litmus,
//! rclone, curl, cadaver, lftp.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::Cloud;
use support::program::{has, run, run_well};

const ALICE: &str = "alice:her secret";

#[test]
fn litmus_passes_all_of_its_104_tests() {
    if !has("litmus") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (_, token) = cloud.create(ALICE, r#"{"label": "litmus"}"#);
    let report = run_well(data.path(), "litmus", &[&cloud.url("/dav/"), "alice", &token]);
    let passed: u32 = report
        .lines()
        .filter(|line| line.starts_with("<- summary for"))
        .filter_map(|line| line.split(": of ").nth(1)?.split(' ').nth(3)?.parse::<u32>().ok())
        .sum();
    assert_eq!(passed, 104, "{report}");
    assert!(!report.contains("FAIL") && !report.contains("SKIPPED"), "{report}");
}

/// Returns an rclone remote with this configuration.
fn remote(cloud: &Cloud, how: &str) -> String {
    format!(":webdav,url='{}',vendor=other,{how}:", cloud.url("/dav/"))
}

fn rclone<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"], arguments].concat()
}

#[test]
fn rclone_syncs_and_checks_before_and_after_a_restart_and_is_refused_after_a_revocation() {
    if !has("rclone") {
        return;
    }
    let (data, home, files) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = files.path().to_str().unwrap();
    let start = || Cloud::start(data.path(), &["--user", ALICE, "--files", files]);
    let folder = home.path().join("folder");
    fill(&folder);
    let folder = folder.to_str().unwrap();

    let cloud = start();
    let (id, token) = cloud.create(ALICE, r#"{"label": "rclone", "scopes": ["files:write"]}"#);
    let obscured = run_well(home.path(), "rclone", &["obscure", &token]);
    let basic = format!("user=alice,pass={}", obscured.trim());
    let bearer = format!("bearer_token={token}");

    run_well(home.path(), "rclone", &rclone(&["sync", folder, &remote(&cloud, &basic)]));
    cloud.kill();
    let cloud = start();
    for how in [&basic, &bearer] {
        run_well(
            home.path(),
            "rclone",
            &rclone(&["check", "--download", folder, &remote(&cloud, how)]),
        );
    }
    fs::remove_file(Path::new(folder).join("deep/er/2.txt")).unwrap();
    fs::write(Path::new(folder).join("new.txt"), "new").unwrap();
    run_well(home.path(), "rclone", &rclone(&["sync", folder, &remote(&cloud, &bearer)]));
    run_well(
        home.path(),
        "rclone",
        &rclone(&["check", "--download", folder, &remote(&cloud, &basic)]),
    );

    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    for how in [&basic, &bearer] {
        let refused = run(home.path(), "rclone", &rclone(&["lsf", &remote(&cloud, how)]));
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("401 Unauthorized"), "{said}");
    }
}

fn fill(folder: &Path) {
    fs::create_dir_all(folder.join("deep/er")).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("Ünïcode name & more.txt"), "text").unwrap();
    fs::write(folder.join("large"), vec![7; 3_000_000]).unwrap();
    for n in 0..10 {
        fs::write(folder.join(format!("deep/er/{n}.txt")), n.to_string()).unwrap();
    }
}

#[test]
fn curl_enters_by_each_way_it_has_to_send_a_token() {
    if !has("curl") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::with_alice_and_bob(data.path());
    let (id, token) = cloud.create(ALICE, r#"{"label": "curl"}"#);
    let netrc = data.path().join("netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login alice password {token}\n")).unwrap();
    let (netrc, user) = (netrc.to_str().unwrap(), format!("alice:{token}"));
    let ways: [&[&str]; 4] = [
        &["-u", &user],
        &["--oauth2-bearer", &token],
        &["--netrc-file", netrc],
        &["--anyauth", "-u", &user],
    ];
    let url = cloud.url("/dav/hello");
    let curl = |way: &[&str], more: &[&str]| {
        let quiet = ["-sS", "-o", "/dev/stderr", "-w", "%{http_code}"];
        let arguments = [&quiet, way, more, &[&url]].concat();
        run_well(data.path(), "curl", &arguments)
    };
    for way in ways {
        let put = curl(way, &["-X", "PUT", "--data-binary", "hello"]);
        assert!(["201", "204"].contains(&put.as_str()), "{way:?}: {put}");
        assert_eq!(curl(way, &[]), "200", "{way:?}");
    }
    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    for way in ways {
        assert_eq!(curl(way, &[]), "401", "{way:?}");
    }
}

/// Runs a client that reads its commands from standard input. Returns all that it says.
fn with_commands(home: &Path, program: &str, arguments: &[&str], commands: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env("HOME", home).current_dir(home);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    process.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Starts a cloud, and a home folder in which `.netrc` has a token for it.
fn with_netrc() -> (tempfile::TempDir, Cloud, String) {
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &["--user", ALICE]);
    let (id, token) = cloud.create(ALICE, r#"{"label": "x", "scopes": ["files:write"]}"#);
    let netrc = data.path().join(".netrc");
    fs::write(&netrc, format!("machine 127.0.0.1 login alice password {token}\n")).unwrap();
    // cadaver and lftp read no file that others can read.
    #[cfg(unix)]
    fs::set_permissions(&netrc, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    (data, cloud, id)
}

#[test]
fn cadaver_puts_moves_gets_and_keeps_a_property_until_its_token_is_revoked() {
    if !has("cadaver") {
        return;
    }
    let (home, cloud, id) = with_netrc();
    let url = cloud.url("/dav/");
    let run = |commands: &str| with_commands(home.path(), "cadaver", &[&url], commands);
    fs::write(home.path().join("note"), "text").unwrap();
    let said = run("put note\nmkcol made\nmove note made/moved\nget made/moved back\n\
                    propset made/moved colour green\npropget made/moved colour\nquit\n");
    assert!(said.contains("Value of colour is: green"), "{said}");
    assert_eq!(fs::read_to_string(home.path().join("back")).unwrap(), "text");

    assert_eq!(cloud.api(ALICE, "DELETE", &format!("/api/tokens/{id}"), "").status, 204);
    let said = run("ls\nquit\n");
    assert!(!said.contains("made") && said.contains("uthenticat"), "{said}");
}

#[test]
fn lftp_lists_mirrors_and_moves() {
    if !has("lftp") {
        return;
    }
    let (home, cloud, _) = with_netrc();
    let token = fs::read_to_string(home.path().join(".netrc")).unwrap();
    let token = token.trim().rsplit(' ').next().unwrap().to_owned();
    let put = |path: &str| cloud.request("PUT", path, &[&common::bearer(&token)], "text").status;
    assert_eq!((put("/dav/first"), put("/dav/b%20%26%20c")), (201, 201));
    let commands = format!(
        "set net:max-retries 1; open -u alice,{token} {}\n\
         cls\nmkdir made\nmv first made/moved\nmirror . all\nrm made/moved\nexit\n",
        cloud.url("/dav/")
    );
    let said = with_commands(home.path(), "lftp", &[], &commands);
    assert!(said.contains("b & c"), "{said}");
    for file in ["made/moved", "b & c"] {
        let text = fs::read_to_string(home.path().join("all").join(file));
        assert_eq!(text.unwrap_or_default(), "text", "{file}: {said}");
    }
    let header = common::bearer(&token);
    assert_eq!(cloud.dav("GET", "/dav/made/moved", &header), 404, "{said}");
}

#[test]
fn the_printed_welcome_commands_work() {
    if !has("curl") || !has("rclone") {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let cloud = Cloud::start(data.path(), &[]);
    let lines: Vec<&str> = cloud.welcome.lines().map(str::trim).collect();
    let line = |start: &str| *lines.iter().find(|line| line.starts_with(start)).unwrap();
    let create = format!("{} -s", line("curl -u demo:demo"));
    let created = run_well(data.path(), "sh", &["-c", &create]);
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    fs::write(data.path().join("README.md"), "read me").unwrap();
    let token = format!("TOKEN={}", created["token"].as_str().unwrap());
    for go_on in ["curl -u demo:$TOKEN", "rclone lsf"] {
        let script = format!("{token}\n{}", line(go_on));
        let said = run_well(data.path(), "sh", &["-c", &script]);
        assert_eq!(said.contains("README.md"), go_on.starts_with("rclone"), "{said}");
    }
}
