//! Requests of the node to URLs that somebody else chose.
//!
//! A tenant must not turn the node against its own network. So a URL is read as browsers read it (which makes one address of all its
//! spellings), a name is looked up here, every address is looked at by the [`AddressPolicy`], and the connection goes to the very
//! address that was looked at. There are no redirects, no proxies from the environment, and bounds on time and size.

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tandem_model::AddressPolicy;
use url::Host;

/// Looks names up.
#[async_trait]
pub trait Names: Send + Sync + 'static {
    /// Every address of a name.
    ///
    /// # Errors
    /// There is no such name, or nobody can tell.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Sends requests to URLs that somebody else chose.
#[async_trait]
pub trait Outgoing: Send + Sync + 'static {
    /// Whether a URL may be asked, as far as it can be told without looking its name up.
    ///
    /// # Errors
    /// [`UrlError`].
    fn check(&self, url: &str) -> Result<(), UrlError>;

    /// Posts a body.
    ///
    /// # Errors
    /// [`OutgoingError`]; that there is an answer says nothing of its status.
    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<OutgoingAnswer, OutgoingError>;
}

/// An answer. Its body is of no interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingAnswer {
    /// The HTTP status.
    pub status: u16,
    /// What its `Retry-After` says, in seconds (RFC 9110 §10.2.3); a date is not read.
    pub retry_after: Option<Duration>,
}

/// Why a URL is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is none.
    #[error("must be a URL, such as https://example.com/hooks")]
    Syntax,
    /// It is too long.
    #[error("must have at most {MAX_URL} characters")]
    Length,
    /// Its scheme.
    #[error("must be https; http is for networks that the operator names in TANDEM_PEER_ALLOW")]
    Scheme,
    /// It has a user or a password.
    #[error("must hold no user and no password")]
    Credentials,
    /// Its address.
    #[error("leads to a private or reserved network, which the operator would have to name in TANDEM_PEER_ALLOW")]
    Address,
}

/// Why there is no answer. What it says is shown to tenants, and tells nothing of the networks of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// The URL may not be asked.
    #[error("the URL {0}")]
    Url(#[from] UrlError),
    /// Its name stands for no address that may be asked.
    #[error("the name has no address that may be asked")]
    NotPermitted,
    /// Its name stands for nothing.
    #[error("the name cannot be looked up")]
    Unresolvable,
    /// No connection.
    #[error("no connection could be made")]
    Connect,
    /// No answer in time.
    #[error("there was no answer in time")]
    Timeout,
    /// Something else: the connection broke, or what came was no HTTP.
    #[error("the connection broke")]
    Broken,
    /// The answer is too long.
    #[error("the answer is too long")]
    TooLong,
    /// This host has no certificates, or cannot speak TLS.
    #[error("the node has no certificates to check others by")]
    NoTls,
}

/// The one client for all that the node asks for on somebody else's behalf.
#[derive(Clone)]
pub struct OutgoingClient {
    names: Arc<dyn Names>,
    policy: AddressPolicy,
    timeout: Duration,
    /// For `https` and for `http`; each is made when it is first needed.
    clients: Arc<[OnceLock<Option<Client>>; 2]>,
}

impl OutgoingClient {
    /// A client that looks names up here, asks only these addresses, and waits so long for an answer.
    #[must_use]
    pub fn new(names: Arc<dyn Names>, policy: AddressPolicy, timeout: Duration) -> Self {
        Self { names, policy, timeout, clients: Arc::default() }
    }

    /// Whether a URL can be asked by this host.
    ///
    /// # Errors
    /// [`OutgoingError::Url`] and [`OutgoingError::NoTls`].
    pub fn prepare(&self, url: &str) -> Result<(), OutgoingError> {
        let url = self.read(url)?;
        self.client(&url).map(drop)
    }

