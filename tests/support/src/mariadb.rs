//! A real MariaDB server for the tests of one binary, on a unix socket in a folder of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::program::{has, skip, user_ids};

/// A server that ends with this process, even if that is killed. Its zone is Nepal's.
pub struct MariaDb {
    directory: PathBuf,
    /// Stops the server and removes its folder when this process closes the pipe, which a killed
    /// process does, too.
    watchdog: Child,
}

impl MariaDb {
    /// Returns the one server of this test binary. If MariaDB is not installed, it returns `None`
    /// and says so loudly; under `CI=true` it fails.
    pub fn shared() -> Option<&'static MariaDb> {
        static SERVER: OnceLock<Option<MariaDb>> = OnceLock::new();
        SERVER.get_or_init(MariaDb::start).as_ref()
    }

    fn start() -> Option<MariaDb> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        // Debian keeps servers out of a user's PATH.
        let mut folders = std::env::split_paths(&folders).chain(["/usr/sbin".into()]);
        let Some(program) =
            folders.find_map(|folder| Some(folder.join("mariadbd")).filter(|path| path.exists()))
        else {
            skip("mariadbd");
            return None;
        };
        if !has("mariadb") {
            return None;
        }
        let directory = tempfile::Builder::new().prefix("app-tokens-db").tempdir().unwrap().keep();
        fs::create_dir(directory.join("data")).unwrap();
        // MariaDB refuses to run as root.
        let is_root = fs::metadata(&directory).unwrap().uid() == 0;
        let user = is_root.then(|| user_ids("mysql"));
        // Without tables of rights, a folder without any table will do. The shell must say nothing
        // at the end: by then nobody reads it, and a broken pipe would end it before it cleans up.
        let script = r#""$0" --no-defaults --skip-grant-tables --skip-networking \
            --datadir="$1/data" --socket="$1/socket" --innodb-log-file-size=4M \
            --innodb-flush-log-at-trx-commit=0 --default-time-zone=+05:45 & server=$!
            exec 2>/dev/null; cat >/dev/null; kill -9 $server; wait $server; rm -rf "$1""#;
        let mut watchdog = Command::new("sh");
        watchdog.args(["-c", script]).arg(program).arg(&directory).current_dir("/");
        watchdog.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        // In a group of its own, so that Ctrl-C doesn't end it before the server.
        watchdog.process_group(0);
        if let Some((uid, gid)) = user {
            for path in [directory.clone(), directory.join("data")] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
            watchdog.uid(uid).gid(gid);
        }
        let mut watchdog = watchdog.spawn().unwrap();
        let mut log = BufReader::new(watchdog.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("ready for connections") {
            let line = log.next().unwrap_or_else(|| panic!("it ended: {said}")).unwrap();
            said += &(line + "\n");
        }
        // So that the server never waits for a reader.
        std::thread::spawn(move || log.all(|line| line.is_ok()));
        Some(MariaDb { directory, watchdog })
    }

    /// Returns the socket, which a client takes as `--socket`.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _stopped = self.watchdog.wait();
    }
}

/// Returns the path of MariaDB's client. Guides call it by its older name, `mysql`, as MySQL does.
pub fn client() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join("mariadb"))
        .find(|path: &PathBuf| Path::exists(path))
}
