//! Errors, with the code that the process exits with.

use std::fmt::Display;
use std::io;

use app_tokens::error::{
    ChangeError, Failed, InvalidText, IssueError, KeyRingError, ManageError, RandomSourceFailed,
    RetireError,
};
use app_tokens::transfer::TransferError;

/// The exit status, as `--help` and the README list it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unknown = 3,
    Refused = 4,
    Denied = 5,
    Unread = 6,
}

/// The reason why a command ends early.
pub struct Problem {
    pub exit: Exit,
    /// Printed to standard error, unless it is empty.
    pub text: String,
}

impl Problem {
    pub fn new(exit: Exit, text: impl Display) -> Problem {
        Problem { exit, text: format!("{text}") }
    }

    pub fn failed(text: impl Display) -> Problem {
        Problem::new(Exit::Failed, text)
    }

    pub fn usage(text: impl Display) -> Problem {
        Problem::new(Exit::Usage, text)
    }

    pub fn unknown() -> Problem {
        ManageError::Unknown.into()
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Problem {
        // The reader has seen enough, as `head` does.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Problem::new(Exit::Done, "");
        }
        Problem::failed(error)
    }
}

macro_rules! exits_as_failed {
    ($($error:ty),*) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Problem {
                Problem::failed(error)
            }
        }
    )*};
}
exits_as_failed!(Failed, KeyRingError, RandomSourceFailed);

impl From<InvalidText> for Problem {
    fn from(error: InvalidText) -> Problem {
        Problem::usage(error)
    }
}

impl From<IssueError> for Problem {
    fn from(error: IssueError) -> Problem {
        let exit = match &error {
            IssueError::Failed(_) => Exit::Failed,
            IssueError::Invalid(_) => Exit::Usage,
            _ => Exit::Refused,
        };
        Problem::new(exit, error)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        let exit = match &error {
            // Another caller was faster: another try may succeed.
            ChangeError::Failed(_) | ChangeError::Conflict => Exit::Failed,
            ChangeError::Invalid(_) => Exit::Usage,
            ChangeError::Unknown => Exit::Unknown,
            _ => Exit::Refused,
        };
        Problem::new(exit, error)
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Problem {
        let exit = match &error {
            ManageError::Unknown => Exit::Unknown,
            _ => Exit::Failed,
        };
        Problem::new(exit, error)
    }
}

impl From<TransferError> for Problem {
    fn from(error: TransferError) -> Problem {
        let exit = match &error {
            TransferError::PrefixNotAccepted { .. } | TransferError::TooOld { .. } => Exit::Refused,
            _ => Exit::Failed,
        };
        Problem::new(exit, error)
    }
}

impl From<RetireError> for Problem {
    fn from(error: RetireError) -> Problem {
        let exit = match &error {
            RetireError::Failed(_) => Exit::Failed,
            _ => Exit::Refused,
        };
        Problem::new(exit, error)
    }
}
