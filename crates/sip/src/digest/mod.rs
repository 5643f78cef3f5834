//! Digest authentication, client side (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! [`challenges`] reads the challenges of a 401 or 407 that can be answered, the one to answer first, and
//! [`Challenge::answer`] writes the header value. A [`Challenge`] is a plain value: the caller keeps it to answer
//! further requests, with a nonce count that goes up. Whose credentials fit which realm, and when to give up, is the
//! caller's decision.

mod challenge;

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroizing;

use crate::message::{HeaderName, HeaderValue, Method, scan::write_quoted};

pub use challenge::{challenges, strongest};

/// A challenge of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// From a proxy (407): answered with Proxy-Authorization.
    pub proxy: bool,
    /// The realm, unquoted; may be empty.
    pub realm: String,
    /// The nonce, unquoted; never empty.
    pub nonce: String,
    /// To be sent back as it is.
    pub opaque: Option<String>,
    /// The digest algorithm.
    pub algorithm: Algorithm,
    /// Whether the challenge named it; only then does the answer, for the sake of RFC 2069 servers.
    pub names_algorithm: bool,
    /// The quality of protection that we answer with.
    pub qop: Option<Qop>,
    /// The nonce was too old and the credentials were right: try again with this one.
    pub stale: bool,
}

/// A digest algorithm that we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`, also when none is named.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-512-256`.
    Sha512Trunc256,
    /// `SHA-512-256-sess`.
    Sha512Trunc256Sess,
}

/// Quality of protection. Without one the digest is that of RFC 2069.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`.
    Auth,
    /// `auth-int`: only when it is the only one offered.
    AuthInt,
}

/// What is needed to answer a challenge.
#[derive(Clone, Copy)] // no Debug: it holds a password
pub struct Answer<'a> {
    /// The user name, without quotes.
    pub username: &'a str,
    /// The password.
    pub password: &'a str,
    /// The method of the request that carries the answer.
    pub method: &'a Method,
    /// Its Request-URI, exactly as it is written in the request.
    pub uri: &'a str,
    /// Its body, for `auth-int`.
    pub body: &'a [u8],
    /// Fresh random text; hexadecimal digits.
    pub cnonce: &'a str,
    /// How many requests with this nonce were sent, this one included; the first is 1.
    pub nonce_count: u32,
}

impl Challenge {
    /// The header that answers it goes by this name.
    pub fn answer_name(&self) -> HeaderName {
        if self.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization }
    }

    /// The value of Authorization or Proxy-Authorization that answers it.
    pub fn answer(&self, answer: &Answer<'_>) -> HeaderValue {
        let mut value = String::with_capacity(256);
        // Writing to a String cannot fail.
        let _infallible = self.write_answer(&mut value, answer);
        HeaderValue::cleaned(&value)
    }

    fn write_answer(&self, value: &mut String, answer: &Answer<'_>) -> std::fmt::Result {
        value.push_str("Digest username=");
        write_quoted(value, answer.username)?;
        value.push_str(", realm=");
        write_quoted(value, &self.realm)?;
        value.push_str(", nonce=");
        write_quoted(value, &self.nonce)?;
        value.push_str(", uri=");
        write_quoted(value, answer.uri)?;
        write!(value, ", response=\"{}\"", self.response(answer))?;
        if self.names_algorithm {
            write!(value, ", algorithm={}", self.algorithm.as_str())?;
        }
        if let Some(qop) = self.qop {
            write!(value, ", qop={}, nc={:08x}", qop.as_str(), answer.nonce_count)?;
        }
        if self.qop.is_some() || self.algorithm.is_session() {
            value.push_str(", cnonce=");
            write_quoted(value, answer.cnonce)?;
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(", opaque=");
            write_quoted(value, opaque)?;
        }
        Ok(())
    }

    /// `request-digest` (RFC 7616 §3.4.1; without qop that of RFC 2069 §2.1.2).
    fn response(&self, answer: &Answer<'_>) -> String {
        let algorithm = self.algorithm;
        let mut secret = Zeroizing::new(algorithm.hash(&[answer.username, ":", &self.realm, ":", answer.password]));
        if algorithm.is_session() {
            secret = Zeroizing::new(algorithm.hash(&[secret.as_str(), ":", &self.nonce, ":", answer.cnonce]));
        }
        let request = match self.qop {
            None | Some(Qop::Auth) => algorithm.hash(&[answer.method.as_str(), ":", answer.uri]),
            Some(Qop::AuthInt) => {
                let body = algorithm.hash_octets(&[answer.body]);
                algorithm.hash(&[answer.method.as_str(), ":", answer.uri, ":", &body])
            }
        };
        match self.qop {
            None => algorithm.hash(&[secret.as_str(), ":", &self.nonce, ":", &request]),
            Some(qop) => {
                let count = format!("{:08x}", answer.nonce_count);
                let parts = [&self.nonce, ":", &count, ":", answer.cnonce, ":", qop.as_str(), ":", &request];
                algorithm.hash(&[&[secret.as_str(), ":"][..], &parts].concat())
            }
        }
    }
}

impl Algorithm {
    const ALL: [Self; 6] =
        [Self::Md5, Self::Md5Sess, Self::Sha256, Self::Sha256Sess, Self::Sha512Trunc256, Self::Sha512Trunc256Sess];

    /// The algorithm of that name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// The name as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512Trunc256 => "SHA-512-256",
            Self::Sha512Trunc256Sess => "SHA-512-256-sess",
        }
    }

    fn is_session(self) -> bool {
        match self {
            Self::Md5Sess | Self::Sha256Sess | Self::Sha512Trunc256Sess => true,
            Self::Md5 | Self::Sha256 | Self::Sha512Trunc256 => false,
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        let octets: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.hash_octets(&octets)
    }

    fn hash_octets(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 | Self::Md5Sess => hex_digest::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => hex_digest::<Sha256>(parts),
            Self::Sha512Trunc256 | Self::Sha512Trunc256Sess => hex_digest::<Sha512_256>(parts),
        }
    }
}

impl Qop {
    /// The name as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

fn hex_digest<D: Digest>(parts: &[&[u8]]) -> String {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}
