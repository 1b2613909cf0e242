use std::io::Cursor;

use super::*;
use crate::record::tests::example;
use crate::timestamp::Timestamp;

fn key() -> TransferKey {
    TransferKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap()
}

fn source() -> Source {
    Source {
        realm: "a realm, in words".into(),
        prefixes: vec![Prefix::new("acme").unwrap(), Prefix::new("old").unwrap()],
        written_at: Timestamp::from_unix(1_772_366_400).unwrap(),
    }
}

fn id(number: u64) -> TokenId {
    TokenId::from_u64(number).unwrap()
}

fn record(number: u64) -> TokenRecord {
    let (id, seal) = (id(number), None);
    TokenRecord::from_parts(crate::record::RecordParts { id, family: id, seal, ..example() })
}

/// Writes a file of these tokens, and of one that stays behind.
fn written(key: &TransferKey, ids: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, key, &source()).unwrap();
    ids.iter().for_each(|number| writer.row(record(*number)).unwrap());
    writer.left(id(99), LeftBehind::Damaged).unwrap();
    writer.end().unwrap();
    bytes
}

fn file() -> Vec<u8> {
    written(&key(), &[1, 2, 3])
}

fn lines(file: &[u8]) -> Vec<&[u8]> {
    file.split_inclusive(|byte| *byte == b'\n').collect()
}

fn open(bytes: &[u8]) -> Result<TransferFile<Cursor<Vec<u8>>>, TransferError> {
    TransferFile::open(Cursor::new(bytes.to_vec()), &key())
}

#[track_caller]
fn refused(bytes: &[u8]) -> TransferError {
    open(bytes).expect_err("a changed file is refused")
}

#[test]
fn what_was_written_is_read_and_read_again() {
    let mut file = open(&file()).unwrap();
    assert_eq!((file.source(), file.rows(), file.left()), (&source(), 3, 1));
    for _ in 0..2 {
        let mut lines = file.lines().unwrap();
        for number in 1..=3 {
            let Some(Line::Row(read)) = lines.next_line().unwrap() else { panic!("no row") };
            assert!(*read == record(number));
        }
        let left = lines.next_line().unwrap();
        assert!(matches!(left, Some(Line::Left(of, LeftBehind::Damaged)) if of == id(99)));
        assert!(lines.next_line().unwrap().is_none() && lines.next_line().unwrap().is_none());
    }
}

#[test]
fn a_file_without_rows_is_a_file() {
    assert_eq!(open(&written(&key(), &[])).unwrap().rows(), 0);
}

#[test]
fn no_byte_can_be_changed() {
    let file = file();
    for place in 0..file.len() {
        for flipped in [1, 0x20, 0x80] {
            let mut changed = file.clone();
            changed[place] ^= flipped;
            refused(&changed);
        }
    }
}

