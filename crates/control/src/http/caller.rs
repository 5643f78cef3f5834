use crate::Services;
use crate::http::permission::Needs;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::Caller;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, header};

impl FromRequestParts<Services> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let missing = "send an API key or an access token: Authorization: Bearer KEY";
        let bearer = bearer(parts).ok_or_else(|| Problem::new(ProblemCode::Unauthorized, missing))?;
        let wrong = "the API key or token is unknown, expired or was revoked";
        let caller = services.access.authenticate(bearer).await?;
        let caller = caller.ok_or_else(|| Problem::new(ProblemCode::Unauthorized, wrong))?;
        let Some(Needs(permission)) = parts.extensions.get() else {
            tracing::error!("an endpoint asks who calls and does not say what they must be allowed to do");
            return Err(Problem::new(ProblemCode::Forbidden, "nobody may do this"));
        };
        let caller = match parts.headers.get(ACT_AS) {
            None => caller,
            Some(account) => {
                // What is no UUID is no account.
                let account = account.to_str().ok().and_then(|text| text.trim().parse().ok());
                let account = account.ok_or_else(|| Problem::new(ProblemCode::AccountNotFound, NO_ACCOUNT))?;
                services.access.act_for(caller, account).await?
            }
        };
        caller.require(*permission)?;
        Ok(caller)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The scheme is compared without case (RFC 9110 §11.1).
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The account that an admin of the node acts for.
const ACT_AS: HeaderName = HeaderName::from_static("x-act-as");
/// What is said of an account that is not there.
pub(super) const NO_ACCOUNT: &str = "X-Act-As names no account of the node";
