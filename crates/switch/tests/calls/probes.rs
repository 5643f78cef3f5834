//! OPTIONS to trunks.

use tandem_model::{HealthStatus, Reason, Transport};
use tandem_switch::{ProbeFailure, ProbeResult, Reply, ResolveError};

use crate::far_end::Hearing;
use crate::lab::{Lab, Name, Peer};

fn trunk() -> (Lab, Peer) {
    let mut lab = Lab::new();
    let carrier = lab.far_end(Vec::new());
    lab.trunk(carrier, |_| {});
    (lab, carrier)
}

fn probed(lab: &mut Lab, wait_ms: u64) -> ProbeResult {
    let reply = lab.probe(1);
    lab.pass(wait_ms);
    match lab.reply(reply) {
        Reply::Probed(Some(result)) => *result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_a_sign_of_life_and_its_round_trip_is_measured() {
    let (mut lab, carrier) = trunk();
    let result = probed(&mut lab, 1_000);
    assert_eq!((result.health.status, result.sip_status), (HealthStatus::Healthy, Some(200)));
    assert_eq!((result.health.latency_us, result.health.loss_basis_points), (Some(10_000), None));
    let options = lab.peer(carrier).heard_of("OPTIONS")[0].clone();
    assert_eq!(options.header("Authorization"), "", "the password stays at home");
    lab.finish();
}

#[test]
fn silence_is_unhealthy_after_four_seconds() {
    let (mut lab, carrier) = trunk();
    lab.peer(carrier).hearing = Hearing::Dead;
    let result = probed(&mut lab, 4_000);
    assert_eq!(result.health.status, HealthStatus::Unhealthy);
    assert_eq!(result.failure, Some(ProbeFailure::NoResponse { after_ms: 4_000 }));
    lab.finish();
}

#[test]
fn a_network_that_refuses_is_unhealthy_at_once() {
    let (mut lab, carrier) = trunk();
    lab.peer(carrier).hearing = Hearing::Unreachable;
    assert_eq!(probed(&mut lab, 20).failure, Some(ProbeFailure::TransportError));
    lab.finish();
}

#[test]
fn a_trunk_of_a_family_that_the_node_does_not_speak_is_told_as_such() {
    let (mut lab, _) = trunk();
    let carrier = lab.far_end_v6(Vec::new());
    let (transport, address) = (Transport::Udp, lab.address(carrier).ip());
    lab.change_trunk(1, |trunk| trunk.sip_domain = address.to_string());
    let unroutable = ProbeFailure::Unroutable(Reason::NoLocalAddress { transport, address });
    assert_eq!(probed(&mut lab, 20).failure, Some(unroutable));

    // A name that has an address of another family, too, is asked there.
    let addresses = Ok(vec![address, "192.0.2.10".parse().unwrap()]);
    lab.change_trunk(1, |trunk| trunk.sip_domain = "carrier.example.com".into());
    lab.names.insert("carrier.example.com".into(), Name::After(10, addresses));
    assert_eq!(probed(&mut lab, 1_000).sip_status, Some(200));
    lab.finish();
}

#[test]
fn a_name_that_does_not_resolve_is_an_error() {
    let (mut lab, _) = trunk();
    lab.change_trunk(1, |trunk| trunk.sip_domain = "carrier.example.com".into());
    lab.names.insert("carrier.example.com".into(), Name::After(10, Err(ResolveError::NotFound)));
    let result = probed(&mut lab, 20);
    assert_eq!(result.health.status, HealthStatus::Error);
    assert_eq!(result.failure, Some(ProbeFailure::Unresolvable { host: "carrier.example.com".into() }));

    lab.names.insert("carrier.example.com".into(), Name::Never);
    assert_eq!(probed(&mut lab, 4_000).failure, Some(ProbeFailure::NoResponse { after_ms: 4_000 }));
    lab.names.insert("carrier.example.com".into(), Name::After(10, Ok(vec!["192.0.2.10".parse().unwrap()])));
    assert_eq!(probed(&mut lab, 1_000).sip_status, Some(200));
    lab.finish();
}

#[test]
fn what_may_not_be_called_is_not_probed() {
    let (mut lab, _) = trunk();
    lab.change_trunk(1, |trunk| trunk.sip_domain = "10.0.0.5".into());
    let result = probed(&mut lab, 0);
    assert_eq!((result.health.status, result.target.is_some()), (HealthStatus::Error, true));
    assert!(matches!(result.failure, Some(ProbeFailure::Unroutable(reason)) if reason.code() == "peer_not_allowed"));
    lab.change_trunk(1, |trunk| trunk.sip_port = 5_061);
    let result = probed(&mut lab, 0);
    assert!(
        matches!(result.failure, Some(ProbeFailure::Unroutable(reason)) if reason.code() == "transport_unsupported")
    );
    lab.finish();
}

#[test]
fn a_trunk_that_is_not_configured_cannot_be_probed() {
    let mut lab = Lab::new();
    let reply = lab.probe(1);
    assert!(matches!(lab.reply(reply), Reply::Probed(None)));
}
