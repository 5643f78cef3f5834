use serde_json::Value;
use std::collections::BTreeMap;

/// Which headers may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderPolicy {
    /// On a trunk: all but those that the SIP stack owns.
    Trunk,
    /// On one call: `X-…` and a short list of others.
    Call,
}

/// Reads an object of header names and values.
pub(crate) fn headers_of(value: &Value, policy: HeaderPolicy) -> Result<BTreeMap<String, String>, String> {
    let object = value.as_object().ok_or_else(|| "must be an object of strings".to_owned())?;
    if object.len() > MAX_HEADERS {
        return Err(format!("must have at most {MAX_HEADERS} headers"));
    }
    let mut headers = BTreeMap::new();
    for (name, value) in object {
        let value = value.as_str().ok_or_else(|| format!("the value of {name:?} must be a string"))?;
        check_name(name, policy)?;
        check_value(name, value)?;
        if headers.keys().any(|known: &String| known.eq_ignore_ascii_case(name)) {
            return Err(format!("{name} is there twice"));
        }
        headers.insert(name.clone(), value.to_owned());
    }
    Ok(headers)
}

fn check_name(name: &str, policy: HeaderPolicy) -> Result<(), String> {
    // RFC 3261 §25.1 token.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) {
        return Err(format!("{:?} is no header name", name.chars().take(MAX_NAME).collect::<String>()));
    }
    let lower = name.to_ascii_lowercase();
    match policy {
        // Single letters are compact forms (RFC 3261 §7.3.3), most of them of headers that the stack owns.
        HeaderPolicy::Trunk
            if lower.len() == 1
                || STACK_OWNED.contains(&lower.as_str())
                || lower.starts_with("content-")
                || lower.starts_with("proxy-") =>
        {
            Err(format!("{name} is written by the SIP stack and cannot be set"))
        }
        HeaderPolicy::Call if !lower.starts_with("x-") && !ON_A_CALL.contains(&lower.as_str()) => {
            Err(format!("{name} cannot be set on a call; X-… and these can: {}", ON_A_CALL.join(", ")))
        }
        HeaderPolicy::Trunk | HeaderPolicy::Call => Ok(()),
    }
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    if value.len() > MAX_VALUE {
        return Err(format!("the value of {name} must have at most {MAX_VALUE} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("the value of {name} must not have line breaks or other control characters"));
    }
    Ok(())
}

/// Headers that decide where a message goes, whose it is, or what the dialog is: setting them would break the call.
const STACK_OWNED: &[&str] = &[
    "allow",
    "authorization",
    "call-id",
    "contact",
    "cseq",
    "from",
    "max-forwards",
    "min-se",
    "rack",
    "record-route",
    "replaces",
    "require",
    "route",
    "rseq",
    "session-expires",
    "supported",
    "to",
    "via",
    "www-authenticate",
];

/// What a single call may say beside `X-…`: texts for people and for the far application, nothing about identity.
const ON_A_CALL: &[&str] =
    &["accept-language", "alert-info", "call-info", "priority", "privacy", "subject", "user-to-user"];

/// Headers of one trunk or call; with names and values they still fit one UDP datagram beside the rest of an INVITE.
const MAX_HEADERS: usize = 32;
/// Longest name.
const MAX_NAME: usize = 64;
/// Longest value.
const MAX_VALUE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_the_headers_of_the_stack_to_the_stack() {
        for name in [
            "Via",
            "FROM",
            "to",
            "Call-ID",
            "CSeq",
            "Contact",
            "Route",
            "Record-Route",
            "Max-Forwards",
            "Content-Type",
            "Proxy-Authorization",
            "Authorization",
            "v",
            "l",
        ] {
            assert!(headers_of(&json!({name: "x"}), HeaderPolicy::Trunk).is_err(), "{name}");
        }
        assert!(headers_of(&json!({"X-Tenant": "7", "P-Charge-Info": "sip:a@b"}), HeaderPolicy::Trunk).is_ok());
    }

    #[test]
    fn refuses_what_would_break_the_message() {
        for body in [
            json!({"X-A": "a\r\nVia: b"}),
            json!({"X A": "b"}),
            json!({"": "b"}),
            json!({"X-A": 5}),
            json!({"X-A": "\u{0}"}),
            json!({"X-A": "a", "x-a": "b"}),
            json!([]),
        ] {
            assert!(headers_of(&body, HeaderPolicy::Trunk).is_err(), "{body}");
        }
        assert!(headers_of(&json!({"X-A": "b".repeat(513)}), HeaderPolicy::Call).is_err());
    }

    #[test]
    fn a_call_says_only_what_is_harmless() {
        assert!(headers_of(&json!({"X-Tag": "1", "Subject": "hello"}), HeaderPolicy::Call).is_ok());
        assert!(headers_of(&json!({"P-Asserted-Identity": "sip:a@b"}), HeaderPolicy::Call).is_err());
    }
}
