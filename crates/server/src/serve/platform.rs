use crate::config::{Config, PlatformKeysConfig};
use crate::runtime::dns;
use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tandem_control::{KeySet, PlatformKey, PlatformKeyError, PlatformKeys, PlatformTokenSettings};
use tandem_model::AddressPolicy;

/// Why tokens of the platform cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    #[error("TANDEM_JWT_KEY_FILE {path:?} cannot be read: {source}; let this user read it")]
    Read { path: PathBuf, source: io::Error },
    #[error("TANDEM_JWT_KEY_FILE {path:?} {source}")]
    Key { path: PathBuf, source: PlatformKeyError },
    #[error("the set of keys at TANDEM_JWT_JWKS_URL cannot be fetched: {0}")]
    Client(#[from] reqwest::Error),
    #[error("DNS cannot be used: {0}")]
    Dns(String),
}

/// Whose tokens are taken beside our own, as the configuration has it.
pub(super) fn tokens(config: &Config) -> Result<Option<PlatformTokenSettings>, PlatformError> {
    let Some(platform) = &config.platform_tokens else {
        return Ok(None);
    };
    let keys = match &platform.keys {
        PlatformKeysConfig::File(path) => {
            let content = std::fs::read(path).map_err(|source| PlatformError::Read { path: path.clone(), source })?;
            let key = PlatformKey::of_file(&content);
            PlatformKeys::Fixed(key.map_err(|source| PlatformError::Key { path: path.clone(), source })?)
        }
        PlatformKeysConfig::Url(url) => PlatformKeys::Published(Arc::new(PublishedSet::new(url, config)?)),
    };
    Ok(Some(PlatformTokenSettings { issuer: platform.issuer.clone(), audience: platform.audience.clone(), keys }))
}

/// A set of keys behind a URL.
struct PublishedSet {
    url: Url,
    client: reqwest::Client,
}

impl PublishedSet {
    fn new(url: &Url, config: &Config) -> Result<Self, PlatformError> {
        let dns = dns(&config.dns_servers).map_err(|error| PlatformError::Dns(error.to_string()))?;
        let permitted = Permitted { dns, policy: AddressPolicy::new(config.peer_allow.clone()) };
        let builder = reqwest::Client::builder();
        // A URL with an address and no TLS needs no certificates, which a small machine may not have.
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .dns_resolver(Arc::new(permitted))
            .build()?;
        Ok(Self { url: url.clone(), client })
    }

    async fn text(&self) -> Result<Vec<u8>, reqwest::Error> {
        let mut response = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await? {
            text.extend_from_slice(&part);
            if text.len() > MAX_SET {
                break;
            }
        }
        Ok(text)
    }
}

#[async_trait]
impl KeySet for PublishedSet {
    async fn fetch(&self) -> Result<String, String> {
        let text = self.text().await.map_err(|error| told(&error))?;
        if text.len() > MAX_SET {
            return Err(format!("it has more than {MAX_SET} bytes"));
        }
        String::from_utf8(text).map_err(|_| "it is no text".to_owned())
    }
}

/// An error with what caused it: the outer one alone says little.
fn told(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

/// Names stand for addresses that may be asked, and the connection goes to the very address that was looked at.
struct Permitted {
    dns: TokioResolver,
    policy: AddressPolicy,
}

impl Resolve for Permitted {
    fn resolve(&self, name: Name) -> Resolving {
        let (dns, policy) = (self.dns.clone(), self.policy.clone());
        Box::pin(async move {
            let found = dns.lookup_ip(name.as_str()).await?;
            let permitted: Vec<SocketAddr> =
                found.iter().filter(|address| policy.permits(*address)).map(|address| (address, 0).into()).collect();
            if permitted.is_empty() {
                let refused =
                    "it has no address that may be asked; name its network in TANDEM_PEER_ALLOW if it is private";
                return Err(io::Error::other(refused).into());
            }
            let permitted: Addrs = Box::new(permitted.into_iter());
            Ok(permitted)
        })
    }
}

/// A request that waits for it holds up one client only, but for long enough.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A set has a key or three, of some hundred bytes each.
const MAX_SET: usize = 256 * 1024;