    /// The body of what a URL answers with a success.
    ///
    /// # Errors
    /// [`OutgoingError`]; `Ok(Err(status))` is an answer of another status.
    pub async fn get(&self, url: &str, most_bytes: usize) -> Result<Result<Vec<u8>, u16>, OutgoingError> {
        let url = self.read(url)?;
        let mut response = self.client(&url)?.get(url).send().await.map_err(|error| failure(&error))?;
        if !response.status().is_success() {
            return Ok(Err(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + part.len() > most_bytes {
                return Err(OutgoingError::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(Ok(body))
    }

    /// A URL that may be asked.
    fn read(&self, text: &str) -> Result<Url, UrlError> {
        if text.chars().count() > MAX_URL {
            return Err(UrlError::Length);
        }
        let url = Url::parse(text).map_err(|_| UrlError::Syntax)?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(UrlError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if is_plain && self.policy.opens_nothing() {
            return Err(UrlError::Scheme);
        }
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(name)) if !name.is_empty() => return Ok(url),
            Some(Host::Domain(_)) | None => return Err(UrlError::Syntax),
        };
        match permits(&self.policy, is_plain, address) {
            true => Ok(url),
            false if is_plain && self.policy.permits(address) => Err(UrlError::Scheme),
            false => Err(UrlError::Address),
        }
    }

    fn client(&self, url: &Url) -> Result<&Client, OutgoingError> {
        let is_plain = url.scheme() == "http";
        let [tls, plain] = &*self.clients;
        let made = if is_plain { plain } else { tls }.get_or_init(|| {
            let permitted = Permitted { names: Arc::clone(&self.names), policy: self.policy.clone(), is_plain };
            let builder = Client::builder().https_only(!is_plain);
            // Without TLS there is no need for certificates, which a small machine may not have.
            let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
            let built = builder
                .no_proxy()
                .redirect(Policy::none())
                .referer(false)
                .connect_timeout(self.timeout)
                .timeout(self.timeout)
                .pool_max_idle_per_host(MAX_IDLE)
                .dns_resolver(Arc::new(permitted))
                .build();
            built.inspect_err(|error| tracing::error!(%error, "no client for requests of the node can be made")).ok()
        });
        made.as_ref().ok_or(OutgoingError::NoTls)
    }
}

#[async_trait]
impl Outgoing for OutgoingClient {
    fn check(&self, url: &str) -> Result<(), UrlError> {
        self.read(url).map(drop)
    }

    async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<OutgoingAnswer, OutgoingError> {
        let url = self.read(url)?;
        let mut request = self.client(&url)?.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        // Read to its end, the connection can be used again; but not for ever.
        let mut read = 0;
        while let Ok(Some(part)) = response.chunk().await {
            read += part.len();
            if read > MAX_ANSWER {
                break;
            }
        }
        Ok(OutgoingAnswer { status, retry_after: retry_after.map(Duration::from_secs) })
    }
}

/// Without TLS only what the operator has opened may be asked.
fn permits(policy: &AddressPolicy, is_plain: bool, address: IpAddr) -> bool {
    if is_plain { policy.opens(address) } else { policy.permits(address) }
}

/// Names stand for addresses that may be asked, and the connection goes to one of those.
struct Permitted {
    names: Arc<dyn Names>,
    policy: AddressPolicy,
    is_plain: bool,
}

/// A name stands for addresses, but for none that may be asked.
#[derive(Debug, thiserror::Error)]
#[error("no address of it may be asked; name its network in TANDEM_PEER_ALLOW if it is private")]
struct NoneIsPermitted;

/// A name that cannot be looked up.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be looked up: {0}")]
struct NotFound(io::Error);

impl Resolve for Permitted {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, policy, is_plain) = (Arc::clone(&self.names), self.policy.clone(), self.is_plain);
        Box::pin(async move {
            let found = names.addresses(name.as_str()).await.map_err(NotFound)?;
            let permitted: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| permits(&policy, is_plain, *address))
                .take(MAX_ADDRESSES)
                .map(|address| (address, 0).into())
                .collect();
            if permitted.is_empty() {
                return Err(NoneIsPermitted.into());
            }
            let permitted: Addrs = Box::new(permitted.into_iter());
            Ok(permitted)
        })
    }
}

/// What is said of a failure.
fn failure(error: &reqwest::Error) -> OutgoingError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<NoneIsPermitted>() {
            return OutgoingError::NotPermitted;
        }
        if error.is::<NotFound>() {
            return OutgoingError::Unresolvable;
        }
        cause = error.source();
    }
    if error.is_timeout() {
        OutgoingError::Timeout
    } else if error.is_connect() {
        OutgoingError::Connect
    } else {
        OutgoingError::Broken
    }
}

