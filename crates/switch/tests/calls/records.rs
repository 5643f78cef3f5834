//! What is recorded, in which order, and how much of it.

use tandem_model::{CallStatus, Record};

use crate::far_end::Does::{Answer, Progress, Reinvite, Reject};
use crate::lab::Lab;
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, sdp_with};

const MEDIA: &str = "192.0.2.10:4000";

#[test]
fn a_call_is_recorded_before_its_events_and_its_legs_before_its_end() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(100, Progress(180, None)), (500, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    lab.hang_up(call);
    lab.pass(100);
    let short: Vec<String> = lab.records.iter().map(short).collect();
    assert_eq!(
        short,
        [
            "call initiated",
            "event initiated",
            "event routed",
            "event leg_started",
            "leg trying",
            "event leg_ringing",
            "call ringing",
            "leg answered",
            "event leg_answered",
            "call answered",
            "event connected",
            "leg completed",
            "event leg_ended",
            // It has ended, and its ports have yet to tell what they counted.
            "call answered",
            "event ended",
            "leg completed",
            "call completed",
        ]
    );
    let ended = lab.ended(call);
    let statuses: Vec<CallStatus> = lab.call_records(call).iter().map(|record| record.status).collect();
    assert_eq!(
        statuses,
        [CallStatus::Initiated, CallStatus::Ringing, CallStatus::Answered, CallStatus::Answered, CallStatus::Completed]
    );
    assert_eq!(ended.events[2].detail.read().unwrap()["request_uri"], "sip:+12025550100@192.0.2.10");
    lab.finish();
}

fn short(record: &Record) -> String {
    match record {
        Record::Call(call) => format!("call {}", call.status),
        Record::Leg(leg) => format!("leg {}", leg.status),
        Record::Event(event) => format!("event {}", event.kind),
        Record::Refusal(refusal) => format!("refusal {}", refusal.sip_status),
    }
}

#[test]
fn a_far_end_that_holds_and_resumes_for_ever_does_not_fill_the_memory() {
    let mut lab = Lab::new();
    let mut script = vec![(0, Answer(Some(sdp(MEDIA, PCMU))))];
    for turn in 0..400 {
        let direction = if turn % 2 == 0 { "inactive" } else { "sendrecv" };
        script.push((100 + 100 * turn, Reinvite(Some(sdp_with(MEDIA, PCMU, direction)), None)));
    }
    let carrier = lab.far_end(script);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(order(NUMBER));
    lab.pass(42_000);
    assert_eq!(lab.peer(carrier).heard_of("200").len(), 400);
    assert_eq!(lab.inspect(call).unwrap().events.len(), 256);
    lab.hang_up(call);
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!((ended.events.len(), *ended.event_kinds().last().unwrap()), (257, "ended"));
    lab.finish();
}

#[test]
fn a_receipt_tells_what_was_asked_looked_at_and_tried() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Reject(404, Vec::new()))]);
    lab.trunk(carrier, |_| {});
    lab.trunk(carrier, |trunk| trunk.status = tandem_model::TrunkStatus::Maintenance);
    lab.trunk(carrier, |trunk| trunk.call_direction = tandem_model::CallDirection::Inbound);
    lab.trunk(carrier, |trunk| trunk.sip_port = 5_061);
    lab.trunk(carrier, |trunk| trunk.codec_preferences = vec!["opus".into()]);
    lab.trunk(carrier, |trunk| trunk.sip_domain = "10.0.0.5".into());
    lab.trunk(carrier, |trunk| trunk.outbound.prefixes = vec!["+44".into(), "+1303".into()]);
    let call = lab.dial(order(NUMBER));
    lab.pass(1_000);
    let ended = lab.ended(call);
    insta::assert_json_snapshot!(ended.receipt());
    lab.finish();
}
