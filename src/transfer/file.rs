//! The transfer file: its lines, written and read side by side.

use std::collections::HashMap;
use std::io::{self, BufRead, Read as _, Seek, SeekFrom, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::error::TransferError;
use super::key::{RunningSeal, TransferKey};
use super::report::{LeftBehind, Source};
use crate::constant_time::constant_time_eq;
use crate::record::TokenRecord;
use crate::store::Row;
use crate::timestamp::Timestamp;
use crate::token::{Prefix, TokenId};

/// The first word of a file.
const MAGIC: &str = "app-tokens-transfer";
const VERSION: u32 = 1;
/// The longest line, in bytes. A row with the most and longest texts takes about a third of it.
const MAX_LINE: u64 = 4 * 1024 * 1024;

/// Writes a file, line by line.
pub(crate) struct Writer<W> {
    out: W,
    seal: RunningSeal,
    rows: u64,
    left: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the first line.
    pub(crate) fn begin(out: W, key: &TransferKey, source: &Source) -> io::Result<Writer<W>> {
        let Source { realm, prefixes, written_at } = source;
        let prefixes: Vec<_> = prefixes.iter().map(Prefix::as_str).collect();
        let mut file = Writer { out, seal: key.running_seal(), rows: 0, left: 0 };
        // The realm comes last, since it may hold spaces.
        file.line(&format!("{MAGIC} {VERSION} {written_at} {} {realm}", prefixes.join(",")))?;
        Ok(file)
    }

    pub(crate) fn row(&mut self, record: TokenRecord) -> io::Result<()> {
        let id = record.id();
        let bytes = STANDARD_NO_PAD.encode(Row::new(record).to_bytes());
        self.rows += 1;
        self.line(&format!("row {id} {bytes}"))
    }

    pub(crate) fn left(&mut self, id: TokenId, why: LeftBehind) -> io::Result<()> {
        self.left += 1;
        self.line(&format!("left {id} {}", why.as_str()))
    }

    /// Writes the last line. Without it, the file counts as cut off.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.line(&format!("end {} {}", self.rows, self.left))?;
        self.out.flush()
    }

    fn line(&mut self, content: &str) -> io::Result<()> {
        let seal = STANDARD_NO_PAD.encode(self.seal.add(content));
        writeln!(self.out, "{content} {seal}")
    }
}

/// A transfer file that was read through and found whole, every line as it was written.
///
/// Take it in with [`TokenAuthority::move_in`](crate::TokenAuthority::move_in).
#[derive(Debug)]
pub struct TransferFile<R> {
    reader: R,
    start: u64,
    key: TransferKey,
    source: Source,
    rows: u64,
    left: u64,
    rotated: Arc<HashMap<TokenId, Timestamp>>,
}

impl<R: BufRead + Seek> TransferFile<R> {
    /// Reads a file through, and checks every line of it.
    ///
    /// It holds one line in memory at a time. Of each token that a rotation made, the id and the
    /// instant stay in memory.
    ///
    /// # Errors
    /// [`TransferError`] if the key is not the one of this file, or if anything was changed in it.
    pub fn open(mut reader: R, key: &TransferKey) -> Result<TransferFile<R>, TransferError> {
        let start = reader.stream_position()?;
        let (mut lines, source) = Lines::begin(&mut reader, key)?;
        let mut rotated = HashMap::new();
        while let Some(line) = lines.next_line()? {
            if let Line::Row(record) = line
                && record.family() != record.id()
                && record.revocation().is_none()
            {
                rotated.insert(record.id(), record.created_at());
            }
        }
        let (rows, left, rotated) = (lines.rows, lines.left, Arc::new(rotated));
        Ok(TransferFile { reader, start, key: key.clone(), source, rows, left, rotated })
    }

    /// Returns where the file comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns how many rows the file holds.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns how many tokens the file names that its source could not move.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Returns when each unrevoked token was made that a rotation made, by the source's clock.
    pub(crate) fn rotated(&self) -> Arc<HashMap<TokenId, Timestamp>> {
        Arc::clone(&self.rotated)
    }

    /// Reads it once more, after the first line.
    ///
    /// Each line is checked again before it is handed out. So it does not matter if the file was
    /// changed since it was opened.
    pub(crate) fn lines(&mut self) -> Result<Lines<'_, R>, TransferError> {
        self.reader.seek(SeekFrom::Start(self.start))?;
        let (lines, _) = Lines::begin(&mut self.reader, &self.key)?;
        Ok(lines)
    }
}

/// What a line says, but for the first and the last one.
#[derive(Debug)]
pub(crate) enum Line {
    Row(Box<TokenRecord>),
    Left(TokenId, LeftBehind),
}

/// Reads the lines of a file. Each is checked before it is handed out.
pub(crate) struct Lines<'r, R> {
    reader: &'r mut R,
    seal: RunningSeal,
    buffer: Vec<u8>,
    /// The number of the line that was read last.
    number: u64,
    rows: u64,
    left: u64,
    is_at_end: bool,
}

