//! Rules of SIP proved by a peer that is not ours: SIPp calls the node and is called by it, without anything in between. What it expects
//! is in its scene, and what is looked at is what it has read.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tandem_e2e::{Api, Network, Options, SDP, Scene, SipText, Sipp, SippMessage, Tandem, eventually, text_at};
use tandem_model::Transport;

/// A node on host 1, a SIPp on host 2, and a trunk between them, by which one number can be called in.
struct Bench {
    network: Network,
    tandem: Tandem,
    api: Api,
    trunk: String,
}

fn bench() -> Bench {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default().env("TANDEM_LOG", "info"));
    let api = tandem.api();
    let body = json!({"inbound_routing": {"rules": [{"to": INBOUND, "connect": {"type": "echo"}}]}});
    let trunk = api.create_trunk("sipp", network.sip(2), &body);
    Bench { network, tandem, api, trunk }
}

impl Bench {
    fn sipp(&self) -> SocketAddr {
        self.network.sip(2)
    }

    /// SIPp calls, and all goes as it expects.
    fn is_called_by(&self, scene: &Scene) -> Vec<SippMessage> {
        Sipp::place(Transport::Udp, scene, self.sipp(), self.tandem.sip(), INBOUND).succeed()
    }

    /// SIPp that can be called once.
    fn callee(&self, scene: &Scene) -> Sipp {
        Sipp::take(Transport::Udp, scene, self.sipp())
    }

    fn dial(&self) -> String {
        text_at(&self.api.dial(OUTBOUND, &json!({"sip_trunk_id": self.trunk})), "/id")
    }

    /// Calls the SIPp, and hangs up once it has answered.
    fn call_and_hang_up(&self, scene: &Scene) -> (Vec<SippMessage>, Value) {
        let sipp = self.callee(scene);
        let id = self.dial();
        let _ = self.api.wait_for_status(&id, "answered", SOON);
        let _ = sipp.wait_for("ACK");
        let _ = self.api.hang_up(&id).expect(200);
        let heard = sipp.succeed();
        let call = self.api.wait_for_end(&id, SOON);
        assert_eq!(call["status"], "completed", "{call:#}");
        (heard, call)
    }

    /// The one call that came in, once it is over.
    fn only_call(&self) -> Value {
        let calls = eventually("a call that is over", SOON, || {
            let calls = self.api.all_calls();
            (!calls.is_empty() && calls.iter().all(|call| !call["ended_at"].is_null())).then_some(calls)
        });
        assert_eq!(calls.len(), 1, "{calls:#?}");
        // The list may have it from before it was closed.
        self.api.call(&text_at(&calls[0], "/id"))
    }
}

/// Calls, and is answered.
fn answered() -> Scene {
    Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").acknowledges("")
}

fn hangs_up(scene: Scene) -> Scene {
    scene.asks("BYE", "").hears("200")
}

fn until_bye(scene: Scene) -> Scene {
    scene.hears("BYE").answers("200 OK", "", "")
}

/// The messages of this kind that have come, repeats too.
fn came<'a>(messages: &'a [SippMessage], what: &str) -> Vec<&'a SipText> {
    messages.iter().filter(|message| message.came && message.text.what() == what).map(|message| &message.text).collect()
}

/// The one message of this kind, which a busy machine may have had repeated.
#[track_caller]
fn only<'a>(messages: &'a [SippMessage], what: &str) -> &'a SipText {
    let found = came(messages, what);
    assert!(!found.is_empty() && found.iter().all(|other| *other == found[0]), "{what}: {found:#?}");
    found[0]
}

fn branch(text: &SipText) -> &str {
    let via = text.header("Via").unwrap_or_default();
    via.split(';').find_map(|parameter| parameter.strip_prefix("branch=")).unwrap_or_else(|| panic!("{text:?}"))
}

/// The direction that a description gives its audio; both is the default.
fn direction(text: &SipText) -> String {
    let known = ["sendrecv", "sendonly", "recvonly", "inactive"];
    text.sdp('a').into_iter().find(|value| known.contains(&value.as_str())).unwrap_or_else(|| "sendrecv".to_owned())
}

