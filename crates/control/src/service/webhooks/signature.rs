//! The signatures of Standard Webhooks 1.0 (<https://github.com/standard-webhooks/standard-webhooks>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tandem_model::Secret;
use tandem_store::WebhookSecrets;
use zeroize::Zeroizing;

/// The value of `webhook-signature`: one signature for each secret that is good, with a space between them.
pub(super) fn signatures(secrets: &WebhookSecrets, id: &str, seconds: i64, body: &[u8]) -> String {
    let each = [Some(&secrets.secret), secrets.previous.as_ref()];
    let signed: Vec<String> =
        each.into_iter().flatten().filter_map(|secret| signature(secret, id, seconds, body)).collect();
    signed.join(" ")
}

fn signature(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let text = secret.expose();
    let key = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// A new secret: 32 random bytes in base64, after the prefix that receivers and secret scanners know.
pub(super) fn new_secret() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes.as_slice()))))
}

const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference library of Standard Webhooks checks what is signed here.
    #[test]
    fn the_reference_library_takes_either_secret_and_nothing_else() {
        let secrets = WebhookSecrets { secret: new_secret().unwrap(), previous: Some(new_secret().unwrap()) };
        let body = br#"{"type":"call.answered"}"#;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let signed = signatures(&secrets, "0199", i64::try_from(now).unwrap(), body);
        assert_eq!(signed.split(' ').count(), 2);
        let verify = |secret: &Secret, body: &[u8]| {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert("webhook-id", "0199".parse().unwrap());
            headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
            headers.insert("webhook-signature", signed.parse().unwrap());
            standardwebhooks::Webhook::new(secret.expose()).unwrap().verify(body, &headers)
        };
        assert!(verify(&secrets.secret, body).is_ok());
        assert!(verify(secrets.previous.as_ref().unwrap(), body).is_ok());
        assert!(verify(&secrets.secret, b"{}").is_err());
        assert!(verify(&new_secret().unwrap(), body).is_err());
    }
}
