//! Answering challenges (RFC 3261 §22, RFC 7616, RFC 8760).

use crate::digest::{self, Challenge};
use crate::endpoint::Credentials;
use crate::message::{Header, HeaderName, Message, Request};
use crate::names::Names;

/// The credentials of a session and what became of them.
pub(crate) struct Account {
    credentials: Option<Credentials>,
    /// The one realm that gets answers: the configured one, else the first that challenged.
    realm: Option<String>,
    /// The challenges that the request at hand answers: one from the peer itself, one from a proxy.
    answered: Vec<Answered>,
    rounds: u8,
    stale_rounds: u8,
}

struct Answered {
    challenge: Challenge,
    nonce_count: u32,
}

/// What became of a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenged {
    /// The request now answers it; send it again.
    Answered,
    /// There are no credentials for it, or they were refused.
    Rejected,
    /// There have been too many.
    TooMany,
}

impl Account {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        let realm = credentials.as_ref().and_then(|credentials| credentials.realm.clone());
        Self { credentials, realm, answered: Vec::new(), rounds: 0, stale_rounds: 0 }
    }

    /// Another request begins: the limits count anew.
    pub(crate) fn begin_request(&mut self) {
        self.answered.clear();
        self.rounds = 0;
        self.stale_rounds = 0;
    }

    /// Whether the request at hand carried an answer to a challenge.
    pub(crate) fn has_answered(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Reads the challenge of a 401 or 407 and puts the answer into the request that it is about.
    pub(crate) fn handle_challenge(
        &mut self,
        response: &Message<'_>,
        request: &mut Request,
        names: &mut Names,
    ) -> Challenged {
        let Some(credentials) = &self.credentials else { return Challenged::Rejected };
        let acceptable = |challenge: &Challenge| self.realm.as_ref().is_none_or(|realm| *realm == challenge.realm);
        let Some(challenge) = digest::strongest(digest::challenges(response), acceptable) else {
            return Challenged::Rejected;
        };
        let before = self
            .answered
            .iter()
            .position(|one| one.challenge.proxy == challenge.proxy && one.challenge.realm == challenge.realm);
        match before {
            // The same question again: the credentials were not good enough, unless only the nonce was too old.
            Some(_) if !challenge.stale => return Challenged::Rejected,
            Some(_) if self.stale_rounds == MAX_STALE_ROUNDS => return Challenged::TooMany,
            Some(before) => {
                self.stale_rounds += 1;
                self.answered.remove(before);
            }
            None if self.rounds == MAX_ROUNDS => return Challenged::TooMany,
            None => self.rounds += 1,
        }
        self.realm.get_or_insert_with(|| challenge.realm.clone());
        self.answered.push(Answered { challenge, nonce_count: 0 });

        request.headers.retain(|header| !is_credentials(&header.name));
        let uri = request.uri.to_string();
        for one in &mut self.answered {
            one.nonce_count += 1;
            let cnonce = names.cnonce();
            let value = one.challenge.answer(&digest::Answer {
                username: &credentials.username,
                password: credentials.password.expose(),
                method: &request.method,
                uri: &uri,
                body: request.body.as_ref().map_or(&[], |body| body.bytes.as_slice()),
                cnonce: &cnonce,
                nonce_count: one.nonce_count,
            });
            let name = if one.challenge.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
            request.headers.push(Header::new(name, value));
        }
        Challenged::Answered
    }
}

/// Whether a header answers a challenge.
pub(crate) fn is_credentials(name: &HeaderName) -> bool {
    matches!(name, HeaderName::Authorization | HeaderName::ProxyAuthorization)
}

/// Challenges that one request answers: one from a proxy and one from the server behind it. More would be a peer that
/// has us sign for it without end.
const MAX_ROUNDS: u8 = 2;

/// Answers that may be repeated because the nonce was too old.
const MAX_STALE_ROUNDS: u8 = 1;
