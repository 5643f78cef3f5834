use crate::service::session_tokens::{LEEWAY, validation};
use async_trait::async_trait;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_model::{AccountId, Role, Tier, Timestamp};
use tokio::time::Instant;

/// Which tokens of the platform are taken.
#[derive(Clone)]
pub struct PlatformTokenSettings {
    /// The `iss` that they have.
    pub issuer: String,
    /// The `aud` that they have, or have among others.
    pub audience: String,
    /// Who signs them.
    pub keys: PlatformKeys,
}

/// The keys of the platform.
#[derive(Clone)]
pub enum PlatformKeys {
    /// One that does not change while the process runs.
    Fixed(PlatformKey),
    /// A published set (RFC 7517), which may change.
    Published(Arc<dyn KeySet>),
}

/// Fetches the published keys of the platform.
#[async_trait]
pub trait KeySet: Send + Sync + 'static {
    /// The JSON text of the set as it is now.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    async fn fetch(&self) -> Result<String, String>;
}

/// A key with the one algorithm that it is good for.
#[derive(Clone)]
pub struct PlatformKey {
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Why the content of a file is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformKeyError {
    /// Nothing is signed here.
    #[error("holds a private key; give the public key")]
    Private,
    /// PEM of something else.
    #[error("holds PEM that is no public key of RSA or of the curve P-256")]
    Pem,
    /// A secret that can be guessed.
    #[error("holds a secret of fewer than {MIN_SECRET_BYTES} bytes (RFC 7518 §3.2)")]
    Short,
}

/// No key of the platform is known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys of the platform cannot be fetched")]
pub(crate) struct KeysUnavailable;

impl PlatformKey {
    /// A public key in PEM, for RS256 or ES256; anything else is a secret for HS256. White space around it is not part of it.
    ///
    /// # Errors
    /// [`PlatformKeyError`].
    pub fn of_file(content: &[u8]) -> Result<Self, PlatformKeyError> {
        let content = content.trim_ascii();
        if !content.starts_with(b"-----BEGIN") {
            let is_long = content.len() >= MIN_SECRET_BYTES;
            let secret = || Self { algorithm: Algorithm::HS256, key: DecodingKey::from_secret(content) };
            return is_long.then(secret).ok_or(PlatformKeyError::Short);
        }
        if content.windows(PRIVATE.len()).any(|part| part == PRIVATE) {
            return Err(PlatformKeyError::Private);
        }
        let rsa = || DecodingKey::from_rsa_pem(content).map(|key| Self { algorithm: Algorithm::RS256, key });
        let ec = || DecodingKey::from_ec_pem(content).map(|key| Self { algorithm: Algorithm::ES256, key });
        rsa().or_else(|_| ec()).map_err(|_| PlatformKeyError::Pem)
    }
}

/// What a platform's token says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlatformClaims {
    pub(super) account: AccountId,
    pub(super) role: Role,
    pub(super) tier: Option<Tier>,
    /// 1970 when it does not say.
    pub(super) issued_at: Timestamp,
    /// When it no longer counts, the leeway for clocks included.
    pub(super) expires_at: Timestamp,
}

/// As it is written. What the library has checked is not read again.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
    role: Option<Role>,
    tier: Option<Tier>,
}

/// Reads tokens of the platform.
pub(super) struct PlatformTokens {
    issuer: String,
    audience: String,
    keys: Keys,
}

enum Keys {
    Fixed(PlatformKey),
    Published(Arc<PublishedKeys>),
}

struct PublishedKeys {
    set: Arc<dyn KeySet>,
    known: Mutex<Known>,
    /// Held by who fetches, with when that was last begun.
    fetching: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<(Option<String>, PlatformKey)>,
    fetched_at: Option<Instant>,
}

impl PlatformTokens {
    pub(super) fn new(settings: PlatformTokenSettings) -> Self {
        let PlatformTokenSettings { issuer, audience, keys } = settings;
        let keys = match keys {
            PlatformKeys::Fixed(key) => Keys::Fixed(key),
            PlatformKeys::Published(set) => Keys::Published(Arc::new(PublishedKeys {
                set,
                known: Mutex::default(),
                fetching: tokio::sync::Mutex::default(),
            })),
        };
        Self { issuer, audience, keys }
    }

    /// What the token says, if it is one of the platform that counts now.
    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Option<PlatformClaims>, KeysUnavailable> {
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return Ok(None);
        };
        // Nothing critical is understood here (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return Ok(None);
        }
        let key = match &self.keys {
            Keys::Fixed(key) => Some(key.clone()),
            Keys::Published(keys) => keys.find(header.kid.as_deref()).await?,
        };
        // The key says which algorithm it is for; what the token says must be the same.
        let key = key.filter(|key| key.algorithm == header.alg);
        Ok(key.and_then(|key| {
            let validation = validation(key.algorithm, &self.issuer, &self.audience);
            let claims: Claims = jsonwebtoken::decode(token, &key.key, &validation).ok()?.claims;
            claims.read(now)
        }))
    }
}

