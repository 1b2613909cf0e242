//! Programs that tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Whether a program that a test needs is installed. If not, the test says loudly that it is
/// skipped; under `CI=true` it fails.
pub fn has(program: &str) -> bool {
    if Command::new(program).arg("--version").output().is_ok() {
        return true;
    }
    skip(program)
}

/// Whether Python has a module that a test needs. If not, the same happens as with [`has`].
pub fn has_python_module(module: &str) -> bool {
    let found = Command::new("python3").args(["-c", &format!("import {module}")]).output();
    found.is_ok_and(|output| output.status.success()) || skip(&format!("Python's {module}"))
}

/// Returns the folder with what drives a browser, if that and the browser are installed. If not,
/// the test says loudly that it is skipped; under `CI` it fails.
///
/// It is beside the tests' own folder: `target/browser`.
pub fn browser_tools() -> Option<PathBuf> {
    if !has("chromium") {
        return None;
    }
    node_tools("browser", "axe-core")
}

/// Returns the folder with the secret scanners that run on Node, which is `target/scanners`. If
/// they are missing, the same happens as with [`browser_tools`].
pub fn scanner_tools() -> Option<PathBuf> {
    node_tools("scanners", "secretlint")
}

/// Returns a folder beside the tests' own, if Node is installed and the folder has this package.
fn node_tools(folder: &str, package: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let tools = test.ancestors().nth(3).unwrap().join(folder);
    if !has("node") {
        return None;
    }
    if !tools.join("node_modules").join(package).is_dir() {
        let why = format!("no {package} in {}", tools.display());
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("\n*** SKIPPED: {why} ***\n");
        return None;
    }
    Some(tools)
}

/// Builds the operator's tool and returns its path.
pub fn operators_tool() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("admin"))
}

/// Builds a member's binary and returns its path: Cargo builds only the binary of the package
/// under test.
pub fn build(package: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", package, "--target-dir"]).arg(target);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(build.status().unwrap().success(), "{package} does not build");
    target.join(format!("debug/{package}{}", std::env::consts::EXE_SUFFIX))
}

/// Returns the ids of a user of this machine, and of its group.
pub(crate) fn user_ids(name: &str) -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = lines.find(|fields| fields[0] == name);
    let user = user.unwrap_or_else(|| panic!("there is no user named {name}"));
    (user[2].parse().unwrap(), user[3].parse().unwrap())
}

/// Says loudly that a test is skipped, as a program is missing; under `CI=true` it fails.
pub(crate) fn skip(program: &str) -> bool {
    let message = format!("SKIPPED: {program} is not installed, so this test did nothing");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    eprintln!("\n*** {message} ***\n");
    false
}

/// Runs a program with a home folder of its own.
pub fn run(home: &Path, program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).env("HOME", home).current_dir(home).output().unwrap()
}

/// Runs a program with a home folder of its own, which must succeed. Returns its standard output.
#[track_caller]
pub fn run_well(home: &Path, program: &str, arguments: &[&str]) -> String {
    let output = run(home, program, arguments);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}\n{out}\n{err}");
    out.into_owned()
}
