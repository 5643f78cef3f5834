use crate::wire::fields::Fields;
use serde_json::{Map, Value};
use tandem_model::{
    MAX_BILLING_INCREMENT, MAX_OPTIONS_INTERVAL_SECONDS, MAX_RTP_TIMEOUT_SECONDS, SrtpPolicy, Transport,
};

/// Checks the known keys of `advanced_config` and keeps the others. `None` only when an error was noted.
pub(crate) fn read_advanced_config(fields: &mut Fields) -> Option<Map<String, Value>> {
    let kept: Map<String, Value> = fields.remaining().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    for name in secret_keys(&kept) {
        fields.refuse(
            &name,
            "looks like a secret, and advanced_config is shown in answers; use sip_password or auth_password",
        );
    }
    check_transport(fields);
    check_srtp(fields);
    check_inbound_auth(fields);
    if fields.boolean("register").value() == Some(true) {
        fields.refuse(
            "register",
            "registration is not built yet; leave it out, and let the carrier send to this address",
        );
    }
    fields.integer("register_expires", REGISTER_SECONDS);
    fields.integer("options_interval", 0..=MAX_OPTIONS_INTERVAL_SECONDS);
    fields.boolean("comedia");
    fields.integer("session_expires", SESSION_SECONDS);
    fields.integer("billing_increment", 1..=u64::from(MAX_BILLING_INCREMENT));
    fields.integer("max_cps", 1..=MAX_CPS);
    fields.integer("rtp_timeout", 0..=MAX_RTP_TIMEOUT_SECONDS);
    // Unknown keys belong to the client or to a later build.
    fields.take_remaining();
    Some(kept)
}

fn check_transport(fields: &mut Fields) {
    let transport = fields.read("transport", |value| {
        let name = value.as_str().ok_or_else(|| "must be a string".to_owned())?;
        name.to_ascii_lowercase().parse::<Transport>().map_err(|error| error.to_string())
    });
    if let Some(transport) = transport.value()
        && !transport.is_supported()
    {
        fields.refuse("transport", format!("{transport} is not built yet; this build speaks udp and tcp"));
    }
}

fn check_srtp(fields: &mut Fields) {
    match fields.choice::<SrtpPolicy>("srtp").value() {
        Some(SrtpPolicy::Require) => fields.refuse("srtp", "SRTP is not built yet; use allow or off"),
        Some(SrtpPolicy::Off | SrtpPolicy::Allow) | None => {}
    }
}

fn check_inbound_auth(fields: &mut Fields) {
    let method = fields.read("inbound_auth", |value| match value.as_str() {
        Some(method @ ("address" | "digest" | "both")) => Ok(method.to_owned()),
        Some(_) | None => Err("must be address, digest or both"),
    });
    if let Some(method) = method.value()
        && method != "address"
    {
        fields.refuse(
            "inbound_auth",
            format!(
                "{method} is not built yet: callers are known by where they call from; use address, and allowed_ips"
            ),
        );
    }
}

/// Paths of keys, at any depth, whose names say that their values are secrets.
fn secret_keys(object: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in object {
        if looks_secret(name) {
            found.push(name.clone());
            continue;
        }
        let inner = match value {
            Value::Object(inner) => secret_keys(inner),
            Value::Array(items) => items.iter().filter_map(Value::as_object).flat_map(secret_keys).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        found.extend(inner.into_iter().map(|path| format!("{name}.{path}")));
    }
    found
}

fn looks_secret(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_WORDS.iter().any(|word| plain.contains(word))
}

/// Words in names of keys that hold secrets, without punctuation.
const SECRET_WORDS: &[&str] = &["password", "passwd", "secret", "token", "apikey", "credential", "privatekey"];
/// Shortest and longest registration: a minute, and the hour of RFC 3261 §10.2 times 24.
const REGISTER_SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;
/// RFC 4028 §4 and §5: not below 90 s; a day at most.
const SESSION_SECONDS: std::ops::RangeInclusive<u64> = 90..=86_400;
/// As `outbound_routing.max_cps`.
const MAX_CPS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_secrets_by_the_names_of_their_keys() {
        for name in ["password", "SIP-Password", "client_secret", "auth_token", "apiKey", "API_KEY", "credentials"] {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["transport", "keepalive", "register_expires", "passthrough"] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