impl<'r, R: BufRead> Lines<'r, R> {
    /// Reads the first line.
    fn begin(
        reader: &'r mut R,
        key: &TransferKey,
    ) -> Result<(Lines<'r, R>, Source), TransferError> {
        let seal = key.running_seal();
        let (buffer, number, rows, left) = (Vec::new(), 0, 0, 0);
        let mut lines = Lines { reader, seal, buffer, number, rows, left, is_at_end: false };
        let source = lines.first()?;
        Ok((lines, source))
    }

    fn first(&mut self) -> Result<Source, TransferError> {
        let no_transfer = |error| match error {
            TransferError::Io(error) => TransferError::Io(error),
            _ => TransferError::NotATransfer,
        };
        let is_whole = self.read().map_err(no_transfer)?;
        let text = std::str::from_utf8(&self.buffer).map_err(|_| TransferError::NotATransfer)?;
        let rest = text.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' '));
        let (version, _) =
            rest.and_then(|rest| rest.split_once(' ')).ok_or(TransferError::NotATransfer)?;
        // Looked at before the seal, which a newer version may make in another way.
        match version.parse() {
            Ok(VERSION) => {}
            Ok(version) if version > VERSION => {
                return Err(TransferError::NewerVersion { version });
            }
            _ => return Err(TransferError::NotATransfer),
        }
        if !is_whole {
            return Err(TransferError::Cut);
        }
        let content = checked(&mut self.seal, text, 1).map_err(|_| TransferError::WrongKey)?;
        source(content).ok_or(TransferError::NotATransfer)
    }

    /// Reads the next line; `None` after the last one.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, TransferError> {
        if self.is_at_end {
            return Ok(None);
        }
        if !self.read()? {
            return Err(TransferError::Cut);
        }
        let line = self.number;
        let changed = TransferError::Changed { line };
        let Ok(text) = std::str::from_utf8(&self.buffer) else {
            return Err(changed);
        };
        let content = checked(&mut self.seal, text, line)?;
        let words = content.split_once(' ');
        let (kind, rest) = words.ok_or(TransferError::NewerRow { line })?;
        let parts = rest.split_once(' ').and_then(|(id, rest)| Some((id.parse().ok()?, rest)));
        let found = match (kind, parts) {
            ("row", Some((id, bytes))) => {
                self.rows += 1;
                read_row(id, bytes).map(|record| Line::Row(Box::new(record)))
            }
            ("left", Some((id, why))) => {
                self.left += 1;
                LeftBehind::read(why).map(|why| Line::Left(id, why))
            }
            ("end", _) if rest == format!("{} {}", self.rows, self.left) => {
                return self.end().map(|()| None);
            }
            _ => None,
        };
        found.map(Some).ok_or(TransferError::NewerRow { line })
    }

    /// Checks that nothing follows.
    fn end(&mut self) -> Result<(), TransferError> {
        self.is_at_end = true;
        let is_over = self.reader.fill_buf()?.is_empty();
        if is_over { Ok(()) } else { Err(TransferError::GoesOn) }
    }

    /// Reads a line into the buffer, without its line feed. Returns whether it had one.
    fn read(&mut self) -> Result<bool, TransferError> {
        self.number += 1;
        self.buffer.clear();
        // Bounded: a file of one endless line must not fill the memory.
        self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.buffer)?;
        let is_whole = self.buffer.last() == Some(&b'\n');
        if is_whole {
            self.buffer.pop();
        } else if self.buffer.len() as u64 == MAX_LINE {
            return Err(TransferError::Changed { line: self.number });
        }
        Ok(is_whole)
    }
}

/// Reads the first line; `None` if it is not one of version 1.
fn source(first: &str) -> Option<Source> {
    let mut parts = first.splitn(5, ' ').skip(2);
    let written_at = parts.next()?.parse().ok()?;
    let prefixes = parts.next()?.split(',').map(Prefix::new).collect::<Result<_, _>>().ok()?;
    Some(Source { realm: parts.next()?.into(), prefixes, written_at })
}

/// Checks the seal at the end of a line, and returns what is before it.
fn checked<'l>(seal: &mut RunningSeal, text: &'l str, line: u64) -> Result<&'l str, TransferError> {
    let changed = TransferError::Changed { line };
    let Some((content, stored)) = text.rsplit_once(' ') else {
        return Err(changed);
    };
    let stored = STANDARD_NO_PAD.decode(stored).ok();
    let stored: Option<[u8; 32]> = stored.and_then(|stored| stored.try_into().ok());
    let expected = seal.add(content);
    let is_right = stored.is_some_and(|stored| constant_time_eq(&stored, &expected));
    if is_right { Ok(content) } else { Err(changed) }
}

/// Reads a row; `None` if this build can't.
fn read_row(id: TokenId, bytes: &str) -> Option<TokenRecord> {
    let bytes = STANDARD_NO_PAD.decode(bytes).ok()?;
    Row::from_bytes(id, &bytes).ok()?.record().cloned()
}

#[cfg(test)]
mod tests;
