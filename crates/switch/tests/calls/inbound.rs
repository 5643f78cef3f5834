//! Calls that come in, and calls from trunk to trunk.

use std::net::IpAddr;

use ipnet::IpNet;
use tandem_model::{
    CallDirection, CallId, CallStatus, Codec, Connect, HangupCause, HungUpBy, IdentifiedBy, InboundRouting,
    InboundRule, LegStatus, Reason, RefusedInvite, Trunk, TrunkStatus,
};
use tandem_switch::{Answer as Decision, Command, Kept, ResolveError};

use crate::far_end::Does::{Answer, Bye, Cancel, Progress, Reject};
use crate::far_end::{Calls, Hearing, Script};
use crate::lab::{Lab, Name, Peer, address};
use tandem_lab::setup::{PCMA, PCMU, account_id, sdp, trunk_id};

const CALLED: &str = "+12025550111";
const CALLER_MEDIA: &str = "192.0.2.10:4000";
const CALLEE_MEDIA: &str = "192.0.2.11:4000";

fn calls(script: Script) -> Calls {
    Calls {
        to: format!("sip:{CALLED}@192.0.2.1"),
        from: "sip:+4930901820@192.0.2.10",
        offer: Some(sdp(CALLER_MEDIA, PCMU)),
        answer: None,
        max_forwards: 70,
        script,
    }
}

fn takes(to: &str, connect: Connect) -> InboundRouting {
    InboundRouting::new(None, vec![InboundRule { to: Some(to.parse().unwrap()), from: None, connect }], None)
}

/// A carrier whose trunk takes every call like this.
fn entrance(lab: &mut Lab, connect: Connect) -> Peer {
    let carrier = lab.far_end(vec![]);
    lab.trunk(carrier, |trunk| {
        trunk.inbound.default = Some(connect);
        trunk.outbound.prefixes = vec!["+999".into()];
    });
    carrier
}

/// A call from the first carrier, over the switch, to the second one, which does this.
fn tandem(callee: Script, caller: Script) -> (Lab, Peer, Peer, CallId) {
    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Forward);
    let to = lab.far_end(callee);
    lab.trunk(to, |_| {});
    let call = lab.call_in(from, calls(caller)).unwrap();
    (lab, from, to, call)
}

fn only_refusal(lab: &Lab) -> &RefusedInvite {
    let refusals = lab.refusals();
    assert_eq!(refusals.len(), 1);
    refusals[0]
}

fn reason(refusal: &RefusedInvite) -> Reason {
    refusal.receipt.read().unwrap().refusal.unwrap().reason
}

#[test]
fn a_caller_is_answered_and_hears_an_echo() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    let call = lab.call_in(carrier, calls(vec![(2_900, Bye)])).unwrap();
    assert_eq!((lab.counts().trunk_slots, lab.counts().account_slots), (1, 1));
    lab.pass(1_000);
    assert_eq!(lab.speak(CALLER_MEDIA, 20_000, 10), 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(CALLER_MEDIA)));
    let live = lab.inspect(call).unwrap();
    assert_eq!((live.record.direction, live.record.status), (CallDirection::Inbound, CallStatus::Answered));
    lab.pass(3_000);

    let ended = lab.ended(call);
    let record = &ended.record;
    assert_eq!((record.status, record.hung_up_by), (CallStatus::Completed, Some(HungUpBy::Caller)));
    assert_eq!((record.from_number.as_str(), record.to_number.as_str()), ("+4930901820", CALLED));
    assert_eq!((record.trunk_id, record.remote_ip.as_deref()), (Some(trunk_id(1)), Some("192.0.2.10")));
    assert_eq!((ended.legs.len(), ended.legs[0].direction), (1, CallDirection::Inbound));
    assert_eq!(record.cost, ended.legs[0].cost);
    assert_eq!(record.cost.unwrap().micros(), 3_000);
    let inbound = ended.receipt().inbound.unwrap();
    assert_eq!((inbound.trunk_name.as_deref(), inbound.rule.as_deref()), (Some("trunk-1"), Some("default")));
    assert_eq!(
        ended.event_kinds(),
        ["initiated", "routed", "leg_started", "leg_answered", "connected", "media_latched", "leg_ended", "ended"]
    );
    lab.finish();
}

