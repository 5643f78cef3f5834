//! What reading a message costs, beside `httparse` on the same header block under an HTTP first line.
//!
//! `cargo bench -p tandem-sip --bench parse`. Three columns: the index ([`Index`]: start line, name and span of every
//! header, branch, tags, Call-ID, CSeq, Content-Length), the whole message ([`Message`]: the index, and the grammar of
//! the Request-URI, Via, From, To and Content-Type), and `httparse`. They take turns in one process, so that what else
//! the machine does falls on all; a figure is the median of the rounds, and a ratio that of the ratios within a round.
//!
//! A processor learns a message that it reads a thousand times, so the first row is of many different INVITEs, one
//! after the other.

#![expect(clippy::print_stdout, reason = "a bench prints its result")]
#![expect(clippy::disallowed_methods, reason = "a bench measures time")]

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::time::Instant;

use tandem_sip::message::{Index, Message};

/// Rounds of each row; odd, so that there is one in the middle.
const ROUNDS: usize = 101;

/// Messages a round: some hundreds of microseconds.
const BATCH: usize = 512;

/// The most that the index of an INVITE may cost, in units of `httparse`.
const BUDGET: f64 = 1.5;

/// `httparse` is given room for that many headers, not set before, as servers do that use it.
const HTTP_HEADERS: usize = 64;

/// A message, and what it is called in the table.
struct Sample {
    name: &'static str,
    /// Whether the budget holds for it.
    is_budgeted: bool,
    first_line: &'static str,
    http_first_line: &'static str,
    /// All but Content-Length.
    headers: &'static str,
    body: &'static str,
}

const SDP: &str = "v=0\r\no=- 3901 3901 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";

