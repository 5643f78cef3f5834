//! Calls of one party that are answered, and how they end.

use std::time::Duration;

use serde_json::json;
use tandem_model::{CallStatus, Connect, HungUpBy, LegStatus, Transport};

use crate::far_end::Does::{Answer, Bye, ByeFor, Progress};
use crate::lab::{Lab, address};
use tandem_lab::setup::{NUMBER, PCMA, PCMU, order, sdp, trunk_id};

const MEDIA: &str = "192.0.2.10:4000";

#[test]
fn an_answered_call_is_echoed_rated_and_recorded() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(500, Progress(180, None)), (2_000, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(2_500);
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Answered);
    assert_eq!(lab.speak(MEDIA, 20_000, 50), 50);
    assert!(lab.audio.iter().all(|audio| audio.to == address(MEDIA)));

    let record = lab.hang_up(call).unwrap();
    assert_eq!((record.status, record.hung_up_by), (CallStatus::Completed, Some(HungUpBy::Api)));
    lab.pass(100);
    assert_eq!(lab.peer(carrier).kinds(), ["INVITE", "ACK", "BYE"]);
    assert!(lab.peer(carrier).heard_of("BYE")[0].header("Reason").contains("cause=16"));

    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.duration_ms), ("normal_clearing", Some(1_490)));
    assert_eq!((ended.record.codec_used.as_deref(), ended.record.trunk_id), (Some("PCMU"), Some(trunk_id(1))));
    assert_eq!(ended.record.remote_ip.as_deref(), Some("192.0.2.10"));
    let leg = &ended.legs[0];
    assert_eq!((leg.status, leg.sip_status, leg.transport), (LegStatus::Completed, Some(200), Transport::Udp));
    assert_eq!((leg.billed_seconds, leg.cost.unwrap().micros()), (Some(2), 2_000));
    assert_eq!(ended.record.sip_call_id.as_deref(), Some(leg.sip_call_id.as_str()));
    let media = leg.media.as_ref().unwrap();
    assert_eq!((media.packets_received, media.packets_sent, media.packets_lost), (50, 50, Some(0)));
    assert_eq!(
        ended.event_kinds(),
        [
            "initiated",
            "routed",
            "leg_started",
            "leg_ringing",
            "leg_answered",
            "connected",
            "media_latched",
            "leg_ended",
            "ended",
        ]
    );
    lab.finish();
}

#[test]
fn a_tone_is_played_in_the_codec_of_the_answer() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMA))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(tandem_model::DialOrder { connect: Connect::Play { tone: "1000".into() }, ..order(NUMBER) });
    // The answer is there after 10 ms, and with it the first packet.
    lab.pass(1_000);
    assert_eq!(lab.audio.len(), 50);
    assert!(lab.audio.iter().all(|audio| audio.packet[1] & 0x7f == 8), "PCMA");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn the_far_end_hangs_up() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU)))), (3_000, Bye)]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(4_000);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.record.hung_up_by), (CallStatus::Completed, Some(HungUpBy::Callee)));
    assert_eq!((ended.cause(), ended.record.cost.unwrap().micros()), ("normal_clearing", 3_000));
    lab.finish();
}

#[test]
fn a_bye_that_says_why_is_believed() {
    for (number, cause) in [
        (16, "normal_clearing"),
        (31, "normal_unspecified"),
        (38, "network_out_of_order"),
        (27, "normal_unspecified"),
        (44, "temporary_failure"),
        (102, "recovery_on_timer_expiry"),
        (0, "normal_clearing"),
        (128, "normal_clearing"),
        (u16::MAX, "normal_clearing"),
    ] {
        let mut lab = Lab::new();
        let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU)))), (3_000, ByeFor(number))]);
        lab.trunk(carrier, |_| {});
        let call = lab.dial(order(NUMBER));
        lab.pass(4_000);
        let ended = lab.ended(call);
        assert_eq!((ended.record.status, ended.record.hung_up_by), (CallStatus::Completed, Some(HungUpBy::Callee)));
        assert_eq!((ended.cause(), ended.record.cost.unwrap().micros()), (cause, 3_000), "{number}");
        assert_eq!(ended.legs[0].cause.unwrap().as_str(), cause);
        lab.finish();
    }
}

#[test]
fn a_call_ends_at_its_longest_duration() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(tandem_model::DialOrder { max_duration: Duration::from_secs(10), ..order(NUMBER) });
    lab.pass(11_000);
    let ended = lab.ended(call);
    assert_eq!((ended.record.status, ended.cause()), (CallStatus::Completed, "max_duration"));
    assert_eq!((ended.record.hung_up_by, ended.record.duration_ms), (Some(HungUpBy::Switch), Some(10_000)));
    assert_eq!(ended.legs[0].billed_seconds, Some(10));
    lab.finish();
}

#[test]
fn a_call_that_hears_nothing_ends() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |trunk| {
        trunk.advanced_config.insert("rtp_timeout".into(), json!(5));
    });
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    lab.speak(MEDIA, 20_000, 100);
    let fell_silent = lab.ms();
    lab.pass(10_000);
    let ended = lab.ended(call);
    assert_eq!((ended.cause(), ended.record.hung_up_by), ("media_timeout", Some(HungUpBy::Switch)));
    let at = u128::from(ended.record.duration_ms.unwrap()) + 10;
    assert!((fell_silent + 4_900..fell_silent + 5_100).contains(&at), "{at} after {fell_silent}");
    assert_eq!(lab.peer(carrier).heard_of("BYE").len(), 1);
    lab.finish();
}

