//! One authenticated way there and back by each real package client: Maven, cargo, npm, pip, twine.
//!
//! Each also meets a token that may only read: 403, in words that the client shows.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{ALICE, BOB, Forge, bearer, said};
use support::program::has;

struct Start {
    forge: Forge,
    home: tempfile::TempDir,
    _data: tempfile::TempDir,
    read: String,
    write: String,
}

fn start() -> Start {
    let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let forge = Forge::start(data.path());
    let read = forge.token(ALICE, &["read:package"]);
    let write = forge.token(ALICE, &["write:package"]);
    Start { forge, home, _data: data, read, write }
}

/// Runs a client with a home folder of its own.
fn client(folder: &Path, home: &Path, line: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).current_dir(folder).env("HOME", home);
    command.envs(environment.iter().copied()).output().unwrap()
}

#[track_caller]
fn client_well(folder: &Path, home: &Path, line: &[&str], environment: &[(&str, &str)]) -> String {
    let output = client(folder, home, line, environment);
    assert!(output.status.success(), "{line:?}: {}", said(&output));
    said(&output)
}

#[test]
fn maven_deploys_and_resolves_with_a_token_from_its_settings() {
    if !has("mvn") {
        return;
    }
    // Debian's own repository, so that Maven loads its plugins without a network.
    let debian = Path::new("/usr/share/maven-repo");
    let plugin = debian.join("org/apache/maven/plugins/maven-deploy-plugin/3.0.0");
    if !plugin.exists() {
        let why = "Debian's Maven plugins are not installed";
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{why}");
        return eprintln!("\n*** SKIPPED: {why} ***\n");
    }
    let start = start();
    let (home, forge) = (start.home.path(), &start.forge);
    let url = forge.url("/api/packages/alice/maven");
    let settings = |name: &str, token: &str| {
        let file = home.join(name);
        let text = format!(
            "<settings><localRepository>{local}</localRepository><servers><server><id>forge</id>\
             <username>alice</username><password>{token}</password></server></servers>\
             <mirrors><mirror><id>debian</id><mirrorOf>central</mirrorOf>\
             <url>file:///usr/share/maven-repo</url></mirror></mirrors></settings>",
            local = home.join("local").display()
        );
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    fs::write(home.join("a.txt"), "an artefact").unwrap();
    let repository = format!("-Durl={url}");
    let deploy = |settings: &str, version: &str| {
        let version = format!("-Dversion={version}");
        let goal = "org.apache.maven.plugins:maven-deploy-plugin:3.0.0:deploy-file";
        let line = [
            "mvn",
            "-B",
            "-q",
            "-s",
            settings,
            goal,
            &repository,
            "-DrepositoryId=forge",
            "-Dfile=a.txt",
            "-DgroupId=org.example",
            "-DartifactId=a",
            "-Dpackaging=txt",
            &version,
        ];
        client(home, home, &line, &[])
    };
    let write = settings("write.xml", &start.write);
    let read = settings("read.xml", &start.read);
    let refused = said(&deploy(&read, "1.0"));
    assert!(refused.contains("403"), "{refused}");
    let deployed = deploy(&write, "1.0");
    assert!(deployed.status.success(), "{}", said(&deployed));
    let again = said(&deploy(&write, "1.0"));
    assert!(again.contains("409"), "a release never changes: {again}");
    for _ in 0..2 {
        let deployed = deploy(&write, "1.1-SNAPSHOT");
        assert!(deployed.status.success(), "{}", said(&deployed));
    }

    fs::remove_dir_all(home.join("local/org/example")).unwrap();
    let remote = format!("-DremoteRepositories=forge::default::{url}");
    let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.5.0:get";
    let artefact = "-Dartifact=org.example:a:1.0:txt";
    let line = ["mvn", "-B", "-q", "-s", &read, goal, &remote, artefact, "-Dtransitive=false"];
    client_well(home, home, &line, &[]);
    let resolved = home.join("local/org/example/a/1.0/a-1.0.txt");
    assert_eq!(fs::read_to_string(resolved).unwrap(), "an artefact");
}

#[test]
fn cargo_publishes_and_depends_with_a_token_alone_in_the_header() {
    let start = start();
    let (home, forge) = (start.home.path(), &start.forge);
    let registry = format!("sparse+{}", forge.url("/api/packages/alice/cargo/"));
    let package = |name: &str, more: &str| {
        let folder = home.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/lib.rs"), "pub fn hello() {}\n").unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
             license = \"MIT\"\ndescription = \"A crate of a test\"\n[workspace]\n{more}"
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        folder
    };
    let cargo_home = home.join("cargo");
    let rustup = std::env::var("RUSTUP_HOME")
        .unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap_or_default()));
    let cargo = |folder: &Path, line: &[&str], token: &str| {
        let environment = [
            ("CARGO_HOME", cargo_home.to_str().unwrap()),
            ("RUSTUP_HOME", rustup.as_str()),
            ("CARGO_REGISTRIES_FORGE_INDEX", registry.as_str()),
            ("CARGO_REGISTRIES_FORGE_TOKEN", token),
            ("CARGO_REGISTRIES_FORGE_CREDENTIAL_PROVIDER", "cargo:token"),
            ("CARGO_TARGET_DIR", "target"),
            ("CARGO_TERM_COLOR", "never"),
        ];
        client(folder, home, &[&["cargo"], line].concat(), &environment)
    };
    let publish = ["publish", "--registry", "forge", "--no-verify", "--allow-dirty"];
    let one = package("forge-test-one", "");
    let refused = said(&cargo(&one, &publish, &start.read));
    assert!(refused.contains("403") && refused.contains("write:package"), "{refused}");
    let published = cargo(&one, &publish, &start.write);
    assert!(published.status.success(), "{}", said(&published));
    let again = said(&cargo(&one, &publish, &start.write));
    assert!(again.contains("already"), "{again}");

    let depends = "[dependencies]\nforge-test-one = { version = \"0.1\", registry = \"forge\" }\n";
    let two = package("forge-test-two", depends);
    // "Bearer" before the token is cargo's other way.
    for token in [start.read.clone(), format!("Bearer {}", start.read)] {
        // ignored: there is nothing at first.
        _ = fs::remove_dir_all(&cargo_home);
        let fetched = cargo(&two, &["fetch"], &token);
        assert!(fetched.status.success(), "{}", said(&fetched));
        let downloaded = find(&cargo_home.join("registry/cache"), "forge-test-one-0.1.0.crate");
        assert!(downloaded, "cargo has the crate");
    }
    _ = fs::remove_dir_all(&cargo_home);
    let stranger = forge.token(BOB, &["read:package"]);
    assert!(!cargo(&two, &["fetch"], &stranger).status.success());
}

