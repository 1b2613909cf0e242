//! Turns the errors of acts on tokens into answers that are safe for a client.
//!
//! No answer holds an id, a key's number, or the text of a store, a driver or the system.

use super::answer::Answer;
use crate::error::{
    ChangeError, Failed, IssueError, LifeError, ManageError, RetireError, in_words,
};
use crate::record::InvalidExpires;
use crate::store::{Certainty, StoreError};
use crate::text::InvalidText;
use crate::timestamp::OutOfCalendar;
use crate::token::InvalidTokenId;

const NOT_FOUND: &str = "There is no such app token.\n";
const DAMAGED_ROW: &str = "A replaced app token is damaged. Ask for help.\n";
const LABEL_TAKEN: &str = "Another app token has that label. Choose a different one.\n";

/// Implements the conversion of a borrowed error, for a host that logs it first, and of an owned
/// error, for `?`.
macro_rules! answers {
    ($($error:ty),*) => {$(
        impl From<&$error> for Answer {
            fn from(error: &$error) -> Answer {
                error.answer()
            }
        }

        impl From<$error> for Answer {
            fn from(error: $error) -> Answer {
                error.answer()
            }
        }
    )*};
}

answers!(
    IssueError,
    ChangeError,
    ManageError,
    RetireError,
    LifeError,
    InvalidText,
    OutOfCalendar,
    InvalidExpires,
    InvalidTokenId,
    Failed,
    StoreError
);

/// Says what a client may know about an error.
///
/// The errors of acts are matched without `_`: a new reason must not compile before its answer is
/// chosen. In [`Failed`], all reasons but the store's look alike to a client.
trait ClientSafe {
    /// Returns the answer for the client.
    fn answer(&self) -> Answer;
}

impl ClientSafe for IssueError {
    fn answer(&self) -> Answer {
        match self {
            IssueError::Invalid(invalid) => invalid.answer(),
            IssueError::Life(life) => life.answer(),
            IssueError::MoreAccess => more_access(),
            IssueError::NotUnderThis => {
                let body = "This app token was made by another, and can't make any itself.\n";
                Answer::new(403, "not_under_this", body)
            }
            IssueError::OtherOwner => {
                Answer::new(403, "other_owner", "No app token can make one for another user.\n")
            }
            IssueError::AttributesUnderToken => {
                let body = "App tokens made by another take over its attributes. Name none.\n";
                Answer::new(403, "attributes_under_token", body)
            }
            IssueError::ParentChanged => {
                let body = "The app token that you are using was changed meanwhile. Try again.\n";
                Answer::new(409, "conflict", body)
            }
            IssueError::LimitReached { limit } => {
                let body = format!("The limit is {limit} app tokens. Revoke one first.\n");
                Answer::new(409, "limit_reached", body)
            }
            IssueError::LabelTaken => Answer::new(409, "label_taken", LABEL_TAKEN),
            IssueError::Failed(failed) => failed.answer(),
        }
    }
}

impl ClientSafe for ChangeError {
    fn answer(&self) -> Answer {
        match self {
            ChangeError::Unknown => Answer::new(404, "not_found", NOT_FOUND),
            ChangeError::NotActive(_) => Answer::new(
                409,
                "not_active",
                "The app token is no longer active. Create a new one.\n",
            ),
            ChangeError::Invalid(invalid) => invalid.answer(),
            ChangeError::MoreAccess => more_access(),
            ChangeError::NarrowedApart => {
                let body =
                    "Say what the new app token may do: the old one and its replacement differ.\n";
                Answer::new(409, "narrowed_apart", body)
            }
            ChangeError::Life(life) => life.answer(),
            ChangeError::OverlapTooLong { max } => {
                let max = in_words(*max);
                let body = format!("The old app token may stay valid for at most {max}.\n");
                Answer::new(422, "overlap_too_long", body)
            }
            ChangeError::Derived => {
                let body = "This app token was made by another, and can't get a later end.\n";
                Answer::new(403, "derived", body)
            }
            ChangeError::LabelTaken => Answer::new(409, "label_taken", LABEL_TAKEN),
            ChangeError::OverlapWithLess => {
                let body = "The old app token can't stay valid if the new one may do less.\n";
                Answer::new(422, "overlap_with_less", body)
            }
            ChangeError::Overlapping { .. } => {
                let body = "A replaced app token is still valid. End its overlap first.\n";
                Answer::new(409, "overlapping", body)
            }
            ChangeError::DamagedRow(_) => Answer::new(409, "damaged_row", DAMAGED_ROW),
            ChangeError::Rotated { .. } => {
                Answer::new(409, "rotated", "The app token was replaced. Use the newer one.\n")
            }
            ChangeError::Conflict => {
                let body = "The app token was changed meanwhile. Look at it again.\n";
                Answer::new(409, "conflict", body)
            }
            ChangeError::Failed(failed) => failed.answer(),
        }
    }
}

