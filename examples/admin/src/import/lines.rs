//! Reads a file line by line: [`Lines`].

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::problem::Problem;

/// The longest line, in bytes. A row of these systems has some hundred.
const MAX_BYTES: u64 = 64 * 1024;

pub const TOO_LONG: &str = "a line of over 64 KiB";

/// The lines of a file, or of standard input. Each is wiped when it is dropped.
pub struct Lines {
    from: Box<dyn BufRead>,
    number: u64,
    total: Option<u64>,
}

pub enum Line {
    Whole(Zeroizing<Vec<u8>>),
    TooLong,
}

impl Lines {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path) -> Result<Lines, Problem> {
        if path == Path::new("-") {
            return Ok(Lines {
                from: Box::new(BufReader::new(io::stdin())),
                number: 0,
                total: None,
            });
        }
        let failed = |why| Problem::failed(format_args!("{} can't be read: {why}", path.display()));
        let open = || File::open(path).map(BufReader::new).map_err(failed);
        let mut counted = open()?;
        // A pipe can be read only once.
        let is_file = counted.get_ref().metadata().map_err(failed)?.is_file();
        if !is_file {
            return Ok(Lines { from: Box::new(counted), number: 0, total: None });
        }
        let total = count(&mut counted).map_err(failed)?;
        Ok(Lines { from: Box::new(open()?), number: 0, total: Some(total) })
    }

    /// Returns the number of the line that was read last, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many lines there are, if that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// Reads the next line that is not empty, without its end.
    pub fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            match self.any()? {
                Some(Line::Whole(line)) if line.is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    fn any(&mut self) -> Result<Option<Line>, Problem> {
        let mut line = Zeroizing::new(Vec::with_capacity(1024));
        let failed = |why| Problem::failed(format_args!("the rows can't be read: {why}"));
        let limited = (&mut self.from).take(MAX_BYTES + 1).read_until(b'\n', &mut line);
        if limited.map_err(failed)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.last() == Some(&b'\n') {
            line.pop();
            // As Windows ends lines.
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        } else if line.len() as u64 > MAX_BYTES {
            skip_line(&mut self.from).map_err(failed)?;
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Whole(line)))
    }
}

/// Counts lines, the last one also without an end.
fn count(from: &mut impl BufRead) -> io::Result<u64> {
    let (mut count, mut ends) = (0, true);
    loop {
        let bytes = from.fill_buf()?;
        let Some(last) = bytes.last() else { return Ok(count + u64::from(!ends)) };
        ends = *last == b'\n';
        count += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = bytes.len();
        from.consume(length);
    }
}

fn skip_line(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (length, is_over) = (end.map_or(bytes.len(), |end| end + 1), bytes.is_empty());
        from.consume(length);
        if end.is_some() || is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut lines =
            Lines { from: Box::new(io::Cursor::new(text.to_vec())), number: 0, total: None };
        let mut read = Vec::new();
        while let Some(line) = lines.next().ok().flatten() {
            read.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(count(&mut io::Cursor::new(text)).unwrap(), lines.number());
        read
    }

    #[test]
    fn a_line_ends_as_unix_or_windows_ends_it_or_with_the_file_and_an_empty_one_is_none() {
        let whole = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read(b"a\nb\r\n\nc"), [whole("a"), whole("b"), whole("c")]);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_the_next_is_read() {
        let (most, more) = ("x".repeat(MAX_BYTES as usize), "y".repeat(200_000));
        let lines = read(format!("{most}\n{more}\nz\n{more}").as_bytes());
        assert_eq!(lines, [Some(most.into_bytes()), None, Some(b"z".to_vec()), None]);
    }
}
