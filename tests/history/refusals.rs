//! The engine's errors as the refusals of a history.

use app_tokens::error::{
    AuthError, ChangeError, DenialReason, Failed, Forbidden, IssueError, LifeError, ManageError,
    Missing,
};
use app_tokens::record::Status;

use super::program::Refusal;

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal::Ended(match status {
            Status::Active => return Refusal::Failed("ended, and active".into()),
            Status::Idle => DenialReason::Idle,
            Status::Expired => DenialReason::Expired,
            Status::Superseded => DenialReason::Superseded,
            Status::Tampered => DenialReason::Tampered,
            Status::Revoked => DenialReason::Revoked,
        })
    }
}

impl From<Failed> for Refusal {
    fn from(error: Failed) -> Refusal {
        Refusal::Failed(error.to_string())
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Refusal {
        match error {
            AuthError::Denied(denied) => Refusal::Ended(denied.reason()),
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<Forbidden> for Refusal {
    fn from(forbidden: Forbidden) -> Refusal {
        match forbidden.missing() {
            Missing::Network => Refusal::Outside,
            other => Refusal::Failed(format!("{other:?}")),
        }
    }
}

impl From<ManageError> for Refusal {
    fn from(error: ManageError) -> Refusal {
        match error {
            ManageError::Unknown => Refusal::Ended(DenialReason::Unknown),
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Refusal {
        match error {
            IssueError::NotUnderThis => Refusal::NotUnderThis,
            IssueError::ParentChanged => Refusal::ParentChanged,
            IssueError::MoreAccess => Refusal::MoreAccess,
            IssueError::LimitReached { .. } => Refusal::LimitReached,
            IssueError::LabelTaken => Refusal::LabelTaken,
            other => Refusal::Failed(other.to_string()),
        }
    }
}

impl From<ChangeError> for Refusal {
    fn from(error: ChangeError) -> Refusal {
        match error {
            ChangeError::Unknown => Refusal::Ended(DenialReason::Unknown),
            ChangeError::NotActive(status) => status.into(),
            ChangeError::MoreAccess | ChangeError::NarrowedApart => Refusal::MoreAccess,
            ChangeError::Life(LifeError::NoLife) => Refusal::NoLife,
            ChangeError::Derived => Refusal::Derived,
            ChangeError::LabelTaken => Refusal::LabelTaken,
            ChangeError::Rotated { .. } => Refusal::Rotated,
            ChangeError::Overlapping { .. } => Refusal::Overlapping,
            ChangeError::OverlapWithLess => Refusal::OverlapWithLess,
            ChangeError::Conflict => Refusal::Conflict,
            other => Refusal::Failed(other.to_string()),
        }
    }
}
