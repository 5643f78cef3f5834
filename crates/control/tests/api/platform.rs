use crate::harness::{Api, START};
use async_trait::async_trait;
use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tandem_control::{KeySet, PlatformKey, PlatformKeyError, PlatformKeys, PlatformTokenSettings};
use tandem_model::Tier;

const RSA: &[u8] = include_bytes!("../data/platform/rsa.key");
const RSA_PUBLIC: &[u8] = include_bytes!("../data/platform/rsa.pub");
const OTHER_RSA: &[u8] = include_bytes!("../data/platform/other.key");
const EC: &[u8] = include_bytes!("../data/platform/ec.key");
const EC_PUBLIC: &[u8] = include_bytes!("../data/platform/ec.pub");
const SECRET: &[u8] = b"a secret of more than thirty-two bytes";
const ISSUER: &str = "https://id.example.com";
const NOW: i64 = START / 1_000_000;

fn settings(keys: PlatformKeys) -> PlatformTokenSettings {
    PlatformTokenSettings { issuer: ISSUER.to_owned(), audience: "tandem".to_owned(), keys }
}

fn fixed(key: &[u8]) -> PlatformTokenSettings {
    settings(PlatformKeys::Fixed(PlatformKey::of_file(key).unwrap()))
}

fn rsa(key: &[u8]) -> EncodingKey {
    EncodingKey::from_rsa_pem(key).unwrap()
}

