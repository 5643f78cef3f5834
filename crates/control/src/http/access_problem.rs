//! What goes wrong with keys, users and sessions, as clients read it.

use crate::http::caller::NO_ACCOUNT;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::{
    ActForError, AuthenticateError, ChangePasswordError, CreateKeyError, CreateUserError, EditUserError,
    EndSessionError, FindKeyError, Forbidden, PasswordsError, SignInError,
};
use std::time::Duration;
use tandem_store::{DatabaseError, MAX_LIVE_KEYS, MAX_USERS};

impl From<Forbidden> for Problem {
    fn from(error: Forbidden) -> Self {
        Self::new(ProblemCode::Forbidden, error.to_string())
    }
}

impl From<AuthenticateError> for Problem {
    fn from(error: AuthenticateError) -> Self {
        match error {
            AuthenticateError::Keys(error) => {
                tracing::warn!(%error, "a token of the platform cannot be checked");
                Self::new(
                    ProblemCode::PlatformKeysUnavailable,
                    "the platform's keys cannot be fetched, so its tokens cannot be checked; try again in a moment",
                )
            }
            AuthenticateError::Database(error) => error.into(),
        }
    }
}

impl From<ActForError> for Problem {
    fn from(error: ActForError) -> Self {
        match error {
            ActForError::Forbidden(error) => error.into(),
            ActForError::UnknownAccount => Self::new(ProblemCode::AccountNotFound, NO_ACCOUNT),
            ActForError::Database(error) => error.into(),
        }
    }
}

impl From<PasswordsError> for Problem {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy => Self::new(
                ProblemCode::PasswordsBusy,
                "as many passwords as may be are being looked at; try again in a moment",
            ),
            PasswordsError::AccountBusy => Self::new(
                ProblemCode::PasswordsBusy,
                "as many passwords as may be are being looked at for the account; send fewer at once",
            ),
            PasswordsError::Randomness(error) => DatabaseError::Randomness(error).into(),
        }
    }
}

impl From<CreateKeyError> for Problem {
    fn from(error: CreateKeyError) -> Self {
        match error {
            CreateKeyError::Forbidden(error) => error.into(),
            CreateKeyError::Invalid(error) => error.into(),
            CreateKeyError::TooMany => Self::new(
                ProblemCode::ApiKeyLimitReached,
                format!("the account has its {MAX_LIVE_KEYS} keys; revoke those that nobody uses"),
            ),
            CreateKeyError::MakerRevoked => Self::new(ProblemCode::Unauthorized, "the API key was revoked"),
            CreateKeyError::InUse => Self::new(
                ProblemCode::ApiKeyInUse,
                "an earlier try of this request has made a key, which was used or revoked since; ask for another under another Idempotency-Key",
            ),
            CreateKeyError::Database(error) => error.into(),
        }
    }
}

impl From<FindKeyError> for Problem {
    fn from(error: FindKeyError) -> Self {
        match error {
            FindKeyError::Forbidden(error) => error.into(),
            FindKeyError::NotFound => Self::no_such("API key"),
            FindKeyError::Stale(error) => error.into(),
            FindKeyError::Database(error) => error.into(),
        }
    }
}

impl From<CreateUserError> for Problem {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::Forbidden(error) => error.into(),
            CreateUserError::EmailTaken => Self::of_field(
                ProblemCode::EmailTaken,
                "email",
                "is that of a user already; each belongs to one account",
            ),
            CreateUserError::TooMany => Self::new(
                ProblemCode::UserLimitReached,
                format!("the account has its {MAX_USERS} users; remove those who have left"),
            ),
            CreateUserError::Passwords(error) => error.into(),
            CreateUserError::Database(error) => error.into(),
        }
    }
}

impl From<EditUserError> for Problem {
    fn from(error: EditUserError) -> Self {
        match error {
            EditUserError::Forbidden(error) => error.into(),
            EditUserError::NotFound => Self::no_such("user"),
            EditUserError::LastAdmin => Self::new(
                ProblemCode::LastAdmin,
                "this is the only admin of the account; make another user an admin first",
            ),
            EditUserError::Stale(error) => error.into(),
            EditUserError::Passwords(error) => error.into(),
            EditUserError::Database(error) => error.into(),
        }
    }
}

impl From<ChangePasswordError> for Problem {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Forbidden(error) => error.into(),
            ChangePasswordError::WrongPassword => {
                Self::of_field(ProblemCode::InvalidField, "current_password", "is not the current password")
            }
            ChangePasswordError::Locked(wait) => too_many(wait),
            ChangePasswordError::Passwords(error) => error.into(),
            ChangePasswordError::Database(error) => error.into(),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        let detail = match error {
            SignInError::TooMany(wait) => return too_many(wait),
            SignInError::Passwords(error) => return error.into(),
            SignInError::Database(error) => return error.into(),
            SignInError::WrongPassword => "the e-mail address or the password is wrong",
            SignInError::WrongLink => {
                "the sign-in link is unknown, was used before, or is too old; have a new one made"
            }
            SignInError::WrongRefreshToken => {
                "the refresh token is unknown, was used before, or is too old; sign in again"
            }
        };
        Self::new(ProblemCode::SignInFailed, detail)
    }
}

fn too_many(wait: Duration) -> Problem {
    // Rounded up: a second too early would be refused once more.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let detail = format!("there were too many wrong attempts; try again in {seconds} s");
    Problem::new(ProblemCode::TooManyAttempts, detail).retry_after(seconds)
}

impl From<EndSessionError> for Problem {
    fn from(error: EndSessionError) -> Self {
        match error {
            EndSessionError::Forbidden(error) => error.into(),
            EndSessionError::NotFound => Self::no_such("session"),
            EndSessionError::Database(error) => error.into(),
        }
    }
}
