//! Torture messages through the whole node: each is sent as it is from the address of a trunk, over UDP and over TCP, and its answer,
//! the call that comes of it, and what is left behind are checked against the index of the corpus.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod corpus;
mod form;
mod line;
mod rules;

use corpus::{Carrier, Case, Sender};
use line::{Line, PROBE};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{Api, Network, Options, Peer, Tandem, eventually, pause};

/// Cases that cannot be sent yet, with what they wait for.
const WAITING: [(&str, Feature); 10] = [
    ("rfc3665/2.1/F1", Feature::Tls),
    ("rfc3665/2.1/F2", Feature::Tls),
    ("rfc3665/2.1/F3", Feature::Tls),
    ("rfc3665/2.1/F4", Feature::Tls),
    ("rfc3665/2.3/F1", Feature::Tls),
    ("rfc3665/2.3/F2", Feature::Tls),
    ("rfc3665/2.5/F1", Feature::Tls),
    ("rfc3665/2.5/F2", Feature::Tls),
    ("rfc3665/2.5/F3", Feature::Tls),
    ("rfc3665/2.5/F4", Feature::Tls),
];

/// What is not built yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feature {
    /// SIP over TLS.
    Tls,
}

/// Cases that are of one carrier by their nature: where a message ends is the end of the datagram, or it is what a stream must be told.
/// Everything else goes over both, whatever the index names.
const OF_ONE_CARRIER: [(&str, Carrier); 14] = [
    // A stream waits for the rest of these; that it does not wait for ever is tested with the connections.
    ("rfc4475/clerr", Carrier::Udp),
    ("rfc4475/baddn-archive", Carrier::Udp),
    ("sip/cr-only", Carrier::Udp),
    ("sip/truncated-mid-header", Carrier::Udp),
    // Beyond their Content-Length, or without one, the next message begins.
    ("rfc5118/ipv4-mapped-ipv6-literal", Carrier::Udp),
    ("rfc3665/3.8/F19", Carrier::Udp),
    ("sip/cl-short", Carrier::Udp),
    ("sip/cl-missing-stream", Carrier::Tcp),
    // Datagrams that are no messages.
    ("sip/only-crlf", Carrier::Udp),
    ("sip/nat-keepalive-nul", Carrier::Udp),
    ("sip/empty-datagram", Carrier::Udp),
    ("sip/start-line-only", Carrier::Udp),
    ("sip/binary-garbage", Carrier::Udp),
    // No datagram is as large.
    ("sip/header-1m", Carrier::Tcp),
];

/// Cases after which nobody knows where the next message of a stream begins, so that it is closed; after all others it goes on.
const ENDS_THE_STREAM: [&str; 9] = [
    "sip/http-get",
    "sip/ssh-banner",
    "sip/utf8-bom",
    "sip/version-missing",
    "sip/cl-hex",
    "sip/cl-huge",
    "sip/cl-two-forms",
    "sip/cl-missing-stream",
    "sip/header-1m",
];

#[test]
fn each_case_is_sent_or_waits_for_a_feature() {
    let cases = Case::all();
    let ids: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    assert_eq!(ids.len(), cases.len(), "an id is used twice");
    let waiting = WAITING.iter().map(|(id, _)| *id);
    let of_one_carrier = OF_ONE_CARRIER.iter().map(|(id, _)| *id);
    let chosen = rules::CHOSEN.iter().map(|(id, _)| *id);
    for id in waiting.chain(of_one_carrier).chain(chosen).chain(ENDS_THE_STREAM).chain(rules::UNANSWERABLE) {
        assert!(ids.contains(id), "{id} is listed and does not exist");
    }
    for case in &cases {
        let is_sent = [Carrier::Udp, Carrier::Tcp].iter().any(|carrier| goes_over(case, *carrier));
        let waits = WAITING.iter().any(|(id, _)| *id == case.id);
        assert!(is_sent != waits, "{}: sent {is_sent}, waits {waits}", case.id);
    }
}

#[test]
fn torture_messages_get_the_answers_they_deserve_over_udp() {
    Run::new(Carrier::Udp).all_cases();
}

#[test]
fn torture_messages_get_the_answers_they_deserve_over_tcp() {
    Run::new(Carrier::Tcp).all_cases();
}

fn goes_over(case: &Case, carrier: Carrier) -> bool {
    match OF_ONE_CARRIER.iter().find(|(id, _)| *id == case.id) {
        Some((_, only)) => *only == carrier,
        None => case.carriers.iter().any(|named| matches!(named, Carrier::Udp | Carrier::Tcp)),
    }
}

