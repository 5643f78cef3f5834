//! Answers that many endpoints share, for the OpenAPI document.
#![expect(dead_code, reason = "these types document answers that Problem gives")]

use crate::http::problem::ProblemDocument;
use utoipa::IntoResponses;

/// The API key or token is missing, wrong, expired or revoked.
#[derive(IntoResponses)]
#[response(status = 401, content_type = "application/problem+json")]
pub(crate) struct Unauthorized(ProblemDocument);

/// The account has no such trunk.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchTrunk(ProblemDocument);

/// The account has no such call.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchCall(ProblemDocument);

/// The account has no such refusal.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchRefusal(ProblemDocument);

/// A field or parameter is wrong; `errors` names each.
#[derive(IntoResponses)]
#[response(status = 422, content_type = "application/problem+json")]
pub(crate) struct InvalidFields(ProblemDocument);

/// The database, or the call path, does not answer. `Retry-After` says when to try again.
#[derive(IntoResponses)]
#[response(status = 503, content_type = "application/problem+json")]
pub(crate) struct NoAnswer(ProblemDocument);
