//! Secrets that were given to a node are found nowhere in what it writes and says.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;
use std::time::Duration;
use tandem_e2e::{ADMIN_KEY, Capture, Network, Options, Peer, SecretSearch, Tandem, files_below, text_at};

const SIP_PASSWORD: &str = "Xq7-sip-password-Tk2Vh9";
const AUTH_PASSWORD: &str = "Rw4-auth-password-Lm8Zc3";

#[test]
fn secrets_are_found_in_no_answer_no_log_and_no_file() {
    let mut search =
        SecretSearch::of(&[("sip_password", SIP_PASSWORD), ("auth_password", AUTH_PASSWORD), ("admin key", ADMIN_KEY)]);
    let network = Network::claim();
    let capture = Capture::start(&network);
    let mut tandem = Tandem::start(&network, &Options::default().env("TANDEM_LOG", "trace"));
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));

    // A trunk with both, one with the first only, and requests that fail for many reasons.
    let secrets = json!({
        "sip_password": SIP_PASSWORD, "auth_username": "e2e", "auth_password": AUTH_PASSWORD,
        "custom_headers": {"X-Planted": "planted-header"},
    });
    let trunk = api.create_trunk("both", peer.address(), &secrets);
    let _ = api.create_trunk("one", peer.address(), &json!({"sip_password": SIP_PASSWORD}));
    let path = format!("/trunks/{trunk}");
    let wrong = json!({"name": "", "sip_password": SIP_PASSWORD, "auth_password": AUTH_PASSWORD, "priority": 0});
    let misplaced =
        json!({"advanced_config": {"password": SIP_PASSWORD}, "description": 5, "auth_password": AUTH_PASSWORD});
    for (place, answer) in [
        ("trunk", api.get(&path)),
        ("trunks", api.get("/trunks")),
        ("wrong trunk", api.post("/trunks", &wrong)),
        ("change that is wrong", api.put(&path, &wrong)),
        ("misplaced secret", api.put(&path, &misplaced)),
        ("new passwords", api.put(&path, &json!({"sip_password": SIP_PASSWORD, "auth_password": AUTH_PASSWORD}))),
        ("broken JSON", api.send("POST", "/trunks", Some(format!("{{\"sip_password\": \"{SIP_PASSWORD}\", ")))),
        ("wrong type", api.put(&path, &json!({"sip_password": [SIP_PASSWORD], "auth_password": {"x": AUTH_PASSWORD}}))),
        ("unknown field", api.post("/calls/dial", &json!({"to_number": "1", "sip_password": SIP_PASSWORD}))),
        ("health check", api.post(&format!("{path}/health-check"), &json!({}))),
        ("query with a key", api.get(&format!("/trunks?key={}", "none"))),
        ("OpenAPI", api.get("/openapi.json")),
    ] {
        search.answer(place, &answer);
    }

    // Calls that use them: asked once, and asked for ever.
    for (user, over) in [("auth", false), ("authbad", true), ("s486", true)] {
        let order = json!({"sip_trunk_id": trunk, "metadata": {"planted": "planted-metadata"}});
        let id = text_at(&api.dial(&peer.uri(user), &order), "/id");
        if !over {
            let _ = api.wait_for_status(&id, "answered", Duration::from_secs(3));
            let _ = api.hang_up(&id);
        }
        let _ = api.wait_for_end(&id, Duration::from_secs(5));
        for rest in ["", "/route", "/legs", "/timeline"] {
            search.answer(&format!("call{rest}"), &api.get(&format!("/calls/{id}{rest}")));
        }
    }
    for arguments in [
        &["check"][..],
        &["account", "list"],
        &["--json", "account", "list"],
        &["--json", "key", "list", "--account", "admin"],
        &["key", "create", "--account", "nobody", "--name", "x"],
    ] {
        let said = tandem.cli(arguments);
        search.look(&format!("tandem {arguments:?}"), format!("{}{}", said.stdout, said.stderr).as_bytes());
    }
    let authorised = peer
        .calls()
        .iter()
        .any(|call| call.received.iter().any(|(_, text)| text.header("Proxy-Authorization").is_some()));
    assert!(authorised, "the passwords were used");

    search.look("log", tandem.log().as_bytes());
    for packet in capture.packets() {
        search.look(&format!("datagram {} -> {}", packet.from, packet.to), &packet.payload);
    }
    let data = files_below(&tandem.data_dir());
    assert!(data.iter().any(|path| path.to_string_lossy().ends_with("-wal")), "{data:?}");
    for path in &data {
        search.look(&path.display().to_string(), &std::fs::read(path).unwrap());
    }
    // The search would find what is there: a header and metadata are no secrets.
    let everything: Vec<u8> = data.iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    for planted in ["planted-header", "planted-metadata"] {
        assert!(everything.windows(planted.len()).any(|window| window == planted.as_bytes()), "{planted}");
    }
    assert!(tandem.log().len() > 1_000, "the log says something at this level");

    // And once it is stopped, when the WAL is in the database.
    let folder = tandem.data_dir();
    tandem.terminate();
    let status = tandem.wait_for_exit(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    for path in files_below(&folder) {
        search.look(&format!("{} after the end", path.display()), &std::fs::read(&path).unwrap());
    }
    search.look("log after the end", tandem.log().as_bytes());
    assert!(search.found().is_empty(), "{:#?}", search.found());
    assert!(search.looked_at() > 40, "{}", search.looked_at());
}

#[test]
fn the_search_finds_a_secret_in_each_spelling_wherever_it_stands() {
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{AUTH_PASSWORD} and more");
        for written in
            [text.clone(), hex::encode(&text), hex::encode_upper(&text), STANDARD.encode(&text), URL_SAFE.encode(&text)]
        {
            let mut search = SecretSearch::of(&[("it", AUTH_PASSWORD)]);
            search.look("a text", written.as_bytes());
            assert!(!search.found().is_empty(), "{written}");
        }
    }
    let mut search = SecretSearch::of(&[("it", AUTH_PASSWORD)]);
    search.look("a text", STANDARD.encode("nothing of that kind, only a long text").as_bytes());
    assert!(search.found().is_empty(), "{:?}", search.found());
}