/// Claims of a good token for the account, with these changed; null leaves one out.
fn claims(api: &Api, changes: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "tandem", "sub": api.mine.account.id.to_string(), "iat": NOW, "exp": NOW + 600,
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

fn base64(text: &Value) -> String {
    URL_SAFE_NO_PAD.encode(text.to_string())
}

async fn ask(api: &Api, token: &str) -> (u16, Value) {
    let reply = api.send(Method::GET, "/trunks", None, Some(token)).await;
    (reply.status.as_u16(), reply.body)
}

#[tokio::test]
async fn a_token_of_the_platform_opens_its_account() {
    let api = Api::start().await.restarted_with(Some(fixed(RSA_PUBLIC)));
    api.trunk(json!({})).await;
    let token = signed(Algorithm::RS256, &rsa(RSA), &claims(&api, json!({})));
    let (status, trunks) = ask(&api, &token).await;
    assert_eq!((status, trunks.as_array().unwrap().len()), (200, 1));
    // Operator is what a token may do that says no role.
    api.send(Method::POST, "/trunks", Some(json!({})), Some(&token)).await.expect_problem(422, "invalid_field");
    api.send(Method::GET, "/users", None, Some(&token)).await.expect_problem(403, "forbidden");
    let viewer = signed(Algorithm::RS256, &rsa(RSA), &claims(&api, json!({"role": "viewer"})));
    api.send(Method::POST, "/trunks", Some(json!({})), Some(&viewer)).await.expect_problem(403, "forbidden");
    let admin = signed(Algorithm::RS256, &rsa(RSA), &claims(&api, json!({"role": "admin", "aud": ["x", "tandem"]})));
    api.send(Method::GET, "/users", None, Some(&admin)).await.expect(200);

    // What is remembered of it ends with it.
    api.clock.advance(659);
    assert_eq!(ask(&api, &token).await.0, 200);
    api.clock.advance(1);
    assert_eq!(ask(&api, &token).await.0, 401);
}

/// Its admins act for every account: one key made by such a token would do so, too.
#[tokio::test]
async fn a_token_of_the_platform_does_not_open_the_account_of_the_operator() {
    let api = Api::start().await.restarted_with(Some(fixed(RSA_PUBLIC)));
    let node = api.store.ensure_admin_account(&crate::harness::ACT, "admin").await.unwrap();
    for (role, tier) in [("admin", json!(null)), ("operator", json!(null)), ("viewer", json!("free"))] {
        let changes = json!({"sub": node.id.to_string(), "role": role, "tier": tier});
        let token = signed(Algorithm::RS256, &rsa(RSA), &claims(&api, changes));
        let body = json!({"name": "left over", "scopes": ["read"]});
        for (method, path, body) in [(Method::GET, "/trunks", None), (Method::POST, "/api-keys", Some(body))] {
            api.send(method, path, body, Some(&token)).await.expect_problem(401, "unauthorized");
        }
    }
    let after = api.store.account(node.id).await.unwrap().unwrap();
    assert_eq!(after.tier, node.tier, "nor does it change it");
    // Other accounts are opened as before.
    let token = signed(Algorithm::RS256, &rsa(RSA), &claims(&api, json!({"role": "admin"})));
    assert_eq!(ask(&api, &token).await.0, 200);
}

#[tokio::test]
async fn each_kind_of_key_signs() {
    let api = Api::start().await.restarted_with(Some(fixed(EC_PUBLIC)));
    let key = EncodingKey::from_ec_pem(EC).unwrap();
    assert_eq!(ask(&api, &signed(Algorithm::ES256, &key, &claims(&api, json!({})))).await.0, 200);
    let api = api.restarted_with(Some(fixed(SECRET)));
    let key = EncodingKey::from_secret(SECRET);
    assert_eq!(ask(&api, &signed(Algorithm::HS256, &key, &claims(&api, json!({})))).await.0, 200);
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let api = Api::start().await.restarted_with(Some(fixed(RSA_PUBLIC)));
    let key = rsa(RSA);
    let good = signed(Algorithm::RS256, &key, &claims(&api, json!({})));
    assert_eq!(ask(&api, &good).await.0, 200);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let public = EncodingKey::from_secret(RSA_PUBLIC);
    let trimmed = EncodingKey::from_secret(RSA_PUBLIC.trim_ascii());
    let with = |changes: Value| signed(Algorithm::RS256, &key, &claims(&api, changes));
    let critical = Header { crit: Some(vec!["exp".to_owned()]), ..Header::new(Algorithm::RS256) };
    let other_account = base64(&claims(&api, json!({"sub": api.other.account.id.to_string()})));
    let forged = [
        ("alg none", format!("{}.{payload}.", base64(&json!({"alg": "none", "typ": "JWT"})))),
        ("alg None with the signature", format!("{}.{payload}.{signature}", base64(&json!({"alg": "None"})))),
        ("no signature", format!("{header}.{payload}.")),
        ("another claim", format!("{header}.{other_account}.{signature}")),
        ("another header", format!("{}.{payload}.{signature}", base64(&json!({"alg": "RS256", "kid": "x"})))),
        ("the public key as a secret", signed(Algorithm::HS256, &public, &claims(&api, json!({})))),
        ("the public key, trimmed, as a secret", signed(Algorithm::HS256, &trimmed, &claims(&api, json!({})))),
        ("another key", signed(Algorithm::RS256, &rsa(OTHER_RSA), &claims(&api, json!({})))),
        ("a longer hash", signed(Algorithm::RS512, &key, &claims(&api, json!({})))),
        ("another padding", signed(Algorithm::PS256, &key, &claims(&api, json!({})))),
        ("no exp", with(json!({"exp": null}))),
        ("expired", with(json!({"exp": NOW - 61}))),
        ("exp of text", with(json!({"exp": "never"}))),
        ("exp before time", with(json!({"exp": -1}))),
        ("not yet", with(json!({"nbf": NOW + 61}))),
        ("from the future", with(json!({"iat": NOW + 61}))),
        ("another audience", with(json!({"aud": "billing"}))),
        ("no audience", with(json!({"aud": null}))),
        ("another issuer", with(json!({"iss": "https://evil.example"}))),
        ("no issuer", with(json!({"iss": null}))),
        ("no subject", with(json!({"sub": null}))),
        ("a subject that is no account", with(json!({"sub": "018f0000-0000-7000-8000-000000000000"}))),
        ("a subject that is no id", with(json!({"sub": "admin"}))),
        ("a role that there is not", with(json!({"role": "root"}))),
        ("a tier that there is not", with(json!({"tier": "gold"}))),
        ("something critical", encode(&critical, &claims(&api, json!({})), &key).unwrap()),
        ("four parts", format!("{good}.x")),
        ("two parts", format!("{header}.{payload}")),
        ("no JSON", "eyJ.eyJ.eyJ".to_owned()),
    ];
    for (what, token) in forged {
        let reply = api.send(Method::GET, "/trunks", None, Some(&token)).await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.body);
        reply.expect_problem(401, "unauthorized");
    }
    assert_eq!(ask(&api, &good).await.0, 200);
    let api = api.restarted();
    assert_eq!(ask(&api, &good).await.0, 401, "no platform is configured");
}

