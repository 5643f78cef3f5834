//! Everything that a node sends is as the RFCs want it, whatever it answers.

use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tandem_e2e::{Capture, Network, Options, Packet, Peer, SipText, Tandem, eventually, text_at};

const SOON: Duration = Duration::from_secs(5);

/// What is wrong with a message of ours (RFC 3261 §8.1.1, §8.2.6, §20; RFC 4566 §5).
fn flaws(packet: &Packet, text: &SipText) -> Vec<String> {
    let mut flaws = Vec::new();
    let mut check = |right: bool, what: &str| {
        if !right {
            flaws.push(what.to_owned());
        }
    };
    let once = |name: &str| text.all(name).count() == 1;
    for name in ["From", "To", "Call-ID", "CSeq", "Content-Length"] {
        check(once(name), &format!("{name} comes not once"));
    }
    let length = text.header("Content-Length").and_then(|length| length.parse().ok());
    check(length == Some(text.body.len()), "Content-Length is not that of the body");
    check(text.body.is_empty() || text.header("Content-Type").is_some(), "a body without Content-Type");
    let head = packet.payload.get(..packet.payload.len() - text.body.len()).unwrap_or_default();
    check(head.is_ascii() || text.status().is_some(), "a request that is not ASCII");
    check(!head.split(|octet| *octet == b'\n').any(|line| line.contains(&0)), "a NUL");
    check(head.windows(2).filter(|pair| pair[1] == b'\n').all(|pair| pair[0] == b'\r'), "a line without CR");
    let via = text.header("Via").unwrap_or_default();
    if let Some(method) = text.method() {
        check(via.starts_with("SIP/2.0/UDP ") && once("Via"), "Via");
        check(via.contains(";branch=z9hG4bK"), "a branch without its magic cookie");
        check(via.contains(";rport"), "no rport");
        check(text.header("Max-Forwards") == Some("70"), "Max-Forwards is not 70");
        check(text.header("From").is_some_and(|from| from.contains(";tag=")), "From without a tag");
        check(text.cseq().is_some_and(|(number, of)| of == method && number > 0), "CSeq of another method");
        check(text.header("User-Agent").is_some(), "no User-Agent");
        check((method == "INVITE") == (text.header("Contact").is_some()) || method == "OPTIONS", "Contact");
        check(method != "INVITE" || text.header("Allow").is_some(), "an INVITE without Allow");
    } else {
        check(
            text.header("To").is_some_and(|to| to.contains("tag=")) || text.status() == Some(100),
            "To without a tag",
        );
        check(text.header("Server").is_some(), "no Server");
    }
    if !text.body.is_empty() {
        let order: String =
            String::from_utf8_lossy(&text.body).lines().filter_map(|line| line.chars().next()).collect();
        check(order.starts_with("vosctma"), &format!("SDP lines in the order {order}"));
        check(text.body.ends_with(b"\r\n"), "SDP without a last line end");
        check(text.sdp('m').iter().all(|line| line.contains(" RTP/AVP ")), "m=");
        check(text.sdp('a').iter().any(|line| line.starts_with("rtpmap:")), "no rtpmap");
    }
    flaws
}

#[test]
fn every_message_is_well_formed() {
    let network = Network::claim();
    let capture = Capture::start(&network);
    let tandem = Tandem::start(&network, &Options::default());
    let api = tandem.api();
    let peer = Peer::start(network.sip(2));
    let trunk = api.create_trunk("peer", peer.address(), &json!({"advanced_config": {"options_interval": null}}));
    let over = json!({"sip_trunk_id": trunk});

    let mut ids = Vec::new();
    for user in ["auth", "authbad", "s486", "hangup100", "hold", "early600", "nosdp", "ring", "odd%20name;x=1"] {
        ids.push(text_at(&api.dial(&peer.uri(user), &over), "/id"));
    }
    for id in &ids {
        let _ = api.wait_for_call(id, "under way", SOON, |call| call["status"] != "initiated");
    }
    peer.wait_for_call("was held and resumed", SOON, |call| call.count("200 INVITE") >= 2);
    for id in &ids {
        let _ = api.hang_up(id);
        let _ = api.wait_for_end(id, SOON);
    }
    // What is answered to strange requests is in order as well.
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/sip/tests/data/torture");
    for source in ["rfc4475", "rfc5118", "sip"] {
        for entry in std::fs::read_dir(data.join(source)).expect("the corpus is where its own tests have it") {
            let path = entry.expect("and can be listed").path();
            peer.send(tandem.sip(), &std::fs::read(&path).expect("a file can be read"));
        }
    }
    eventually("answers to all that", SOON, || (peer.others().len() > 60).then_some(()));

    let ours: Vec<(Packet, SipText)> =
        capture.sip().into_iter().filter(|(packet, _)| packet.from == tandem.sip()).collect();
    let seen: BTreeSet<String> = ours.iter().filter_map(|(_, text)| text.method().map(str::to_owned)).collect();
    for method in ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS"] {
        assert!(seen.contains(method), "{seen:?}");
    }
    // Copied from a strange request into its answer: not of our making.
    let copied = |flaw: &String| flaw == "a NUL" || flaw.contains("comes not once");
    let mut wrong = BTreeMap::new();
    for (packet, text) in &ours {
        let is_answer = text.status().is_some();
        for flaw in flaws(packet, text).into_iter().filter(|flaw| !(is_answer && copied(flaw))) {
            let _ = wrong.entry(flaw).or_insert_with(|| String::from_utf8_lossy(&packet.payload).into_owned());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // A new Call-ID and From tag for each INVITE outside of dialogs, a new branch for each transaction.
    let invites = ours.iter().filter(|(_, text)| text.method() == Some("INVITE"));
    let first: BTreeMap<&str, &str> =
        invites.clone().map(|(_, text)| (text.call_id(), text.header("From").unwrap_or_default())).collect();
    assert_eq!(first.len(), ids.len());
    assert_eq!(first.values().collect::<BTreeSet<_>>().len(), ids.len(), "tags are used once");
    let branches: BTreeMap<&str, (u32, &str)> =
        invites.filter_map(|(_, text)| Some((text.header("Via")?, (text.cseq()?.0, text.call_id())))).collect();
    assert_eq!(branches.values().collect::<BTreeSet<_>>().len(), branches.len());
}