const SAMPLES: [Sample; 5] = [
    Sample {
        name: "INVITE",
        is_budgeted: true,
        first_line: "INVITE sip:+12025550100@203.0.113.10:5060;user=phone SIP/2.0",
        http_first_line: "INVITE /+12025550100@203.0.113.10:5060;user=phone HTTP/1.1",
        headers: "Via: SIP/2.0/UDP 192.0.2.7:5060;rport;branch=z9hG4bK4b2f7a1c9d3e\r\n\
            Max-Forwards: 70\r\n\
            From: \"Alice Example\" <sip:+12025550199@192.0.2.7;user=phone>;tag=as58f4a7c1\r\n\
            To: <sip:+12025550100@203.0.113.10:5060;user=phone>\r\n\
            Contact: <sip:+12025550199@192.0.2.7:5060;transport=udp>\r\n\
            Call-ID: 2f4c8d1e7b9a40d3a6f5c2e1@192.0.2.7\r\n\
            CSeq: 102 INVITE\r\n\
            User-Agent: Example SBC 9.4.1\r\n\
            Date: Tue, 14 Jul 2026 09:30:00 GMT\r\n\
            Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE\r\n\
            Supported: replaces, timer\r\n\
            P-Asserted-Identity: \"Alice Example\" <sip:+12025550199@192.0.2.7>\r\n\
            Content-Type: application/sdp\r\n",
        body: SDP,
    },
    Sample {
        name: "INVITE over proxies",
        is_budgeted: false,
        first_line: "INVITE sip:+12025550100@203.0.113.10:5060;transport=udp SIP/2.0",
        http_first_line: "INVITE /+12025550100@203.0.113.10:5060;transport=udp HTTP/1.1",
        headers: "Record-Route: <sip:198.51.100.2;r2=on;lr;ftag=gK0c5b1a2f;did=1f1.2e4>\r\n\
            Record-Route: <sip:198.51.100.9;lr;ftag=gK0c5b1a2f>\r\n\
            Via: SIP/2.0/UDP 198.51.100.2:5060;branch=z9hG4bKcydzigwkX.9f8a1b2c3d4e5f60718293a4b5c6d7e8.0\r\n\
            Via: SIP/2.0/UDP 198.51.100.9;received=10.11.12.13;branch=z9hG4bK7f1d.a93c2b1f4e.1;i=3b7\r\n\
            Via: SIP/2.0/TCP 192.0.2.7:5060;rport=41022;received=192.0.2.7;branch=z9hG4bK-524287-1---8a7c6b5d4e3f\r\n\
            Max-Forwards: 66\r\n\
            Contact: <sip:+12025550199@192.0.2.7:5060;transport=tcp>\r\n\
            To: <sip:+12025550100@carrier.example.net;user=phone>\r\n\
            From: \"+12025550199\" <sip:+12025550199@pbx.example.com;user=phone;isup-oli=00>;tag=gK0c5b1a2f\r\n\
            Call-ID: 1073742918_104983217@192.0.2.7\r\n\
            CSeq: 820167 INVITE\r\n\
            Allow: INVITE,ACK,CANCEL,BYE,REGISTER,REFER,INFO,SUBSCRIBE,NOTIFY,PRACK,UPDATE,OPTIONS,MESSAGE,PUBLISH\r\n\
            Accept: application/sdp, application/isup, application/dtmf, application/dtmf-relay, multipart/mixed\r\n\
            P-Asserted-Identity: <sip:+12025550199@pbx.example.com>\r\n\
            P-Charging-Vector: icid-value=\"5f1d3c2b.9a8e7f6d5c4b3a29\";icid-generated-at=198.51.100.9\r\n\
            Privacy: none\r\n\
            Supported: timer,100rel,precondition,replaces\r\n\
            Session-Expires: 1800\r\n\
            Min-SE: 90\r\n\
            Content-Disposition: session; handling=required\r\n\
            Content-Type: application/sdp\r\n",
        body: SDP,
    },
    Sample {
        name: "100",
        is_budgeted: false,
        first_line: "SIP/2.0 100 Trying",
        http_first_line: "GET / HTTP/1.1",
        headers: "Via: SIP/2.0/UDP 203.0.113.10:5060;received=203.0.113.10;rport=5060;branch=z9hG4bK01f7c2a94e\r\n\
            From: <sip:+12025550199@203.0.113.10>;tag=00a1b2c3d4e5f607\r\n\
            To: <sip:+12025550100@carrier.example.net>\r\n\
            Call-ID: 00-9f8e7d6c5b4a39281706f5e4d3c2b1a0\r\n\
            CSeq: 1 INVITE\r\n\
            Server: Example Gateway 3.2\r\n",
        body: "",
    },
    Sample {
        name: "200 to an INVITE",
        is_budgeted: false,
        first_line: "SIP/2.0 200 OK",
        http_first_line: "GET / HTTP/1.1",
        headers: "Via: SIP/2.0/UDP 203.0.113.10:5060;received=203.0.113.10;rport=5060;branch=z9hG4bK01f7c2a94e\r\n\
            Record-Route: <sip:198.51.100.2;lr;ftag=00a1b2c3d4e5f607>\r\n\
            From: <sip:+12025550199@203.0.113.10>;tag=00a1b2c3d4e5f607\r\n\
            To: <sip:+12025550100@carrier.example.net>;tag=gK0471e6a9\r\n\
            Call-ID: 00-9f8e7d6c5b4a39281706f5e4d3c2b1a0\r\n\
            CSeq: 1 INVITE\r\n\
            Contact: <sip:+12025550100@198.51.100.40:5060>\r\n\
            Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, UPDATE, PRACK\r\n\
            Supported: timer\r\n\
            Content-Type: application/sdp\r\n",
        body: SDP,
    },
    Sample {
        name: "BYE",
        is_budgeted: false,
        first_line: "BYE sip:0000000000000001@203.0.113.10:5060 SIP/2.0",
        http_first_line: "BYE /0000000000000001@203.0.113.10:5060 HTTP/1.1",
        headers: "Via: SIP/2.0/UDP 198.51.100.40:5060;branch=z9hG4bK04B1d9a7c3f2e8\r\n\
            From: <sip:+12025550100@carrier.example.net>;tag=gK0471e6a9\r\n\
            To: <sip:+12025550199@203.0.113.10>;tag=00a1b2c3d4e5f607\r\n\
            Call-ID: 00-9f8e7d6c5b4a39281706f5e4d3c2b1a0\r\n\
            CSeq: 27 BYE\r\n\
            Max-Forwards: 70\r\n\
            Reason: Q.850;cause=16;text=\"Normal call clearing\"\r\n",
        body: "",
    },
];