#[tokio::test]
async fn a_platform_cannot_make_sessions() {
    let api = Api::start().await.restarted_with(Some(fixed(SECRET)));
    let claims = claims(&api, json!({"iss": "tandem", "aud": "tandem-api", "sid": api.mine.account.id.to_string()}));
    let header = Header { kid: Some("tandem-session".to_owned()), ..Header::new(Algorithm::HS256) };
    let token = encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(ask(&api, &token).await.0, 401);
}

#[tokio::test]
async fn the_tier_follows_the_newest_token() {
    let api = Api::start_with(Tier::Free).await.restarted_with(Some(fixed(SECRET)));
    let token = |tier: &str, issued: i64| {
        let claims = claims(&api, json!({"tier": tier, "iat": NOW + issued}));
        signed(Algorithm::HS256, &EncodingKey::from_secret(SECRET), &claims)
    };
    let tier = async || api.store.account(api.mine.account.id).await.unwrap().unwrap().tier;
    assert_eq!(ask(&api, &token("pro", 0)).await.0, 200);
    assert_eq!(tier().await, Tier::Pro);
    assert_eq!(ask(&api, &token("free", -10)).await.0, 200);
    assert_eq!(tier().await, Tier::Pro, "an older token is good and changes nothing");
    assert_eq!(ask(&api, &token("enterprise", 10)).await.0, 200);
    assert_eq!(tier().await, Tier::Enterprise);
}

#[test]
fn a_file_holds_a_public_key_or_a_long_secret() {
    let error = |content: &[u8]| PlatformKey::of_file(content).err();
    assert_eq!(error(RSA), Some(PlatformKeyError::Private));
    assert_eq!(error(EC), Some(PlatformKeyError::Private));
    assert_eq!(error(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Some(PlatformKeyError::Pem));
    assert_eq!(error(b"  a short secret with much space around    \n"), None);
    assert_eq!(error(b"too short to be a secret\n"), Some(PlatformKeyError::Short));
    assert_eq!(error(b""), Some(PlatformKeyError::Short));
}

/// A set of keys that a test publishes.
struct Published {
    set: Mutex<Result<Value, String>>,
    fetched: AtomicUsize,
}

#[async_trait]
impl KeySet for Published {
    async fn fetch(&self) -> Result<String, String> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        self.set.lock().unwrap().clone().map(|set| set.to_string())
    }
}

impl Published {
    fn new(keys: &[Value]) -> Arc<Self> {
        Arc::new(Self { set: Mutex::new(Ok(json!({"keys": keys}))), fetched: AtomicUsize::new(0) })
    }

    fn publish(&self, set: Result<Value, String>) {
        *self.set.lock().unwrap() = set;
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}

fn jwk(key: &[u8], kid: &str, changes: Value) -> Value {
    let mut jwk = Jwk::from_encoding_key(&rsa(key), Algorithm::RS256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    let mut jwk = serde_json::to_value(jwk).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn named(api: &Api, key: &[u8], kid: Option<&str>) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::RS256) };
    encode(&header, &claims(api, json!({})), &rsa(key)).unwrap()
}

