//! The runbook, as DEPLOYING.md has it.

use std::fs;
use std::path::Path;

pub struct Runbook {
    document: String,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub title: String,
    /// The lines of its blocks of code.
    pub commands: Vec<String>,
}

fn read(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(name)).unwrap()
}

/// Returns a section of a document, from its heading to the next one of the same or a higher level.
#[track_caller]
fn section(document: &str, heading: &str) -> String {
    let level = heading.split(' ').next().unwrap().len();
    let is_end = |line: &str| {
        let marks = line.split(' ').next().unwrap_or_default();
        (1..=level).contains(&marks.len()) && marks.bytes().all(|byte| byte == b'#')
    };
    let (mut is_code, mut found) = (false, Vec::new());
    for line in document.lines().skip_while(|line| *line != heading).skip(1) {
        // In a block of code, such a line is a comment.
        is_code ^= line.trim().starts_with("```");
        if !is_code && is_end(line) {
            break;
        }
        found.push(line);
    }
    assert!(!found.is_empty(), "no section {heading}");
    found.join("\n")
}

/// Returns the number and the rest of a line that begins a step.
fn numbered(line: &str) -> Option<(usize, &str)> {
    let (number, rest) = line.split_once(". ")?;
    Some((number.parse().ok()?, rest))
}

/// Returns the bold sentence at the beginning of each step.
fn titles(section: &str) -> Vec<String> {
    let steps: Vec<_> = section.lines().filter_map(numbered).collect();
    let title = |(at, (number, rest)): (usize, &(usize, &str))| {
        assert_eq!(at + 1, *number, "in their order");
        rest.strip_prefix("**").unwrap().split_once("**").unwrap().0.to_owned()
    };
    steps.iter().enumerate().map(title).collect()
}

pub fn titles_of_the_guide() -> Vec<String> {
    titles(&section(&read("src/guide/keys_and_backups.md"), "# What a restored backup brings back"))
}

impl Runbook {
    pub fn read() -> Runbook {
        let document = read("DEPLOYING.md");
        let runbook = section(&document, "### After a restore");
        let mut steps: Vec<Step> = Vec::new();
        let mut is_code = false;
        let mut titles = titles(&runbook).into_iter();
        for line in runbook.lines() {
            if numbered(line).is_some() {
                let title = titles.next().unwrap();
                steps.push(Step { title, commands: Vec::new() });
            } else if line.trim().starts_with("```") {
                is_code = !is_code;
            } else if is_code {
                steps.last_mut().unwrap().commands.push(line.trim().to_owned());
            }
        }
        Runbook { steps, document }
    }

    /// Returns the command that takes a copy.
    pub fn copy_command(&self, in_sqlite: bool) -> String {
        let store = if in_sqlite { "| SQLite | `" } else { "| PostgreSQL | `" };
        let backups = section(&self.document, "## Backups");
        backups.split_once(store).unwrap().1.split_once('`').unwrap().0.to_owned()
    }
}

/// Returns the words of a command with the values of its placeholders. An option is repeated for
/// each value, and left out if there is none.
pub fn fill(command: &str, values: &[(&str, &[&str])]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in split(command) {
        let Some((_, values)) = values.iter().find(|(name, _)| *name == word) else {
            assert!(word.chars().any(|c| !c.is_ascii_uppercase()), "no value for {word}");
            words.push(word);
            continue;
        };
        let option = words.pop_if(|last| last.starts_with("--"));
        for value in *values {
            words.extend(option.clone());
            words.push((*value).to_owned());
        }
    }
    words
}

/// Splits a command at its spaces, but not within quotes. A quote within other quotes is a letter.
fn split(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == letter => quote = None,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!(quote, None, "{command}");
    words.extend(word);
    words
}

/// Writes words as a line for the shell. A bar or an arrow stays what it is there.
pub fn joined(words: &[String]) -> String {
    let quoted = |word: &String| match &**word {
        "|" | "<" | ">" => word.clone(),
        _ => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}
