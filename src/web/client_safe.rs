//! Turns the errors of acts on tokens into answers that are safe for a client.
//!
//! No answer holds an id, a key's number, or the text of a store, a driver or the system.

use super::answer::Answer;
use crate::error::{
    ChangeError, Failed, IssueError, LifeError, ManageError, RetireError, in_words,
};
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
                let body = "An app token that was made by another can't make any itself.\n";
                Answer::new(403, "not_under_this", body)
            }
            IssueError::OtherOwner => {
                Answer::new(403, "other_owner", "An app token can't make one for another user.\n")
            }
            IssueError::AttributesUnderToken => {
                let body = "An app token made by another takes over its attributes. Name none.\n";
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
                let body = "An app token that was made by another can't get a later end.\n";
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
                Answer::new(422, "end_needed", "The app token must expire. Choose an end.\n")
            }
        }
    }
}

impl ClientSafe for OutOfCalendar {
    fn answer(&self) -> Answer {
        Answer::new(422, "invalid_time", "The time must be between the years 1970 and 9999.\n")
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
    let body = "An app token may not do more than the one that it is made from.\n";
    Answer::new(403, "more_access", body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::answer::tests::is_documented;
    use super::*;
    use crate::error::OrphanRow;
    use crate::key::KeyId;
    use crate::random::Secret;
    use crate::record::{Status, StatusUnclear};
    use crate::text::{Label, TextProblem};
    use crate::timestamp::Timestamp;
    use crate::token::TokenId;

    const ID: &str = "zwq83kvn5t";
    const KEY: u32 = 918_273;
    const DRIVER: &str = "relation \"app_tokens\" of host db-7.internal: no route";
    /// What no client may read.
    const PLANTED: [&str; 4] = [ID, "918273", "app_tokens", "db-7"];

    fn id() -> TokenId {
        ID.parse().unwrap()
    }

    fn key() -> KeyId {
        KeyId::new(KEY).unwrap()
    }

    /// A random source that fails with the driver's words.
    struct Talkative;

    impl rand_core::TryRng for Talkative {
        type Error = StoreError;
        fn try_next_u32(&mut self) -> Result<u32, StoreError> {
            Err(StoreError::not_done(DRIVER))
        }
        fn try_next_u64(&mut self) -> Result<u64, StoreError> {
            Err(StoreError::not_done(DRIVER))
        }
        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), StoreError> {
            Err(StoreError::not_done(DRIVER))
        }
    }
    impl rand_core::TryCryptoRng for Talkative {}

    fn every_failure() -> Vec<Failed> {
        vec![
            StoreError::not_done(DRIVER).into(),
            StoreError::unknown(DRIVER).into(),
            Secret::draw(&mut Talkative).unwrap_err().into(),
            StatusUnclear::KeyMissing(key()).into(),
            OrphanRow { id: id(), key_id: key() }.into(),
            Failed::NoUpkeep,
            Failed::NotIntact,
            Failed::NoFreeId,
            Failed::NoImportKey,
            Failed::ImportBusy,
        ]
    }

    fn every_life_error() -> [LifeError; 4] {
        let max = Duration::from_secs(90 * 86_400);
        [
            LifeError::NoLife,
            LifeError::TooLong { max },
            LifeError::PastCalendar,
            LifeError::NeverNotAllowed,
        ]
    }

    fn invalid() -> InvalidText {
        InvalidText::new("label", TextProblem::Empty)
    }

    /// Each with the words of its `Display`.
    fn every_answer() -> Vec<(String, Answer)> {
        let mut all = Vec::new();
        macro_rules! add {
            ($($error:expr),* $(,)?) => {$({
                let error = $error;
                let by_reference = Answer::from(&error);
                let words = error.to_string();
                assert_eq!(Answer::from(error), by_reference);
                all.push((words, by_reference));
            })*};
        }
        add!(
            IssueError::Invalid(invalid()),
            IssueError::MoreAccess,
            IssueError::NotUnderThis,
            IssueError::OtherOwner,
            IssueError::AttributesUnderToken,
            IssueError::ParentChanged,
            IssueError::LimitReached { limit: 100 },
            IssueError::LabelTaken,
            ChangeError::Unknown,
            ChangeError::NotActive(Status::Tampered),
            ChangeError::Invalid(invalid()),
            ChangeError::MoreAccess,
            ChangeError::NarrowedApart,
            ChangeError::OverlapTooLong { max: Duration::from_secs(3600) },
            ChangeError::Derived,
            ChangeError::LabelTaken,
            ChangeError::OverlapWithLess,
            ChangeError::Overlapping { until: Timestamp::MAX },
            ChangeError::DamagedRow(id()),
            ChangeError::Rotated { current: id() },
            ChangeError::Conflict,
            ManageError::Unknown,
            ManageError::NotAllowed,
            ManageError::KeyNotLost(key()),
            RetireError::Active,
            RetireError::InUse { rows: 918_273 },
            Timestamp::from_unix(-1).unwrap_err(),
            "no id".parse::<TokenId>().unwrap_err(),
            invalid(),
            StoreError::not_done(DRIVER),
            StoreError::unknown(DRIVER),
        );
        for life in every_life_error() {
            add!(life, IssueError::Life(life), ChangeError::Life(life));
        }
        for failed in every_failure() {
            add!(failed);
        }
        for failed in every_failure() {
            add!(IssueError::Failed(failed));
        }
        for failed in every_failure() {
            add!(ChangeError::Failed(failed));
        }
        for failed in every_failure() {
            add!(ManageError::Failed(failed));
        }
        for failed in every_failure() {
            add!(RetireError::Failed(failed));
        }
        all
    }

    #[test]
    fn no_answer_holds_an_id_a_key_or_the_words_of_a_store() {
        let answers = every_answer();
        let holds = |text: &str| PLANTED.iter().any(|planted| text.contains(planted));
        // The errors say it to the operator, or this test would look for nothing.
        assert!(answers.iter().filter(|(words, _)| holds(words)).count() >= 20);
        for (words, answer) in answers {
            assert!(!holds(&format!("{answer:?}")), "{words}: {answer:?}");
        }
    }

    #[test]
    fn every_answer_is_one_sentence_or_two_and_has_a_code_word() {
        for (words, answer) in every_answer() {
            let line = answer.body.strip_suffix(".\n").unwrap();
            assert!(
                line.len() < 80 && line.starts_with(|c: char| c.is_ascii_uppercase()),
                "{line}"
            );
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{words}: {line}");
            assert!(answer.code.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()));
            assert!(answer.headers.contains(&("cache-control", String::from("no-store"))));
        }
    }