#[test]
fn a_caller_hears_a_tone() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Play { tone: "1000".into() });
    let call = lab.call_in(carrier, calls(vec![])).unwrap();
    lab.pass(1_000);
    assert!(lab.audio.len() > 40, "{}", lab.audio.len());
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    assert_eq!(lab.ended(call).record.hung_up_by, Some(HungUpBy::Api));
    lab.finish();
}

#[test]
fn a_call_is_passed_on_from_trunk_to_trunk() {
    let callee = vec![(500, Progress(180, None)), (2_000, Answer(Some(sdp(CALLEE_MEDIA, PCMU)))), (7_000, Bye)];
    let (mut lab, from, to, call) = tandem(callee, vec![]);
    lab.pass(1_000);
    assert_eq!(lab.peer(from).kinds(), ["100", "180"]);
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Ringing);
    let invite = lab.peer(to).heard_of("INVITE")[0].clone();
    assert!(invite.text.starts_with("INVITE sip:+12025550111@192.0.2.11 SIP/2.0"), "{}", invite.text);
    assert!(invite.header("From").starts_with("<sip:+4930901820@192.0.2.11>"), "{}", invite.header("From"));
    assert_eq!(invite.header("Max-Forwards"), "69");
    lab.pass(2_000);
    assert_eq!((lab.counts().trunk_slots, lab.counts().account_slots), (2, 1), "the call counts once against the tier");
    assert_eq!(lab.peer(from).kinds(), ["100", "180", "200"]);
    lab.audio.clear();
    assert_eq!(lab.speak(CALLER_MEDIA, 20_000, 10), 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(CALLEE_MEDIA)));
    lab.audio.clear();
    assert_eq!(lab.speak(CALLEE_MEDIA, 20_002, 10), 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(CALLER_MEDIA)));
    lab.pass(5_000);

    assert_eq!(lab.peer(from).heard_of("BYE").len(), 1);
    let ended = lab.ended(call);
    assert_eq!((ended.record.direction, ended.record.status), (CallDirection::Inbound, CallStatus::Completed));
    assert_eq!(ended.record.hung_up_by, Some(HungUpBy::Callee));
    let trunks: Vec<_> = ended.legs.iter().map(|leg| (leg.direction, leg.trunk_id)).collect();
    assert_eq!(trunks, [(CallDirection::Inbound, Some(trunk_id(1))), (CallDirection::Outbound, Some(trunk_id(2)))]);
    let sum: i64 = ended.legs.iter().map(|leg| leg.cost.unwrap().micros()).sum();
    assert_eq!((ended.record.cost.unwrap().micros(), sum), (10_000, 10_000), "5 s each");
    assert_eq!(ended.outcomes(), ["answered"]);
    lab.finish();
}

#[test]
fn early_media_reaches_a_caller_who_waits_and_is_not_taken_back() {
    let early = Some(sdp(CALLEE_MEDIA, PCMU));
    let callee = vec![(200, Progress(183, early.clone())), (600, Progress(180, None)), (4_000, Answer(early))];
    let (mut lab, from, _, call) = tandem(callee, vec![]);
    lab.pass(1_000);
    assert_eq!(lab.peer(from).kinds(), ["100", "183"]);
    let description = lab.peer(from).heard_of("183")[0].body().to_owned();
    assert!(description.contains("m=audio 20000 RTP/AVP 0"), "{description}");
    lab.audio.clear();
    assert_eq!(lab.speak(CALLEE_MEDIA, 20_002, 10), 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address(CALLER_MEDIA)));
    lab.pass(4_000);
    assert_eq!(lab.peer(from).heard_of("200")[0].body(), description, "one answer to one offer");
    lab.hang_up(call);
    lab.pass(100);
    assert_eq!(lab.ended(call).record.status, CallStatus::Completed);
    lab.finish();
}