/// Returns whether there is a file of this name in a folder or below.
fn find(folder: &Path, name: &str) -> bool {
    fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| {
        entry.file_name() == name || entry.path().is_dir() && find(&entry.path(), name)
    })
}

#[test]
fn npm_publishes_views_and_installs_by_each_of_its_ways() {
    if !has("npm") {
        return;
    }
    let start = start();
    let (home, forge) = (start.home.path(), &start.forge);
    let url = forge.url("/api/packages/alice/npm/");
    let location = url.strip_prefix("http:").unwrap().to_owned();
    let folder = home.join("tool");
    fs::create_dir(&folder).unwrap();
    let npmrc = |lines: &str| {
        fs::write(folder.join(".npmrc"), format!("registry={url}\n{lines}\n")).unwrap();
    };
    let version = |version: &str, name: &str| {
        let facts = serde_json::json!({ "name": name, "version": version, "license": "MIT" });
        fs::write(folder.join("package.json"), facts.to_string()).unwrap();
    };
    let npm = |line: &[&str]| {
        let quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=0"];
        client(&folder, home, &[&["npm"], line, &quiet].concat(), &[])
    };
    let as_token = |token: &str| format!("{location}:_authToken={token}");
    version("1.0.0", "forge-tool");
    npmrc(&as_token(&start.read));
    let refused = said(&npm(&["publish"]));
    assert!(refused.contains("403"), "{refused}");
    // A Bearer token, a whole Basic value, a user name and a password.
    let whole = STANDARD.encode(format!("alice:{}", start.write));
    let password = STANDARD.encode(&start.write);
    for (way, number) in [
        (as_token(&start.write), "1.0.0"),
        (format!("{location}:_auth={whole}"), "1.1.0"),
        (format!("{location}:username=alice\n{location}:_password={password}"), "1.2.0"),
    ] {
        npmrc(&way);
        version(number, "forge-tool");
        let published = npm(&["publish"]);
        assert!(published.status.success(), "{way}: {}", said(&published));
    }
    version("1.0.0", "@alice/scoped");
    let published = npm(&["publish"]);
    assert!(published.status.success(), "{}", said(&published));

    npmrc(&as_token(&start.read));
    version("0.0.1", "user-of-it");
    let viewed = said(&npm(&["view", "--prefer-online", "forge-tool", "version"]));
    assert!(viewed.contains("1.2.0"), "{viewed}");
    let installed = npm(&["install", "forge-tool@1.1.0", "@alice/scoped"]);
    assert!(installed.status.success(), "{}", said(&installed));
    assert!(folder.join("node_modules/forge-tool/package.json").exists());
    assert!(folder.join("node_modules/@alice/scoped/package.json").exists());
}

