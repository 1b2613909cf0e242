//! A host of the examples, started over the store that was imported into.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};

use support::http::{self, Answer};
use support::program::build;

use super::common::Host;

/// The hash of no password that a test knows: only tokens let in.
const USERS: &str = "\
alice  u-1001  -  -
zoë    u-1002  -  -
adam   2       -  -  roles=Operator,Reader
";

/// A line for `--owners` for each account.
pub const OWNERS: &str = r#"{"name": "alice", "owner": "u-1001"}
{"name": "adam", "owner": "2"}
{"name": "7", "owner": "u-1001"}
"#;

/// A running host; killed when dropped.
pub struct Served {
    process: Child,
    address: String,
}

/// Makes the folder of a host: the policy of its package, and an import that is open.
pub fn folder(package: &str) -> Host {
    let host = Host::new();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let policy = fs::read_to_string(examples.join(package).join("policy.toml")).unwrap();
    let policy: String = policy
        .lines()
        .filter(|line| !line.starts_with("open_import"))
        .flat_map(|line| {
            let opened = line.starts_with("[scopes]").then_some("open_import = true\n");
            opened.into_iter().chain([line, "\n"])
        })
        .collect();
    fs::write(host.path("policy.toml"), policy).unwrap();
    fs::write(host.path("users"), USERS).unwrap();
    fs::write(host.path("owners.jsonl"), OWNERS).unwrap();
    host
}

impl Served {
    /// Starts a host that lets in the tokens of these formats.
    pub fn start(package: &'static str, host: &Host, import: &str) -> Served {
        // Where the host looks for them.
        fs::copy(host.path("keys"), host.path("tokens.key")).unwrap();
        let mut command = Command::new(program(package));
        command.args(["--listen", "127.0.0.1:0", "--users", "users", "--policy", "policy.toml"]);
        command.args(["--data", ".", "--audit", "audit.log", "--import", import]);
        command.current_dir(host.folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("http://127.0.0.1:") {
            said += &lines.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
        }
        // So that it never waits for a reader.
        std::thread::spawn(move || lines.all(|line| line.is_ok()));
        let address = said.split("http://").nth(1).unwrap();
        let address = address.split(['/', ' ']).next().unwrap().to_owned();
        Served { process, address }
    }

    pub fn request(&self, method: &str, path: &str, header: &str, body: &str) -> Answer {
        http::request(
            &self.address,
            method,
            path,
            &[header, "Content-Type: application/json"],
            body,
        )
    }

    /// Sends a request with a user name and a token, or with the token alone, and returns the
    /// status.
    pub fn status(&self, method: &str, path: &str, name: Option<&str>, token: &str) -> u16 {
        let header = match name {
            Some(name) => http::basic(&format!("{name}:{token}")),
            None => http::bearer(token),
        };
        self.request(method, path, &header, "").status
    }

    /// Returns what a token may do with files: reading and writing, as statuses.
    pub fn files(&self, name: Option<&str>, token: &str) -> [u16; 2] {
        let path = "/dav/x";
        let write = self.status("MKCOL", path, name, token);
        [self.status("PROPFIND", "/dav/", name, token), write]
    }
}

/// What [`Served::files`] returns if everything is allowed, the first time and later.
pub const ALL: [[u16; 2]; 2] = [[207, 201], [207, 405]];
pub const READ_ONLY: [u16; 2] = [207, 403];
pub const NO_FILES: [u16; 2] = [403, 403];
pub const REFUSED: [u16; 2] = [401, 401];

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.process.kill(); // ignored: it may have ended
        self.process.wait().unwrap();
    }
}

/// Returns the path of a host's binary, which is built once.
fn program(package: &'static str) -> PathBuf {
    static BUILT: LazyLock<Mutex<Vec<(&str, PathBuf)>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap();
    if let Some((_, path)) = built.iter().find(|(name, _)| *name == package) {
        return path.clone();
    }
    let path = build(package);
    built.push((package, path.clone()));
    path
}
