//! Lists of messages: a test writes them to a file, in which a reviewer reads them side by side.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Compares a list of messages with the file that has them, sorted. If `UPDATE_MESSAGES` is set,
/// writes the file instead.
///
/// # Panics
/// Panics if the file has other messages, and shows which.
#[track_caller]
pub fn assert_listed(file: &Path, messages: impl IntoIterator<Item = String>, command: &str) {
    let found: BTreeSet<String> = messages.into_iter().collect();
    let text: String = found.iter().map(|message| format!("{message}\n")).collect();
    if std::env::var_os("UPDATE_MESSAGES").is_some() {
        return fs::write(file, text).unwrap();
    }
    let listed = fs::read_to_string(file).unwrap_or_default();
    if listed == text {
        return;
    }
    let only_in = |sign: char, one: &str, other: &str| -> String {
        let other: BTreeSet<&str> = other.lines().collect();
        one.lines()
            .filter(|line| !other.contains(line))
            .map(|line| format!("{sign} {line}\n"))
            .collect()
    };
    panic!(
        "{} lists other messages (-) than the code has (+):\n{}{}\
         Read them by the rules of CONTRIBUTING.md, then: UPDATE_MESSAGES=1 {command}",
        file.display(),
        only_in('-', &listed, &text),
        only_in('+', &text, &listed),
    );
}

/// Returns the texts in the Rust files below `src`, each with the name of its file.
///
/// These are all literals of more than one word, apart from SQL. In a file named in `help`, doc
/// comments and the texts of attributes are among them, as clap prints those.
pub fn in_sources(src: &Path, help: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(src).unwrap().to_str().unwrap();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let is_help = help.contains(&name);
                found.extend(in_file(src, name, Also { attributes: is_help, docs: is_help }));
            }
        }
    }
    found
}

/// Says which texts of a file are wanted beside the literals in its code.
#[derive(Clone, Copy)]
pub struct Also {
    pub attributes: bool,
    pub docs: bool,
}

/// Returns the texts in one Rust file, as [`in_sources`] does. What follows the first
/// `#[cfg(test)]` is left out.
pub fn in_file(src: &Path, name: &str, also: Also) -> Vec<String> {
    let source = fs::read_to_string(src.join(name)).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    let texts = texts(code, also).into_iter().filter(|text| is_message(text));
    // A line that goes on is indented, so that each message begins a line.
    let indented = |text: String| text.trim_end().replace('\n', "\n    ").replace("    \n", "\n");
    texts.map(|text| format!("{name}: {}", indented(text))).collect()
}

/// Returns whether a text is read by people: it has several words, and is not SQL.
fn is_message(text: &str) -> bool {
    let text = text.trim_start();
    let sql = [
        "BEGIN ",
        "CREATE ",
        "EXPLAIN ",
        "INSERT ",
        "RELEASE ",
        "ROLLBACK ",
        "SAVEPOINT ",
        "SELECT ",
        "WITH ",
    ];
    let is_sql = sql.iter().any(|word| text.starts_with(word));
    let has_words = text.trim_end().contains(' ') && text.bytes().any(|b| b.is_ascii_lowercase());
    has_words && !is_sql
}

/// Returns the string literals of Rust code, apart from the reasons of lints.
fn texts(code: &str, also: Also) -> Vec<String> {
    let (mut found, mut rest, mut attribute) = (Vec::new(), code, 0);
    while let Some(next) = rest.chars().next() {
        let raw = rest.trim_start_matches('r').trim_start_matches('#');
        let length = if rest.starts_with("//") {
            let line = rest.lines().next().unwrap_or_default();
            // Help has one line. A longer comment is for the reader of the code.
            let before = code[..code.len() - rest.len()].trim_end().lines().last();
            let is_doc = |line: &str| line.trim_start().starts_with("///");
            let is_alone = !before.is_some_and(is_doc) && !is_doc(&rest[line.len()..]);
            if let Some(doc) = line.strip_prefix("/// ").filter(|_| also.docs && is_alone) {
                found.push(doc.to_owned());
            }
            line.len()
        } else if next == '"' {
            let end = end_of_literal(rest);
            let is_reason = code[..code.len() - rest.len()].ends_with("reason = ");
            if attribute == 0 || also.attributes && !is_reason {
                found.push(unescaped(&rest[1..end - 1]));
            }
            end
        } else if next == 'r' && raw.starts_with('"') && rest.len() - raw.len() > 1 {
            let hashes = rest.len() - raw.len() - 1;
            let closing = format!("\"{}", "#".repeat(hashes));
            let end = raw[1..].find(&closing).unwrap();
            found.push(raw[1..][..end].to_owned());
            rest.len() - raw.len() + 1 + end + closing.len()
        } else if next == '\'' {
            // A character, or else a lifetime.
            let mut after = rest.char_indices().skip(1);
            match (after.next(), after.next()) {
                (Some((_, '\\')), Some((escaped, _))) => {
                    escaped + 1 + rest[escaped + 1..].find('\'').unwrap() + 1
                }
                (Some(_), Some((closing, '\''))) => closing + 1,
                _ => 1,
            }
        } else {
            match next {
                '[' if attribute > 0 || code[..code.len() - rest.len()].ends_with('#') => {
                    attribute += 1;
                }
                ']' if attribute > 0 => attribute -= 1,
                _ => {}
            }
            next.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

/// Returns where a string literal at the beginning of a text ends.
fn end_of_literal(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Replaces the escapes of a string literal that change how it reads.
fn unescaped(literal: &str) -> String {
    let mut lines = literal.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    let joined = lines.fold(first, |text, line| text + line.trim_start());
    joined.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\")
}