impl Sample {
    fn messages(&self) -> Vec<Pair> {
        let pair = Pair::new(self.first_line, self.http_first_line, self.headers, self.body);
        vec![pair; BATCH]
    }
}

/// A message of SIP and one of HTTP with the same headers and body.
#[derive(Clone)]
struct Pair {
    sip: Vec<u8>,
    http: Vec<u8>,
}

impl Pair {
    fn new(first_line: &str, http_first_line: &str, headers: &str, body: &str) -> Self {
        let under = |first_line: &str| {
            format!("{first_line}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        Self { sip: under(first_line), http: under(http_first_line) }
    }
}

/// INVITEs as from many peers: names, numbers and hosts of many lengths, headers in any order, some or none of those
/// that need not be there.
struct Peers(u64);

impl Peers {
    fn invite(&mut self) -> Pair {
        let mut headers = Vec::new();
        for _ in 0..=self.below(2) {
            let (host, port, branch) = (self.host(), self.port(), self.text(8, 40));
            let received = self.one_of(["", "rport;", "received=198.51.100.9;rport=5060;"]);
            headers.push(format!("Via: SIP/2.0/UDP {host}{port};{received}branch=z9hG4bK{branch}\r\n"));
        }
        let mut others = vec![
            format!("Max-Forwards: {}\r\n", 60 + self.below(11)),
            format!("Call-ID: {}@{}\r\n", self.text(10, 40), self.host()),
            format!("CSeq: {} INVITE\r\n", 1 + self.below(100_000)),
            format!("Contact: <sip:{}@{}{}>\r\n", self.number(), self.host(), self.port()),
        ];
        let (display, phone) = (self.one_of(["", "\"Alice Example\" ", "\"+12025550199\" "]), ["", ";user=phone"]);
        let (number, host, port, tag) = (self.number(), self.host(), self.port(), self.text(6, 24));
        others.push(format!("From: {display}<sip:{number}@{host}{}>;tag={tag}\r\n", self.one_of(phone)));
        let (number, host) = (self.number(), self.host());
        others.push(format!("To: <sip:{number}@{host}{port}{}>\r\n", self.one_of(phone)));
        for optional in OPTIONAL_HEADERS {
            if self.below(2) == 0 {
                others.push(format!("{optional}\r\n"));
            }
        }
        for last in (1..others.len()).rev() {
            others.swap(last, self.below(last + 1));
        }
        headers.append(&mut others);
        headers.push("Content-Type: application/sdp\r\n".to_owned());

        let target = format!("{}@{}{}", self.number(), self.host(), self.port());
        let http_first_line = format!("INVITE /{target} HTTP/1.1");
        Pair::new(&format!("INVITE sip:{target} SIP/2.0"), &http_first_line, &headers.concat(), SDP)
    }

    fn host(&mut self) -> String {
        if self.below(4) == 0 {
            let name = self.text(3, 8);
            return format!("{name}.example.{}", self.one_of(["com", "net", "org"]));
        }
        let mut octet = || self.below(256);
        format!("{}.{}.{}.{}", octet(), octet(), octet(), octet())
    }

    fn port(&mut self) -> String {
        if self.below(2) == 0 { String::new() } else { format!(":{}", 5060 + self.below(100)) }
    }

    fn number(&mut self) -> String {
        let digits: String = (0..8 + self.below(5)).map(|_| self.one_of(['0', '2', '5', '9'])).collect();
        format!("+1{digits}")
    }

    fn text(&mut self, shortest: usize, longest: usize) -> String {
        let length = shortest + self.below(longest - shortest + 1);
        (0..length).map(|_| self.one_of(['0', '7', 'a', 'b', 'f', 'x'])).collect()
    }

    fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.below(N)]
    }

    /// Xorshift: the same messages every time.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit
    }
}

