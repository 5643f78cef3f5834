use crate::config::{Config, PlatformKeysConfig};
use async_trait::async_trait;
use reqwest::Url;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tandem_control::{
    KeySet, OutgoingClient, OutgoingError, PlatformKey, PlatformKeyError, PlatformKeys, PlatformTokenSettings,
};

/// Why tokens of the platform cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    #[error("TANDEM_JWT_KEY_FILE {path:?} cannot be read: {source}; let this user read it")]
    Read { path: PathBuf, source: io::Error },
    #[error("TANDEM_JWT_KEY_FILE {path:?} {source}")]
    Key { path: PathBuf, source: PlatformKeyError },
    #[error("the set of keys at TANDEM_JWT_JWKS_URL cannot be fetched: {0}")]
    Client(#[from] OutgoingError),
}

/// Whose tokens are taken beside our own, as the configuration has it.
pub(super) fn tokens(
    config: &Config,
    outgoing: &OutgoingClient,
) -> Result<Option<PlatformTokenSettings>, PlatformError> {
    let Some(platform) = &config.platform_tokens else {
        return Ok(None);
    };
    let keys = match &platform.keys {
        PlatformKeysConfig::File(path) => {
            let content = std::fs::read(path).map_err(|source| PlatformError::Read { path: path.clone(), source })?;
            let key = PlatformKey::of_file(&content);
            PlatformKeys::Fixed(key.map_err(|source| PlatformError::Key { path: path.clone(), source })?)
        }
        PlatformKeysConfig::Url(url) => PlatformKeys::Published(Arc::new(PublishedSet::new(url, outgoing)?)),
    };
    Ok(Some(PlatformTokenSettings { issuer: platform.issuer.clone(), audience: platform.audience.clone(), keys }))
}

/// A set of keys behind a URL.
struct PublishedSet {
    url: String,
    client: OutgoingClient,
}

impl PublishedSet {
    fn new(url: &Url, outgoing: &OutgoingClient) -> Result<Self, PlatformError> {
        outgoing.prepare(url.as_str())?;
        Ok(Self { url: url.to_string(), client: outgoing.clone() })
    }
}

#[async_trait]
impl KeySet for PublishedSet {
    async fn fetch(&self) -> Result<String, String> {
        match self.client.get(&self.url, MAX_SET).await {
            Ok(Ok(text)) => String::from_utf8(text).map_err(|_| "it is no text".to_owned()),
            Ok(Err(status)) => Err(format!("the answer was {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A set has a key or three, of some hundred bytes each.
const MAX_SET: usize = 256 * 1024;