// Transactions.

#[test]
fn sipp_sees_an_invite_again_until_it_says_something() {
    let bench = bench();
    // After 0.5 and 1.5 s; a busy machine may add to them.
    let scene =
        Scene::callee().waits(ms(2_400)).responds("180 Ringing", "", "").responds("200 OK", "", SDP).hears("ACK");
    let (heard, _) = bench.call_and_hang_up(&until_bye(scene));
    let invites = came(&heard, "INVITE");
    assert!(invites.len() >= 2, "{} INVITEs", invites.len());
    assert!(invites.iter().all(|invite| *invite == invites[0]), "the same octets: {invites:#?}");
}

#[test]
fn sipp_sees_a_200_again_until_it_acknowledges() {
    let bench = bench();
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200");
    // Twice meanwhile; the next would come 2 s after that.
    let heard = bench.is_called_by(&hangs_up(scene.waits(ms(2_000)).acknowledges("").waits(ms(2_500))));
    let answers = came(&heard, "200 INVITE");
    assert!(answers.len() >= 2, "{} answers", answers.len());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let acknowledged = heard.iter().position(|message| message.text.method() == Some("ACK")).expect("it was said");
    assert!(heard[acknowledged..].iter().all(|message| message.text.what() != "200 INVITE"), "it knows the ACK");
}

#[test]
fn sipp_sees_a_refusal_again_until_it_acknowledges() {
    let bench = bench();
    let scene = Scene::caller().invites("", SDP).may_hear("100").hears("404").waits(ms(2_000)).acknowledges_failure();
    let heard =
        Sipp::place(Transport::Udp, &scene.waits(ms(2_500)), bench.sipp(), bench.tandem.sip(), NOBODYS).succeed();
    let refusals = came(&heard, "404 INVITE");
    assert!(refusals.len() >= 2, "{} refusals", refusals.len());
    let acknowledged = heard.iter().position(|message| message.text.method() == Some("ACK")).expect("it was said");
    assert!(heard[acknowledged..].iter().all(|message| message.text.what() != "404 INVITE"), "it knows the ACK");
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:#?}");
}