const OPTIONAL_HEADERS: [&str; 9] = [
    "User-Agent: Example SBC 9.4.1",
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY",
    "Supported: replaces, timer",
    "Date: Tue, 14 Jul 2026 09:30:00 GMT",
    "P-Charging-Vector: icid-value=\"5f1d3c2b.9a8e7f6d5c4b3a29\"",
    "Accept: application/sdp",
    "Privacy: none",
    "Session-Expires: 1800",
    "P-Asserted-Identity: <sip:+12025550199@192.0.2.7>",
];

/// Medians over the rounds of a row.
struct Figures {
    index_nanos: f64,
    message_nanos: f64,
    http_nanos: f64,
    index_ratio: f64,
    message_ratio: f64,
}

fn measure(messages: &[Pair]) -> Figures {
    let deeds: [fn(&Pair); 3] = [index, message, http];
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        // Who goes first alternates too.
        let mut nanos = [0.0; 3];
        for turn in 0..deeds.len() {
            let who = (round + turn) % deeds.len();
            nanos[who] = time(messages, deeds[who]);
        }
        rounds.push(nanos);
    }
    let of = |figure: fn(&[f64; 3]) -> f64| median(rounds.iter().map(figure));
    Figures {
        index_nanos: of(|nanos| nanos[0]),
        message_nanos: of(|nanos| nanos[1]),
        http_nanos: of(|nanos| nanos[2]),
        index_ratio: of(|nanos| nanos[0] / nanos[2]),
        message_ratio: of(|nanos| nanos[1] / nanos[2]),
    }
}

fn index(pair: &Pair) {
    black_box(&Index::new(black_box(&pair.sip))).as_ref().expect("the sample is a message");
}

fn message(pair: &Pair) {
    black_box(&Message::parse(black_box(&pair.sip))).as_ref().expect("the sample is a message");
}

fn http(pair: &Pair) {
    let mut headers = [const { MaybeUninit::uninit() }; HTTP_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let outcome = request.parse_with_uninit_headers(black_box(&pair.http), &mut headers);
    assert!(black_box(outcome).expect("the header block is one of HTTP too").is_complete());
    black_box(&request);
}

/// Nanoseconds for one of the messages.
fn time(messages: &[Pair], deed: fn(&Pair)) -> f64 {
    let began = Instant::now();
    for pair in messages {
        deed(pair);
    }
    began.elapsed().as_secs_f64() * 1e9 / BATCH as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    println!(
        "{:20} {:>9} {:>11} {:>9} {:>12} {:>14}",
        "ns", "index", "message", "httparse", "index ratio", "message ratio"
    );
    let mut peers = Peers(88_172_645_463_325_252);
    let many = (0..BATCH).map(|_| peers.invite()).collect();
    let rows = std::iter::once(("INVITEs of many peers", true, many))
        .chain(SAMPLES.iter().map(|sample| (sample.name, sample.is_budgeted, sample.messages())));
    let mut results = Vec::new();
    for (name, is_budgeted, messages) in rows {
        let Figures { index_nanos, message_nanos, http_nanos, index_ratio, message_ratio } = measure(&messages);
        let verdict = match is_budgeted {
            true if index_ratio <= BUDGET => "  index within its budget of 1.5",
            true => "  index OVER its budget of 1.5",
            false => "",
        };
        println!(
            "{name:20} {index_nanos:9.0} {message_nanos:11.0} {http_nanos:9.0} {index_ratio:12.2} {message_ratio:14.2}{verdict}"
        );
        results.push(serde_json::json!({
            "message": name,
            "sip_nanos": index_nanos.round(),
            "whole_nanos": message_nanos.round(),
            "httparse_nanos": http_nanos.round(),
            "ratio": (index_ratio * 100.0).round() / 100.0,
            "whole_ratio": (message_ratio * 100.0).round() / 100.0,
            "budget": is_budgeted.then_some(BUDGET),
        }));
    }
    // `bench/suites/parse.py` reads the last line.
    println!("{}", serde_json::json!({ "bench": "parse", "rounds": ROUNDS, "batch": BATCH, "results": results }));
}
