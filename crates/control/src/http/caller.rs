use crate::Services;
use crate::http::client_address::ClientAddress;
use crate::http::dry_run::is_dry_run;
use crate::http::envelope::RequestId;
use crate::http::etag::expected_version;
use crate::http::permission::Needs;
use crate::http::problem::{Problem, ProblemCode};
use crate::service::{Asked, Caller};
use axum::BoxError;
use axum::body::Bytes;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use futures_util::{Stream, StreamExt, stream};
use std::sync::Arc;
use tandem_model::{Permissions, Secret};

/// Who asks, as far as the bearer tells: found out once for each request, before its endpoint.
#[derive(Clone)]
pub(super) struct Presented(pub(super) Result<Option<Caller>, Problem>);

impl FromRequestParts<Services> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let presented = match parts.extensions.remove() {
            Some(Presented(presented)) => presented?,
            None => match bearer(&parts.headers) {
                Some(bearer) => services.access.authenticate(bearer).await?,
                None => None,
            },
        };
        let caller = presented.ok_or_else(|| unauthorized(&parts.headers))?;
        let needed = needed(parts)?;
        let mut caller = match parts.headers.get(ACT_AS) {
            None => caller,
            Some(account) => {
                // What is no UUID is no account.
                let account = account.to_str().ok().and_then(|text| text.trim().parse().ok());
                let account = account.ok_or_else(|| Problem::new(ProblemCode::AccountNotFound, NO_ACCOUNT))?;
                Box::pin(services.access.act_for(caller, account)).await?
            }
        };
        caller.require_all(needed)?;
        caller.request = asked(parts)?;
        Ok(caller)
    }
}

/// By what an answer was allowed that takes its time, so that it can be asked again while it goes on.
pub(super) struct Standing {
    services: Services,
    bearer: Secret,
    needed: Permissions,
}

/// The bearer was revoked, or may less than it could, while an answer was under way.
#[derive(Debug, thiserror::Error)]
#[error("the caller may have no more of it")]
struct Withdrawn;

impl FromRequestParts<Services> for Standing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let bearer = Secret::new(bearer(&parts.headers).unwrap_or_default());
        Ok(Self { services: services.clone(), bearer, needed: needed(parts)? })
    }
}

impl Standing {
    /// The parts of an answer for as long as the caller may have them: asked before each is read, so that somebody whose key was revoked
    /// gets no page that is not there already. Then the answer breaks off, and is seen not to be whole.
    pub(super) fn guard<E: Into<BoxError>>(
        self,
        caller: Caller,
        parts: impl Stream<Item = Result<Bytes, E>>,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> {
        stream::unfold((self, caller, Box::pin(parts)), async |(standing, caller, mut parts)| {
            let Self { services, bearer, needed } = &standing;
            let part = if services.access.is_still_good(bearer.expose(), &caller, *needed).await {
                parts.next().await?.map_err(Into::into)
            } else {
                tracing::info!(account = %caller.account_id(), actor = %caller.actor.name, "an export breaks off: its caller may have no more of it");
                Err(Withdrawn.into())
            };
            Some((part, (standing, caller, parts)))
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let asked = asked(parts)?;
        if asked.dry_run {
            // It would tell whether a password is right, and not be counted.
            let message = "is not for signing in; leave it out";
            return Err(Problem::of_field(ProblemCode::InvalidField, "dry_run", message));
        }
        Ok(asked)
    }
}

/// How a request asks.
fn asked(parts: &Parts) -> Result<Asked, Problem> {
    Ok(Asked {
        source: parts.extensions.get().map(|ClientAddress(address)| *address),
        request_id: parts.extensions.get().map(|RequestId(id)| Arc::clone(id)),
        dry_run: is_dry_run(parts)?,
        expected_version: expected_version(parts)?,
    })
}

/// What the endpoint asks of its caller. One that was registered without saying so lets nobody in.
fn needed(parts: &Parts) -> Result<Permissions, Problem> {
    match parts.extensions.get() {
        Some(Needs(permissions)) => Ok(*permissions),
        None => {
            tracing::error!(path = parts.uri.path(), "an endpoint does not say what its caller must be allowed to do");
            Err(Problem::new(ProblemCode::Forbidden, "nobody may do this"))
        }
    }
}

fn unauthorized(headers: &HeaderMap) -> Problem {
    let detail = match bearer(headers) {
        None => "send an API key or an access token: Authorization: Bearer KEY",
        Some(_) => "the API key or token is unknown, expired or was revoked",
    };
    Problem::new(ProblemCode::Unauthorized, detail)
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    // The scheme is compared without case (RFC 9110 §11.1).
    let (scheme, key) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| key.trim())
}

const SCHEME: &str = "bearer ";

/// The account that an admin of the node acts for.
const ACT_AS: HeaderName = HeaderName::from_static("x-act-as");
/// What is said of an account that is not there.
pub(super) const NO_ACCOUNT: &str = "X-Act-As names no account of the node";

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{Request, StatusCode};
    use tandem_model::Permission;

    #[test]
    fn an_endpoint_that_declares_no_permission_lets_nobody_in() {
        let (mut parts, ()) = Request::new(()).into_parts();
        assert_eq!(needed(&parts).unwrap_err().status(), StatusCode::FORBIDDEN);
        let calls = Permissions::of(&[Permission::Calls]);
        parts.extensions.insert(Needs(calls));
        assert_eq!(needed(&parts).unwrap(), calls);
    }
}
