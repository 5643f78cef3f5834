use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tandem_model::{Secret, SessionId, Timestamp, UserId};
use tandem_store::Store;
use uuid::Uuid;

/// Makes and reads the access tokens of people who have signed in: JSON Web Tokens (RFC 7519) with HMAC-SHA256, by a key derived from
/// the master key, so that every node that shares it takes them.
pub(crate) struct SessionTokens {
    store: Store,
}

/// What an access token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionClaims {
    pub(crate) session: SessionId,
    pub(crate) user: UserId,
    /// When it no longer counts, the leeway for clocks included.
    pub(crate) expires_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    sid: Uuid,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl SessionTokens {
    pub(super) fn new(store: &Store) -> Self {
        Self { store: store.clone() }
    }

    /// A token that counts for [`ACCESS_LIFE`].
    pub(super) fn issue(&self, session: SessionId, user: UserId, now: Timestamp) -> Secret {
        let issued = now.unix_millis() / 1_000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.as_uuid(),
            sid: session.as_uuid(),
            iat: issued,
            nbf: issued,
            exp: issued + ACCESS_LIFE.as_secs(),
        };
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::HS256) };
        let key = EncodingKey::from_secret(self.store.derived_key(PURPOSE).as_slice());
        Secret::new(jsonwebtoken::encode(&header, &claims, &key).expect("claims of text and numbers are JSON"))
    }

    /// What the token says, if it is one of ours that counts now.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Option<SessionClaims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.kid.as_deref() != Some(KEY_ID) || header.crit.is_some() {
            return None;
        }
        let validation = validation(Algorithm::HS256, ISSUER, AUDIENCE);
        // While the master key is being replaced there are two.
        let claims: Claims = self.store.derived_keys(PURPOSE).iter().find_map(|key| {
            let key = DecodingKey::from_secret(key.as_slice());
            jsonwebtoken::decode(token, &key, &validation).ok().map(|token| token.claims)
        })?;
        let now_seconds = now.unix_millis() / 1_000;
        let expires = claims.exp.saturating_add(LEEWAY.as_secs());
        if now_seconds >= expires || claims.nbf > now_seconds.saturating_add(LEEWAY.as_secs()) {
            return None;
        }
        Some(SessionClaims {
            session: SessionId::from_uuid(claims.sid),
            user: UserId::from_uuid(claims.sub),
            expires_at: Timestamp::from_unix_micros(0).saturating_add(Duration::from_secs(expires)),
        })
    }
}

/// One algorithm, one issuer, one audience, all there. Times are compared with the node's clock by whoever asks.
pub(super) fn validation(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// How long an access token counts; what it may do is asked of the store each time.
pub(crate) const ACCESS_LIFE: Duration = Duration::from_secs(15 * 60);
/// Clocks differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(60);
/// The issuer of our own tokens. No platform may have it.
const ISSUER: &str = "tandem";
const AUDIENCE: &str = "tandem-api";
/// What the signing key is derived for.
const PURPOSE: &str = "session access tokens 1";
/// Tells our own tokens from those of a platform. It only chooses the key; the signature decides.
const KEY_ID: &str = "tandem-session";
