//! Calls that test a trunk.

use tandem_model::{Connect, DialOrder};

use crate::far_end::Does::{Answer, Reject};
use crate::lab::{Lab, address, outcomes, verdicts};
use tandem_lab::setup::{NUMBER, PCMU, order, sdp, trunk_id};

const MEDIA: &str = "192.0.2.10:4000";

fn test_of(trunk: u8) -> DialOrder {
    DialOrder { connect: Connect::Test, trunk_id: Some(trunk_id(trunk)), ..order(NUMBER) }
}

#[test]
fn it_goes_over_a_trunk_that_is_not_well_and_over_no_other() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(10, Reject(503, Vec::new()))]);
    let other = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |trunk| trunk.failover_trunk_id = Some(trunk_id(2)));
    lab.trunk(other, |_| {});
    for _ in 0..5 {
        let call = lab.dial(test_of(1));
        lab.pass(100);
        assert_eq!(outcomes(&lab.ended(call).receipt()), ["retryable_status"], "nor over what it fails over to");
    }
    let explained = lab.explain(order(NUMBER));
    assert_eq!(verdicts(&explained), [("trunk-2", "ranked"), ("trunk-1", "circuit_open")]);
    let call = lab.dial(test_of(1));
    lab.pass(100);
    assert_eq!(outcomes(&lab.ended(call).receipt()), ["retryable_status"]);
    // A trunk that a person has switched off is not called.
    lab.change_trunk(1, |trunk| trunk.status = tandem_model::TrunkStatus::Inactive);
    let refused = lab.try_dial(test_of(1)).unwrap_err();
    assert_eq!(verdicts(&refused), [("trunk-2", "not_requested"), ("trunk-1", "trunk_not_active")]);
    lab.finish();
}

#[test]
fn it_plays_a_tone_and_tells_what_comes_back() {
    let mut lab = Lab::new();
    let carrier = lab.far_end(vec![(0, Answer(Some(sdp(MEDIA, PCMU))))]);
    lab.trunk(carrier, |_| {});
    let call = lab.dial(test_of(1));
    lab.pass(100);
    // What was said so far comes back at once, as from an echo.
    for _ in 0..130 {
        let said: Vec<_> = lab.audio.drain(..).filter(|audio| audio.to == address(MEDIA)).collect();
        for mut audio in said {
            lab.hear_rtp(MEDIA, 20_000, &mut audio.packet);
        }
        lab.pass(20);
    }
    lab.pass(100);
    let ended = lab.ended(call);
    assert_eq!(ended.cause(), "normal_clearing", "it ends by itself");
    let heard = ended.events.iter().find(|event| event.kind.as_str() == "audio_checked").unwrap();
    let detail = heard.detail.read().unwrap();
    assert_eq!(detail["tone_hz"], 1_020);
    assert!(detail["tone_ms"].as_u64() >= Some(2_000) && detail["audio_ms"].as_u64() <= Some(2_500), "{detail:?}");
    assert!(detail["level_dbm0"].as_i64().is_some_and(|level| (-11..=-9).contains(&level)), "{detail:?}");
    lab.finish();
}
