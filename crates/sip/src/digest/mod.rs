//! Digest authentication, client side (RFC 7616, RFC 8760, RFC 3261 §22).
//!
//! [`challenges`] reads the challenges of a 401 or 407 that can be answered, the one to answer first, and
//! [`Challenge::answer`] writes the header value. A [`Challenge`] is a plain value: the caller keeps it to answer
//! further requests, with a nonce count that goes up. Whose credentials fit which realm, and when to give up, is the
//! caller's decision.

use crate::message::{HeaderValue, Message, Method};

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
    /// The quality of protection that we answer with.
    pub qop: Option<Qop>,
    /// The nonce was too old and the credentials were right: try again with this one.
    pub stale: bool,
}

/// A digest algorithm that we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy)]
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

/// All Digest challenges of a 401 or 407 that we could answer, topmost first (RFC 8760 §2.4 prefers the topmost).
///
/// WWW-Authenticate and Proxy-Authenticate are both read. Challenges of other schemes, of unknown algorithms,
/// without realm or nonce, or malformed ones are left out: they cannot be answered.
pub fn challenges(response: &Message<'_>) -> Vec<Challenge> {
    todo!()
}

impl Challenge {
    /// The value of Authorization or Proxy-Authorization that answers it.
    pub fn answer(&self, answer: &Answer<'_>) -> HeaderValue {
        todo!()
    }
}
