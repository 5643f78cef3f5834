//! Who may do what on a real node: keys, people who sign in, tokens of a platform, and the operator.

use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tandem_e2e::{
    Api, Authority, Flaw, Network, Options, Postgres, SecretSearch, Tandem, TlsSite, eventually, files_below, text_at,
};

const PLATFORM_KEY: &[u8] = include_bytes!("../../../crates/control/tests/data/platform/rsa.key");
const OTHER_KEY: &[u8] = include_bytes!("../../../crates/control/tests/data/platform/other.key");
const PLATFORM: &str = "https://id.example.com";

/// What counts 100 ms after a change, on a busy machine.
const SOON: Duration = Duration::from_secs(2);

fn cli(tandem: &Tandem, arguments: &[&str]) -> Value {
    let ran = tandem.cli(&[&["--json"], arguments].concat());
    assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// Adds a user by the command line and signs them in over the API; gives a client with the access token, and the tokens.
fn signed_in(tandem: &Tandem, email: &str, role: &str) -> (Api, Value) {
    let user = cli(tandem, &["user", "add", email, "--role", role, "--account", "admin"]);
    let credentials = json!({"email": email, "password": text_at(&user, "/password")});
    let tokens = tandem.api().post("/sessions", &credentials).expect(201);
    assert_eq!(tokens["user"]["role"], role);
    (tandem.api().with_key(&text_at(&tokens, "/access_token")), tokens)
}

/// Each operation of the document under the API that needs permissions: method, path with an id that nobody has, permissions.
fn guarded(api: &Api) -> Vec<(String, String, Vec<String>)> {
    let document = api.get("/openapi.json").expect(200);
    let mut guarded = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("an OpenAPI document has paths") {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let Some(short) = path.strip_prefix("/api/v1/telephony") else { continue };
            if operation["security"][0] == json!({}) {
                continue;
            }
            let needed = operation.pointer("/security/0/bearer").and_then(Value::as_array);
            let needed: Vec<String> = needed.into_iter().flatten().map(|name| text_at(name, "")).collect();
            assert!(!needed.is_empty(), "{method} {path} declares no permission");
            let parts = short.split('/').map(|part| if part.starts_with('{') { NOBODYS } else { part });
            guarded.push((method.to_uppercase(), parts.collect::<Vec<_>>().join("/"), needed));
        }
    }
    guarded
}

const NOBODYS: &str = "0198f000-0000-7000-8000-000000000000";

#[test]
fn every_endpoint_asks_for_the_permission_that_it_declares() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    // It has the only session that is not tried out.
    let (_, _) = signed_in(&tandem, "chief@example.com", "admin");
    let holders = [
        ("viewer", &["read"][..]),
        ("operator", &["read", "calls", "write"]),
        ("admin", &["read", "calls", "write", "admin"]),
    ];
    let guarded = guarded(&tandem.api());
    assert!(guarded.len() >= 27, "{guarded:?}");
    for (role, holds) in holders {
        let (api, _) = signed_in(&tandem, &format!("{role}@example.com"), role);
        for (method, path, needed) in &guarded {
            if path.ends_with("/current") {
                continue;
            }
            // A stream would not end by itself.
            let query = if path == "/events" { "?follow=false" } else { "" };
            let answer = api.send(method, &format!("{path}{query}"), Some("{}".to_owned()));
            let name = format!("{role} {method} {path}: {} {}", answer.status, answer.text);
            let missing: Vec<&String> = needed.iter().filter(|name| !holds.contains(&name.as_str())).collect();
            if missing.is_empty() {
                assert!(!matches!(answer.status, 401 | 403 | 500..), "{name}");
            } else {
                assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{name}");
                assert!(missing.iter().any(|missing| answer.text.contains(missing.as_str())), "{name}");
            }
            let changes = method != "GET" && !OWN.iter().any(|own| path.starts_with(own));
            assert!(role != "viewer" || !changes || answer.status == 403, "{name}");
        }
    }
}

/// What a viewer may change or ask by a POST: one's own, and what changes nothing.
const OWN: [&str; 3] = ["/sessions/", "/users/current/", "/routing/explain"];

