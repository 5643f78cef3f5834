use crate::http::problem::{Problem, ProblemCode};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

/// Whether a request only asks what would happen: everything is checked and answered as usual, and nothing is changed.
///
/// # Errors
/// A problem when `dry_run` is neither `true` nor `false`: whoever sends it must not find out afterwards that it was for real.
pub(super) fn is_dry_run(parts: &Parts) -> Result<bool, Problem> {
    read(&parts.method, &parts.uri)
        .ok_or_else(|| Problem::of_field(ProblemCode::InvalidField, DRY_RUN, "must be true or false"))
}

/// The same, before it is known whether the request is fit.
pub(super) fn asks_for_dry_run(method: &Method, uri: &Uri) -> bool {
    read(method, uri) == Some(true)
}

/// Marks the answer to a request that has changed nothing.
pub(super) fn mark(headers: &mut HeaderMap) {
    headers.insert(MARK, HeaderValue::from_static("true"));
}

fn read(method: &Method, uri: &Uri) -> Option<bool> {
    // Reads change nothing anyway.
    let query = if method.is_safe() { None } else { uri.query() };
    let Some(query) = query else { return Some(false) };
    match url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == DRY_RUN) {
        None => Some(false),
        Some((_, value)) => value.parse().ok(),
    }
}

const DRY_RUN: &str = "dry_run";
const MARK: HeaderName = HeaderName::from_static("dry-run");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_would_change_something_is_tried_and_only_when_it_says_so() {
        for (method, target, expected) in [
            (Method::POST, "/trunks", Some(false)),
            (Method::POST, "/trunks?dry_run=true", Some(true)),
            (Method::DELETE, "/trunks/1?a=b&dry_run=true", Some(true)),
            (Method::PUT, "/trunks/1?dry_run=false", Some(false)),
            (Method::PUT, "/trunks/1?dry_run=1", None),
            (Method::PUT, "/trunks/1?dry_run=", None),
            (Method::PUT, "/trunks/1?dry_run", None),
            (Method::GET, "/trunks?dry_run=true", Some(false)),
        ] {
            assert_eq!(read(&method, &target.parse().unwrap()), expected, "{method} {target}");
        }
    }
}
