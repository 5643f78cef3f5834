//! Certificates that are right, and those that are wrong in one way; and a web server that shows them.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

/// An authority that a test may tell a program to trust.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Debug)]
pub struct Certificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// Nobody but itself has signed it.
    SelfSigned,
    /// It is for another host.
    OtherHost,
    /// It was good for a day, long ago.
    Expired,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, new_key()).expect("an authority can be made"))
    }
}

impl Authority {
    /// Its certificate, for a file of those that are trusted.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server at an address or of a name, with a flaw.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn certificate(&self, server: &impl ToString, flaw: Flaw) -> Certificate {
        let name = if flaw == Flaw::OtherHost { "192.0.2.99".to_owned() } else { server.to_string() };
        let mut params = CertificateParams::new(vec![name]).expect("a test names servers rightly");
        if flaw == Flaw::Expired {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 1, 2));
        }
        let key = new_key();
        let signed = if flaw == Flaw::SelfSigned { params.self_signed(&key) } else { params.signed_by(&key, &self.0) };
        Certificate { certificate: signed.expect("a certificate can be made"), key }
    }
}

impl Certificate {
    /// The certificate and its key, as a server's files have them.
    #[must_use]
    pub fn pem(&self) -> (String, String) {
        (self.certificate.pem(), self.key.serialize_pem())
    }

    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key);
        Arc::new(config.expect("the key is that of the certificate"))
    }
}

/// A web server with one page, by TLS.
#[derive(Clone, Debug)]
pub struct TlsSite {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    read: usize,
    refused: usize,
}

impl TlsSite {
    /// Starts one on a free port of a host, for as long as the test runs.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(host: IpAddr, certificate: &Certificate, page: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("the address is the test's own");
        let address = listener.local_addr().expect("it is bound");
        let state = State { config: certificate.config(), read: 0, refused: 0 };
        let site = Self { address, state: Arc::new(Mutex::new(state)) };
        let (serving, page) = (site.clone(), page.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = serving.with(|state| Arc::clone(&state.config));
                let connection = ServerConnection::new(config).expect("the configuration is whole");
                let mut stream = StreamOwned::new(connection, stream);
                let mut request = [0; 4_096];
                // A client that does not like the certificate leaves before it asks.
                let asked = stream.read(&mut request).is_ok_and(|octets| octets > 0);
                serving.with(|state| if asked { state.read += 1 } else { state.refused += 1 });
                let length = page.len();
                let _ =
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}");
                let _ = stream.flush();
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        site
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/keys", self.address)
    }

    /// Shows another certificate from now on.
    pub fn show(&self, certificate: &Certificate) {
        self.with(|state| state.config = certificate.config());
    }

    /// How often the page was read, and how often a client left before it.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.with(|state| (state.read, state.refused))
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}
