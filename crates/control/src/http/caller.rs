use crate::Services;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::Caller;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

impl FromRequestParts<Services> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let missing = "send an API key: Authorization: Bearer KEY";
        let key = bearer(parts).ok_or_else(|| Problem::new(ProblemCode::Unauthorized, missing))?;
        let caller = services.access.authenticate(key).await?;
        caller.ok_or_else(|| Problem::new(ProblemCode::Unauthorized, "the API key is unknown or was revoked"))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The scheme is compared without case (RFC 9110 §11.1).
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