#[test]
fn a_person_signs_in_and_is_out_soon_after_signing_out() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let (person, tokens) = signed_in(&tandem, "zoe@example.com", "operator");
    let sessions = person.get("/sessions").expect(200);
    assert_eq!((&sessions[0]["current"], &sessions[0]["client_address"]), (&json!(true), &json!("127.0.0.1")));

    let refreshed = person.post("/sessions/refresh", &json!({"refresh_token": tokens["refresh_token"]})).expect(200);
    let person = person.with_key(&text_at(&refreshed, "/access_token"));
    assert_eq!(person.get("/trunks").status, 200);
    assert_eq!(person.delete("/sessions/current").status, 204);
    eventually("end of the access token", SOON, || (person.get("/trunks").status == 401).then_some(()));
    let over = person.post("/sessions/refresh", &json!({"refresh_token": refreshed["refresh_token"]}));
    assert_eq!((over.status, over.code()), (401, "sign_in_failed"));

    // What people know is nowhere but with them.
    let (_, tokens) = signed_in(&tandem, "ann@example.com", "viewer");
    let made = tandem.api().post("/api-keys", &json!({"name": "ci", "scopes": ["read"]})).expect(201);
    let link = cli(&tandem, &["user", "link", "ann@example.com"]);
    let (access, refresh) = (text_at(&tokens, "/access_token"), text_at(&tokens, "/refresh_token"));
    let (key, link) = (text_at(&made, "/key"), text_at(&link, "/link_token"));
    let mut search = SecretSearch::of(&[
        ("access token", &access),
        ("refresh token", &refresh),
        ("API key", &key),
        ("link token", &link),
    ]);
    search.look("log", tandem.log().as_bytes());
    for path in files_below(&tandem.data_dir()) {
        search.look(&path.display().to_string(), &std::fs::read(&path).unwrap_or_default());
    }
    assert!(search.looked_at() > 3 && search.found().is_empty(), "{:#?}", search.found());
}

#[test]
fn a_key_that_is_revoked_over_the_api_is_out_soon() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let made = tandem.api().post("/api-keys", &json!({"name": "ci", "scopes": ["read"]})).expect(201);
    let api = tandem.api().with_key(&text_at(&made, "/key"));
    assert_eq!(api.get("/trunks").status, 200);
    let path = format!("/api-keys/{}", text_at(&made, "/id"));
    eventually("a note of its use", SOON, || {
        tandem.api().get(&path).expect(200)["last_used_at"].is_string().then_some(())
    });
    assert_eq!(tandem.api().delete(&path).status, 204);
    eventually("refusal of the key", SOON, || (api.get("/trunks").status == 401).then_some(()));
}

#[test]
fn what_ends_on_one_node_is_over_on_the_other() {
    let postgres = Postgres::start();
    let networks = [Network::claim(), Network::claim()];
    let options = Options::default().env("DATABASE_URL", &postgres.url());
    let one = Tandem::start(&networks[0], &options);
    let master_key = one.data_dir().join("master.key").display().to_string();
    let other = Tandem::start(&networks[1], &options.env("TANDEM_MASTER_KEY_FILE", &master_key));

    let (here, tokens) = signed_in(&one, "zoe@example.com", "viewer");
    let there = other.api().with_key(&text_at(&tokens, "/access_token"));
    assert_eq!((here.get("/trunks").status, there.get("/trunks").status), (200, 200));
    let made = other.api().post("/api-keys", &json!({"name": "ci", "scopes": ["read"]})).expect(201);
    let key = one.api().with_key(&text_at(&made, "/key"));
    assert_eq!(key.get("/trunks").status, 200);

    assert_eq!(there.delete("/sessions/current").status, 204);
    eventually("end of the session", SOON, || (here.get("/trunks").status == 401).then_some(()));
    assert_eq!(other.api().delete(&format!("/api-keys/{}", text_at(&made, "/id"))).status, 204);
    eventually("end of the key", SOON, || (key.get("/trunks").status == 401).then_some(()));

    // Guesses on one count on the other.
    let guess = |tandem: &Tandem| {
        tandem.api().post("/sessions", &json!({"email": "zoe@example.com", "password": "a wrong password"}))
    };
    for tandem in [&one, &other, &one, &other, &one] {
        assert_eq!(guess(tandem).code(), "sign_in_failed");
    }
    assert_eq!(guess(&other).code(), "too_many_attempts");
}

#[test]
fn passwords_are_guessed_slowly() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let (_, _) = signed_in(&tandem, "zoe@example.com", "viewer");
    let guess = |email: &str| tandem.api().post("/sessions", &json!({"email": email, "password": "a wrong password"}));
    for email in ["zoe@example.com", "nobody@example.com"] {
        for _ in 0..5 {
            assert_eq!(guess(email).code(), "sign_in_failed");
        }
        let locked = guess(email);
        assert_eq!((locked.status, locked.code()), (429, "too_many_attempts"));
        let seconds: u64 = locked.headers["retry-after"].parse().expect("a number of seconds");
        assert!((1..=30).contains(&seconds), "{seconds}");
    }
}