#[test]
fn a_caller_hears_nothing_of_an_attempt_that_failed() {
    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Forward);
    let failing = lab.far_end(vec![(100, Progress(183, Some(sdp(CALLEE_MEDIA, PCMU)))), (900, Reject(500, vec![]))]);
    let answering = lab.far_end(vec![(2_000, Answer(Some(sdp("192.0.2.12:4000", PCMU))))]);
    lab.trunk(failing, |_| {});
    lab.trunk(answering, |_| {});
    let call = lab.call_in(from, calls(vec![(6_000, Bye)])).unwrap();
    lab.pass(1_500);
    lab.audio.clear();
    lab.speak(CALLER_MEDIA, 20_000, 10);
    assert!(lab.audio.is_empty(), "nobody is there to hear the caller");
    lab.pass(3_000);
    lab.audio.clear();
    lab.speak(CALLER_MEDIA, 20_000, 10);
    assert!(lab.audio.iter().all(|audio| audio.to == address("192.0.2.12:4000")) && !lab.audio.is_empty());
    lab.pass(3_000);
    assert_eq!(lab.ended(call).record.status, CallStatus::Completed);
    lab.finish();
}

#[test]
fn a_caller_who_gives_up_is_let_go_and_so_is_the_callee() {
    let (mut lab, from, to, call) = tandem(vec![(500, Progress(180, None))], vec![(2_000, Cancel)]);
    lab.pass(3_000);
    assert_eq!(lab.peer(to).heard_of("CANCEL").len(), 1);
    assert_eq!(lab.peer(from).heard_of("487").len(), 1);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::Canceled, "canceled"));
    assert_eq!(ended.record.hung_up_by, Some(HungUpBy::Caller));
    assert_eq!(ended.legs.iter().map(|leg| leg.status).collect::<Vec<_>>(), [LegStatus::Canceled, LegStatus::Canceled]);
    assert_eq!(ended.record.cost.unwrap().micros(), 0);
    lab.finish();
}

#[test]
fn what_the_callee_says_reaches_the_caller() {
    for (said, heard, status, cause) in [
        (486, "486", CallStatus::Busy, "user_busy"),
        (404, "404", CallStatus::Failed, "unallocated_number"),
        (603, "603", CallStatus::Failed, "call_rejected"),
        (503, "503", CallStatus::Failed, "temporary_failure"),
        (401, "503", CallStatus::Failed, "authentication_failed"),
        (302, "480", CallStatus::Failed, "normal_unspecified"),
    ] {
        let (mut lab, from, _, call) = tandem(vec![(200, Reject(said, vec![]))], vec![]);
        lab.pass(1_000);
        let ended = lab.ended(call);
        let answer = &lab.peer(from).heard.last().unwrap().clone();
        assert_eq!((answer.kind(), answer.header("Retry-After")), (heard, ""), "{said}");
        assert_eq!((ended.record.status, ended.cause()), (status, cause), "{said}");
        assert_eq!(ended.legs[0].sip_status, Some(heard.parse().unwrap()));
        lab.finish();
    }
}

#[test]
fn a_caller_whom_nobody_answers_is_told_so() {
    let (mut lab, from, to, call) = tandem(vec![(500, Progress(180, None))], vec![]);
    lab.pass(62_000);
    assert_eq!(lab.peer(from).heard.last().unwrap().kind(), "480");
    assert_eq!(lab.peer(to).heard_of("CANCEL").len(), 1);
    assert_eq!(lab.ended(call).record.status, CallStatus::NoAnswer);
    lab.finish();
}