impl ClientSafe for ManageError {
    fn answer(&self) -> Answer {
        match self {
            ManageError::Unknown => Answer::new(404, "not_found", NOT_FOUND),
            ManageError::NotAllowed => Answer::new(404, "not_found", NOT_FOUND),
            ManageError::KeyNotLost(_) => {
                Answer::new(409, "key_not_lost", "That key is not lost. Reseal as usual.\n")
            }
            ManageError::Failed(failed) => failed.answer(),
        }
    }
}

impl ClientSafe for RetireError {
    fn answer(&self) -> Answer {
        match self {
            RetireError::Active => {
                Answer::new(409, "key_active", "Make another key active first.\n")
            }
            RetireError::InUse { .. } => {
                Answer::new(409, "key_in_use", "App tokens still need that key. Reseal first.\n")
            }
            RetireError::Failed(failed) => failed.answer(),
        }
    }
}

impl ClientSafe for LifeError {
    fn answer(&self) -> Answer {
        match self {
            LifeError::NoLife => {
                Answer::new(422, "no_life", "The app token would expire as soon as it is made.\n")
            }
            LifeError::TooLong { max } => {
                let max = in_words(*max);
                let body = format!("The app token may be valid for at most {max}.\n");
                Answer::new(422, "life_too_long", body)
            }
            LifeError::PastCalendar => OutOfCalendar.answer(),
            LifeError::NeverNotAllowed => {
                Answer::new(422, "end_needed", "The app token must expire. Choose a date.\n")
            }
        }
    }
}

impl ClientSafe for OutOfCalendar {
    fn answer(&self) -> Answer {
        Answer::new(422, "invalid_time", "The time must be between the years 1970 and 9999.\n")
    }
}

impl ClientSafe for InvalidExpires {
    fn answer(&self) -> Answer {
        let body = "Write the expiry as 2026-03-01T12:00:00Z, or as never.\n";
        Answer::new(422, "invalid_time", body)
    }
}

impl ClientSafe for InvalidTokenId {
    fn answer(&self) -> Answer {
        Answer::new(404, "not_found", NOT_FOUND)
    }
}

/// Names the field and what is wrong with it. It never repeats the text.
impl ClientSafe for InvalidText {
    fn answer(&self) -> Answer {
        let text = self.to_string();
        let mut characters = text.chars();
        let first = characters.next().map(|c| c.to_ascii_uppercase());
        let body = first.into_iter().chain(characters).chain(".\n".chars()).collect::<String>();
        Answer::new(422, "invalid_text", body)
    }
}

impl ClientSafe for Failed {
    fn answer(&self) -> Answer {
        // Only a store can leave it open whether something was done.
        if let Failed::Store(error) = self { error.answer() } else { unavailable() }
    }
}

impl ClientSafe for StoreError {
    fn answer(&self) -> Answer {
        match self.certainty() {
            Certainty::NotDone => unavailable(),
            // Without `retry-after`: a client that blindly tries again might make a second token.
            Certainty::Unknown => {
                let body = "It is not known whether this was done. Check your app tokens first.\n";
                Answer::new(503, "outcome_unknown", body)
            }
        }
    }
}

fn unavailable() -> Answer {
    let body = "App tokens can't be reached right now. Try again.\n";
    Answer::new(503, "unavailable", body).retry_later()
}

fn more_access() -> Answer {
    let body = "No app token may do more than the one that it is made from.\n";
    Answer::new(403, "more_access", body)
}

#[cfg(test)]
mod tests;