#[test]
fn the_operator_acts_for_an_account_by_saying_so() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let tenant = tandem.add_account("tenant", &[]);
    let account = text_at(&tenant.get("/api-keys").expect(200), "/0/user_id");
    let operator = tandem.api().acting_for(&account);
    let made = operator.post("/users", &json!({"email": "t@example.com", "role": "admin"})).expect(201);
    assert_eq!(made["user_id"], account.as_str());
    assert_eq!(tenant.get("/users").expect(200)[0]["id"], made["id"]);
    eventually("a line in the log", SOON, || tandem.log().contains("acts for an account").then_some(()));

    let own = text_at(&tandem.api().get("/api-keys").expect(200), "/0/user_id");
    assert_eq!(tenant.acting_for(&own).get("/trunks").code(), "forbidden");
    assert_eq!(tandem.api().acting_for(NOBODYS).get("/trunks").code(), "account_not_found");
}

#[test]
fn the_demo_prints_a_link_that_signs_in_once() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::demo());
    let printed = tandem.stdout();
    let (_, token) = printed.split_once("#sign-in=tdl_").expect("a link is printed");
    let token = format!("tdl_{}", token.split_whitespace().next().unwrap_or_default());
    let anybody = tandem.api().with_key("none");
    let tokens = anybody.post("/sessions", &json!({"link_token": token})).expect(201);
    let person = anybody.with_key(&text_at(&tokens, "/access_token"));
    assert_eq!(person.get("/trunks").expect(200).as_array().map(Vec::len), Some(2));
    assert_eq!(anybody.post("/sessions", &json!({"link_token": token})).code(), "sign_in_failed");
}

#[test]
fn tokens_of_the_platform_are_taken_by_its_published_keys() {
    let network = Network::claim();
    let publisher = publish(&PLATFORM_KEYS);
    let options = Options::default()
        .env("TANDEM_JWT_ISSUER", PLATFORM)
        .env("TANDEM_JWT_AUDIENCE", "tandem")
        .env("TANDEM_JWT_JWKS_URL", &format!("http://{publisher}/keys"));
    let tandem = Tandem::start(&network, &options);
    let account = "018f0000-0000-7000-8000-00000000000a";
    let added = cli(&tandem, &["account", "add", "platform's", "--id", account]);
    assert_eq!((&added["id"], &added["tier"]), (&json!(account), &json!("free")));

    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let good = json!({"iss": PLATFORM, "aud": "tandem", "sub": account, "tier": "pro", "iat": now, "exp": now + 600});
    let token = |key: &[u8], kid: &str, changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
        encode(&header, &claims, &EncodingKey::from_rsa_pem(key).expect("a key in PEM")).expect("a token")
    };
    let api = tandem.api().with_key(&token(PLATFORM_KEY, "platform 1", json!({})));
    assert_eq!(api.get("/trunks").expect(200), json!([]));
    let accounts = cli(&tandem, &["account", "list"]);
    let account = accounts.as_array().into_iter().flatten().find(|found| found["id"] == account);
    assert_eq!(account.map(|account| &account["tier"]), Some(&json!("pro")), "the tier is that of the token");
    for forged in [
        token(OTHER_KEY, "platform 1", json!({})),
        token(PLATFORM_KEY, "platform 2", json!({})),
        token(PLATFORM_KEY, "platform 1", json!({"aud": "billing"})),
        token(PLATFORM_KEY, "platform 1", json!({"exp": now - 120})),
        token(PLATFORM_KEY, "platform 1", json!({"iss": "https://evil.example"})),
        token(PLATFORM_KEY, "platform 1", json!({"sub": NOBODYS})),
    ] {
        let answer = api.with_key(&forged).get("/trunks");
        assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{}", answer.text);
    }
}

/// A node that takes tokens of the platform by the keys at a URL, and trusts the authorities in a file; the token that its first request has.
fn with_keys_at(network: &Network, url: &str, authorities: &Path) -> (Tandem, String) {
    let options = Options::default()
        .env("TANDEM_JWT_ISSUER", PLATFORM)
        .env("TANDEM_JWT_AUDIENCE", "tandem")
        .env("TANDEM_JWT_JWKS_URL", url)
        .env("SSL_CERT_FILE", &authorities.display().to_string());
    let tandem = Tandem::start(network, &options);
    let account = "018f0000-0000-7000-8000-00000000000a";
    let _ = cli(&tandem, &["account", "add", "platform's", "--id", account]);
    (tandem, platform_token(account, "platform 1"))
}