#[test]
fn a_forward_goes_on_to_the_next_trunk_and_fails_without_one() {
    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Forward);
    let failing = lab.far_end(vec![(100, Reject(500, vec![]))]);
    let answering = lab.far_end(vec![(100, Answer(Some(sdp("192.0.2.12:4000", PCMU))))]);
    lab.trunk(failing, |_| {});
    lab.trunk(answering, |_| {});
    let call = lab.call_in(from, calls(vec![(3_000, Bye)])).unwrap();
    lab.pass(4_000);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.outcomes()), (CallStatus::Completed, vec!["retryable_status", "answered"]));
    assert_eq!(ended.legs.len(), 3);

    lab.change_trunk(2, |trunk| trunk.status = TrunkStatus::Inactive);
    lab.change_trunk(3, |trunk| trunk.status = TrunkStatus::Inactive);
    let call = lab.call_in(from, calls(vec![])).unwrap();
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::Failed, "no_route_to_destination"));
    assert_eq!(lab.peer(from).heard.last().unwrap().kind(), "404");
    lab.finish();
}

#[test]
fn both_legs_speak_one_codec_where_both_can() {
    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Forward);
    let to = lab.far_end(vec![(100, Answer(Some(sdp(CALLEE_MEDIA, PCMA))))]);
    lab.trunk(to, |_| {});
    let call = lab.call_in(from, Calls { offer: Some(sdp(CALLER_MEDIA, "8 0")), ..calls(vec![]) }).unwrap();
    lab.pass(1_000);
    // The trunk's own order counts in an answer, and PCMU is first there.
    let legs = lab.inspect(call).unwrap().legs;
    assert_eq!((legs[0].codec, legs[1].codec), (Some(Codec::Pcmu), Some(Codec::Pcma)));
    lab.hang_up(call);
    lab.finish();

    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Forward);
    let to = lab.far_end(vec![(100, Answer(Some(sdp(CALLEE_MEDIA, "8 0"))))]);
    lab.trunk(to, |_| {});
    let call = lab.call_in(from, Calls { offer: Some(sdp(CALLER_MEDIA, PCMA)), ..calls(vec![]) }).unwrap();
    lab.pass(1_000);
    let invite = lab.peer(to).heard_of("INVITE")[0].clone();
    assert_eq!(invite.sdp_line("m=audio"), "m=audio 20002 RTP/AVP 8 0 101");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_caller_without_an_offer_gets_ours_and_answers_in_the_ack() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    let offerless = Calls { offer: None, answer: Some(sdp(CALLER_MEDIA, PCMU)), ..calls(vec![]) };
    let call = lab.call_in(carrier, offerless).unwrap();
    lab.pass(1_000);
    assert_eq!(lab.peer(carrier).heard_of("200")[0].sdp_line("m=audio"), "m=audio 20000 RTP/AVP 0 8 101");
    let live = lab.inspect(call).unwrap();
    assert_eq!((live.legs[0].codec, live.record.codec_used.as_deref()), (Some(Codec::Pcmu), Some("PCMU")));
    assert_eq!(lab.speak(CALLER_MEDIA, 20_000, 10), 10);
    lab.hang_up(call);
    lab.pass(100);

    let offerless = Calls { offer: None, answer: None, ..calls(vec![]) };
    let call = lab.call_in(carrier, offerless).unwrap();
    lab.pass(1_000);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.hung_up_by), ("protocol_error", Some(HungUpBy::Switch)));
    lab.finish();
}

#[test]
fn an_offer_that_cannot_be_used_is_refused_with_488() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    let g729 = Calls { offer: Some(sdp(CALLER_MEDIA, "18")), ..calls(vec![]) };
    assert_eq!(lab.call_in(carrier, g729), None);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard.last().unwrap().kind(), "488");
    assert_eq!(reason(only_refusal(&lab)), Reason::UnusableOffer);
    lab.finish();
}

