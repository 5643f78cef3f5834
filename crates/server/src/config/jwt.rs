use reqwest::Url;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Whose tokens are taken beside our own keys and sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlatformTokensConfig {
    /// The `iss` that they have.
    pub(crate) issuer: String,
    /// The `aud` that they have.
    pub(crate) audience: String,
    /// Who signs them.
    pub(crate) keys: PlatformKeysConfig,
}

/// Where the keys of the platform are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlatformKeysConfig {
    /// A file with a secret, or with a public key in PEM.
    File(PathBuf),
    /// A published set.
    Url(Url),
}

/// Why a text is no issuer or audience.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error("must have 1 to {MAX_NAME_BYTES} bytes")]
    Length,
    #[error("is the issuer of the node's own tokens; the platform's must be another")]
    Ours,
}

/// Why a text is no address of a set of keys.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("{0:?} is not a URL, as https://id.example.com/keys")]
    Syntax(String),
    #[error(
        "must be https: who can change the keys on the way can make tokens (http is for addresses of this host alone)"
    )]
    Plain,
    #[error("may hold no user and no password")]
    Credentials,
}

pub(super) fn issuer(text: &str) -> Result<String, NameError> {
    if text == OUR_ISSUER { Err(NameError::Ours) } else { name(text) }
}

pub(super) fn audience(text: &str) -> Result<String, NameError> {
    name(text)
}

pub(super) fn key_set(text: &str) -> Result<Url, KeySetError> {
    let url = Url::from_str(text).map_err(|_| KeySetError::Syntax(text.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(KeySetError::Credentials);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if address_of(&url).is_some_and(|address| address.is_loopback()) => Ok(url),
        "http" => Err(KeySetError::Plain),
        _ => Err(KeySetError::Syntax(text.to_owned())),
    }
}

/// The address that stands in a URL instead of a name.
pub(super) fn address_of(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn name(text: &str) -> Result<String, NameError> {
    if (1..=MAX_NAME_BYTES).contains(&text.len()) { Ok(text.to_owned()) } else { Err(NameError::Length) }
}

/// What the node writes into its own tokens.
const OUR_ISSUER: &str = "tandem";
/// Most are URLs.
const MAX_NAME_BYTES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_host() {
        for right in ["https://id.example.com/keys", "http://127.0.0.1:9000/keys", "http://[::1]/keys"] {
            assert!(key_set(right).is_ok(), "{right}");
        }
        for wrong in ["http://id.example.com/keys", "http://192.0.2.1/keys", "http://localhost/keys"] {
            assert_eq!(key_set(wrong), Err(KeySetError::Plain), "{wrong}");
        }
        for wrong in ["", "id.example.com", "file:///etc/keys", "ftp://id.example.com/"] {
            assert!(matches!(key_set(wrong), Err(KeySetError::Syntax(_))), "{wrong}");
        }
        assert_eq!(key_set("https://me:secret@id.example.com/"), Err(KeySetError::Credentials));
    }

    #[test]
    fn the_platform_is_not_the_node() {
        assert_eq!(issuer("tandem"), Err(NameError::Ours));
        assert_eq!(issuer(""), Err(NameError::Length));
        assert_eq!(issuer("https://id.example.com"), Ok("https://id.example.com".to_owned()));
    }
}
