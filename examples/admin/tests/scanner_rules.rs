//! The rules of `scanner-rules`, in real scanners over a tree with planted tokens.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use app_tokens::TokenAuthority;
use app_tokens::token::{ParseError, Token};
use common::{Host, phone};
use serde_json::Value;
use support::program::{has, scanner_tools};

/// The prefix of new tokens first, then former ones.
const PREFIXES: [&str; 3] = ["acme", "brand", "my_app2"];
const FORMER: &str = "realm = 'acme'\nformer_prefixes = ['brand', 'my_app2']";

/// A file, and the text that a scanner must report there.
type Finding = (String, String);

#[test]
fn gitleaks_finds_every_planted_token_and_no_near_miss() {
    let tree = Tree::new();
    if has("gitleaks") {
        assert_eq!(tree.gitleaks(), tree.planted);
    }
}

#[test]
fn secretlint_finds_every_planted_token_and_no_near_miss() {
    let tree = Tree::new();
    if let Some(tools) = scanner_tools() {
        assert_eq!(tree.secretlint(&tools), tree.planted);
    }
}

#[test]
fn secretlint_masks_the_whole_token_in_what_it_prints() {
    let tree = Tree::new();
    let Some(tools) = scanner_tools() else { return };
    let output = tree.run(tree.secretlint_command(&tools));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("error"), "{printed}");
    for (_, token) in &tree.planted {
        let secret = &token[token.len() - 35..];
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn the_plain_expression_finds_every_planted_token_and_no_near_miss() {
    let tree = Tree::new();
    if has("python3") {
        assert_eq!(tree.python(), tree.planted);
    }
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let tree = Tree::without_tokens();
    if has("gitleaks") {
        assert_eq!(tree.gitleaks(), BTreeSet::new());
    }
    if let Some(tools) = scanner_tools() {
        assert_eq!(tree.secretlint(&tools), BTreeSet::new());
    }
    if has("python3") {
        assert_eq!(tree.python(), BTreeSet::new());
    }
}

#[test]
fn what_a_scanner_reported_is_revoked_by_its_report_and_a_wrong_checksum_is_not_taken() {
    let tree = Tree::without_tokens();
    let host = &tree.host;
    let (id, text) = host.issue(phone());
    // The form is right, and only the checksum is not.
    let last = if text.ends_with('0') { "1" } else { "0" };
    let made_up = format!("{}{last}", &text[..text.len() - 1]);
    host.keep_secret(&made_up);
    assert_eq!(Token::parse_any_prefix(&made_up).unwrap_err(), ParseError::Checksum);
    if !has("gitleaks") {
        return;
    }
    tree.write("made_up.txt", &made_up);
    assert_eq!(tree.gitleaks().len(), 1, "a rule can't compute a checksum");
    host.admin(&["leaked", "report.json"]).exited(3, "no token of this host");
    tree.write("real.txt", &text);
    assert_eq!(tree.gitleaks().len(), 2);
    let revoked = host.admin(&["leaked", "report.json"]).done();
    assert!(revoked.contains(&format!("{id} revoked\n")), "{revoked}");
    assert!(!host.is_good(&text));
}

#[test]
fn rules_need_the_policy_and_no_store_and_say_what_no_rule_can() {
    let host = Host::with_policy(FORMER);
    for scanner in ["gitleaks", "secretlint", "regex"] {
        let ran =
            host.run(host.command(&["--policy", "policy.toml", "scanner-rules", scanner]), b"");
        assert!(
            ran.err.contains("`Token::parse`") && ran.err.contains("`admin leaked`"),
            "{ran:?}"
        );
        let rules = ran.done();
        assert!(PREFIXES.iter().all(|prefix| rules.contains(&format!("{prefix}_"))), "{rules}");
    }
    let regex = host.run(host.command(&["--policy", "policy.toml", "scanner-rules", "regex"]), b"");
    assert_eq!(regex.done().lines().count(), PREFIXES.len());
    host.run(host.command(&["scanner-rules", "gitleaks"]), b"")
        .exited(2, "--policy FILE is missing");
    let unknown = host.command(&["--policy", "policy.toml", "scanner-rules", "grep"]);
    host.run(unknown, b"").exited(2, "possible values: gitleaks, secretlint, regex");
}

/// A folder with planted tokens and near misses, in the folder of a host.
struct Tree {
    host: Host,
    planted: BTreeSet<Finding>,
}

impl Tree {
    fn without_tokens() -> Tree {
        let tree = Tree { host: Host::with_policy(FORMER), planted: BTreeSet::new() };
        fs::create_dir(tree.host.path("tree")).unwrap();
        tree.write("README.md", "Put an acme_token into `.netrc`, such as acme_… or brand_xyz.\n");
        tree.write("empty.txt", "");
        tree
    }

    fn new() -> Tree {
        let mut tree = Tree::without_tokens();
        for prefix in PREFIXES {
            tree.plant_tokens(prefix);
            tree.plant_near_misses(prefix);
        }
        tree
    }

    fn plant_tokens(&mut self, prefix: &str) {
        let (before, after) = ("x".repeat(150_000), "y ".repeat(50_000));
        for (name, before, after) in [
            ("start.txt", "", " is the first word\n"),
            ("end.txt", "the last word is ", ""),
            ("alone.txt", "", ""),
            ("line.txt", "first line\n", "\nlast line\n"),
            ("url.txt", "git clone https://alice:", "@forge.test/alice/x.git\n"),
            ("data.json", "{\"password\":\"", "\"}"),
            ("quoted.py", "password = '", "'\n"),
            (".netrc", "machine cloud.test login alice password ", "\n"),
            ("encoded.txt", "next=https%3A%2F%2Falice%3A", "%40cloud.test%2f\n"),
            ("nested.json", r#"{"log":"one\n"#, r#"\nthree"}"#),
            ("unicode.json", r#"{"log":"alice\u003a"#, r#"\u0040"}"#),
            ("colour.log", "token: \u{1b}[1;31m", "\u{1b}[0m\n"),
            ("utf8.txt", "Schlüssel„", "“ für é\n"),
            ("long.txt", &format!("{before}\t"), &format!(" {after}")),
        ] {
            let token = token_of(prefix);
            self.plant(&format!("{prefix}-{name}"), before, &token, after);
        }
        let body = |token: &str| token[prefix.len() + 1..].to_owned();
        let upper = token_of(prefix).to_uppercase();
        self.plant(&format!("{prefix}-upper.txt"), "TOKEN=", &upper, "\n");
        let mixed = format!("{prefix}_{}", body(&token_of(prefix)).to_uppercase());
        self.plant(&format!("{prefix}-mixed.txt"), "token=", &mixed, "\n");
        let typed =
            body(&token_of(prefix)).replace('0', "o").replacen('1', "l", 1).replace('1', "I");
        self.plant(&format!("{prefix}-typed.txt"), "", &format!("{prefix}_{typed}"), "\n");
        // Two with one character between them.
        let (one, other) = (token_of(prefix), token_of(prefix));
        let name = format!("{prefix}-two.csv");
        self.plant(&name, "", &one, &format!(",{other}\n"));
        self.planted.insert((name, other));
    }

    fn plant(&mut self, name: &str, before: &str, token: &str, after: &str) {
        assert!(Token::parse_any_prefix(token).is_ok(), "{token}");
        self.write(name, &format!("{before}{token}{after}"));
        self.planted.insert((name.to_owned(), token.to_owned()));
    }

    fn plant_near_misses(&self, prefix: &str) {
        let token = token_of(prefix);
        let (head, body) = token.split_at(prefix.len() + 1);
        let changed =
            |place: usize, to: &str| format!("{head}{}{to}{}", &body[..place], &body[place + 1..]);
        for (name, text) in [
            ("short", token[..token.len() - 1].to_owned()),
            ("long", format!("{token}0")),
            ("wrong-letter", changed(20, "u")),
            ("wrong-sign", changed(20, ".")),
            ("wrong-unicode", changed(20, "é")),
            ("great-checksum", changed(38, "4")),
            ("other-prefix", format!("{}_{body}", prefix.replace(['a', 'r'], "e"))),
            ("hyphen", format!("{prefix}-{body}")),
            ("no-prefix", body.to_owned()),
            ("in-a-word", format!("x{token}")),
            ("behind-a-word", format!("their_{token}")),
            ("in-a-longer-word", format!("{token}_x")),
            ("behind-a-number", format!("7{token}")),
            ("wrapped", format!("{head}{}\n{}", &body[..20], &body[20..])),
        ] {
            self.write(&format!("{prefix}-not-{name}.txt"), &format!("password = \"{text}\"\n"));
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.host.path("tree").join(name), text).unwrap();
    }

    /// Writes the rules for a scanner into the host's folder.
    fn rules(&self, scanner: &str, name: &str) -> PathBuf {
        let rules = self.host.admin(&["scanner-rules", scanner]).done();
        let path = self.host.path(name);
        fs::write(&path, rules).unwrap();
        path
    }

    fn gitleaks(&self) -> BTreeSet<Finding> {
        let rules = self.rules("gitleaks", "gitleaks.toml");
        let mut command = Command::new("gitleaks");
        command.stdout(Stdio::piped());
        command.args(["dir", "tree", "--no-banner", "--exit-code=9", "--report-format=json"]);
        // Without it gitleaks decodes what is escaped, and reports that token twice.
        command.arg("--max-decode-depth=0");
        command.args(["--report-path=report.json", "--config"]).arg(rules);
        let output = self.run(command);
        let report = fs::read(self.host.path("report.json")).unwrap();
        let report: Vec<Value> = serde_json::from_slice(&report).unwrap();
        let expected = if report.is_empty() { 0 } else { 9 };
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        let found = report.iter().map(|found| {
            let (file, secret) =
                (found["File"].as_str().unwrap(), found["Secret"].as_str().unwrap());
            let prefix = secret.rsplit_once('_').unwrap().0.to_lowercase().replace('_', "-");
            assert_eq!(found["RuleID"], format!("{prefix}-app-token"));
            (file.strip_prefix("tree/").unwrap().to_owned(), secret.to_owned())
        });
        let found: Vec<_> = found.collect();
        distinct(found)
    }

    /// Returns a command that runs secretlint over the tree. It finds its rules from its own folder
    /// on.
    fn secretlint_command(&self, tools: &Path) -> Command {
        let rules = self.rules("secretlint", ".secretlintrc.json");
        let mut command = Command::new("node");
        command.stdout(Stdio::piped());
        command.arg(tools.join("node_modules/secretlint/bin/secretlint.js"));
        command.arg("--secretlintrc").arg(rules).args(["tree/**/*", "tree/**/.*"]);
        command
    }

    fn secretlint(&self, tools: &Path) -> BTreeSet<Finding> {
        let mut command = self.secretlint_command(tools);
        command.args(["--format=json", "--no-maskSecrets"]);
        // Node ends before it has written more than 64 KiB to a pipe.
        let printed = self.host.path("printed.json");
        command.stdout(fs::File::create(&printed).unwrap());
        let output = self.run(command);
        let report: Vec<Value> = serde_json::from_slice(&fs::read(printed).unwrap())
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let mut found = Vec::new();
        for file in &report {
            let path = Path::new(file["filePath"].as_str().unwrap());
            let text: Vec<u16> = fs::read_to_string(path).unwrap().encode_utf16().collect();
            for message in file["messages"].as_array().unwrap() {
                let range = [0, 1].map(|end| message["range"][end].as_u64().unwrap() as usize);
                let secret = String::from_utf16(&text[range[0]..range[1]]).unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                found.push((name.to_owned(), secret));
            }
        }
        let expected = i32::from(!found.is_empty());
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        distinct(found)
    }

    fn python(&self) -> BTreeSet<Finding> {
        let rules = self.rules("regex", "rules.txt");
        let mut command = Command::new("python3");
        command.stdout(Stdio::piped());
        command.args(["-c", SEARCH]).arg(rules).arg("tree");
        let output = self.run(command);
        assert!(output.status.success(), "{output:?}");
        let found: Vec<Finding> = serde_json::from_slice(&output.stdout).unwrap();
        distinct(found)
    }

    fn run(&self, mut command: Command) -> Output {
        command.current_dir(self.host.folder.path()).env("HOME", self.host.folder.path());
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap().wait_with_output().unwrap()
    }
}

/// Searches a tree by a file of expressions.
const SEARCH: &str = "
import json, pathlib, re, sys
rules = [re.compile(line) for line in open(sys.argv[1]).read().splitlines()]
found = [(path.name, match[1]) for path in pathlib.Path(sys.argv[2]).iterdir()
         for rule in rules for match in rule.finditer(path.read_text())]
print(json.dumps(found))
";

#[track_caller]
fn distinct(found: Vec<Finding>) -> BTreeSet<Finding> {
    let count = found.len();
    let found: BTreeSet<Finding> = found.into_iter().collect();
    assert_eq!(found.len(), count, "each is reported once");
    found
}

/// Issues a token that has a `0` and a `1`, so that it can be mistyped.
fn token_of(prefix: &str) -> String {
    let issue = |_| {
        let tokens = TokenAuthority::in_memory(prefix).unwrap();
        let issued = tokens.block_on(tokens.issue(phone())).unwrap();
        issued.expose_secret().to_owned()
    };
    let has_both = |text: &String| ['0', '1'].iter().all(|c| text[prefix.len() + 1..].contains(*c));
    (0..1000).map(issue).find(has_both).unwrap()
}
