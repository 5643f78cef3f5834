//! Offers and answers as carriers and phones make them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tandem_media::offer_answer::{
    Agreement, LocalMedia, NegotiationError, Payload, TelephoneEvent, accept_answer, answer, offer, reoffer,
};
use tandem_media::sdp::{Direction, Protocol, Session};
use tandem_model::Codec;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn an_offer_looks_like_this() {
    insta::assert_snapshot!(text(&offer(&local()).to_bytes()), @r"
    v=0
    o=- 7 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=audio 20000 RTP/AVP 0 8 101
    a=rtpmap:0 PCMU/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
    a=ptime:20
    a=sendrecv
    ");
}

#[test]
fn an_answer_looks_like_this() {
    let remote = "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=-\nc=IN IP4 192.0.2.7\nt=3034423619 3042462419\n\
        m=video 51372 RTP/AVP 31 32\na=rtpmap:31 H261/90000\n\
        m=audio 40000 RTP/AVPF 96 97 8\na=rtpmap:96 PCMU/8000\na=rtpmap:97 telephone-event/8000\na=rtcp-mux\n\
        m=audio 40002 RTP/AVP 0\n\
        m=image 0 udptl t38\n";
    let (body, agreement) = answer(remote.as_bytes(), &local()).unwrap();
    insta::assert_snapshot!(text(&body), @r"
    v=0
    o=- 7 1 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=3034423619 3042462419
    m=video 0 RTP/AVP 31 32
    m=audio 20000 RTP/AVPF 96 97
    a=rtpmap:96 PCMU/8000
    a=rtpmap:97 telephone-event/8000
    a=fmtp:97 0-15
    a=ptime:20
    a=sendrecv
    a=rtcp-mux
    m=audio 0 RTP/AVP 0
    m=image 0 udptl t38
    ");
    assert_eq!((agreement.codec, agreement.send_payload_type), (Codec::Pcmu, 96));
    assert_eq!(agreement.telephone_event, Some(both_ways(97)));
    assert!(agreement.rtcp_mux);
    assert_eq!(agreement.remote_rtcp, Some(SocketAddr::new(PEER, 40_000)));
}

#[test]
fn the_answerer_prefers_its_own_order() {
    let remote = remote("m=audio 40000 RTP/AVP 0 8");
    for (codecs, chosen) in [
        (vec![Codec::Pcmu, Codec::Pcma], Codec::Pcmu),
        (vec![Codec::Pcma, Codec::Pcmu], Codec::Pcma),
        (vec![Codec::Opus, Codec::Pcma], Codec::Pcma),
        (vec![], Codec::Pcmu),
    ] {
        let (_, agreement) = answer(&remote, &LocalMedia { codecs, ..local() }).unwrap();
        assert_eq!(agreement.codec, chosen);
    }
}

#[test]
fn codecs_that_cannot_be_carried_are_not_offered() {
    let offered = |codecs| {
        let offer = offer(&LocalMedia { codecs, telephone_event: false, ..local() });
        offer.receive_payload_types().codecs().collect::<Vec<_>>()
    };
    assert_eq!(offered(vec![Codec::Opus, Codec::Pcma, Codec::G722, Codec::Pcma]), [(8, Codec::Pcma)]);
    assert_eq!(offered(vec![Codec::Opus]), [(0, Codec::Pcmu), (8, Codec::Pcma)]);
}

#[test]
fn the_codec_is_the_answers() {
    let agreement = accepted("m=audio 40000 RTP/AVP 8 0").unwrap();
    assert_eq!((agreement.codec, agreement.send_payload_type), (Codec::Pcma, 8));
    // The peer listed both and may switch between them.
    assert_eq!(agreement.receive_payload_types.meaning(0), Some(Payload::Audio(Codec::Pcmu)));
    assert_eq!(agreement.receive_payload_types.meaning(8), Some(Payload::Audio(Codec::Pcma)));
    assert_eq!(agreement.telephone_event, None);

    let agreement = accepted("m=audio 40000 RTP/AVP 18 13 8").unwrap();
    assert_eq!((agreement.codec, agreement.send_payload_type), (Codec::Pcma, 8));
    assert_eq!(agreement.receive_payload_types.meaning(0), None);
    assert_eq!(agreement.receive_payload_types.meaning(13), None);
}

#[test]
fn payload_types_may_differ_in_each_direction() {
    let agreement =
        accepted("m=audio 40000 RTP/AVP 96 98\r\na=rtpmap:96 pcma/8000\r\na=rtpmap:98 TELEPHONE-EVENT/8000").unwrap();
    assert_eq!((agreement.codec, agreement.send_payload_type), (Codec::Pcma, 96));
    let event = TelephoneEvent { send_payload_type: 98, receive_payload_type: 101 };
    assert_eq!(agreement.telephone_event, Some(event));
    // It is to send 8 and 101; its own numbers are understood too.
    for (number, payload) in [
        (8, Payload::Audio(Codec::Pcma)),
        (96, Payload::Audio(Codec::Pcma)),
        (101, Payload::TelephoneEvent),
        (98, Payload::TelephoneEvent),
    ] {
        assert_eq!(agreement.receive_payload_types.meaning(number), Some(payload), "{number}");
    }
}

#[test]
fn an_answer_need_not_repeat_the_rtpmap() {
    let agreement = accepted("m=audio 40000 RTP/AVP 0 101").unwrap();
    assert_eq!(agreement.telephone_event, Some(both_ways(101)));
}

#[test]
fn telephone_events_share_the_clock_of_the_codec() {
    let rtpmaps = "m=audio 40000 RTP/AVP 110 0\r\na=rtpmap:110 telephone-event/48000";
    assert_eq!(answered(rtpmaps).unwrap().telephone_event, None);
    assert_eq!(accepted(rtpmaps).unwrap().telephone_event, None);

    let both = format!("{rtpmaps}\r\na=rtpmap:126 telephone-event/8000").replace("110 0", "110 0 126");
    assert_eq!(answered(&both).unwrap().telephone_event, Some(both_ways(126)));

    let quiet = LocalMedia { telephone_event: false, ..local() };
    assert_eq!(answer(&remote(&both), &quiet).unwrap().1.telephone_event, None);
}

#[test]
fn hold_is_answered_with_the_mirrored_direction() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    for (theirs, ours) in [(SendRecv, SendRecv), (SendOnly, RecvOnly), (RecvOnly, SendOnly), (Inactive, Inactive)] {
        let media = format!("m=audio 40000 RTP/AVP 0\r\na={theirs}");
        let (body, agreement) = answer(&remote(&media), &local()).unwrap();
        assert_eq!(agreement.direction, ours);
        assert_eq!(direction_in(&body), ours);
        // The address stays known: RTCP goes on while RTP rests.
        assert_eq!(agreement.remote_rtp, Some(SocketAddr::new(PEER, 40_000)));
    }
}

#[test]
fn a_direction_may_stand_for_the_whole_session() {
    let body = text(&remote("m=audio 40000 RTP/AVP 0")).replace("t=0 0", "t=0 0\na=sendonly");
    assert_eq!(answer(body.as_bytes(), &local()).unwrap().1.direction, Direction::RecvOnly);
    let overridden = format!("{body}a=sendrecv\n");
    assert_eq!(answer(overridden.as_bytes(), &local()).unwrap().1.direction, Direction::SendRecv);
}

#[test]
fn an_unspecified_address_is_a_hold_and_no_destination() {
    for held in ["c=IN IP4 0.0.0.0", "c=IN IP6 ::", "c=IN IP6 ::ffff:0.0.0.0"] {
        let media = format!("m=audio 40000 RTP/AVP 0\r\n{held}\r\na=rtcp:40001 IN IP4 192.0.2.7");
        let (body, agreement) = answer(&remote(&media), &local()).unwrap();
        assert_eq!((agreement.remote_rtp, agreement.remote_rtcp), (None, None), "{held}");
        assert_eq!(agreement.direction, Direction::RecvOnly);
        assert_eq!(direction_in(&body), Direction::RecvOnly);
    }
}

#[test]
fn our_own_hold_narrows_the_answer() {
    for (wanted, theirs, ours) in [
        (Direction::SendOnly, "sendrecv", Direction::SendOnly),
        (Direction::SendOnly, "sendonly", Direction::Inactive),
        (Direction::Inactive, "sendrecv", Direction::Inactive),
    ] {
        let holding = LocalMedia { direction: wanted, ..local() };
        let media = format!("m=audio 40000 RTP/AVP 0\r\na={theirs}");
        assert_eq!(answer(&remote(&media), &holding).unwrap().1.direction, ours);
        assert_eq!(accept_answer(&offer(&holding), &remote(&media)).unwrap().direction, ours);
    }
}

#[test]
fn plain_rtp_is_found_beside_srtp() {
    let media = "m=audio 40000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\nm=audio 40002 RTP/AVP 0";
    let (body, agreement) = answer(&remote(media), &local()).unwrap();
    assert_eq!(agreement.remote_rtp, Some(SocketAddr::new(PEER, 40_002)));
    let ports: Vec<u16> = Session::parse(&body).unwrap().media.iter().map(|media| media.port).collect();
    assert_eq!(ports, [0, 20_000]);
}

#[test]
fn keys_on_plain_rtp_are_optional() {
    // RFC 8643: an offer of RTP/AVP with a=crypto may be answered in the clear.
    let media = "m=audio 40000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x";
    let (body, _) = answer(&remote(media), &local()).unwrap();
    assert!(!Session::parse(&body).unwrap().media[0].has("crypto"));
}

#[test]
fn a_refusal_has_the_reason_that_says_most() {
    let encryption = |protocol| NegotiationError::EncryptionRequired { protocol };
    let foreign = NegotiationError::NoCommonCodec {
        offered: vec!["G729/8000".into(), "opus/48000/2".into(), "PT 13".into(), "G722/8000".into()],
    };
    let line = "m=audio 1 RTP/AVP 18 96 13 9\r\na=rtpmap:96 opus/48000/2";
    for (media, reason) in [
        ("a=no:streams".into(), NegotiationError::NoAudio),
        ("m=video 1 RTP/AVP 31".into(), NegotiationError::NoAudio),
        ("m=audio 0 RTP/AVP 0".into(), NegotiationError::NoAudio),
        ("m=audio 1 RTP/SAVP 0".into(), encryption(Protocol::Savp)),
        ("m=audio 1 X/Y 0\r\nm=audio 1 RTP/SAVPF 0\r\nm=audio 1 X/Z 0".into(), encryption(Protocol::Savpf)),
        ("m=audio 1 X/Y 0".into(), NegotiationError::UnsupportedTransport { protocol: Protocol::Other("X/Y".into()) }),
        (format!("m=audio 1 RTP/SAVP 0\r\n{line}"), foreign),
    ] {
        assert_eq!(answer(&remote(&media), &local()).unwrap_err(), reason);
    }
}

#[test]
fn an_answer_must_fit_the_offer() {
    let refused = |media: &str| accepted(media).unwrap_err();
    assert_eq!(refused("a=no:streams"), NegotiationError::AnswerNotFromOffer);
    assert_eq!(refused("m=video 1 RTP/AVP 31\r\nm=audio 1 RTP/AVP 0"), NegotiationError::AnswerNotFromOffer);
    assert_eq!(refused("m=audio 0 RTP/AVP 0"), NegotiationError::Refused);
    assert_eq!(refused("m=audio 1 RTP/SAVP 0"), NegotiationError::EncryptionRequired { protocol: Protocol::Savp });
    let events = NegotiationError::NoCommonCodec { offered: vec!["telephone-event/8000".into()] };
    assert_eq!(refused("m=audio 1 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000"), events);
    // A stream too many has nowhere to go.
    assert!(accepted("m=audio 1 RTP/AVP 0\r\nm=video 1 RTP/AVP 31").is_ok());
}

#[test]
fn addresses_are_unicast_and_canonical() {
    let target = |line: &str| answered(&format!("m=audio 40000 RTP/AVP 0\r\n{line}")).map(|agreed| agreed.remote_rtp);
    assert_eq!(target("c=IN IP6 2001:db8::2"), Ok(Some("[2001:db8::2]:40000".parse().unwrap())));
    // So that nobody slips a forbidden address past a policy in another notation.
    assert_eq!(target("c=IN IP6 ::ffff:127.0.0.1"), Ok(Some("127.0.0.1:40000".parse().unwrap())));
    for (line, address) in [
        ("c=IN IP4 224.2.1.1/127", IpAddr::from([224, 2, 1, 1])),
        ("c=IN IP4 255.255.255.255", IpAddr::from([255, 255, 255, 255])),
        ("c=IN IP6 ff15::101", "ff15::101".parse().unwrap()),
        ("a=rtcp:5 IN IP4 224.2.1.1", IpAddr::from([224, 2, 1, 1])),
    ] {
        assert_eq!(target(line), Err(NegotiationError::NotUnicast { address }), "{line}");
    }
    let nowhere = text(&remote("m=audio 40000 RTP/AVP 0")).replace("c=IN IP4 192.0.2.7\n", "");
    assert_eq!(answer(nowhere.as_bytes(), &local()).unwrap_err(), NegotiationError::NoAddress);
}

#[test]
fn rtcp_goes_to_the_next_port_or_where_it_is_told() {
    let rtcp = |media: &str| answered(media).unwrap().remote_rtcp.map(|target| target.to_string());
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0").as_deref(), Some("192.0.2.7:40001"));
    assert_eq!(rtcp("m=audio 65535 RTP/AVP 0"), None);
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0\r\na=rtcp:50").as_deref(), Some("192.0.2.7:50"));
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0\r\na=rtcp:50 IN IP4 192.0.2.9").as_deref(), Some("192.0.2.9:50"));
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0\r\na=rtcp:50 IN IP4 0.0.0.0"), None);
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0\r\na=rtcp:0").as_deref(), Some("192.0.2.7:40001"));
    assert_eq!(rtcp("m=audio 40000 RTP/AVP 0\r\na=rtcp:50\r\na=rtcp-mux").as_deref(), Some("192.0.2.7:40000"));
}

#[test]
fn an_answer_cannot_bring_up_rtcp_mux() {
    assert!(!accepted("m=audio 40000 RTP/AVP 0\r\na=rtcp-mux").unwrap().rtcp_mux);
}

#[test]
fn the_packet_time_is_the_peers_within_reason() {
    let ptime = |lines: &str| answered(&format!("m=audio 40000 RTP/AVP 0{lines}")).unwrap().ptime_ms;
    assert_eq!(ptime(""), 20);
    assert_eq!(ptime("\r\na=ptime:30"), 30);
    assert_eq!(ptime("\r\na=maxptime:10"), 10);
    assert_eq!(ptime("\r\na=ptime:60\r\na=maxptime:40"), 40);
    for odd in ["0", "-20", "1", "65536", "4294967316", "x", "", "1000"] {
        assert_eq!(ptime(&format!("\r\na=ptime:{odd}\r\na=maxptime:{odd}")), 20, "{odd}");
    }
}

#[test]
fn a_later_offer_keeps_the_places_and_numbers_of_the_streams() {
    let remote = remote(
        "m=video 51372 RTP/AVP 31\r\nm=audio 40000 RTP/AVPF 101 96\r\na=rtpmap:101 PCMA/8000\r\n\
         a=rtpmap:96 telephone-event/8000\r\na=rtcp-mux",
    );
    let (first, _) = answer(&remote, &local()).unwrap();
    let hold = LocalMedia { session_version: 2, direction: Direction::SendOnly, ..local() };
    let offer = reoffer(&hold, &first).unwrap();
    insta::assert_snapshot!(text(&offer.to_bytes()), @r"
    v=0
    o=- 7 2 IN IP4 198.51.100.5
    s=-
    c=IN IP4 198.51.100.5
    t=0 0
    m=video 0 RTP/AVP 31
    m=audio 20000 RTP/AVPF 0 101 96
    a=rtpmap:0 PCMU/8000
    a=rtpmap:101 PCMA/8000
    a=rtpmap:96 telephone-event/8000
    a=fmtp:96 0-15
    a=ptime:20
    a=sendonly
    a=rtcp-mux
    ");

    let held = text(&remote).replace("51372", "0").replace("a=rtcp-mux", "a=rtcp-mux\na=recvonly");
    let agreement = accept_answer(&offer, held.as_bytes()).unwrap();
    assert_eq!((agreement.codec, agreement.send_payload_type), (Codec::Pcma, 101));
    assert_eq!(agreement.telephone_event, Some(both_ways(96)));
    assert_eq!(agreement.direction, Direction::SendOnly);
    assert!(agreement.rtcp_mux);
}

#[test]
fn a_later_offer_gives_no_number_a_second_meaning() {
    let remote = remote("m=audio 40000 RTP/AVP 101\r\na=rtpmap:101 PCMA/8000");
    let (first, _) = answer(&remote, &local()).unwrap();
    let offer = reoffer(&local(), &first).unwrap();
    assert_eq!(offer.receive_payload_types().meaning(101), Some(Payload::Audio(Codec::Pcma)));
    assert_eq!(offer.receive_payload_types().telephone_event(), Some(96));
}

#[test]
fn a_later_offer_repeats_the_first_one() {
    let first = offer(&local());
    assert_eq!(reoffer(&local(), &first.to_bytes()), Ok(first));
}

#[test]
fn the_address_may_be_ipv6() {
    let body = offer(&LocalMedia { address: Ipv6Addr::LOCALHOST.into(), ..local() }).to_bytes();
    assert!(text(&body).contains("o=- 7 1 IN IP6 ::1\ns=-\nc=IN IP6 ::1\n"));
}

fn local() -> LocalMedia {
    LocalMedia {
        address: IpAddr::from([198, 51, 100, 5]),
        rtp_port: 20_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: true,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        session_id: 7,
        session_version: 1,
    }
}

/// A description of the peer with these streams.
fn remote(media: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{media}\r\n").into_bytes()
}

fn answered(media: &str) -> Result<Agreement, NegotiationError> {
    answer(&remote(media), &local()).map(|(_, agreement)| agreement)
}

fn accepted(media: &str) -> Result<Agreement, NegotiationError> {
    accept_answer(&offer(&local()), &remote(media))
}

fn both_ways(payload_type: u8) -> TelephoneEvent {
    TelephoneEvent { send_payload_type: payload_type, receive_payload_type: payload_type }
}

fn direction_in(body: &[u8]) -> Direction {
    let session = Session::parse(body).unwrap();
    session.direction_of(&session.media[0])
}

/// The body with bare line ends, for people.
fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).replace("\r\n", "\n")
}
