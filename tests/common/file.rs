//! A file for a `SqliteStore`, in a folder of its own.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::PathBuf;

use app_tokens::store::SqliteStore;
use rusqlite::Connection;
use tempfile::TempDir;

pub struct File {
    pub directory: TempDir,
}

impl File {
    pub fn new() -> File {
        File { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("app.db")
    }

    #[track_caller]
    pub fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path()).unwrap()
    }

    /// Opens the file past the store, as an attacker who can write it would.
    #[track_caller]
    pub fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}
