//! What holds for every session description, whoever made it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use tandem_media::offer_answer::{LocalMedia, accept_answer, answer, offer, reoffer};
use tandem_media::sdp::{Direction, Session};
use tandem_model::Codec;

fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(3264), failure_persistence: None, cases: 1_000, ..Default::default() }
}

proptest! {
    #![proptest_config(config())]

    /// Nothing that arrives is fatal, and what is read is written as the same thing.
    #[test]
    fn any_octets_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..400)) {
        check_body(&body);
    }

    /// The same for descriptions that are nearly right.
    #[test]
    fn a_mutated_description_is_read_or_refused(
        file in any::<Index>(),
        edits in proptest::collection::vec((any::<Index>(), edit()), 1..8),
    ) {
        let mut body = file.get(&CORPUS).clone();
        for (place, edit) in edits {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match edit {
                Edit::Replace(octet) => body[at] = octet,
                Edit::Insert(text) => drop(body.splice(at..at, text)),
                Edit::Cut(length) => drop(body.drain(at..(at + length).min(body.len()))),
            }
        }
        check_body(&body);
    }

    /// Two of us always agree when a codec is in common: on the codec, on the numbers and on who may talk.
    #[test]
    fn both_ends_come_to_the_same_agreement(caller in local_media(), callee in local_media()) {
        let offer = offer(&caller);
        let common = caller.codecs.iter().any(|codec| callee.codecs.contains(codec))
            || caller.codecs.is_empty()
            || callee.codecs.is_empty();
        let Ok((body, theirs)) = answer(&offer.to_bytes(), &callee) else {
            prop_assert!(!common);
            return Ok(());
        };
        let ours = accept_answer(&offer, &body).expect("an answer of ours fits the offer");
        prop_assert_eq!(ours.codec, theirs.codec);
        prop_assert_eq!(ours.direction, theirs.direction.mirrored());
        prop_assert_eq!(ours.send_payload_type, theirs.send_payload_type);
        prop_assert_eq!(ours.telephone_event, theirs.telephone_event);
        prop_assert_eq!(ours.remote_rtp.map(|at| at.port()), Some(callee.rtp_port));
        prop_assert_eq!(theirs.remote_rtp.map(|at| at.ip()), Some(caller.address));

        // The callee holds, and the same numbers stay in force.
        let again = reoffer(&callee, &body).expect("our own description");
        let (_, held) = answer(&again.to_bytes(), &caller).expect("a codec is in common");
        prop_assert_eq!(held.direction, caller.direction.and(callee.direction.mirrored()));
    }
}

fn check_body(body: &[u8]) {
    let local = LocalMedia {
        address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 5)),
        rtp_port: 20_000,
        codecs: Vec::new(),
        telephone_event: true,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        session_id: 1,
        session_version: 1,
    };
    if let Ok((ours, _)) = answer(body, &local) {
        let ours = Session::parse(&ours).expect("what we write can be read");
        let theirs = Session::parse(body).expect("it was answered");
        assert_eq!(ours.media.len(), theirs.media.len());
        assert_eq!(ours.media.iter().filter(|media| media.port != 0).count(), 1);
    }
    drop(accept_answer(&offer(&local), body));
    drop(reoffer(&local, body).map(|offer| offer.to_bytes()));
    if let Ok(session) = Session::parse(body) {
        assert_eq!(Session::parse(&session.to_bytes()), Ok(session));
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Replace(u8),
    Insert(Vec<u8>),
    Cut(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let snippets = prop::sample::select(vec![
        "\r\n",
        "\n",
        "=",
        ":",
        "/",
        " ",
        "0",
        "-1",
        "65536",
        "a=",
        "m=audio 9 RTP/AVP 0\r\n",
        "c=IN IP6 ::1\r\n",
        "a=rtpmap:96 PCMU/8000\r\n",
        "a=rtpmap:101 telephone-event/8000\r\n",
        "a=inactive\r\n",
        "a=rtcp:\r\n",
        "\0",
    ]);
    prop_oneof![
        any::<u8>().prop_map(Edit::Replace),
        snippets.prop_map(|text| Edit::Insert(text.into())),
        (1_usize..60).prop_map(Edit::Cut),
    ]
}

fn local_media() -> impl Strategy<Value = LocalMedia> {
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| IpAddr::V6(Ipv6Addr::from(octets))),
    ]
    .prop_filter("a public address", |address| {
        !address.is_unspecified() && !address.is_multicast() && address.to_canonical() == *address
    })
    .prop_filter("no broadcast", |address| *address != IpAddr::V4(Ipv4Addr::BROADCAST));
    let codecs = proptest::collection::vec(prop::sample::select(vec![Codec::Pcmu, Codec::Pcma]), 0..3);
    (address, 1_u16.., codecs, any::<bool>(), any::<(bool, bool)>(), any::<u16>(), any::<u64>()).prop_map(
        |(address, rtp_port, codecs, telephone_event, (send, receive), ptime_ms, session_id)| LocalMedia {
            address,
            rtp_port,
            codecs,
            telephone_event,
            direction: Direction::new(send, receive),
            ptime_ms,
            session_id,
            session_version: session_id,
        },
    )
}

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(corpus);

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sdp");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .collect();
    files.sort();
    // The three large files only slow the search down.
    files.iter().map(|path| fs::read(path).unwrap()).filter(|body| body.len() < 4_096).collect()
}