/// A node, the trunk that everything comes from, and the far end that every call goes to.
struct Run {
    carrier: Carrier,
    network: Network,
    /// No trunk names anything of it.
    strangers: Network,
    tandem: Tandem,
    api: Api,
    far_end: Peer,
}

impl Run {
    fn new(carrier: Carrier) -> Self {
        let network = Network::claim();
        let sip = network.sip(NODE);
        let listen = format!("udp:{sip},tcp:{sip}");
        let tandem = Tandem::start(&network, &Options::default().env("TANDEM_SIP_LISTEN", &listen));
        let api = tandem.api();
        let far_end = Peer::start_with(network.sip(FAR_END), |_| Script::silent().respond(180).answer(Audio::Mute));
        let more = json!({
            "allowed_ips": [network.range()],
            "max_concurrent_calls": 1000,
            "inbound_routing": {"default": {"type": "sip", "uri": far_end.uri("called")}},
        });
        let _ = api.create_trunk("peers", network.sip(FAR_END), &more);
        Self { carrier, network, strangers: Network::claim(), tandem, api, far_end }
    }

    fn all_cases(mut self) {
        let cases = Case::all();
        let cases: Vec<&Case> = cases.iter().filter(|case| goes_over(case, self.carrier)).collect();
        let before = at_rest(&self.api);
        let mut faults = Vec::new();
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (place, case) in cases.iter().enumerate() {
            // A host for each: many cases have a branch and a sent-by in common, and only their source tells them apart.
            let host = match case.sender {
                Sender::Trunk => self.network.host(FIRST_CALLER + u8::try_from(place).unwrap()),
                Sender::Stranger => self.strangers.host(FIRST_CALLER),
            };
            let mut line = Line::open(case, self.carrier, host, self.tandem.sip());
            line.send_case();
            let call_id = format!("{PROBE}{place}");
            line.probe(&call_id, &format!("z9hG4bK{call_id}"));
            lines.push(line);
            if let Some(fault) = self.wait_for_probe(&mut lines, &call_id) {
                faults.push(format!("{}: {fault}", case.id));
            }
        }
        self.wait_for_calls(&mut lines);
        // One silence for all: what is not answered by now, the slowest answer being that of a far end, is not answered.
        let quiet = Instant::now() + SILENCE;
        while Instant::now() < quiet {
            pump(&mut lines);
        }
        faults.extend(lines.iter().flat_map(|line| faults_of(line, self.carrier)));
        faults.extend(self.faults_of_calls(&lines));
        assert!(self.tandem.is_running());
        assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
        let deadline = Instant::now() + REST;
        let mut after = at_rest(&self.api);
        while after != before && Instant::now() < deadline {
            after = at_rest(&self.api);
        }
        assert_eq!(after, before, "something is left");
        let calls: usize = lines.iter().map(Line::calls).sum();
        let numbers = self.api.ready_numbers();
        let transactions = [numbers["server_transactions"], numbers["client_transactions"]]
            .map(|number| usize::try_from(number).unwrap());
        // Those that absorb repeats: on a connection only of INVITEs that were accepted (RFC 6026 §7.1), over UDP of every request: case,
        // OPTIONS and BYE. On our side INVITE and BYE to the far end.
        let most = match self.carrier {
            Carrier::Udp => 2 * lines.len() + calls,
            Carrier::Tcp | Carrier::Tls => calls,
        };
        assert!(
            transactions[0] <= most && transactions[1] <= 2 * calls,
            "transactions {transactions:?} of {calls} calls"
        );
    }

    /// Waits until the line's last probe is answered: over UDP and on a connection requests are dealt with in their order, so that the
    /// case has been looked at. Where the connection was closed, another one asks.
    fn wait_for_probe(&self, lines: &mut Vec<Line<'_>>, call_id: &str) -> Option<String> {
        let deadline = Instant::now() + PROBE_TIME;
        loop {
            pump(lines);
            let last = lines.last()?;
            if last.is_probe_answered(call_id) {
                return None;
            }
            if last.is_closed() {
                break;
            }
            if Instant::now() >= deadline {
                return Some(format!("OPTIONS has no 200 in {PROBE_TIME:?}"));
            }
        }
        let (case, local) = lines.last().map(|line| (line.case, line.local()))?;
        let mut other = Line::open(case, self.carrier, local.ip(), self.tandem.sip());
        other.probe(call_id, &format!("z9hG4bK{call_id}"));
        while !other.is_probe_answered(call_id) {
            if Instant::now() >= deadline {
                return Some(format!("OPTIONS on a new connection has no 200 in {PROBE_TIME:?}"));
            }
            other.pump();
            pause(TICK);
        }
        None
    }

