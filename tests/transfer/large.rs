//! Many rows, in bounded memory; and a run that is stopped.

use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use app_tokens::record::{KeyId, LastUse, Revocation};
use app_tokens::store::{
    Filter, Insert, Inserted, MemoryStore, Page, Purge, Replace, Replaced, Row, StoreError,
    Supersede, Superseded,
};
use app_tokens::{Timestamp, TokenId};

use super::*;

const ROWS: u64 = 10_000;

/// A store that counts, and may fail after some inserts.
#[derive(Clone, Default)]
struct Counting {
    kept: MemoryStore,
    /// The most rows that one call returned.
    longest: Arc<AtomicUsize>,
    inserted: Arc<AtomicU64>,
    fails_after: Option<u64>,
}

impl RuntimeFree for Counting {}

impl TokenStore for Counting {
    async fn insert(&self, insert: &Insert) -> Result<Inserted, StoreError> {
        let before = self.inserted.fetch_add(1, Ordering::Relaxed);
        if self.fails_after.is_some_and(|limit| before >= limit) {
            return Err(StoreError::not_done("the disk is full"));
        }
        self.kept.insert(insert).await
    }

    async fn supersede(&self, supersede: &Supersede) -> Result<Superseded, StoreError> {
        self.kept.supersede(supersede).await
    }

    async fn find(&self, id: TokenId) -> Result<Option<Row>, StoreError> {
        self.kept.find(id).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Row>, StoreError> {
        let rows = self.kept.list(filter, page).await?;
        self.longest.fetch_max(rows.len(), Ordering::Relaxed);
        Ok(rows)
    }

    async fn replace(&self, replaces: &[Replace]) -> Result<Vec<Replaced>, StoreError> {
        self.kept.replace(replaces).await
    }

    async fn revoke(&self, filter: &Filter, why: &Revocation) -> Result<u64, StoreError> {
        self.kept.revoke(filter, why).await
    }

    async fn touch(&self, uses: &[(TokenId, LastUse)], now: Timestamp) -> Result<(), StoreError> {
        self.kept.touch(uses, now).await
    }

    async fn purge(&self, purge: &Purge, limit: u32) -> Result<u64, StoreError> {
        self.kept.purge(purge, limit).await
    }

    async fn keys_in_use(&self) -> Result<Vec<KeyId>, StoreError> {
        self.kept.keys_in_use().await
    }
}

/// A file that knows the longest piece that was written at once.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    longest: usize,
}

impl Write for Pieces {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.longest = self.longest.max(piece.len());
        self.bytes.write(piece)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file that compares how far it was read with how many rows were inserted.
struct Ahead {
    file: Cursor<Vec<u8>>,
    inserted: Arc<AtomicU64>,
    is_second_time: bool,
    /// The most bytes that were read ahead of the inserts.
    most: u64,
    per_row: u64,
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(into)?;
        if self.is_second_time {
            let taken_in = self.inserted.load(Ordering::Relaxed) * self.per_row;
            self.most = self.most.max(self.file.position().saturating_sub(taken_in));
        }
        Ok(count)
    }
}

impl Seek for Ahead {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.is_second_time |= matches!(to, SeekFrom::Start(0));
        self.file.seek(to)
    }
}

fn fill(host: &Bench<Counting>, rows: u64) -> Vec<app_tokens::IssuedToken> {
    (0..rows).map(|number| host.issue(&format!("owner{}", number % 500))).collect()
}

fn counting(store: Counting) -> Bench<Counting> {
    bench_with_ring(store, KeyRing::ephemeral().unwrap(), policy())
}

#[test]
fn ten_thousand_rows_move_page_by_page() {
    let (from, to) = (counting(Counting::default()), counting(Counting::default()));
    let issued = fill(&from, ROWS);
    let (key, mut file) = (TransferKey::draw().unwrap(), Pieces::default());
    let mut last = None;
    let moved = from.tokens.move_out(who(), None, &key, &mut file, |at| last = Some(at));
    assert_eq!(from.tokens.block_on(moved).unwrap().tokens, ROWS);
    let last = last.unwrap();
    assert_eq!((last.done, last.total), (ROWS, ROWS));
    assert!(from.tokens.store().longest.load(Ordering::Relaxed) <= 500);
    assert!(file.longest < 1000, "line by line: {}", file.longest);

    let per_row = file.bytes.len() as u64 / ROWS;
    let ahead = Ahead {
        file: Cursor::new(file.bytes),
        inserted: to.tokens.store().inserted.clone(),
        is_second_time: false,
        most: 0,
        per_row,
    };
    let mut ahead = BufReader::with_capacity(8192, ahead);
    let mut opened = TransferFile::open(&mut ahead, &key).unwrap();
    let taken = to.tokens.block_on(to.tokens.move_in(who(), &mut opened, |_| {})).unwrap();
    assert_eq!((taken.tokens, taken.is_complete()), (ROWS, true));
    let most = ahead.get_ref().most;
    assert!(most > 0 && most < 32 * 1024 + 32 * per_row, "read ahead of the inserts: {most}");
    issued.iter().step_by(97).for_each(|token| to.assert_good(token.expose_secret()));
}

#[test]
fn a_run_that_was_stopped_goes_on_where_it_was() {
    let from = counting(Counting::default());
    let issued = fill(&from, 1000);
    let sealed = out(&from);
    let store = Counting { fails_after: Some(300), ..Counting::default() };
    let ring = KeyRing::ephemeral().unwrap();
    let stopped = bench_with_ring(store.clone(), ring.clone(), policy());
    assert!(matches!(try_in(&stopped, &sealed), Err(TransferError::Failed(_))));
    let again = bench_with_ring(Counting { fails_after: None, ..store }, ring, policy());
    let report = take_in(&again, &sealed);
    assert_eq!((report.already_there, report.tokens), (300, 700));
    issued.iter().step_by(97).for_each(|token| again.assert_good(token.expose_secret()));
}