#[test]
fn an_invite_that_sipp_repeats_is_one_call() {
    let bench = bench();
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200");
    // As if the answer had been lost.
    let heard = bench.is_called_by(&hangs_up(scene.repeats().waits(ms(300)).acknowledges("")));
    let answers = came(&heard, "200 INVITE");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!(
        heard.iter().filter(|message| message.text.method() == Some("INVITE")).count() >= 2,
        "as often as it was sent"
    );
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn a_bye_that_sipp_repeats_gets_its_answer_again() {
    let bench = bench();
    let heard = bench.is_called_by(&hangs_up(answered()).repeats().hears("200").with_repeats_as_steps());
    let answers = came(&heard, "200 BYE");
    assert!(answers.len() == 2 && answers[0] == answers[1], "{answers:#?}");
}

#[test]
fn a_bye_is_sent_again_until_sipp_answers() {
    let bench = bench();
    let scene = Scene::callee().responds("200 OK", "", SDP).hears("ACK").hears("BYE").waits(ms(2_400));
    let (heard, _) = bench.call_and_hang_up(&scene.answers("200 OK", "", ""));
    let byes = came(&heard, "BYE");
    assert!(byes.len() >= 2 && byes.iter().all(|bye| *bye == byes[0]), "{byes:#?}");
}

#[test]
fn a_refusal_of_sipp_is_acknowledged_in_its_transaction_each_time() {
    let bench = bench();
    let scene =
        Scene::callee().with_repeats_as_steps().responds("486 Busy Here", "", "").may_hear("INVITE").hears("ACK");
    let sipp = bench.callee(&scene.responds_late("486 Busy Here", "").hears("ACK"));
    let call = bench.api.wait_for_end(&bench.dial(), SOON);
    assert_eq!((&call["hangup_cause"], &call["sip_status"]), (&json!("user_busy"), &json!(486)), "{call:#}");
    let heard = sipp.succeed();
    let (invite, acks) = (only(&heard, "INVITE"), came(&heard, "ACK"));
    assert_eq!(acks.len(), 2, "{acks:#?}");
    for ack in acks {
        assert_eq!((branch(ack), ack.uri(), ack.call_id()), (branch(invite), invite.uri(), invite.call_id()));
        assert_eq!(ack.cseq().map(|(number, _)| number), invite.cseq().map(|(number, _)| number));
        assert!(ack.header("To").is_some_and(|to| to.contains(";tag=")), "the tag of the response: {ack:?}");
    }
}

#[test]
fn each_200_of_sipp_is_acknowledged_outside_of_its_transaction() {
    let bench = bench();
    let scene = Scene::callee().with_repeats_as_steps().responds("200 OK", "", SDP).may_hear("INVITE").hears("ACK");
    let scene = scene.responds_late("200 OK", SDP).hears("ACK");
    let (heard, _) = bench.call_and_hang_up(&until_bye(scene));
    let (invite, acks) = (only(&heard, "INVITE"), came(&heard, "ACK"));
    assert_eq!(acks.len(), 2, "{acks:#?}");
    for ack in acks {
        assert_ne!(branch(ack), branch(invite), "a transaction of its own");
        assert_eq!(ack.cseq().map(|(number, _)| number), invite.cseq().map(|(number, _)| number));
    }
}

#[test]
fn a_cancel_waits_until_sipp_has_said_something() {
    let bench = bench();
    let scene =
        Scene::callee().waits(ms(1_200)).responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let sipp = bench.callee(&scene.responds_late("487 Request Terminated", "").hears("ACK"));
    let id = bench.dial();
    let _ = sipp.wait_for("INVITE");
    let _ = bench.api.hang_up(&id).expect(200);
    let call = bench.api.wait_for_end(&id, SOON);
    assert_eq!(call["status"], "canceled", "{call:#}");
    // That it came before the 180 would have failed the scene.
    let heard = sipp.succeed();
    assert_eq!(branch(only(&heard, "CANCEL")), branch(came(&heard, "INVITE")[0]));
}

#[test]
fn a_cancel_of_sipp_after_our_200_changes_nothing() {
    let bench = bench();
    let scene = Scene::caller().invites("", SDP).may_hear("100").may_hear("180").hears("200").cancels().hears("200");
    let heard = bench.is_called_by(&hangs_up(scene.acknowledges("").waits(ms(300))));
    assert_eq!(came(&heard, "200 CANCEL").len(), 1);
    assert!(came(&heard, "487 INVITE").is_empty() && came(&heard, "BYE").is_empty(), "the call went on");
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn answers_find_a_sipp_that_does_not_know_where_it_is() {
    let bench = bench();
    let scene = Scene::caller().claims_to_be_at("192.0.2.99:9").invites("", SDP).may_hear("100").hears("200");
    let heard = bench.is_called_by(&hangs_up(scene.acknowledges("")));
    for what in ["200 INVITE", "200 BYE"] {
        let via = came(&heard, what)[0].header("Via").unwrap_or_default();
        let parameters: Vec<&str> = via.split(';').map(str::trim).collect();
        let received = format!("received={}", bench.sipp().ip());
        assert!(parameters.contains(&received.as_str()) && parameters.contains(&"rport=5060"), "{what}: {via}");
        assert!(parameters[0].ends_with(" 192.0.2.99:9"), "{what}: {via}");
    }
}

// Dialogs.

#[test]
fn a_request_of_sipp_out_of_order_gets_500_and_the_call_goes_on() {
    let bench = bench();
    let scene = answered().invites("", SDP).may_hear("100").hears("200").acknowledges("");
    let heard = bench.is_called_by(&hangs_up(scene.asks_as("BYE", 1, "").hears("500")));
    assert_eq!((came(&heard, "500 BYE").len(), came(&heard, "200 BYE").len()), (1, 1));
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn a_request_of_sipp_in_no_dialog_gets_481() {
    let bench = bench();
    let stray = Scene::caller().asks("BYE", "").hears("481");
    assert!(only(&bench.is_called_by(&stray), "481 BYE").header("To").is_some_and(|to| to.contains(";tag=")));
    let stray = Scene::caller().says(&in_dialog_of_nobody("BYE")).hears("481");
    let _ = only(&bench.is_called_by(&stray), "481 BYE");
    let stray = Scene::caller().says(&in_dialog_of_nobody("INVITE")).hears("481");
    let _ = bench.is_called_by(&stray.says(&in_dialog_of_nobody("ACK")));
    let stray = Scene::caller().cancels().hears("481");
    let _ = only(&bench.is_called_by(&stray), "481 CANCEL");
    assert!(bench.api.all_calls().is_empty());
}

#[test]
fn a_strict_router_of_sipp_gets_what_it_wants() {
    let bench = bench();
    let strict = "Record-Route: <sip:strict@[local_ip]:[local_port]>";
    let scene = Scene::callee().responds("180 Ringing", strict, "").responds("200 OK", strict, SDP).hears("ACK");
    let (heard, _) = bench.call_and_hang_up(&until_bye(scene));
    let target = format!("<sip:sipp@{};transport=UDP>", bench.sipp());
    for method in ["ACK", "BYE"] {
        let request = only(&heard, method);
        assert_eq!(request.uri(), Some(format!("sip:strict@{}", bench.sipp()).as_str()), "{method}");
        assert_eq!(request.header("Route"), Some(target.as_str()), "{method}");
    }
}

#[test]
fn a_re_invite_of_sipp_moves_the_target() {
    let bench = bench();
    let scene = Scene::callee().responds("200 OK", "", SDP).hears("ACK").moves_to("moved").invites("", SDP);
    let sipp = bench.callee(&until_bye(scene.may_hear("100").hears("200").acknowledges("")));
    let id = bench.dial();
    let _ = sipp.wait_for("200 INVITE");
    let _ = bench.api.hang_up(&id).expect(200);
    let heard = sipp.succeed();
    let at = |user: &str| format!("sip:{user}@{};transport=UDP", bench.sipp());
    assert_eq!(only(&heard, "ACK").uri(), Some(at("sipp").as_str()));
    assert_eq!(only(&heard, "BYE").uri(), Some(at("moved").as_str()));
}

#[test]
fn sipp_hears_why_a_call_ended() {
    let bench = bench();
    let scene = Scene::callee().responds("200 OK", "", SDP).hears("ACK");
    let scene = scene.hears_with("BYE", &[("Reason:", "Q\\.850 *; *cause=16")]).answers("200 OK", "", "");
    let _ = bench.call_and_hang_up(&scene);

    let scene = Scene::callee().responds("180 Ringing", "", "");
    let scene = scene.hears_with("CANCEL", &[("Reason:", "Q\\.850 *; *cause=31")]).answers("200 OK", "", "");
    let sipp = bench.callee(&scene.responds_late("487 Request Terminated", "").hears("ACK"));
    let id = bench.dial();
    let _ = bench.api.wait_for_status(&id, "ringing", SOON);
    let _ = bench.api.hang_up(&id).expect(200);
    let _ = sipp.succeed();
}

#[test]
fn sipp_may_hang_up_before_it_is_answered() {
    let bench = bench();
    let far = bench.network.sip(4);
    let _ = bench.api.create_trunk("far", far, &json!({"call_direction": "outbound"}));
    let revision = || bench.api.explain(OUTBOUND, &json!({}))["routing_revision"].as_u64();
    let before = revision();
    let forward = json!({"call_direction": "inbound", "inbound_routing": {"default": {"type": "forward"}}});
    bench.api.change_trunk(&bench.trunk, &forward);
    eventually("routing that knows it", SOON, || (revision() > before).then_some(()));
    let scene = Scene::callee().responds("180 Ringing", "", "").hears("CANCEL").answers("200 OK", "", "");
    let called = Sipp::take(Transport::Udp, &scene.responds_late("487 Request Terminated", "").hears("ACK"), far);
    // RFC 3261 §15: a caller may end an early dialog by BYE.
    let scene = Scene::caller().invites("", SDP).may_hear("100").hears("180").in_dialog().asks("BYE", "");
    let heard = bench.is_called_by(&scene.hears("200").hears("487").outside_of_dialog().acknowledges_failure());
    let _ = called.succeed();
    let _ = only(&heard, "200 BYE");
    assert_eq!(bench.only_call()["status"], "canceled");
}

#[test]
fn sipp_may_ask_in_a_call_what_we_can_do() {
    let bench = bench();
    let heard = bench.is_called_by(&hangs_up(answered().asks("OPTIONS", "").hears("200")));
    assert_eq!(only(&heard, "200 OPTIONS").header("Accept"), Some("application/sdp"));
}

#[test]
fn sipp_may_call_a_tel_uri_an_escaped_one_or_by_a_route_to_us() {
    let bench = bench();
    let tel = INBOUND.replace("+1", "tel:+1-");
    let escaped = format!("sip:{}@[remote_ip]:[remote_port];user=phone", INBOUND.replace('+', "%2b"));
    let plain = format!("sip:{INBOUND}@[remote_ip]:[remote_port]");
    let us = "Route: <sip:[remote_ip]:[remote_port];lr>";
    for (uri, route) in [(tel.as_str(), ""), (escaped.as_str(), ""), (plain.as_str(), us)] {
        let scene = Scene::caller().calls(uri).invites(route, SDP).may_hear("100").may_hear("180").hears("200");
        let _ = bench.is_called_by(&hangs_up(scene.acknowledges("")));
    }
    let calls = eventually("three calls that are over", SOON, || {
        let calls = bench.api.all_calls();
        (calls.len() == 3 && calls.iter().all(|call| call["status"] == "completed")).then_some(calls)
    });
    assert!(calls.iter().all(|call| call["to_number"] == INBOUND), "{calls:#?}");
}

// Offers and answers.

#[test]
fn sipp_gets_488_for_audio_that_we_do_not_know_and_a_call_goes_on_as_it_was() {
    let bench = bench();
    let unknown = SDP.replace("RTP/AVP 0", "RTP/AVP 18").replace("0 PCMU", "18 G729");
    let scene = Scene::caller().invites("", &unknown).may_hear("100").hears("488").acknowledges_failure();
    let _ = only(&bench.is_called_by(&scene), "488 INVITE");
    let scene = answered().invites("", &unknown).may_hear("100").hears("488").acknowledges_failure();
    let heard = bench.is_called_by(&hangs_up(scene.waits(ms(200))));
    let _ = only(&heard, "488 INVITE");
    let call = bench.only_call();
    assert_eq!((&call["status"], &call["codec_used"]), (&json!("completed"), &json!("PCMU")), "{call:#}");
}

#[test]
fn sipp_may_offer_video_beside_and_gets_audio() {
    let bench = bench();
    let video = format!("{SDP}m=video 40000 RTP/AVP 96\na=rtpmap:96 H264/90000\n");
    let scene = Scene::caller().invites("", &video).may_hear("100").may_hear("180").hears("200").acknowledges("");
    let heard = bench.is_called_by(&hangs_up(scene.invites("", &video).may_hear("100").hears("200").acknowledges("")));
    for answer in came(&heard, "200 INVITE") {
        let media = answer.sdp('m');
        assert!(media.len() == 2 && media[0].ends_with("RTP/AVP 0") && media[1].starts_with("video 0 "), "{media:?}");
    }
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn sipp_gets_488_for_a_facsimile_and_the_call_goes_on() {
    let bench = bench();
    let (head, _) = SDP.split_once("m=").expect("it has audio");
    let fax = format!("{head}m=image 40000 udptl t38\na=T38FaxVersion:0\n");
    let scene = Scene::callee().responds("200 OK", "", SDP).hears("ACK").invites("", &fax).may_hear("100").hears("488");
    let sipp = bench.callee(&hangs_up(scene.acknowledges_failure().waits(ms(200))));
    let id = bench.dial();
    let _ = sipp.succeed();
    let call = bench.api.wait_for_end(&id, SOON);
    assert_eq!((&call["status"], &call["hung_up_by"]), (&json!("completed"), &json!("callee")), "{call:#}");
}

#[test]
fn an_answer_of_sipp_that_is_none_ends_the_call_by_bye() {
    let bench = bench();
    let (rejected, other) =
        (SDP.replace("[media_port]", "0"), SDP.replace("RTP/AVP 0", "RTP/AVP 18").replace("0 PCMU", "18 G729"));
    let cases = [
        ("", "protocol_error", "Q.850;cause=111"),
        (&rejected, "incompatible_destination", "Q.850;cause=88"),
        (&other, "incompatible_destination", "Q.850;cause=88"),
    ];
    for (answer, cause, reason) in cases {
        let scene = Scene::callee().responds("180 Ringing", "", "").responds("200 OK", "", answer).hears("ACK");
        let sipp = bench.callee(&until_bye(scene));
        let call = bench.api.wait_for_end(&bench.dial(), SOON);
        assert_eq!((&call["status"], &call["hangup_cause"]), (&json!("failed"), &json!(cause)), "{answer} {call:#}");
        assert_eq!(only(&sipp.succeed(), "BYE").header("Reason"), Some(reason), "{answer}");
    }
}

#[test]
fn sipp_may_leave_the_offer_of_a_re_invite_to_us() {
    let bench = bench();
    let scene = answered().invites("", "").may_hear("100").hears("200").acknowledges(SDP);
    let heard = bench.is_called_by(&hangs_up(scene.waits(ms(200))));
    let mut offers = came(&heard, "200 INVITE");
    offers.dedup();
    assert_eq!(offers.len(), 2, "{offers:#?}");
    let ports: Vec<String> = offers.iter().flat_map(|offer| offer.sdp('m')).collect();
    let port = |line: &String| line.split(' ').nth(1).map(str::to_owned);
    assert!(ports.len() == 2 && port(&ports[0]) == port(&ports[1]), "the same stream: {ports:?}");
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn sipp_may_leave_the_offer_to_us() {
    let bench = bench();
    let scene = Scene::caller().invites("", "").may_hear("100").may_hear("180").hears("200").acknowledges(SDP);
    let heard = bench.is_called_by(&hangs_up(scene.waits(ms(200))));
    let offer = came(&heard, "200 INVITE")[0];
    let media = offer.sdp('m');
    assert!(media.len() == 1 && media[0].starts_with("audio ") && media[0].contains(" RTP/AVP 0 8"), "{media:?}");
    let call = bench.only_call();
    assert_eq!((&call["status"], &call["codec_used"]), (&json!("completed"), &json!("PCMU")), "{call:#}");
}

#[test]
fn sipp_may_hold_and_resume() {
    let bench = bench();
    let asks = |scene: Scene, direction: &str| {
        let scene = scene.invites("", &format!("{SDP}a={direction}\n"));
        scene.may_hear("100").hears("200").acknowledges("")
    };
    let mut scene = answered();
    for direction in ["sendonly", "sendrecv", "inactive", "sendrecv"] {
        scene = asks(scene, direction);
    }
    let heard = bench.is_called_by(&hangs_up(scene));
    let mut answers = came(&heard, "200 INVITE");
    answers.dedup();
    let answers: Vec<String> = answers.into_iter().map(direction).collect();
    assert_eq!(answers, ["sendrecv", "recvonly", "sendrecv", "inactive", "sendrecv"]);
    let versions: Vec<String> = came(&heard, "200 INVITE").iter().flat_map(|answer| answer.sdp('o')).collect();
    let session = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    assert!(versions.iter().all(|line| session(line) == session(&versions[0])), "one session: {versions:?}");
}

#[test]
fn the_answer_of_sipp_may_come_with_a_183_alone() {
    let bench = bench();
    let scene = Scene::callee().responds("183 Session Progress", "", SDP).waits(ms(200)).responds("200 OK", "", "");
    let (_, call) = bench.call_and_hang_up(&until_bye(scene.hears("ACK")));
    assert_eq!(call["codec_used"], "PCMU", "{call:#}");
}

#[test]
fn a_call_of_sipp_may_be_written_in_compact_forms() {
    let bench = bench();
    let compact = "INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0\nv: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK[pid]c\n\
        f: <sip:+4930901820@[local_ip]>;tag=c[pid]\nt: <sip:[service]@[remote_ip]>\ni: [call_id]\nCSeq: 1 INVITE\n\
        m: <sip:sipp@[local_ip]:[local_port]>\nMax-Forwards: 70\nk: timer\nc: application/sdp\nl: [len]\n\n";
    let scene = Scene::caller().says(&format!("{compact}{SDP}")).may_hear("100").may_hear("180").hears("200");
    let end = |method: &str, number: u32| {
        format!(
            "{method} [next_url] SIP/2.0\nv: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK[pid]{method}\n\
             f: <sip:+4930901820@[local_ip]>;tag=c[pid]\n[last_To:]\ni: [call_id]\nCSeq: {number} {method}\n\
             Max-Forwards: 70\nl: 0\n\n"
        )
    };
    let _ = bench.is_called_by(&scene.says(&end("ACK", 1)).says(&end("BYE", 2)).hears("200"));
    assert_eq!(bench.only_call()["status"], "completed");
}

// What is refused.

#[test]
fn sipp_gets_405_or_501_for_other_methods_in_a_call_and_outside() {
    let bench = bench();
    let scene = Scene::caller().asks("MESSAGE", "").hears("405").asks("FROBNICATE", "").hears("501");
    let mut heard = bench.is_called_by(&scene);
    let scene = answered().asks("INFO", "").hears("405").asks("UPDATE", "").hears("405");
    heard.extend(bench.is_called_by(&hangs_up(scene)));
    for what in ["405 MESSAGE", "501 FROBNICATE", "405 INFO", "405 UPDATE"] {
        assert_eq!(only(&heard, what).header("Allow"), Some("INVITE, ACK, CANCEL, BYE, OPTIONS"), "{what}");
    }
    assert_eq!(bench.only_call()["status"], "completed");
}

#[test]
fn sipp_gets_420_for_what_it_requires() {
    let bench = bench();
    let scene = Scene::caller().invites("Require: 100rel, frobnication", SDP).may_hear("100").hears("420");
    let heard = bench.is_called_by(&scene.acknowledges_failure());
    let unsupported = only(&heard, "420 INVITE").header("Unsupported").unwrap_or_default().replace(' ', "");
    assert_eq!(unsupported, "100rel,frobnication");
}

#[test]
fn sipp_gets_422_for_a_session_interval_that_is_too_small() {
    let bench = bench();
    let scene = Scene::caller().invites("Supported: timer\nSession-Expires: 30", SDP).may_hear("100").hears("422");
    // With what is asked for it is taken.
    let scene = scene.acknowledges_failure().invites("Supported: timer\nSession-Expires: 90\nMin-SE: 90", SDP);
    let heard = bench.is_called_by(&hangs_up(scene.may_hear("100").hears("200").acknowledges("")));
    assert_eq!(only(&heard, "422 INVITE").header("Min-SE"), Some("90"));
    assert_eq!(bench.only_call()["status"], "completed");
}

/// A request with a tag that nobody gave.
fn in_dialog_of_nobody(method: &str) -> String {
    format!(
        "{method} sip:nobody@[remote_ip]:[remote_port] SIP/2.0\nVia: SIP/2.0/UDP [local_ip]:[local_port];branch=z9hG4bK[pid]stray;rport\n\
         From: <sip:stray@[local_ip]>;tag=stray\nTo: <sip:nobody@[remote_ip]>;tag=nobody\nCall-ID: [call_id]\nCSeq: 7 {method}\n\
         Contact: <sip:stray@[local_ip]:[local_port]>\nMax-Forwards: 70\nContent-Length: 0\n\n"
    )
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const OUTBOUND: &str = "+12025550100";
const INBOUND: &str = "+12025550122";
const NOBODYS: &str = "+12025550133";
/// On a busy machine.
const SOON: Duration = Duration::from_secs(15);