impl Claims {
    fn read(&self, now: Timestamp) -> Option<PlatformClaims> {
        let expires_at = moment(self.exp)?.saturating_add(LEEWAY);
        let issued_at = self.iat.map_or(Some(Timestamp::from_unix_micros(0)), moment)?;
        let not_before = self.nbf.map_or(Some(issued_at), moment)?;
        let latest = now.saturating_add(LEEWAY);
        if now >= expires_at || not_before > latest || issued_at > latest {
            return None;
        }
        Some(PlatformClaims {
            account: self.sub.parse().ok()?,
            role: self.role.unwrap_or(Role::Operator),
            tier: self.tier,
            issued_at,
            expires_at,
        })
    }
}

/// A NumericDate (RFC 7519 §2): seconds since 1970, perhaps with a fraction.
fn moment(seconds: f64) -> Option<Timestamp> {
    let since_1970 = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Timestamp::from_unix_micros(0).saturating_add(since_1970))
}

impl PublishedKeys {
    /// The key of this id; the only one there is for a token that names none.
    async fn find(self: &Arc<Self>, kid: Option<&str>) -> Result<Option<PlatformKey>, KeysUnavailable> {
        let (found, age) = self.look(kid);
        match (found, age) {
            (Some(key), Some(age)) if age < FETCH_EVERY => Ok(Some(key)),
            // What was good lately is good while a newer set is fetched beside.
            (Some(key), Some(age)) if age < KEEP => {
                let keys = Arc::clone(self);
                tokio::spawn(async move { keys.refresh().await });
                Ok(Some(key))
            }
            (Some(_) | None, _) => {
                self.refresh().await;
                match self.look(kid) {
                    (found, Some(age)) if age < KEEP => Ok(found),
                    (_, Some(_) | None) => Err(KeysUnavailable),
                }
            }
        }
    }

    fn look(&self, kid: Option<&str>) -> (Option<PlatformKey>, Option<Duration>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match (kid, known.keys.as_slice()) {
            (None, [(_, only)]) => Some(only),
            (None, _) => None,
            (Some(kid), keys) => keys.iter().find(|(id, _)| id.as_deref() == Some(kid)).map(|(_, key)| key),
        };
        (found.cloned(), known.fetched_at.map(|at| at.elapsed()))
    }

    /// Fetches the set, unless that was tried a moment ago: whoever sends unknown key ids must not make us ask for each.
    async fn refresh(&self) {
        let mut tried = self.fetching.lock().await;
        if tried.is_some_and(|at| at.elapsed() < FETCH_PAUSE) {
            return;
        }
        *tried = Some(Instant::now());
        let read = self.set.fetch().await.and_then(|text| read_set(&text));
        match read {
            Ok(keys) => {
                tracing::debug!(keys = keys.len(), "the keys of the platform were fetched");
                *self.known.lock().unwrap_or_else(PoisonError::into_inner) =
                    Known { keys, fetched_at: Some(Instant::now()) };
            }
            Err(error) => {
                tracing::warn!(error, "the keys of the platform cannot be fetched; those that are known count");
            }
        }
    }
}

/// The keys of a set that are for signatures of RS256 or ES256. Others are passed over (RFC 7517 §5); a shared secret is never published.
fn read_set(text: &str) -> Result<Vec<(Option<String>, PlatformKey)>, String> {
    let set: JwkSet = serde_json::from_str(text).map_err(|error| format!("no set of keys: {error}"))?;
    let keys = set.keys.iter().take(MAX_KEYS).filter_map(|jwk| {
        let algorithm = if matches!(&jwk.algorithm, AlgorithmParameters::RSA(_)) {
            Algorithm::RS256
        } else if matches!(&jwk.algorithm, AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256)
        {
            Algorithm::ES256
        } else {
            return None;
        };
        let is_for_signatures =
            jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let is_for_algorithm =
            jwk.common.key_algorithm.is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
        let key = DecodingKey::from_jwk(jwk).ok()?;
        (is_for_signatures && is_for_algorithm).then(|| (jwk.common.key_id.clone(), PlatformKey { algorithm, key }))
    });
    Ok(keys.collect())
}

/// As long as the hash that it keys (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
const PRIVATE: &[u8] = b"PRIVATE KEY";
/// How old a set may be before it is fetched anew: how long a key counts that was taken out of it.
const FETCH_EVERY: Duration = Duration::from_secs(5 * 60);
/// How long a set counts that cannot be fetched anew.
const KEEP: Duration = Duration::from_secs(60 * 60);
/// Between two fetches, whatever tokens say.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// Platforms publish two or three.
const MAX_KEYS: usize = 64;