fn platform_token(account: &str, kid: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let claims = json!({"iss": PLATFORM, "aud": "tandem", "sub": account, "iat": now, "exp": now + 600});
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
    encode(&header, &claims, &EncodingKey::from_rsa_pem(PLATFORM_KEY).expect("a key in PEM")).expect("a token")
}

#[test]
fn keys_behind_a_certificate_that_is_not_good_are_not_taken() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let authority = Authority::default();
    let authorities = folder.path().join("authorities.pem");
    std::fs::write(&authorities, authority.pem()).expect("the folder is the test's own");
    std::thread::scope(|scope| {
        for flaw in [Flaw::SelfSigned, Flaw::OtherHost, Flaw::Expired] {
            let (authority, authorities) = (&authority, &authorities);
            scope.spawn(move || {
                let network = Network::claim();
                let site =
                    TlsSite::start(network.host(3), &authority.certificate(&network.host(3), flaw), &PLATFORM_KEYS);
                let (tandem, token) = with_keys_at(&network, &site.url(), authorities);
                let answer = tandem.api().with_key(&token).get("/trunks");
                assert_eq!(
                    (answer.status, answer.code()),
                    (503, "platform_keys_unavailable"),
                    "{flaw:?}: {}",
                    answer.text
                );
                let counts =
                    eventually("a client that leaves", SOON, || Some(site.counts()).filter(|counts| *counts != (0, 0)));
                assert_eq!(counts, (0, 1), "{flaw:?}: nothing is asked of who cannot be told");
                assert_eq!(tandem.api().get("/trunks").status, 200, "everybody else is let in");
            });
        }
        scope.spawn(|| {
            let network = Network::claim();
            let host = network.host(3);
            let site = TlsSite::start(host, &authority.certificate(&host, Flaw::None), &PLATFORM_KEYS);
            let (tandem, token) = with_keys_at(&network, &site.url(), &authorities);
            let api = tandem.api().with_key(&token);
            assert_eq!(api.get("/trunks").expect(200), json!([]));
            assert_eq!(site.counts(), (1, 0));
            // An unknown key has the set fetched anew, at most every ten seconds.
            site.show(&authority.certificate(&host, Flaw::SelfSigned));
            let unknown = tandem.api().with_key(&platform_token(NOBODYS, "platform 2"));
            eventually("a set that is not taken", Duration::from_secs(20), || {
                // Or too often asked.
                assert!([401, 429].contains(&unknown.get("/trunks").status), "it is no key that is known");
                (site.counts() == (1, 1)).then_some(())
            });
            assert_eq!(api.get("/trunks").expect(200), json!([]), "what was known before still counts");
        });
    });
}

#[test]
fn a_trusted_proxy_says_who_its_client_is_and_nobody_else_does() {
    let network = Network::claim();
    let client = |trusted: &str| {
        let options = Options::default().env("TANDEM_TRUSTED_PROXIES", trusted);
        let tandem = Tandem::start(&network, &options);
        let (person, _) = signed_in(&tandem, "zoe@example.com", "viewer");
        let user = cli(&tandem, &["user", "link", "zoe@example.com"]);
        let through = tandem.api().with_header("forwarded", r#"for="[2001:db8::7]:4711", for=127.0.0.1"#);
        let _ = through.post("/sessions", &json!({"link_token": user["link_token"]})).expect(201);
        let sessions = person.get("/sessions").expect(200);
        let addresses = sessions.as_array().into_iter().flatten().map(|session| text_at(session, "/client_address"));
        addresses.collect::<std::collections::BTreeSet<_>>()
    };
    let here = client("192.0.2.0/24");
    assert_eq!(here.len(), 1, "the header of a stranger is nothing: {here:?}");
    let both = client("127.0.0.0/8");
    assert!(both.contains("2001:db8::7") && both.len() == 2, "{both:?}");
}

/// The set of keys that the platform publishes.
static PLATFORM_KEYS: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    let key = EncodingKey::from_rsa_pem(PLATFORM_KEY).expect("a key in PEM");
    let mut key = Jwk::from_encoding_key(&key, Algorithm::RS256).expect("a public key");
    key.common.key_id = Some("platform 1".to_owned());
    serde_json::to_string(&JwkSet { keys: vec![key] }).expect("JSON")
});

/// A web server with one page, for as long as the test runs.
fn publish(page: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4_096];
            // A small request comes in one piece.
            let _ = stream.read(&mut request);
            let length = page.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}");
        }
    });
    address
}