#[test]
fn a_full_trunk_and_a_full_account_refuse_without_retry_after() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    lab.change_trunk(1, |trunk| trunk.max_concurrent_calls = 1);
    let call = lab.call_in(carrier, calls(vec![])).unwrap();
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.change_trunk(1, |trunk| trunk.max_concurrent_calls = 10);
    lab.max_calls(1);
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.pass(100);
    let reasons: Vec<_> = lab.refusals().into_iter().map(reason).collect();
    assert_eq!(reasons, [Reason::TrunkFull { limit: 1 }, Reason::TierLimit { limit: 1 }]);
    for refused in lab.peer(carrier).heard_of("503") {
        assert_eq!(refused.header("Retry-After"), "");
        assert!(refused.header("Warning").starts_with("399 tandem \"refused, reference "), "{}", refused.text);
    }
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_node_that_takes_no_calls_says_when_to_come_back() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    lab.answer = Some(Decision::Refuse(Reason::Draining));
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.pass(100);
    let refused = lab.peer(carrier).heard.last().unwrap().clone();
    assert_eq!((refused.kind(), refused.header("Retry-After")), ("503", "10"));
    assert_eq!(reason(only_refusal(&lab)), Reason::Draining);
    lab.finish();
}

#[test]
fn no_port_is_left_for_a_caller() {
    let mut lab = Lab::with_ports(7, 1);
    let carrier = entrance(&mut lab, Connect::Echo);
    let call = lab.call_in(carrier, calls(vec![])).unwrap();
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    assert_eq!(reason(only_refusal(&lab)), Reason::NodeFull);
    assert_eq!((lab.counts().trunk_slots, lab.counts().account_slots), (1, 1));
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn a_number_without_a_rule_is_refused_with_the_nearest() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![]);
    lab.trunk(carrier, |trunk| trunk.inbound = takes("+12025550100", Connect::Echo));
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard.last().unwrap().kind(), "404");
    let refusal = only_refusal(&lab);
    assert_eq!(reason(refusal), Reason::NoInboundRule { nearest: "+12025550100".into() });
    let inbound = refusal.receipt.read().unwrap().inbound.unwrap();
    assert_eq!(inbound.nearest.as_deref(), Some("+12025550100"));
    assert_eq!((refusal.trunk_id, refusal.account_id, refusal.sip_status), (Some(trunk_id(1)), account_id(1), 404));
    let heard = lab.peers[0].heard.last().unwrap();
    assert!(heard.header("Warning").contains(&refusal.id.to_string()));
    assert_eq!(lab.refused[0].id, refusal.id);
    lab.finish();
}

#[test]
fn a_trunk_that_is_off_or_takes_no_calls_refuses() {
    for (change, code) in [
        ((|trunk: &mut Trunk| trunk.status = TrunkStatus::Maintenance) as fn(&mut Trunk), "trunk_not_active"),
        (|trunk| trunk.call_direction = CallDirection::Outbound, "outbound_only"),
        (|trunk| trunk.codec_preferences = vec!["opus".into()], "no_usable_codec"),
    ] {
        let mut lab = Lab::new();
        let carrier = entrance(&mut lab, Connect::Echo);
        lab.change_trunk(1, change);
        assert_eq!(lab.call_in(carrier, calls(vec![])), None);
        lab.pass(100);
        assert_eq!(lab.peer(carrier).heard.last().unwrap().kind(), "403");
        let refusal = only_refusal(&lab);
        assert_eq!((reason(refusal).code(), refusal.trunk_id), (code, Some(trunk_id(1))));
        lab.finish();
    }
}

