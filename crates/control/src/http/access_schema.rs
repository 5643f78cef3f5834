//! Request bodies about keys, users and sessions, as the OpenAPI document shows them. `wire` reads them; a test keeps the two alike.
#![expect(dead_code, reason = "these types document JSON that wire reads field by field")]

use crate::http::model_schema;
use crate::http::problem::ProblemDocument;
use utoipa::{IntoResponses, ToSchema};

/// A key to be made. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct ApiKeyCreate {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What it may do: no more than who makes it.
    #[schema(value_type = Vec<model_schema::Permission>, min_items = 1)]
    scopes: (),
    /// From when on it no longer counts; never when it is left out. A key that a key makes does not outlive it: it ends with its maker when this
    /// is left out, and a later end is refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: (),
}

/// A user to be added. Unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct UserCreate {
    /// Unique on the node.
    #[schema(min_length = 3, max_length = 254, examples("zoe@example.com"))]
    email: String,
    /// For people; else the e-mail address.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    #[schema(inline, value_type = model_schema::Role)]
    role: (),
    /// Made and shown once when it is left out.
    #[schema(min_length = 12, max_length = 128, format = Password, write_only)]
    password: Option<String>,
}

/// A change of a user. What is left out stays; unknown fields are refused.
#[derive(ToSchema)]
pub(crate) struct UserUpdate {
    #[schema(required = false, min_length = 1, max_length = 100)]
    name: String,
    #[schema(required = false, inline, value_type = model_schema::Role)]
    role: (),
    /// Ends every session of the user.
    #[schema(required = false, min_length = 12, max_length = 128, format = Password, write_only)]
    password: String,
}

/// A change of one's own password.
#[derive(ToSchema)]
pub(crate) struct PasswordChange {
    #[schema(min_length = 1, max_length = 512, format = Password, write_only)]
    current_password: String,
    #[schema(min_length = 12, max_length = 128, format = Password, write_only)]
    new_password: String,
}

/// Who wants to sign in: `email` and `password`, or `link_token`.
#[derive(ToSchema)]
pub(crate) struct SignIn {
    #[schema(min_length = 1, max_length = 254)]
    email: Option<String>,
    #[schema(min_length = 1, max_length = 512, format = Password, write_only)]
    password: Option<String>,
    /// What a one-time sign-in link has behind `#sign-in=`.
    #[schema(min_length = 1, max_length = 512, format = Password, write_only)]
    link_token: Option<String>,
}

/// A refresh token, which is spent by it.
#[derive(ToSchema)]
pub(crate) struct SessionRefresh {
    #[schema(min_length = 1, max_length = 512, format = Password, write_only)]
    refresh_token: String,
}

/// The account has no such API key.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchKey(ProblemDocument);

/// The account has no such user.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchUser(ProblemDocument);

/// There is no such session, or not for the caller.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchSession(ProblemDocument);

/// There were too many wrong attempts. `Retry-After` says when the next may be.
#[derive(IntoResponses)]
#[response(status = 429, content_type = "application/problem+json")]
pub(crate) struct TooManyAttempts(ProblemDocument);

/// What was sent is wrong. It does not say whether there is such a user.
#[derive(IntoResponses)]
#[response(status = 401, content_type = "application/problem+json")]
pub(crate) struct SignInFailed(ProblemDocument);