    /// Waits until all that can be answered is, and all calls have ended.
    fn wait_for_calls(&self, lines: &mut Vec<Line<'_>>) {
        let deadline = Instant::now() + ANSWERS;
        loop {
            pump(lines);
            let is_open = |line: &Line<'_>| {
                !line.is_at_rest()
                    || rules::judge(line.case, self.carrier, &line.outcome())
                        .is_some_and(|_| line.outcome().finals.is_empty())
            };
            if Instant::now() >= deadline || !lines.iter().any(is_open) {
                return;
            }
        }
    }

    /// What is wrong with what calls left: at the far end, on record, in the log.
    fn faults_of_calls(&self, lines: &[Line<'_>]) -> Vec<String> {
        let mut faults = Vec::new();
        let answered: usize = lines.iter().map(Line::calls).sum();
        assert!(answered > 40, "only {answered} cases made a call");
        let far_calls = self.far_end.calls();
        if far_calls.len() != answered {
            faults.push(format!("{answered} calls were answered, {} reached the far end", far_calls.len()));
        }
        for call in &far_calls {
            let of_form = form::faults_of_invite(&call.invite);
            faults
                .extend(of_form.into_iter().map(|fault| format!("INVITE to the far end: {fault}: {:?}", call.invite)));
        }
        let deadline = Instant::now() + REST;
        let recorded = eventually("calls on record", REST * 2, || {
            let calls = self.api.all_calls();
            let is_over = calls.iter().all(|call| !call["ended_at"].is_null());
            (is_over && calls.len() >= answered || Instant::now() >= deadline).then_some(calls)
        });
        if recorded.len() != answered {
            faults.push(format!("{answered} calls were answered, {} are on record", recorded.len()));
        }
        let refused = self.api.get("/refusals?limit=1000").expect(200);
        for record in recorded.iter().chain(refused.as_array().into_iter().flatten()) {
            faults.extend(unclean(record).into_iter().map(|text| format!("control characters on record: {text:?}")));
        }
        let log = self.tandem.log();
        if let Some(line) = log.lines().find(|line| line.contains(char::is_control)) {
            faults.push(format!("control characters in the log: {line:?}"));
        }
        let seen = format!("{log}{recorded:?}{refused}{far_calls:?}");
        if seen.contains(PASSWORD_OF_A_URI) {
            faults.push(format!("{PASSWORD_OF_A_URI} is told"));
        }
        faults
    }
}

fn pump(lines: &mut Vec<Line<'_>>) {
    for line in &mut *lines {
        line.pump();
    }
    pause(TICK);
}

/// What is wrong with what came back on a line.
fn faults_of(line: &Line<'_>, carrier: Carrier) -> Vec<String> {
    let case = line.case;
    let mut faults: Vec<String> = rules::judge(case, carrier, &line.outcome()).into_iter().collect();
    if carrier == Carrier::Tcp && line.is_closed() != ENDS_THE_STREAM.contains(&case.id.as_str()) {
        faults.push(format!("closed: {}", line.is_closed()));
    }
    faults.extend(line.unasked.iter().map(|text| format!("nobody asked for {text:?}")));
    for answer in &line.answers {
        let of_form = form::faults_of_answer(&case.octets, answer, line.local());
        faults.extend(of_form.into_iter().map(|fault| format!("{fault}: {}", String::from_utf8_lossy(answer))));
    }
    if !line.is_at_rest() {
        faults.push("BYE has no answer".to_owned());
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", case.id)).collect()
}

/// Texts with control characters anywhere in a record.
fn unclean(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.contains(char::is_control) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(unclean).collect(),
        Value::Object(fields) => fields.values().flat_map(unclean).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// What the node holds, but for transactions, which absorb repeats for 32 s after their end (RFC 3261 §17.2).
fn at_rest(api: &Api) -> BTreeMap<String, u64> {
    api.ready_numbers().into_iter().filter(|(name, _)| !name.contains("transactions")).collect()
}

/// Hosts of the network: the node, the first that sends cases, and who is called.
const NODE: u8 = 1;
const FIRST_CALLER: u8 = 2;
const FAR_END: u8 = 250;
/// Of `sip/uri-password`.
const PASSWORD_OF_A_URI: &str = "user:secret";
/// A node that is well answers within 500 ms; a machine that runs other tests meanwhile gets more.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How long calls may take until they are answered and over.
const ANSWERS: Duration = Duration::from_secs(10);
/// Longer than a node that answers takes, and than the first resend.
const SILENCE: Duration = Duration::from_secs(1);
/// Ports tell what they counted, and records are stored, within this.
const REST: Duration = Duration::from_secs(5);
/// Between two looks at all sockets.
const TICK: Duration = Duration::from_millis(1);