/// Its own clock runs for what the keys' age is measured by: a test moves it.
#[tokio::test]
async fn published_keys_are_fetched_once_and_again_for_an_unknown_one() {
    let set = Published::new(&[jwk(RSA, "one", json!({}))]);
    let api = Api::start().await.restarted_with(Some(settings(PlatformKeys::Published(set.clone()))));
    assert_eq!(set.fetched(), 0, "nobody has asked");
    assert_eq!(ask(&api, &named(&api, RSA, Some("one"))).await.0, 200);
    assert_eq!(ask(&api, &named(&api, RSA, None)).await.0, 200, "it is the only one");
    assert_eq!(ask(&api, &named(&api, OTHER_RSA, Some("one"))).await.0, 401);
    assert_eq!(set.fetched(), 1);
    // An unknown one is worth a look, but not a look for each token.
    set.publish(Ok(json!({"keys": [jwk(OTHER_RSA, "two", json!({}))]})));
    for _ in 0..5 {
        assert_eq!(ask(&api, &named(&api, OTHER_RSA, Some("two"))).await.0, 401);
    }
    assert_eq!(set.fetched(), 1, "the last look was a moment ago");

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    assert_eq!(ask(&api, &named(&api, OTHER_RSA, Some("two"))).await.0, 200);
    assert_eq!(set.fetched(), 2);
    let api = with_same_keys(api, &set);
    assert_eq!(ask(&api, &named(&api, RSA, Some("one"))).await.0, 401, "it was taken out");
}

/// Services that remember no tokens.
fn with_same_keys(api: Api, set: &Arc<Published>) -> Api {
    let set: Arc<dyn KeySet> = Arc::clone(set) as Arc<dyn KeySet>;
    api.restarted_with(Some(settings(PlatformKeys::Published(set))))
}

#[tokio::test]
async fn keys_that_are_not_for_this_are_passed_over() {
    let set = Published::new(&[
        jwk(RSA, "encryption", json!({"use": "enc"})),
        jwk(RSA, "other algorithm", json!({"alg": "RS512"})),
        json!({"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode(SECRET), "alg": "HS256"}),
        json!({"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
        jwk(RSA, "good", json!({})),
    ]);
    let api = Api::start().await.restarted_with(Some(settings(PlatformKeys::Published(set.clone()))));
    for wrong in ["encryption", "other algorithm", "shared", "ed", "missing"] {
        assert_eq!(ask(&api, &named(&api, RSA, Some(wrong))).await.0, 401, "{wrong}");
    }
    let header = Header { kid: Some("shared".to_owned()), ..Header::new(Algorithm::HS256) };
    let shared = encode(&header, &claims(&api, json!({})), &EncodingKey::from_secret(SECRET)).unwrap();
    assert_eq!(ask(&api, &shared).await.0, 401, "whoever can read the set could sign with it");
    assert_eq!(ask(&api, &named(&api, RSA, Some("good"))).await.0, 200);
}

#[tokio::test]
async fn what_was_fetched_counts_while_the_platform_is_away() {
    let set = Published::new(&[jwk(RSA, "one", json!({}))]);
    set.publish(Err("nobody answers".to_owned()));
    let api = Api::start().await.restarted_with(Some(settings(PlatformKeys::Published(set.clone()))));
    let token = named(&api, RSA, Some("one"));
    let reply = api.send(Method::GET, "/trunks", None, Some(&token)).await;
    assert!(reply.headers.contains_key("retry-after"));
    reply.expect_problem(503, "platform_keys_unavailable");
    assert_eq!(api.get("/trunks").await.status, 200, "keys of our own need no platform");

    set.publish(Ok(json!({"keys": [jwk(RSA, "one", json!({}))]})));
    let api = with_same_keys(api, &set);
    assert_eq!(ask(&api, &token).await.0, 200);
    for broken in [Err("nobody answers".to_owned()), Ok(json!({"keys": 5})), Ok(json!("x"))] {
        set.publish(broken);
        assert_eq!(ask(&api, &named(&api, RSA, Some("one"))).await.0, 200);
    }
}
