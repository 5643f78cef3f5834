use crate::Services;
use crate::http::ClientAddress;
use crate::http::problem::Problem;
use crate::service::{Caller, OfNode};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;

/// Somebody who may read the numbers of the whole node, over all accounts: on its host, or with a key of the operator's account.
pub(in crate::http) struct NodeReader;

impl FromRequestParts<Services> for NodeReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        if is_local(parts) {
            return Ok(Self);
        }
        let caller = Caller::from_request_parts(parts, services).await?;
        caller.require_node(OfNode::Metrics)?;
        Ok(Self)
    }
}

/// Whether it comes from a program on this host, and not from a proxy there that passes on what the world sends.
fn is_local(parts: &Parts) -> bool {
    let is_loopback = parts.extensions.get().is_some_and(|ClientAddress(address)| address.is_loopback());
    is_loopback && PASSED_ON.iter().all(|name| !parts.headers.contains_key(*name))
}

/// What proxies add to a request that they pass on.
const PASSED_ON: [&str; 6] =
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via"];

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn parts(address: Option<&str>, header: Option<&str>) -> Parts {
        let mut request = Request::builder();
        if let Some(name) = header {
            request = request.header(name, "x");
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(address) = address {
            parts.extensions.insert(ClientAddress(address.parse().unwrap()));
        }
        parts
    }

    #[test]
    fn only_programs_of_this_host_are_local() {
        assert!(is_local(&parts(Some("127.0.0.1"), None)));
        assert!(is_local(&parts(Some("::1"), None)));
        assert!(!is_local(&parts(Some("192.0.2.1"), None)));
        assert!(!is_local(&parts(None, None)));
    }

    #[test]
    fn what_a_proxy_of_this_host_passes_on_is_not_local() {
        for name in PASSED_ON {
            assert!(!is_local(&parts(Some("127.0.0.1"), Some(name))), "{name}");
        }
    }
}
