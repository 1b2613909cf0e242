//! Why a transfer file can't be written, read or taken in.

use std::io;

use crate::error::{Failed, RandomSourceFailed};
use crate::store::StoreError;
use crate::timestamp::Timestamp;
use crate::token::Prefix;

/// Why a transfer file was not written, read or taken in.
///
/// [`TransferFile::open`](super::TransferFile::open) writes nothing to the store. Nor does
/// [`move_in`](crate::TokenAuthority::move_in) if it refuses a prefix or an age. Any other error of
/// it may come midway: what was taken in stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The file could not be read or written.
    #[error("the transfer file could not be read or written: {0}")]
    Io(#[from] io::Error),
    /// The file is something else.
    #[error("this is not a transfer file; name the one that the export wrote")]
    NotATransfer,
    /// A newer version of this library wrote the file.
    #[error("the transfer file has version {version}, and this program reads version 1; update it")]
    NewerVersion {
        /// The version that the file names.
        version: u32,
    },
    /// The key is another file's, or the first line was changed.
    #[error(
        "the transfer key is not the one of this file; \
         give the key that was printed when this very file was made"
    )]
    WrongKey,
    /// A line is not as it was written, or not in its place.
    #[error(
        "line {line} of the transfer file is not as it was written, or not in its place; \
         copy the file again from where it was made"
    )]
    Changed {
        /// The first wrong line, from 1.
        line: u64,
    },
    /// The file ends before its last line.
    #[error("the transfer file is cut off; copy it again, as a whole, from where it was made")]
    Cut,
    /// The file goes on after its last line.
    #[error("the transfer file goes on after its end; copy it again from where it was made")]
    GoesOn,
    /// A row has a form that this build can't read.
    #[error(
        "line {line} of the transfer file has a row that this program can't read; \
         update it to the version that made the file"
    )]
    NewerRow {
        /// The line, from 1.
        line: u64,
    },
    /// The policy does not accept a prefix of the moved tokens.
    #[error(
        "the tokens of this file may begin with {prefix}_, which this host's policy does not \
         accept; add {prefix} to its former prefixes on every host of it, and import again"
    )]
    PrefixNotAccepted {
        /// The prefix.
        prefix: Prefix,
    },
    /// The file is older than revoked rows are kept here.
    #[error(
        "the transfer file was made at {written_at}, and this host no longer keeps what was \
         revoked then; taking it in could bring revoked tokens back; export again"
    )]
    TooOld {
        /// When the file was begun.
        written_at: Timestamp,
    },
    /// The engine failed. What was moved until then stays moved; run it again.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> TransferError {
        TransferError::Failed(error.into())
    }
}

impl From<RandomSourceFailed> for TransferError {
    fn from(error: RandomSourceFailed) -> TransferError {
        TransferError::Failed(error.into())
    }
}