#[test]
fn two_accounts_share_a_carrier_and_each_gets_its_own_calls() {
    let mut lab = Lab::new();
    lab.add_account();
    let carrier = lab.far_end(vec![]);
    lab.share(carrier);
    lab.trunk(carrier, |trunk| trunk.inbound = takes("+12025550111", Connect::Echo));
    lab.trunk(carrier, |trunk| {
        trunk.account_id = account_id(2);
        trunk.inbound = takes("+12025550222", Connect::Echo);
    });
    let to = |number: &str, script| Calls { to: format!("sip:{number}@192.0.2.1"), ..calls(script) };
    let ours = lab.call_in(carrier, to("+12025550111", vec![(1_000, Bye)])).unwrap();
    let theirs = lab.call_in(carrier, to("+12025550222", vec![(1_000, Bye)])).unwrap();
    lab.pass(2_000);
    assert_eq!(lab.ended(ours).record.account_id, account_id(1));
    assert_eq!(lab.ended(theirs).record.account_id, account_id(2));
    assert_eq!(lab.inspect(theirs), None, "the other account's call does not exist for the first");

    assert_eq!(lab.call_in(carrier, to("+12025550333", vec![])), None);
    lab.pass(100);
    assert_eq!(lab.peer(carrier).heard.last().unwrap().kind(), "403");
    let told: Vec<_> = lab.refusals().iter().map(|refusal| (refusal.account_id, reason(refusal))).collect();
    assert_eq!(
        told,
        [
            (account_id(1), Reason::CallerAmbiguous { trunks: 1 }),
            (account_id(2), Reason::CallerAmbiguous { trunks: 1 })
        ]
    );
    assert_eq!(lab.refused[0].trunks.len(), 2, "the log names every candidate");
    lab.finish();
}

#[test]
fn a_call_from_an_address_that_is_not_shared_is_the_older_trunk_s_account_s() {
    let mut lab = Lab::new();
    lab.add_account();
    let carrier = entrance(&mut lab, Connect::Echo);
    lab.trunk(carrier, |trunk| {
        trunk.account_id = account_id(2);
        trunk.allowed_ips = vec![IpNet::from(IpAddr::from([192, 0, 2, 10]))];
        trunk.inbound = takes(CALLED, Connect::Echo);
    });
    let call = lab.call_in(carrier, calls(vec![(500, Bye)])).unwrap();
    lab.pass(1_000);
    assert_eq!(lab.ended(call).record.account_id, account_id(1));
    let steps = lab.ended(call).receipt().inbound.unwrap().steps;
    assert_eq!((steps[0].by, steps[0].trunks_left), (IdentifiedBy::Account, 1), "{steps:?}");
    assert_eq!(lab.refusals().len(), 0);
    lab.finish();
}

#[test]
fn who_names_the_whole_internet_gets_no_call_of_others() {
    let mut lab = Lab::new();
    lab.add_account();
    let carrier = entrance(&mut lab, Connect::Echo);
    let elsewhere = lab.far_end(vec![]);
    lab.trunk(elsewhere, |trunk| {
        trunk.account_id = account_id(2);
        trunk.allowed_ips = vec!["0.0.0.0/0".parse().unwrap()];
        trunk.inbound = takes("*", Connect::Echo);
    });
    let call = lab.call_in(carrier, calls(vec![(500, Bye)])).unwrap();
    lab.pass(1_000);
    assert_eq!(lab.ended(call).record.account_id, account_id(1));
    lab.receive_from("192.0.2.77:5060", &stranger());
    assert_eq!(lab.refused.len(), 1);
    lab.finish();
}

fn stranger() -> String {
    format!(
        "INVITE sip:{CALLED}@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK-1\nMax-Forwards: 70\n\
         From: <sip:a@192.0.2.77>;tag=1\nTo: <sip:{CALLED}@192.0.2.1>\nCall-ID: 1\nCSeq: 1 INVITE\n\
         Contact: <sip:a@192.0.2.77>\nContent-Length: 0\n\n"
    )
}

