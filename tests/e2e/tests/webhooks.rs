//! Webhooks from a real node, which is killed while it sends them.

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tandem_e2e::{Network, Options, Tandem, eventually, text_at};

/// What a receiver does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Fails,
    Hangs,
    Takes,
}

/// A receiver of webhooks.
#[derive(Clone)]
struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    behaviour: Behaviour,
    /// What was taken.
    taken: Vec<(reqwest::header::HeaderMap, Vec<u8>)>,
    asked: usize,
    hung: Vec<TcpStream>,
}

impl Receiver {
    fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is the test's own");
        let state = State { behaviour: Behaviour::Fails, taken: Vec::new(), asked: 0, hung: Vec::new() };
        let receiver = Self { address, state: Arc::new(Mutex::new(state)) };
        let answering = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answering.answer(stream);
            }
        });
        receiver
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn behave(&self, behaviour: Behaviour) {
        self.with(|state| state.behaviour = behaviour);
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some((headers, body)) = request(&stream) else { return };
        self.with(|state| {
            state.asked += 1;
            let answer = match state.behaviour {
                Behaviour::Fails => "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                Behaviour::Hangs => return state.hung.push(stream),
                Behaviour::Takes => {
                    state.taken.push((headers, body));
                    "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
                }
            };
            let _ = stream.write_all(answer.as_bytes());
        });
    }
}

fn request(stream: &TcpStream) -> Option<(reqwest::header::HeaderMap, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = reqwest::header::HeaderMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(reqwest::header::HeaderName::from_bytes(name.as_bytes()).ok()?, value.parse().ok()?);
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((headers, body))
}

const TOLD: [&str; 4] = ["call.initiated", "call.ringing", "call.answered", "call.completed"];

#[test]
fn a_node_that_is_killed_twice_delivers_every_event_in_order() {
    let network = Network::claim();
    let mut tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let receiver = Receiver::start(SocketAddr::new(network.host(2), 9000));
    let inside = json!({"url": "https://169.254.169.254/latest/meta-data/"});
    assert_eq!(api.post("/webhook-endpoints", &inside).code(), "invalid_field");
    let body = json!({"url": format!("http://{}/hooks", receiver.address), "event_types": ["call.*"]});
    let endpoint = api.post("/webhook-endpoints", &body).expect(201);
    let (id, secret) = (text_at(&endpoint, "/id"), text_at(&endpoint, "/secret"));
    let trunk = api.create_trunk("external", network.sip(3), &json!({"advanced_config": {"options_interval": 0}}));
    let log = |call: &str| {
        let body = json!({
            "call_id": call, "sip_trunk_id": trunk, "direction": "outbound", "from_number": "1", "to_number": "2",
            "started_at": "2026-01-01T00:00:00Z", "status": "initiated",
        });
        drop(api.post("/calls", &body).expect(201));
    };
    let state =
        |call: &str, status: &str| drop(api.put(&format!("/calls/{call}"), &json!({"status": status})).expect(200));
    let calls: Vec<String> = (0..6).map(|number| format!("CA{number}")).collect();

    calls.iter().for_each(|call| log(call));
    eventually("attempt", Duration::from_secs(10), || receiver.with(|state| (state.asked > 0).then_some(())));
    tandem.kill();
    tandem.restart();

    calls.iter().for_each(|call| state(call, "ringing"));
    receiver.behave(Behaviour::Hangs);
    log("CA-hung");
    eventually("attempt that hangs", Duration::from_secs(30), || {
        receiver.with(|state| (!state.hung.is_empty()).then_some(()))
    });
    tandem.kill();
    tandem.restart();

    calls.iter().for_each(|call| state(call, "answered"));
    receiver.behave(Behaviour::Takes);
    calls.iter().for_each(|call| state(call, "completed"));
    // The receiver is back, and with the first that it takes all that failed is tried again.
    log("CA-last");
    let expected = calls.len() * TOLD.len() + 2;
    eventually("events", Duration::from_secs(60), || {
        receiver.with(|state| (state.taken.len() >= expected).then_some(()))
    });

    let taken = receiver.with(|state| std::mem::take(&mut state.taken));
    let mut of_call: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (headers, body) in &taken {
        Webhook::new(&secret).expect("a secret").verify(body, headers).expect("signed as Standard Webhooks says");
        let event: Value = serde_json::from_slice(body).expect("JSON");
        of_call.entry(text_at(&event, "/data/call_id")).or_default().push(text_at(&event, "/type"));
    }
    for call in &calls {
        assert_eq!(of_call[call], TOLD, "{call}");
    }
    // The answer to the last one may still be on its way to the log.
    eventually("a log without anything pending", Duration::from_secs(10), || {
        let pending = api.get(&format!("/webhook-endpoints/{id}/deliveries?state=pending")).expect(200);
        (pending == json!([])).then_some(())
    });

    // Who reads the stream is told the same.
    let stream = api.get("/events?type=call.*&last_event_id=0&follow=false").text;
    let told: Vec<&str> = stream.lines().filter_map(|line| line.strip_prefix("event: call.")).collect();
    assert_eq!(told.len(), expected, "{stream}");
}
