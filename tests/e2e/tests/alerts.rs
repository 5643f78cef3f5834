//! Alerts of a real node: as a list, by webhook, and by mail over TLS to a server that comes late, or over STARTTLS.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_e2e::{Flaw, MailHost, Network, Offer, Tandem, eventually, text_at};

/// Webhooks that came, in their order.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Value>>>);

impl Received {
    fn listen(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is the test's own");
        let received = Self::default();
        let keeping = received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                keeping.take(stream);
            }
        });
        received
    }

    fn take(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim().to_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(serde_json::from_slice(&body).ok()?);
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok()
    }

    /// Types and rules of what came.
    fn told(&self) -> Vec<(String, String)> {
        let received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.iter().map(|event| (text_at(event, "/type"), text_at(event, "/data/rule"))).collect()
    }
}

fn subjects(mails: &[Value]) -> Vec<String> {
    let mut subjects: Vec<String> = mails.iter().map(|mail| text_at(mail, "/subject")).collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn a_full_trunk_and_one_that_is_gone_are_told_over_the_api_by_webhook_and_by_mail() {
    let network = Network::claim();
    let relay = MailHost::new(SocketAddr::new(network.host(4), 4650), &network.host(4).to_string());
    let tandem = Tandem::start(&network, &relay.options("smtps"));
    let api = tandem.api();
    let hooks = Received::listen(SocketAddr::new(network.host(2), 9000));
    let hook = json!({"url": format!("http://{}:9000/", network.host(2)), "event_types": ["alert.*"]});
    let _ = api.post("/webhook-endpoints", &hook).expect(201);
    let _ = api.put("/alert-settings", &json!({"mail_to": ["noc@example.com"]})).expect(200);
    // Nobody is there: its probes fail.
    let gone = api.create_trunk("gone", network.sip(9), &json!({"advanced_config": {"options_interval": 1}}));
    let quiet = json!({"max_concurrent_calls": 1, "advanced_config": {"options_interval": 0}});
    let full = api.create_trunk("full", network.sip(3), &quiet);
    let call = json!({
        "call_id": "CA1", "sip_trunk_id": full, "direction": "outbound", "from_number": "1", "to_number": "2",
        "started_at": "2026-01-01T00:00:00Z", "status": "initiated",
    });
    let _ = api.post("/calls", &call).expect(201);

    let raised = |rule: &str| {
        eventually(rule, Duration::from_secs(60), || {
            let alerts = api.get("/alerts?state=raised").expect(200);
            alerts.as_array().into_iter().flatten().find(|alert| alert["rule"] == rule).cloned()
        })
    };
    let of_gone = raised("probes_failing");
    assert_eq!(of_gone["subject"], format!("trunks/{gone}"));
    // The mail server is away, and comes. Meanwhile the trunk is given up.
    eventually("attempt to send a mail", Duration::from_secs(30), || {
        let metrics = api.get("/metrics").text;
        let failed =
            metrics.lines().find_map(|line| line.strip_prefix("tandem_mail_attempts_total{outcome=\"failed\"} "));
        failed.filter(|count| *count != "0").map(drop)
    });
    let server = relay.serve(Offer::Tls, Flaw::None);
    assert_eq!(api.delete(&format!("/trunks/{gone}")).status, 204);
    let of_full = raised("trunk_utilisation");
    assert_eq!(of_full["measured"], json!({"active_calls": 1, "max_calls": 1, "percent": 100.0}));
    let table = tandem.cli(&[
        "alerts",
        "--state",
        "raised",
        "--api",
        &format!("http://{}:8080", network.host(1)),
        "--key",
        api.key(),
    ]);
    assert!(table.stdout.contains("The trunk \"full\" carries 1 of its 1 calls."), "{}{}", table.stdout, table.stderr);

    let mails = eventually("mails about both, and about the end of one", Duration::from_secs(90), || {
        let mails = relay.mails();
        (mails.len() >= 3).then_some(mails)
    });
    let expected = |word: &str, rule: &str, trunk: &str| format!("[Tandem] {word}: {rule}, trunks/{trunk}");
    let about_full = expected("warning", "trunk_utilisation", &full);
    assert_eq!(
        subjects(&mails),
        [
            expected("critical", "probes_failing", &gone),
            expected("resolved", "probes_failing", &gone),
            about_full.clone()
        ]
    );
    let mail = mails.iter().find(|mail| mail["subject"] == about_full.as_str()).expect("it is there");
    assert_eq!((&mail["user"], &mail["to"]), (&json!(MailHost::USER), &json!(["noc@example.com"])));
    let body = text_at(mail, "/body");
    for part in ["carries 1 of its 1 calls", "since:", "threshold: 80 (percent)", "What to do:"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    let id = text_at(&of_gone, "/id");
    let over = api.get(&format!("/alerts/{id}")).expect(200);
    assert_eq!((&over["state"], &over["resolved_by"]), (&json!("resolved"), &json!("rule")));
    let mut told =
        eventually("webhooks", Duration::from_secs(30), || Some(hooks.told()).filter(|told| told.len() >= 3));
    told.sort_unstable();
    let told: Vec<_> = told.iter().map(|(kind, rule)| (kind.as_str(), rule.as_str())).collect();
    let raised = "alert.raised";
    assert_eq!(told, [(raised, "probes_failing"), (raised, "trunk_utilisation"), ("alert.resolved", "probes_failing")]);
    drop(server);
}

/// A mail that is due, as an alert would write it.
const A_MAIL: &str =
    "INSERT INTO mails (id, account_id, recipient, subject, body, state, attempts, due_at, give_up_at, claimed_until, created_at)
     SELECT randomblob(16), id, 'noc@example.com', 'a subject', 'a body', 'pending', 0, 0, 9000000000000000, 0, 0 FROM accounts";

#[test]
fn mails_go_after_starttls_to_whom_the_server_should_be_or_not_at_all() {
    let network = Network::claim();
    // A name, as mails to a loopback address may go without TLS.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.expect("some port is free");
    let relay = MailHost::new(address, "localhost");
    let tandem = Tandem::start(&network, &relay.options("smtp"));
    let serve = |offer, flaw| {
        let server = relay.serve(offer, flaw);
        eventually("mail server", Duration::from_secs(20), || TcpStream::connect(address).ok().map(drop));
        tandem.execute_behind_its_back(A_MAIL);
        server
    };
    for (offer, flaw, reason) in [
        (Offer::Plain, Flaw::None, "STARTTLS is not supported on this server"),
        (Offer::StartTls, Flaw::SelfSigned, "invalid peer certificate: UnknownIssuer"),
        (Offer::StartTls, Flaw::OtherHost, "invalid peer certificate: certificate not valid for name \"localhost\""),
    ] {
        let server = serve(offer, flaw);
        eventually(reason, Duration::from_secs(20), || tandem.log().replace('\\', "").contains(reason).then_some(()));
        drop(server);
    }
    let heard = relay.heard();
    assert!(heard.contains("EHLO") && heard.contains("STARTTLS"), "{heard}");
    assert!(!heard.contains("AUTH") && !heard.contains("MAIL"), "{heard}");
    assert_eq!(relay.mails(), Vec::<Value>::new());

    let server = serve(Offer::StartTls, Flaw::None);
    tandem.execute_behind_its_back("UPDATE mails SET due_at = 0 WHERE state = 'pending'");
    let mails =
        eventually("all mails", Duration::from_secs(30), || Some(relay.mails()).filter(|mails| mails.len() >= 4));
    for mail in &mails {
        assert_eq!((&mail["after_starttls"], &mail["user"]), (&json!(true), &json!(MailHost::USER)), "{mail}");
    }
    assert!(relay.heard().contains("AUTH"));
    drop(server);
}