#[test]
fn no_byte_can_be_taken_out_or_put_in() {
    let file = file();
    for place in 0..file.len() {
        let (before, after) = file.split_at(place);
        refused(&[before, &after[1..]].concat());
        for byte in [b' ', b'\n', b'A'] {
            refused(&[before, &[byte], after].concat());
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let file = file();
    let after_header = lines(&file)[0].len();
    for length in 0..file.len() {
        let error = refused(&file[..length]);
        let expected = length < after_header || matches!(error, TransferError::Cut);
        assert!(expected, "{length}: {error:?}");
    }
}

#[test]
fn a_line_that_is_missing_doubled_or_in_another_place_is_named() {
    let file = file();
    let all = lines(&file);
    let without = |at: usize| [&all[..at], &all[at + 1..]].concat().concat();
    let doubled = |at: usize| [&all[..=at], &all[at..]].concat().concat();
    for at in 1..all.len() - 1 {
        let (missing, twice) = (refused(&without(at)), refused(&doubled(at)));
        let line = at as u64 + 1;
        assert!(matches!(missing, TransferError::Changed { line: at } if at == line));
        assert!(matches!(twice, TransferError::Changed { line: at } if at == line + 1));
    }
    let mut swapped = all.clone();
    swapped.swap(1, 2);
    assert!(matches!(refused(&swapped.concat()), TransferError::Changed { line: 2 }));
    assert!(matches!(refused(&without(all.len() - 1)), TransferError::Cut));
    assert!(matches!(refused(&doubled(all.len() - 1)), TransferError::GoesOn));
    assert!(matches!(refused(&[&file[..], b"more"].concat()), TransferError::GoesOn));
}

#[test]
fn lines_of_another_file_under_the_same_key_are_refused() {
    let (one, other) = (file(), written(&key(), &[4, 5]));
    let (one, other) = (lines(&one), lines(&other));
    let mixed = [&one[..3], &other[2..]].concat().concat();
    assert!(matches!(refused(&mixed), TransferError::Changed { line: 4 }));
}

#[test]
fn another_key_and_a_file_of_another_kind_have_messages_of_their_own() {
    let other = written(&TransferKey::draw().unwrap(), &[1]);
    assert!(matches!(refused(&other), TransferError::WrongKey));
    let text = String::from_utf8(file()).unwrap();
    let newer = text.replacen("transfer 1 ", "transfer 2 ", 1);
    assert!(matches!(refused(newer.as_bytes()), TransferError::NewerVersion { version: 2 }));
    let endless = vec![b'a'; MAX_LINE as usize + 1];
    for none in
        [&b""[..], b"\n", b"{\"tokens\": []}\n", b"\xff\xfe\n", b"SQLite format 3\0", &endless]
    {
        assert!(matches!(refused(none), TransferError::NotATransfer));
    }
    let converted = text.replace('\n', "\r\n");
    assert!(matches!(refused(converted.as_bytes()), TransferError::WrongKey));
}

#[test]
fn an_endless_line_is_refused_before_it_fills_the_memory() {
    let file = file();
    let mut endless = [lines(&file)[0], b"row "].concat();
    endless.resize(endless.len() + 2 * MAX_LINE as usize, b'A');
    assert!(matches!(refused(&endless), TransferError::Changed { line: 2 }));
}

#[test]
fn a_line_that_only_a_newer_version_can_mean_is_named() {
    for content in ["row bsth14r9vj AAAA", "left bsth14r9vj tired", "moon 1", "end 0 7", "x"] {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(&mut bytes, &key(), &source()).unwrap();
        writer.line(content).unwrap();
        writer.end().unwrap();
        assert!(matches!(refused(&bytes), TransferError::NewerRow { line: 2 }), "{content}");
    }
}

#[test]
fn a_row_with_the_longest_texts_fits_into_a_line() {
    use crate::access::{Access, Resource, Selection};
    let long = |number: u32| {
        Resource::exact(format!("{number:04}{}", "é".repeat(Resource::MAX_CHARS - 4))).unwrap()
    };
    let resources = Selection::only((0..Access::MAX_LISTED as u32).map(long));
    let access = Access::from_selections(Selection::All, resources, Selection::All).unwrap();
    let big = record(1).changed(|parts| parts.access = access);
    let mut bytes = Vec::new();
    let mut writer = Writer::begin(&mut bytes, &key(), &source()).unwrap();
    writer.row(big.clone()).unwrap();
    writer.end().unwrap();
    let mut file = open(&bytes).unwrap();
    let read = file.lines().unwrap().next_line().unwrap();
    assert!(matches!(read, Some(Line::Row(read)) if *read == big));
}

#[test]
fn a_file_that_begins_behind_other_bytes_is_read_from_there() {
    let mut reader = Cursor::new([b"before\n", &file()[..]].concat());
    reader.set_position(7);
    let mut file = TransferFile::open(reader, &key()).unwrap();
    for _ in 0..2 {
        let first = file.lines().unwrap().next_line().unwrap();
        assert!(matches!(first, Some(Line::Row(read)) if *read == record(1)));
    }
}

#[test]
fn a_file_is_flushed_to_its_end() {
    /// Keeps what was written since the last flush.
    #[derive(Default)]
    struct Unflushed(Vec<u8>);
    impl Write for Unflushed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.clear();
            Ok(())
        }
    }
    let mut out = Unflushed::default();
    Writer::begin(&mut out, &key(), &source()).unwrap().end().unwrap();
    assert_eq!(out.0, b"");
}
