//! Lines for the operator, on standard error. A line never holds a secret.

use std::fmt::Display;

/// Writes one line.
pub fn say(line: impl Display) {
    eprintln!("{}", one_line(&line.to_string(), 1000));
}

/// Keeps a text within one line, so that nobody can write a line of their own into the log.
fn one_line(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_never_begins_a_line_of_its_own() {
        assert_eq!(one_line("a\nsign-in refused\r\u{1b}[2K", 100), "a sign-in refused  [2K");
        assert_eq!(one_line("abcdef", 3), "abc");
    }
}