#[test]
fn a_carrier_that_is_known_by_name_is_known_once_the_name_is_looked_up() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![]);
    let found = Ok(vec![IpAddr::from([192, 0, 2, 10])]);
    lab.names.insert("carrier.example.com".into(), Name::After(100, found));
    lab.trunk(carrier, |trunk| {
        trunk.sip_domain = "carrier.example.com".into();
        trunk.inbound.default = Some(Connect::Echo);
    });
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.pass(200);
    let call = lab.call_in(carrier, calls(vec![(500, Bye)])).unwrap();
    lab.pass(1_000);
    assert_eq!(lab.ended(call).record.status, CallStatus::Completed);

    // It moves: the next look finds it elsewhere, and one that finds nothing changes nothing.
    lab.names.insert("carrier.example.com".into(), Name::After(100, Ok(vec![IpAddr::from([192, 0, 2, 99])])));
    lab.pass(61_000);
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.names.insert("carrier.example.com".into(), Name::After(100, Ok(vec![IpAddr::from([192, 0, 2, 10])])));
    lab.pass(61_000);
    lab.names.insert("carrier.example.com".into(), Name::After(100, Ok(vec![])));
    lab.pass(61_000);
    assert!(lab.call_in(carrier, calls(vec![(500, Bye)])).is_some());
    lab.finish();
}

#[test]
fn a_carrier_is_known_within_seconds_when_dns_comes_back() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![]);
    lab.names.insert("carrier.example.com".into(), Name::After(100, Err(ResolveError::Unavailable)));
    lab.trunk(carrier, |trunk| {
        trunk.sip_domain = "carrier.example.com".into();
        trunk.inbound.default = Some(Connect::Echo);
    });
    lab.pass(12_000);
    assert_eq!(lab.call_in(carrier, calls(vec![])), None);
    lab.names.insert("carrier.example.com".into(), Name::After(100, Ok(vec![IpAddr::from([192, 0, 2, 10])])));
    lab.pass(6_000);
    assert!(lab.call_in(carrier, calls(vec![(500, Bye)])).is_some());
    // Once something is known of it, a minute is soon enough.
    lab.names.insert("carrier.example.com".into(), Name::After(100, Err(ResolveError::Unavailable)));
    let asked = lab.asked_names.len();
    lab.pass(130_000);
    assert_eq!(lab.asked_names.len() - asked, 2);
    lab.finish();
}

#[test]
fn a_caller_who_waits_is_told_when_the_node_stops() {
    let (mut lab, from, to, call) = tandem(vec![(500, Progress(180, None))], vec![]);
    lab.pass(1_000);
    lab.command(Command::EndAll { cause: HangupCause::NodeShutdown });
    lab.pass(100);
    assert_eq!(lab.peer(from).heard.last().unwrap().kind(), "503");
    assert_eq!(lab.peer(to).heard_of("CANCEL").len(), 1);
    assert_eq!(lab.ended(call).cause(), "node_shutdown");
    lab.finish();
}

#[test]
fn after_a_crash_a_waiting_caller_gets_500_and_an_answered_one_a_bye() {
    let (mut lab, from, to, waiting) = tandem(vec![(500, Progress(180, None))], vec![]);
    lab.change_trunk(1, |trunk| trunk.inbound = takes(CALLED, Connect::Forward));
    lab.change_trunk(1, |trunk| trunk.inbound.default = Some(Connect::Echo));
    let answered = lab.call_in(from, Calls { to: "sip:+19995550123@192.0.2.1".into(), ..calls(vec![]) }).unwrap();
    lab.pass(1_000);
    assert!(lab.kept.values().any(|kept| matches!(kept, Kept::WaitingCaller { .. })));
    let told = lab.peer(from).heard_of("180")[0].header("To").to_owned();
    let open = lab.crash(false);
    lab.pass(1_000);
    let heartbeat = lab.now().utc;
    lab.restart(open, heartbeat);
    lab.pass(1_000);
    let refused = lab.peer(from).heard_of("500")[0].clone();
    assert_eq!(refused.header("To"), told, "one dialog, one tag");
    assert_eq!(lab.peer(from).heard_of("BYE").len(), 1);
    assert_eq!(lab.peer(to).heard_of("CANCEL").len(), 1);
    let closed = |lab: &Lab, id| {
        let ended = lab.ended(id);
        (ended.record.status, ended.cause().to_owned(), ended.legs[0].status)
    };
    assert_eq!(closed(&lab, waiting), (CallStatus::Failed, "node_restarted".into(), LegStatus::Failed));
    assert_eq!(closed(&lab, answered), (CallStatus::Completed, "node_restarted".into(), LegStatus::Completed));
    lab.finish();
}