    #[test]
    fn the_page_has_a_row_for_every_answer_to_an_act() {
        every_answer().iter().for_each(|(_, answer)| is_documented(answer));
    }

    #[test]
    fn no_failed_act_is_401_so_that_no_client_forgets_its_token() {
        for (words, answer) in every_answer() {
            assert!(matches!(answer.status, 403 | 404 | 409 | 422 | 503), "{words}: {answer:?}");
            let challenges = answer.headers.iter().filter(|(name, _)| *name == "www-authenticate");
            assert_eq!(challenges.count(), 0);
        }
    }

    #[test]
    fn a_failure_is_503_and_asks_for_another_try_unless_it_may_have_been_done() {
        for failed in every_failure() {
            let may_be_done = failed.may_be_done();
            let answer = Answer::from(&failed);
            let retries = answer.headers.iter().any(|(name, _)| *name == "retry-after");
            assert_eq!((answer.status, retries), (503, !may_be_done), "{failed}");
            let code = if may_be_done { "outcome_unknown" } else { "unavailable" };
            assert_eq!(answer.code, code);
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said_without_the_text() {
        let error = Label::new("acme_secret\0").unwrap_err();
        let body = Answer::from(&error).body;
        assert_eq!(
            body,
            "The label has a forbidden character, number 12 from its beginning; remove it.\n"
        );
    }

    #[test]
    fn a_longest_life_is_said_in_words_that_are_never_longer_than_it() {
        for (seconds, words) in [
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (3599, "59 minutes"),
            (7200, "2 hours"),
            (86_399, "23 hours"),
            (90 * 86_400, "90 days"),
            (90 * 86_400 - 1, "89 days"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
