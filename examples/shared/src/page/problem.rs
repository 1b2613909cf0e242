//! What the page says when the engine refuses an act or fails.

use app_tokens::error::{ChangeError, IssueError, LifeError, ManageError};
use app_tokens::record::Status;
use app_tokens::web::Answer;
use axum::http::StatusCode;
use axum::response::Response;

use super::form::Problems;
use super::layout::capital;
use super::{Page, SignedIn, times};

/// An error of any act.
pub(super) enum Refused {
    Change(ChangeError),
    Manage(ManageError),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Refused {
        Refused::Change(error)
    }
}

impl From<ManageError> for Refused {
    fn from(error: ManageError) -> Refused {
        Refused::Manage(error)
    }
}

impl Page {
    /// Makes the page for an act that was refused. It names no other owner's token.
    pub(super) fn refused(&self, error: &Refused, who: &SignedIn) -> Response {
        let error = match error {
            Refused::Manage(ManageError::Failed(failed)) => return self.failed(failed, who),
            Refused::Change(ChangeError::Failed(failed)) => return self.failed(failed, who),
            Refused::Manage(_) | Refused::Change(ChangeError::Unknown) => {
                return self.no_such_token(Some(who));
            }
            Refused::Change(error) => error,
        };
        let one = self.setup().wording.one;
        let (heading, what_to_do) = match error {
            ChangeError::NotActive(Status::Revoked) => {
                (format!("This {one} was revoked"), "Make another one.")
            }
            ChangeError::NotActive(_) => (format!("This {one} has ended"), "Make another one."),
            ChangeError::Rotated { .. } => {
                (format!("This {one} was replaced"), "Look at the newer one in the list.")
            }
            ChangeError::Overlapping { .. } => {
                ("The old one still works".into(), "End it first, and then try again.")
            }
            ChangeError::Conflict => {
                ("It was changed meanwhile".into(), "Look at the list, and decide anew.")
            }
            ChangeError::MoreAccess | ChangeError::NarrowedApart => {
                (format!("This {one} can't get more access"), "Make another one that has it.")
            }
            error => (capital(&words_of_change(error, one)), "Go back and change it."),
        };
        self.problem(status_of(Answer::from(error).status), &heading, what_to_do, Some(who))
    }

    pub(super) fn no_such_token(&self, who: Option<&SignedIn>) -> Response {
        let heading = format!("There is no such {}", self.setup().wording.one);
        let what_to_do = "It may have been erased. Look at the list.";
        self.problem(StatusCode::NOT_FOUND, &heading, what_to_do, who)
    }

    /// Makes the page for a token that is not made, if its form has no field to blame.
    pub fn not_made(&self, error: &IssueError, label: &str, who: &SignedIn) -> Response {
        let mut problems = Problems::default();
        if let Err(failed) = self.blame(error, label, &mut problems, who) {
            return *failed;
        }
        let (heading, words) = problems
            .iter()
            .next()
            .map_or(("It can't be made", "Try again."), |first| (&*first.summary, &*first.words));
        self.problem(StatusCode::CONFLICT, heading, words, Some(who))
    }

    /// Puts what the engine refused beside the field that it is about. `Err` if it failed.
    pub(super) fn blame(
        &self,
        error: &IssueError,
        label: &str,
        problems: &mut Problems,
        who: &SignedIn,
    ) -> Result<(), Box<Response>> {
        let many = self.setup().wording.many;
        match error {
            IssueError::Failed(failed) => return Err(Box::new(self.failed(failed, who))),
            IssueError::Invalid(why) => {
                problems.add("label", "The name can't be used", label_words(&why.to_string()));
            }
            IssueError::LabelTaken => {
                let summary = format!("Another of your {many} has this name");
                let words = format!("There is already a “{label}”. Add what tells them apart.");
                problems.add("label", &summary, words);
            }
            IssueError::Life(life) => problems.add("end", "The end can't be used", end_words(life)),
            IssueError::LimitReached { limit } => {
                let words =
                    format!("You have {limit} {many}, and no more are allowed. Revoke one.");
                problems.add("label", &format!("There are too many {many}"), words);
            }
            _ => problems.add("access", "It may not do this", "Choose less."),
        }
        Ok(())
    }
}

/// Says what is wrong with an end, and what to do.
pub(super) fn end_words(error: &LifeError) -> String {
    match error {
        LifeError::NoLife => "This day is over. Choose a later one.".into(),
        LifeError::TooLong { max } => {
            format!("Choose an earlier day: {} is the longest here.", times::in_words(*max))
        }
        LifeError::NeverNotAllowed => "It must end. Choose when.".into(),
        _ => "Choose an earlier day.".into(),
    }
}

/// Says what is wrong with a name. The engine calls it a label.
pub(super) fn label_words(why: &str) -> String {
    let why = why.replacen("the label", "the name", 1);
    match why.as_str() {
        "the name is empty" => "Write a name.".into(),
        "the name has no visible character" => "Write a name that can be seen.".into(),
        why => format!("{}. Write another.", capital(why)),
    }
}

fn words_of_change(error: &ChangeError, one: &str) -> String {
    match error {
        ChangeError::Invalid(why) => label_words(&why.to_string()),
        ChangeError::LabelTaken => "another one has this name".into(),
        ChangeError::Life(life) => end_words(life),
        ChangeError::OverlapTooLong { max } => {
            format!("the old one may stay for at most {}", times::in_words(*max))
        }
        ChangeError::OverlapWithLess => "the old one can't stay if the new one may do less".into(),
        ChangeError::Derived => format!("this {one} can't get a later end"),
        _ => "this can't be done".into(),
    }
}

fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT)
}