#[test]
fn after_a_crash_a_caller_who_may_not_have_our_answer_is_told_the_end_both_ways() {
    for hears_the_answer in [false, true] {
        let mut lab = Lab::new();
        let from = entrance(&mut lab, Connect::Echo);
        lab.peer(from).hearing = if hears_the_answer { Hearing::Awake } else { Hearing::Dead };
        let call = lab.call_in(from, calls(vec![])).unwrap();
        assert!(lab.kept.values().any(|kept| matches!(kept, Kept::AnsweredCaller { .. })));
        // Its ACK, if there is one, finds nobody.
        let open = lab.crash(false);
        lab.pass(100);
        lab.peer(from).hearing = Hearing::Awake;
        let heartbeat = lab.now().utc;
        lab.restart(open, heartbeat);
        lab.pass(1_000);
        let heard = ["200", "500", "BYE"].map(|kind| lab.peer(from).heard_of(kind).len().min(1));
        assert_eq!(heard, [usize::from(hears_the_answer), 1, 1]);
        assert_eq!(lab.ended(call).record.status, CallStatus::Completed);
        lab.finish();
    }
}

#[test]
fn an_answer_that_is_acknowledged_is_kept_as_its_dialog() {
    let mut lab = Lab::new();
    let from = entrance(&mut lab, Connect::Echo);
    let _ = lab.call_in(from, calls(vec![(1_000, Bye)])).unwrap();
    lab.pass(3_000);
    assert_eq!(lab.keeping, ["keep waiting caller", "keep answered caller", "keep dialog 0", "forget"]);
    lab.finish();
}

#[test]
fn a_caller_who_gives_up_before_it_is_decided_about_them_is_no_call() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    lab.answer = None;
    assert_eq!(lab.call_in(carrier, calls(vec![(300, Cancel)])), None);
    lab.pass(1_000);
    assert_eq!(lab.peer(carrier).heard.last().unwrap().kind(), "487");
    lab.answer_questions(&Decision::Admit);
    lab.pass(1_000);
    assert!(lab.records.is_empty(), "{:#?}", lab.records);
    lab.finish();
}

#[test]
fn a_caller_whose_ack_never_comes_is_billed_until_our_bye() {
    let mut lab = Lab::new();
    let carrier = entrance(&mut lab, Connect::Echo);
    lab.change_trunk(1, |trunk| trunk.inbound.default = Some(Connect::Echo));
    let call = lab.call_in(carrier, calls(Vec::new())).unwrap();
    lab.peer(carrier).hearing = Hearing::Dead;
    lab.pass(31_999);
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Answered);
    lab.pass(1);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.duration_ms), ("network_out_of_order", Some(32_000)));
    assert_eq!(ended.legs[0].billed_seconds, Some(32));
    assert!(!lab.kept.is_empty(), "the far end may still be in the call");
    lab.pass(32_000);
    assert!(lab.kept.is_empty());
    lab.finish();
}

#[test]
fn a_refused_caller_is_forgotten_with_its_ack() {
    for hears in [true, false] {
        let (mut lab, from, _, _) = tandem(vec![(500, Reject(486, vec![]))], vec![]);
        if !hears {
            lab.peer(from).hearing = Hearing::Dead;
        }
        lab.pass(2_000);
        let is_kept = lab.kept.values().any(|kept| matches!(kept, Kept::WaitingCaller { .. }));
        assert_eq!(is_kept, !hears, "{:?}", lab.keeping);
        lab.pass(33_000);
        assert!(lab.kept.is_empty(), "{:?}", lab.keeping);
        lab.finish();
    }
}