#[test]
fn twine_uploads_and_pip_downloads_with_a_name_that_stands_for_none() {
    if !has("pip") || !has("twine") {
        return;
    }
    let start = start();
    let (home, forge) = (start.home.path(), &start.forge);
    wheel(&home.join("forge_wheel-1.0-py3-none-any.whl"));
    let url = forge.url("/api/packages/alice/pypi");
    let upload = |user: &str, token: &str| {
        let line = [
            "twine",
            "upload",
            "--non-interactive",
            "--disable-progress-bar",
            "--repository-url",
            &url,
            "-u",
            user,
            "-p",
            token,
            "forge_wheel-1.0-py3-none-any.whl",
        ];
        client(home, home, &line, &[])
    };
    let refused = said(&upload("__token__", &start.read));
    assert!(refused.contains("403"), "{refused}");
    let uploaded = upload("__token__", &start.write);
    assert!(uploaded.status.success(), "{}", said(&uploaded));
    let again = said(&upload("alice", &start.write));
    assert!(again.contains("409"), "{again}");

    let download = |user: &str, token: &str| {
        // ignored: there is nothing at first.
        _ = fs::remove_dir_all(home.join("got"));
        let index = forge.url_as(user, token, "/api/packages/alice/pypi/simple/");
        let line = [
            "pip",
            "--isolated",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--no-input",
            "--disable-pip-version-check",
            "--index-url",
            &index,
            "-d",
            "got",
            "Forge.Wheel",
        ];
        client(home, home, &line, &[])
    };
    for user in ["alice", "__token__"] {
        let downloaded = download(user, &start.read);
        assert!(downloaded.status.success(), "{user}: {}", said(&downloaded));
        assert!(home.join("got/forge_wheel-1.0-py3-none-any.whl").exists());
    }
    assert!(!download("bob", &start.read).status.success(), "another user's name beside it");
}

/// Makes a wheel, which is a zip archive, by Python's own module.
fn wheel(path: &Path) {
    let script = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    def write(name, *lines):
        wheel.writestr('forge_wheel-1.0.dist-info/' + name, '\\n'.join(lines) + '\\n')
    wheel.writestr('forge_wheel.py', '')
    write('METADATA', 'Metadata-Version: 2.1', 'Name: forge-wheel', 'Version: 1.0')
    write('WHEEL', 'Wheel-Version: 1.0', 'Root-Is-Purelib: true', 'Tag: py3-none-any')
    write('RECORD')
";
    let folder = path.parent().unwrap();
    client_well(folder, folder, &["python3", "-c", script, path.to_str().unwrap()], &[]);
}

#[test]
fn an_uploaded_page_is_data_and_never_runs() {
    let start = start();
    let path = "/api/packages/alice/maven/evil/evil.html";
    let page = b"<script>alert(1)</script>";
    assert_eq!(start.forge.request("PUT", path, &[&bearer(&start.write)], page).status, 201);
    let answer = start.forge.request("GET", path, &[&bearer(&start.read)], b"");
    assert_eq!(answer.header("content-security-policy"), Some("sandbox; default-src 'none'"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("content-disposition"), Some("attachment"));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    // Nor does another site's page publish with what a browser remembers.
    let elsewhere = [&*bearer(&start.write), "Origin: http://evil.example"];
    assert_eq!(start.forge.request("PUT", path, &elsewhere, page).status, 403);
}

#[test]
fn packages_are_their_owners_alone_and_no_path_leads_out_of_them() {
    let start = start();
    let forge = &start.forge;
    let status = |method: &str, path: &str, token: &str| {
        let body: &[u8] = if method == "PUT" { b"x" } else { b"" };
        forge.request(method, path, &[&bearer(token)], body).status
    };
    let path = "/api/packages/alice/maven/org/example/a/1/a-1.jar";
    assert_eq!(status("PUT", path, &start.write), 201);
    assert_eq!(status("GET", path, &start.read), 200);
    let anonymous = forge.request("GET", path, &[], b"");
    assert_eq!(anonymous.status, 401);
    assert!(anonymous.header("www-authenticate").unwrap().starts_with("Basic"));
    assert_eq!(status("GET", path, &forge.token(BOB, &["all"])), 404);
    assert_eq!(status("GET", path, &forge.token(ALICE, &["write:repository"])), 403);
    // A token for public things gets no package: packages are their owner's alone.
    assert_eq!(status("GET", path, &forge.token(ALICE, &["public-only", "all"])), 403);
    for bad in [
        "../../../../users",
        "..%2f..%2f..%2f..%2fusers",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/users",
        "a//b",
        "a/./b",
        ".hidden",
        "a%00b",
        "a%5c..%5cb",
        "/etc/passwd",
    ] {
        for kind in ["maven", "npm", "cargo", "pypi/files"] {
            let path = format!("/api/packages/alice/{kind}/{bad}");
            let answer = forge.request("GET", &path, &[&bearer(&start.read)], b"");
            assert!((400..=404).contains(&answer.status), "{path}: {}", answer.status);
            assert!(!answer.body.contains("argon2"), "{path}");
        }
        assert_ne!(status("PUT", &format!("/api/packages/alice/maven/{bad}"), &start.write), 201);
    }
}