/// What browsers and servers take.
const MAX_URL: usize = 2_048;
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// Connections to one host that wait for the next request.
const MAX_IDLE: usize = 4;
/// Bytes of an answer's body that are read for the sake of its connection.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers with each of these in turn, and with the last one from then on.
    struct Script(Mutex<VecDeque<IpAddr>>);

    #[async_trait]
    impl Names for Script {
        async fn addresses(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            let mut addresses = self.0.lock().unwrap();
            let next = if addresses.len() > 1 { addresses.pop_front() } else { addresses.front().copied() };
            next.map(|address| vec![address]).ok_or_else(|| io::Error::other("no such name"))
        }
    }

    fn client(allowed: &[&str], addresses: &[&str]) -> OutgoingClient {
        let policy = AddressPolicy::new(allowed.iter().map(|range| range.parse().unwrap()).collect());
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        OutgoingClient::new(Arc::new(Script(Mutex::new(addresses))), policy, Duration::from_secs(2))
    }

    /// A server inside, which answers each connection with these bytes and counts them.
    async fn inside(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, count)
    }

    #[tokio::test]
    async fn no_spelling_of_a_url_leads_inside() {
        let (address, connections) = inside("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        let port = address.port();
        let forms = [
            "https://127.0.0.1:PORT/",
            "https://127.1:PORT/",
            "https://127.0.1:PORT/",
            "https://2130706433:PORT/",
            "https://0x7f000001:PORT/",
            "https://0x7f.0.0.1:PORT/",
            "https://0x7f.1:PORT/",
            "https://017700000001:PORT/",
            "https://0177.0.0.1:PORT/",
            "https://0177.0x0.0.01:PORT/",
            "https://127.0.0.1.:PORT/",
            "https://127.0.0.2:PORT/",
            "https://127.255.255.254:PORT/",
            "https://0:PORT/",
            "https://0.0.0.0:PORT/",
            "https://localhost:PORT/",
            "https://LOCALHOST:PORT/",
            "https://localhost.:PORT/",
            "https://any.name.example:PORT/",
            "https://[::1]:PORT/",
            "https://[::]:PORT/",
            "https://[0:0:0:0:0:0:0:1]:PORT/",
            "https://[::ffff:127.0.0.1]:PORT/",
            "https://[::ffff:7f00:1]:PORT/",
            "https://[::127.0.0.1]:PORT/",
            "https://[64:ff9b::7f00:1]:PORT/",
            "https://[2002:7f00:1::]:PORT/",
            "https://[fe80::1]:PORT/",
            "https://[fc00::1]:PORT/",
            "https://１２７.０.０.１:PORT/",
            "https://①②⑦.⓪.⓪.①:PORT/",
            "https://127。0。0。1:PORT/",
            "https://%31%32%37.0.0.1:PORT/",
            "https://me@127.0.0.1:PORT/",
            "https://example.com@127.0.0.1:PORT/",
            "https://example.com:PORT@127.0.0.1:PORT/",
            "https:\\\\127.0.0.1:PORT/",
            "https:127.0.0.1:PORT/",
            "https://\t127.0.0.1:PORT/",
            "http://127.0.0.1:PORT/",
            "http://localhost:PORT/",
            "https://169.254.169.254/latest/meta-data/",
            "https://10.0.0.1:PORT/",
            "https://192.168.0.1:PORT/",
            "https://100.64.0.1:PORT/",
            "gopher://127.0.0.1:PORT/",
            "file:///etc/passwd",
            "ftp://127.0.0.1:PORT/",
            "//127.0.0.1:PORT/",
            "https://",
            "https:///",
            "",
        ];
        assert!(forms.len() >= 40);
        let client = client(&[], &["127.0.0.1"]);
        for form in forms {
            let url = form.replace("PORT", &port.to_string());
            let refused = client.post(&url, &[], Vec::new()).await.unwrap_err();
            assert!(matches!(refused, OutgoingError::Url(_) | OutgoingError::NotPermitted), "{url}: {refused:?}");
            assert!(client.get(&url, 1).await.is_err(), "{url}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_name_is_looked_at_each_time_it_is_looked_up() {
        let (address, connections) = inside("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        // First an address that may be asked, where nobody answers in time or at all; then one inside.
        let client = client(&["127.0.0.9/32"], &["127.0.0.9", "127.0.0.1", "127.0.0.1"]);
        let url = format!("http://rebinding.example:{}/", address.port());
        assert_eq!(client.post(&url, &[], Vec::new()).await, Err(OutgoingError::Connect));
        assert_eq!(client.post(&url, &[], Vec::new()).await, Err(OutgoingError::NotPermitted));
        assert_eq!(client.post(&url, &[], Vec::new()).await, Err(OutgoingError::NotPermitted));
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (inner, reached) = inside("HTTP/1.1 204 No Content\r\n\r\n").await;
        let to_metadata = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n";
        let (outer, asked) = inside(to_metadata).await;
        let client = client(&["127.0.0.0/8"], &[]);
        let answer = client.post(&format!("http://{outer}/"), &[], Vec::new()).await.unwrap();
        assert_eq!((answer.status, asked.load(Ordering::SeqCst)), (302, 1));
        assert_eq!(client.get(&format!("http://{outer}/"), 10).await, Ok(Err(302)));
        assert_eq!(reached.load(Ordering::SeqCst), 0);
        let answer = client.post(&format!("http://{inner}/"), &[], Vec::new()).await.unwrap();
        assert_eq!(answer.status, 204, "what the operator opened may be asked without TLS");
    }

    #[tokio::test]
    async fn names_and_answers_have_bounds() {
        let (address, _) = inside("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater").await;
        let client = client(&["127.0.0.0/8"], &[]);
        let answer =
            client.post(&format!("http://{address}/"), &[("x-a", "b".to_owned())], b"{}".to_vec()).await.unwrap();
        assert_eq!(answer, OutgoingAnswer { status: 503, retry_after: Some(Duration::from_secs(7)) });
        let nowhere = client.post("http://unknown.example/", &[], Vec::new()).await;
        assert_eq!(nowhere, Err(OutgoingError::Unresolvable));
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL));
        assert_eq!(client.check(&long), Err(UrlError::Length));
        assert_eq!(client.check("http://8.8.8.8/"), Err(UrlError::Scheme), "outside there is always TLS");
        assert_eq!(client.check("https://8.8.8.8/"), Ok(()));
        let (big, _) = inside("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789").await;
        assert_eq!(client.get(&format!("http://{big}/"), 19).await, Err(OutgoingError::TooLong));
    }
}
