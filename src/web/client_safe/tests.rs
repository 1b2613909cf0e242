use std::time::Duration;

use super::super::answer::tests::is_documented;
use super::*;
use crate::error::OrphanRow;
use crate::key::KeyId;
use crate::random::Secret;
use crate::record::{Expires, Status, StatusUnclear};
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
        Failed::OtherImportKey(id()),
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
        "2026-03-01".parse::<Expires>().unwrap_err(),
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
        assert!(line.len() < 80 && line.starts_with(|c: char| c.is_ascii_uppercase()), "{line}");
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
