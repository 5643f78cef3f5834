//! When the next trunk is tried, and when not.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tandem_e2e::peer::{Audio, Script};
use tandem_e2e::{Api, Network, Options, Peer, Tandem, text_at};

const SOON: Duration = Duration::from_secs(3);

/// Two trunks: what the first does is the test's, the second answers.
struct Pair {
    _tandem: Tandem,
    api: Api,
    one: Peer,
    other: Peer,
    first: String,
}

fn pair(script: Script, more: &Value) -> Pair {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let one = Peer::start_with(network.sip(2), move |_| script.clone());
    let other = Peer::start_with(network.sip(3), |_| Script::silent().answer(Audio::Echo));
    let first = api.create_trunk("first", one.address(), more);
    let _ = api.create_trunk("second", other.address(), &json!({"priority": 2}));
    Pair { _tandem: tandem, api, one, other, first }
}

fn outcomes(receipt: &Value) -> Vec<String> {
    let attempts = receipt["attempts"].as_array().cloned().unwrap_or_default();
    attempts.iter().map(|attempt| attempt["outcome"]["code"].as_str().unwrap_or_default().to_owned()).collect()
}

impl Pair {
    fn dial(&self) -> String {
        text_at(&self.api.dial("+12025550100", &json!({})), "/id")
    }

    /// The outcomes of a call that is answered by the second trunk.
    fn taken_over(&self) -> Vec<String> {
        let id = self.dial();
        let _ = self.api.wait_for_status(&id, "answered", Duration::from_secs(6));
        let _ = self.api.hang_up(&id).expect(200);
        let call = self.api.wait_for_end(&id, SOON);
        assert_eq!(call["status"], "completed", "{call:#}");
        assert_eq!(self.other.calls().len(), 1);
        outcomes(&self.api.receipt(&id))
    }

    fn first_trunk(&self) -> Value {
        self.api.get(&format!("/trunks/{}", self.first)).expect(200)
    }
}

#[test]
fn codes_that_say_something_of_the_trunk_go_on_to_the_next() {
    for status in [408, 500, 502, 503, 504] {
        let pair = pair(Script::silent().respond(100).respond(status), &json!({}));
        assert_eq!(pair.taken_over(), ["retryable_status", "answered"], "{status}");
    }
}

#[test]
fn codes_by_which_the_callee_has_spoken_go_back_whatever_is_configured() {
    for status in [486, 600, 603] {
        let more = json!({"outbound_routing": {"failover_on": [486, 600, 603]}});
        let pair = pair(Script::silent().respond(100).respond(status), &more);
        let id = pair.dial();
        let call = pair.api.wait_for_end(&id, SOON);
        assert_eq!(call["sip_status"], status, "{call:#}");
        assert_eq!(outcomes(&pair.api.receipt(&id)), ["final_status"], "{status}");
        assert!(pair.other.calls().is_empty());
    }
}

#[test]
fn a_code_that_the_trunk_names_goes_on_to_the_next() {
    let pair = pair(Script::silent().respond(404), &json!({"outbound_routing": {"failover_on": [404]}}));
    assert_eq!(pair.taken_over(), ["retryable_status", "answered"]);
}

#[test]
fn a_trunk_that_makes_no_progress_is_given_up_and_canceled() {
    let pair = pair(Script::silent().respond(100), &json!({"outbound_routing": {"progress_timeout": 1}}));
    let begun = Instant::now();
    assert_eq!(pair.taken_over(), ["no_progress", "answered"]);
    assert!(begun.elapsed() < SOON);
    let call = pair.one.wait_for_call("was canceled", SOON, |call| call.count("CANCEL") > 0 && call.count("ACK") > 0);
    let cancel = call.received.iter().find(|(_, text)| text.method() == Some("CANCEL")).map(|(_, text)| text.clone());
    let cancel = cancel.expect("it came");
    // RFC 3261 §9.1: the same branch, URI, From, To without tag and number as the INVITE.
    let same = |name: &str| (cancel.header(name).map(str::to_owned), call.invite.header(name).map(str::to_owned));
    for name in ["Via", "From", "To", "Call-ID"] {
        let (ours, theirs) = same(name);
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(cancel.uri(), call.invite.uri());
}

#[test]
fn a_trunk_where_nobody_listens_is_passed_over_at_once() {
    let pair = pair(Script::silent(), &json!({"sip_port": 5999}));
    let begun = Instant::now();
    assert_eq!(pair.taken_over(), ["transport_error", "answered"]);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_trunk_that_refuses_our_credentials_shows_it_until_it_takes_them() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("strict", peer.address(), &json!({"auth_username": "us", "auth_password": "secret"}));
    let order = json!({"sip_trunk_id": trunk});
    let shows = || api.get(&format!("/trunks/{trunk}")).expect(200)["auth_failed"].clone();
    for (user, failed) in [("authbad", true), ("auth", false)] {
        let id = text_at(&api.dial(&peer.uri(user), &order), "/id");
        let call =
            api.wait_for_call(&id, "decided", SOON, |call| call["status"] == "answered" || !call["ended_at"].is_null());
        if failed {
            assert_eq!(call["hangup_cause"], "authentication_failed", "{call:#}");
        } else {
            let _ = api.hang_up(&id).expect(200);
        }
        assert_eq!(shows(), json!(failed), "after {user}");
    }
    let calls = peer.calls();
    assert!(calls[0].count("INVITE") <= 4, "it is not tried for ever: {}", calls[0].count("INVITE"));
    let invites = calls[1].received.iter().filter(|(_, text)| text.method() == Some("INVITE"));
    let credentials: Vec<&str> = invites.filter_map(|(_, text)| text.header("Proxy-Authorization")).collect();
    assert_eq!(credentials.len(), 1);
    assert!(tandem_e2e::digest::is_right(credentials[0], "INVITE", "us", "secret"), "{credentials:?}");
}

#[test]
fn a_trunk_rests_as_long_as_it_asks_and_at_most_a_minute() {
    for (asked, longest) in [("5", 5.5), ("86400", 60.5)] {
        let pair = pair(Script::silent().respond_with(503, "Retry-After", asked), &json!({}));
        let before = std::time::SystemTime::now();
        assert_eq!(pair.taken_over(), ["retryable_status", "answered"]);
        let shown = pair.first_trunk();
        let until: tandem_model::Timestamp = text_at(&shown, "/resting_until").parse().expect("a time");
        let since = before.duration_since(std::time::UNIX_EPOCH).expect("the clock is right");
        let micros = u64::try_from(until.unix_micros()).expect("after 1970");
        let rest = Duration::from_micros(micros).saturating_sub(since).as_secs_f64();
        assert!(rest <= longest && rest > longest - 2.5, "{asked}: {rest} s");
    }
}

#[test]
fn the_ring_timeout_is_for_the_whole_call() {
    let pair = pair(Script::silent().respond(100), &json!({"outbound_routing": {"progress_timeout": 2}}));
    drop(pair.other);
    let begun = Instant::now();
    let id = text_at(&pair.api.dial("+12025550100", &json!({"ring_timeout_seconds": 1})), "/id");
    let call = pair.api.wait_for_end(&id, SOON);
    assert!(begun.elapsed() < Duration::from_millis(1_800), "{:?}", begun.elapsed());
    assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("no_answer"), &json!("no_answer")), "{call:#}");
    assert_eq!(outcomes(&pair.api.receipt(&id)), ["ring_timeout"]);
}
