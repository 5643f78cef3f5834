use crate::http::problem::{Problem, ProblemCode};
use axum::extract::MatchedPath;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use tandem_store::Stale;

/// An answer with the version of what it shows, as an `ETag`.
pub(super) struct Tagged<T>(pub(super) u64, pub(super) T);

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let Self(version, answer) = self;
        let mut response = answer.into_response();
        response.headers_mut().insert(header::ETAG, tag_of(version));
        response
    }
}

/// The version that `If-Match` names; `None` when any will do.
///
/// # Errors
/// A problem when what the request is about has no versions, so that a client that relies on them is not misled; and for a list of tags.
pub(super) fn expected_version(parts: &Parts) -> Result<Option<u64>, Problem> {
    let Some(value) = parts.headers.get(header::IF_MATCH).filter(|_| !parts.method.is_safe()) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !has_versions(&parts.method, path) {
        let detail = "what this request is about has no versions; leave If-Match out";
        return Err(Problem::new(ProblemCode::PreconditionFailed, detail));
    }
    if text.contains(',') {
        return Err(Problem::of_field(ProblemCode::InvalidField, "If-Match", "must be one entity tag, or *"));
    }
    // What is no tag of ours is the tag of nothing: RFC 9110 §13.1.1.
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(NO_VERSION)))
}

/// Whether the operation changes or removes something that has an `ETag`.
pub(super) fn has_versions(method: &Method, path: &str) -> bool {
    let path = path.strip_prefix(super::API_PATH).unwrap_or(path);
    VERSIONED.iter().any(|(known, named)| method.as_str() == *known && path == *named)
}

impl From<Stale> for Problem {
    fn from(Stale { current }: Stale) -> Self {
        let tag = tag_of(current);
        let shown = tag.to_str().unwrap_or_default();
        let detail = format!("it was changed meanwhile: its ETag is {shown} now; read it again");
        Self::new(ProblemCode::PreconditionFailed, detail).tagged(tag)
    }
}

fn tag_of(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version:x}\"")).expect("hexadecimal digits in quotes fit a header")
}

/// The operations that heed `If-Match`.
const VERSIONED: [(&str, &str); 12] = [
    ("PUT", "/trunks/{id}"),
    ("DELETE", "/trunks/{id}"),
    ("PATCH", "/users/{id}"),
    ("DELETE", "/users/{id}"),
    ("PUT", "/calls/{id}"),
    ("PATCH", "/numbers/{id}"),
    ("DELETE", "/numbers/{id}"),
    ("PATCH", "/webhook-endpoints/{id}"),
    ("DELETE", "/webhook-endpoints/{id}"),
    ("DELETE", "/api-keys/{id}"),
    ("PUT", "/retention"),
    ("PUT", "/alert-settings"),
];
/// No row has it.
const NO_VERSION: u64 = 0;