#[test]
fn early_media_is_taken_up_and_the_200_need_not_repeat_it() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(100, Progress(183, Some(sdp(MEDIA, PCMA)))), (2_000, Answer(None))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(500);
    assert_eq!(lab.inspect(call).unwrap().record.status, CallStatus::Ringing);
    lab.pass(2_000);
    assert_eq!(lab.inspect(call).unwrap().record.codec_used.as_deref(), Some("PCMA"));
    lab.hang_up(call);
    lab.pass(100);
    let kinds = lab.ended(call).event_kinds().join(" ");
    assert!(kinds.contains("leg_ringing leg_early_media leg_answered"), "{kinds}");
    lab.finish();
}

#[test]
fn an_answer_without_usable_media_is_ended_and_nobody_else_is_tried() {
    for (answer, cause) in [
        (None, "protocol_error"),
        (Some("nonsense".to_owned()), "protocol_error"),
        (Some(sdp(MEDIA, "18")), "incompatible_destination"),
        (Some(sdp("192.0.2.10:0", PCMU)), "incompatible_destination"),
    ] {
        let mut lab = Lab::new();
        let first = lab.far_end(vec![(0, Answer(answer))]);
        let second = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
        lab.trunk(first, |_| {});
        lab.trunk(second, |_| {});
        let call = lab.dial(order(NUMBER));
        lab.pass(1_000);
        assert_eq!(lab.peer(first).kinds(), ["INVITE", "ACK", "BYE"]);
        assert!(lab.peer(second).heard.is_empty());
        let ended = lab.ended(call);
        assert_eq!(
            (ended.record.status, ended.cause(), ended.outcomes()),
            (CallStatus::Failed, cause, vec!["unusable_answer"])
        );
        assert_eq!(ended.record.cost.unwrap().micros(), 0);
        lab.finish();
    }
}

#[test]
fn a_call_straight_to_a_sip_address_needs_no_trunk() {
    let mut lab = Lab::new();
    let phone = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    let mut direct = order("sip:bob@192.0.2.10");
    direct.from = None;
    direct.headers.insert("X-Campaign".into(), "7".into());
    let call = lab.dial(direct);
    lab.pass(2_000);
    let invite = lab.peer(phone).heard_of("INVITE")[0].clone();
    assert!(invite.text.starts_with("INVITE sip:bob@192.0.2.10 SIP/2.0"), "{}", invite.text);
    assert!(invite.header("From").contains("anonymous@"), "{}", invite.text);
    assert_eq!(invite.header("X-Campaign"), "7");
    lab.hang_up(call);
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!((ended.record.to_number.as_str(), ended.record.to_uri.as_deref()), ("bob", Some("sip:bob@192.0.2.10")));
    assert_eq!((ended.record.trunk_id, ended.legs[0].cost.unwrap().micros()), (None, 0));
    lab.finish();
}

#[test]
fn the_invite_says_what_trunk_and_order_say() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |trunk| {
        trunk.sip_domain = "carrier.example.com".into();
        trunk.sip_proxy = Some("192.0.2.10".into());
        trunk.codec_preferences = vec!["opus".into(), "PCMA".into(), "PCMU".into()];
        trunk.custom_headers.insert("X-Account".into(), "trunk".into());
        trunk.custom_headers.insert("X-Trunk".into(), "1".into());
        trunk.outbound.caller_id = Some("+12025550177".into());
        trunk.outbound.strip = 1;
        trunk.outbound.prepend = "00".into();
        trunk.outbound.headers.insert("X-Account".into(), "routing".into());
    });
    let mut call = order(NUMBER);
    call.from = None;
    call.headers.insert("X-Account".into(), "order".into());
    let call = lab.dial(call);
    lab.pass(1_000);
    let invite = lab.peer(carrier).heard_of("INVITE")[0].clone();
    assert!(invite.text.starts_with("INVITE sip:002025550100@carrier.example.com SIP/2.0"), "{}", invite.text);
    assert!(invite.header("Route").contains("192.0.2.10") && invite.header("Route").contains(";lr"), "{}", invite.text);
    assert!(invite.header("From").contains("sip:+12025550177@carrier.example.com"), "{}", invite.text);
    assert_eq!((invite.header("X-Account"), invite.header("X-Trunk")), ("order", "1"));
    assert_eq!(invite.sdp_line("m=audio"), "m=audio 20000 RTP/AVP 8 0 101");
    assert_eq!(lab.inspect(call).unwrap().record.from_number, "+12025550177");
    lab.hang_up(call);
    lab.finish();
}

#[test]
fn audio_that_comes_after_the_end_is_no_step_of_the_call() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(100);
    // The media thread has yet to hear that it is over.
    lab.media_is_stuck = true;
    lab.hang_up(call);
    lab.speak(MEDIA, 20_000, 1);
    lab.free_media();
    lab.pass(1_000);
    assert_eq!(lab.ended(call).event_kinds().last(), Some(&"ended"));
    lab.finish();
}
