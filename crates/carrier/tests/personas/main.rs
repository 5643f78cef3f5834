//! Each number of the carrier as a caller meets it, and the carrier's limits.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test picks out what it looks for")]

mod audio;
mod line;

use std::net::SocketAddr;
use std::time::Duration;

use tandem_carrier::{Address, Ending, Happening, Impairment, Limits, LineCommand, MediaRefusal};
use tandem_media::engine::{Command, Event as MediaEvent, PortStats, RemoteMedia, Sink, Source};
use tandem_media::offer_answer::{self, LocalMedia, accept_answer};
use tandem_media::sdp::Direction;
use tandem_media::tone::ToneSpec;
use tandem_model::{Codec, Transport};
use tandem_sip::endpoint::{Event, Failure, Flow, OutgoingRequest, SessionId};
use tandem_sip::message::{Body, Method, NameAddr, Uri};

use line::{CALLER, CALLER_MEDIA, FIRST, HEARD, Line, SECOND, caller_media, caller_offer, media_port};

const BOTH: [SocketAddr; 2] = [FIRST, SECOND];

#[test]
fn number_0100_rings_for_a_second_then_echoes() {
    for address in BOTH {
        let mut line = Line::new();
        let call = line.call("0100", address);
        line.pass(secs(10));
        line.bye(call);

        assert_eq!(line.responses(), [(0, 180), (1_000, 200)]);
        assert_eq!(sounds(&line), [(Source::None, Sink::Echo)]);
        assert_eq!(line.endings(), [(Ending::CallerHungUp, Some(secs(9)), Some(HEARD))]);
        line.expect_nothing_left();
    }
}

#[test]
fn the_answer_is_in_pcmu_with_telephone_events_at_the_port_opened() {
    let mut line = Line::new();
    let call = line.call("0100", FIRST);
    line.pass(secs(1));

    let answer = line.answer(call).unwrap().body.as_ref().unwrap();
    let agreement = accept_answer(&caller_offer(Direction::SendRecv), answer).unwrap();
    assert_eq!(agreement.codec, Codec::Pcmu);
    assert!(agreement.telephone_event.is_some());
    let expected = SocketAddr::new(FIRST.ip(), media_port(0).rtp_port);
    assert_eq!(agreement.remote_rtp, Some(expected));

    let remote = remotes(&line).pop().unwrap();
    assert_eq!(remote.rtp, Some(CALLER_MEDIA));
    assert_eq!(remote.codec, Codec::Pcmu);
    assert_eq!(remote.signalling_source, Some(CALLER.ip()));
    assert!(remote.telephone_event.is_some());
}

#[test]
fn number_0101_plays_a_tone_and_hangs_up_after_five_seconds() {
    for address in BOTH {
        let mut line = Line::new();
        line.call("0101", address);
        line.pass(secs(10));

        assert_eq!(line.responses(), [(0, 200)]);
        let sounds = sounds(&line);
        let [(Source::Tone(tone), Sink::Discard)] = sounds.as_slice() else { panic!("{sounds:?} is not a tone") };
        assert_eq!(tone.frequencies_hz(), [1_000]);
        let beat = tone.cadence().first().unwrap();
        assert_eq!((beat.on, beat.off), (Duration::from_millis(400), Duration::from_millis(400)));
        assert_eq!(byes(&line), [secs(5)]);
        assert_eq!(line.endings(), [(Ending::CarrierHungUp, Some(secs(5)), Some(HEARD))]);
        line.expect_nothing_left();
    }
}

#[test]
fn number_0102_is_busy() {
    for address in BOTH {
        let mut line = Line::new();
        line.call("0102", address);

        assert_eq!(line.responses(), [(0, 486)]);
        assert_eq!(line.commands, []);
        line.expect_nothing_left();
        assert_eq!(line.endings(), [(Ending::Refused, None, None)]);
    }
}

#[test]
fn number_0103_rings_until_the_caller_gives_up() {
    for address in BOTH {
        let mut line = Line::new();
        let call = line.call("0103", address);
        line.pass(secs(3_600));
        assert!(line.responses().iter().all(|(_, status)| *status == 180), "{:?}", line.responses());
        line.cancel(call);

        assert_eq!(line.endings(), [(Ending::Canceled, None, None)]);
        line.expect_nothing_left();
    }
}

#[test]
fn a_caller_that_vanished_does_not_keep_its_call_for_ever() {
    let mut line = Line::new();
    line.call("0103", FIRST);
    line.caller_unheard = true;
    line.pass(secs(26 * 3_600));

    assert_eq!(line.responses().last().map(|(_, status)| *status), Some(480));
    line.expect_nothing_left();
}

#[test]
fn number_0104_is_unavailable_on_the_first_address_only() {
    let mut line = Line::new();
    line.call("0104", FIRST);

    let retry_after = line.events.iter().find_map(|(_, event)| match event {
        Event::Failed { failure: Failure::Status(refused), .. } => Some((refused.status.as_u16(), refused.retry_after)),
        _ => None,
    });
    assert_eq!(retry_after, Some((503, Some(secs(2)))));

    let call = line.call("0104", SECOND);
    line.pass(secs(2));
    assert_eq!(line.responses(), [(0, 503), (0, 180), (1_000, 200)]);
    assert_eq!(sounds(&line), [(Source::None, Sink::Echo)]);
    assert_eq!(line.addresses_asked(), [Address::First, Address::Second]);
    line.bye(call);
    line.expect_nothing_left();
}

#[test]
fn number_0105_and_numbers_of_nobody_are_not_found() {
    for number in ["0105", "0199", "9999"] {
        for address in BOTH {
            let mut line = Line::new();
            line.call(number, address);

            assert_eq!(line.responses(), [(0, 404)]);
            line.expect_nothing_left();
        }
    }
}

#[test]
fn number_0106_is_heard_before_it_answers() {
    for address in BOTH {
        let mut line = Line::new();
        let call = line.call("0106", address);
        let early = line.events.iter().find_map(|(_, event)| match event {
            Event::Provisional { body: Some(body), .. } => Some(body.clone()),
            _ => None,
        });
        let tone = Source::Tone(ToneSpec::parse("600").unwrap());
        assert_eq!(sounds(&line), [(tone.clone(), Sink::Discard)]);
        line.pass(secs(3));

        assert_eq!(line.responses(), [(0, 183), (2_000, 200)]);
        assert_eq!(line.answer(call).unwrap().body, early, "RFC 3261 §13.2.1: the same answer in each response");
        assert_eq!(sounds(&line), [(tone, Sink::Discard), (Source::None, Sink::Echo)]);
        assert_eq!(opened(&line), 1);
        line.bye(call);
        line.expect_nothing_left();
    }
}

#[test]
fn number_0106_frees_its_port_when_canceled_before_the_answer() {
    let mut line = Line::new();
    let call = line.call("0106", FIRST);
    line.pass(secs(1));
    line.cancel(call);

    assert_eq!(line.endings(), [(Ending::Canceled, None, Some(HEARD))]);
    line.expect_nothing_left();
}

#[test]
fn number_0109_is_silent_for_eight_seconds_on_the_first_address() {
    let mut line = Line::new();
    let call = line.call("0109", FIRST);
    line.pass(Duration::from_millis(7_999));
    assert_eq!(line.carrier_sent, []);
    assert_eq!(line.reports, []);

    line.pass(secs(2));
    assert_eq!(line.responses(), [(8_000, 200)]);
    assert_eq!(line.addresses_asked().len(), 1, "the repeats are the same call");
    line.pass(secs(60));
    line.bye(call);
    line.expect_nothing_left();
    assert_eq!(line.endings().len(), 1);
}

#[test]
fn number_0109_answers_even_a_caller_that_gave_up() {
    let mut line = Line::new();
    let call = line.call("0109", FIRST);
    line.pass(secs(4));
    line.cancel(call);
    line.pass(secs(6));

    assert!(line.carrier_sent.contains(&(secs(8), "SIP/2.0 200 OK".to_owned())), "{:?}", line.carrier_sent);
    assert_eq!(line.endings().first().map(|(ending, ..)| *ending), Some(Ending::CallerHungUp));
    line.expect_nothing_left();
}

#[test]
fn number_0109_is_as_0100_on_the_second_address() {
    let mut line = Line::new();
    let call = line.call("0109", SECOND);
    line.pass(secs(2));

    assert_eq!(line.responses(), [(0, 180), (1_000, 200)]);
    assert_eq!(sounds(&line), [(Source::None, Sink::Echo)]);
    line.bye(call);
    line.expect_nothing_left();
}

#[test]
fn number_0110_answers_at_once_with_a_steady_tone_over_a_bad_line() {
    for address in BOTH {
        let mut line = Line::new();
        let call = line.call("0110", address);
        line.pass(secs(60));

        assert_eq!(line.responses(), [(0, 200)]);
        let sounds = sounds(&line);
        let [(Source::Tone(tone), Sink::Discard)] = sounds.as_slice() else { panic!("{sounds:?} is not a tone") };
        assert_eq!((tone.frequencies_hz(), tone.cadence()), ([800].as_slice(), [].as_slice()));
        let [LineCommand::Impair { port, impairment, .. }] = line.line_commands.as_slice() else {
            panic!("{:?} is not one bad line", line.line_commands)
        };
        assert_eq!((*port, *impairment), (media_port(0).id, Impairment::BAD));
        assert_eq!(byes(&line), [], "the caller ends the call");
        line.bye(call);
        assert_eq!(line.line_commands.last(), Some(&LineCommand::Restore { port: media_port(0).id }));
        line.expect_nothing_left();
    }
}

#[test]
fn only_0110_has_a_bad_line() {
    let mut line = Line::with(Limits::default(), 64);
    let calls = call_everyone(&mut line, 1);
    line.pass(secs(10));
    end_all(&mut line, &calls);

    assert_eq!(line.line_commands.len(), 2, "{:?}", line.line_commands);
    line.expect_nothing_left();
}

#[test]
fn an_invite_without_an_offer_gets_one_in_the_200() {
    for number in ["0100", "0106"] {
        let mut line = Line::new();
        let call = line.call_with(number, FIRST, None);
        line.pass(secs(2));
        let answer = line.answer(call).unwrap();
        assert!(answer.needs_ack);
        let offer = answer.body.clone().unwrap();
        assert_eq!(remotes(&line), []);

        let (body, _) = offer_answer::answer(&offer, &caller_media(Direction::SendRecv)).unwrap();
        line.caller.ack(call, Some(Body::sdp(body)));
        line.settle();
        assert_eq!(remotes(&line).pop().unwrap().rtp, Some(CALLER_MEDIA));
        line.bye(call);
        line.expect_nothing_left();
    }
}

#[test]
fn an_offer_that_is_not_answered_ends_the_call() {
    let mut line = Line::new();
    let call = line.call_with("0100", FIRST, None);
    line.pass(secs(1));
    line.caller.ack(call, None);
    line.settle();

    assert!(happened(&line, &Happening::MediaRefused(MediaRefusal::NoAnswer)));
    assert_eq!(line.endings(), [(Ending::CarrierHungUp, Some(Duration::ZERO), Some(HEARD))]);
    line.expect_nothing_left();
}

#[test]
fn a_caller_can_hold_and_resume() {
    let mut line = Line::new();
    let call = line.call("0100", FIRST);
    line.pass(secs(1));
    for (direction, may_send, may_receive) in
        [(Direction::SendOnly, false, true), (Direction::Inactive, false, false), (Direction::SendRecv, true, true)]
    {
        line.pass(secs(1));
        let offer = caller_offer(direction);
        line.caller.reinvite(call, Some(Body::sdp(offer.to_bytes())), line.now().instant).unwrap();
        line.settle();

        let answer = line.events.iter().rev().find_map(|(_, event)| match event {
            Event::ReinviteAnswered { body, .. } => body.clone(),
            _ => None,
        });
        let agreement = accept_answer(&offer, &answer.unwrap()).unwrap();
        assert_eq!(agreement.direction, direction);
        let remote = remotes(&line).pop().unwrap();
        assert_eq!((remote.may_send, remote.may_receive), (may_send, may_receive));
        assert!(happened(&line, &Happening::Changed { sending: may_send, receiving: may_receive }));
    }
    assert_eq!(opened(&line), 1);
    line.bye(call);
    line.expect_nothing_left();
}

#[test]
fn a_change_that_cannot_be_served_leaves_the_call_as_it_was() {
    let mut line = Line::new();
    let call = line.call("0100", FIRST);
    line.pass(secs(2));
    let before = line.commands.len();
    line.caller.reinvite(call, Some(Body::sdp(g729_offer())), line.now().instant).unwrap();
    line.settle();

    let status = line.events.iter().find_map(|(_, event)| match event {
        Event::ReinviteFailed { failure: Failure::Status(refused), .. } => Some(refused.status.as_u16()),
        _ => None,
    });
    assert_eq!(status, Some(488));
    assert_eq!(line.commands.len(), before);
    line.pass(secs(10));
    assert_eq!(line.endings(), []);
    line.bye(call);
    line.expect_nothing_left();
}

#[test]
fn a_call_without_a_common_codec_is_not_acceptable() {
    let mut line = Line::new();
    line.call_with("0100", FIRST, Some(g729_offer()));

    assert_eq!(line.responses(), [(0, 488)]);
    assert_eq!(line.commands, []);
    line.expect_nothing_left();
}

#[test]
fn audio_is_not_sent_to_a_host_that_may_not_call() {
    let media = LocalMedia { address: "198.51.100.7".parse().unwrap(), ..caller_media(Direction::SendRecv) };
    let mut line = Line::new();
    line.call_with("0101", FIRST, Some(offer_answer::offer(&media).to_bytes()));

    assert_eq!(line.responses(), [(0, 488)]);
    assert!(happened(&line, &Happening::MediaRefused(MediaRefusal::ForeignAddress(media.address))));
    line.expect_nothing_left();
}

#[test]
fn strangers_are_not_heard() {
    let mut line = Line::new();
    let stranger = Flow { transport: Transport::Udp, local: FIRST, remote: "198.51.100.7:5060".parse().unwrap() };
    line.carrier.handle_datagram(stranger, b"OPTIONS sip:127.0.0.2 SIP/2.0\r\n\r\n", line.now());
    line.settle();

    assert_eq!(line.carrier.counts().strangers, 1);
    assert_eq!(line.carrier_sent, []);
}

#[test]
fn beyond_its_calls_it_is_unavailable() {
    let mut line = Line::with(Limits { calls: 2, ..Limits::default() }, 8);
    let calls = ["0103", "0100"].map(|number| line.call(number, FIRST));
    line.pass(secs(2));
    line.call("0100", FIRST);

    assert_eq!(line.responses().last(), Some(&(2_000, 503)));
    assert_eq!(line.carrier.counts().refused_full, 1);
    assert_eq!(line.carrier.counts().calls, 2);
    line.cancel(calls[0]);
    line.bye(calls[1]);
    line.expect_nothing_left();
}

#[test]
fn without_a_free_port_only_calls_with_audio_are_unavailable() {
    let mut line = Line::with(Limits::default(), 1);
    let first = line.call("0106", FIRST);
    line.call("0100", FIRST);
    let ringing = line.call("0103", FIRST);

    assert_eq!(line.responses(), [(0, 183), (0, 503), (0, 180)]);
    assert_eq!(line.carrier.counts().refused_no_port, 1);
    line.cancel(first);
    let second = line.call("0106", FIRST);
    assert_eq!(line.responses().last(), Some(&(0, 183)), "the port is free again");
    line.cancel(second);
    line.cancel(ringing);
    line.expect_nothing_left();
}

#[test]
fn a_port_is_not_used_again_before_the_engine_closed_it() {
    let mut line = Line::with(Limits::default(), 1);
    let call = line.call("0100", FIRST);
    line.pass(secs(1));
    let port = media_port(0).id;
    let tag = line.tag_of(port);
    // Closed by someone else while the call goes on: the call keeps the port until it ends.
    line.carrier.handle_media_event(MediaEvent::Closed { port, tag, stats: Box::<PortStats>::default() }, line.now());
    assert_eq!(line.carrier.counts().media_ports, 1);
    line.bye(call);

    assert_eq!(line.carrier.counts().media_ports, 0);
    assert!(!line.commands.iter().any(|command| matches!(command, Command::Close { .. })));
}

#[test]
fn a_call_whose_answer_is_never_acknowledged_ends() {
    let mut line = Line::new();
    line.call("0100", FIRST);
    line.caller_unheard = true;
    // 64 × T1 for the ACK, and as long for the answer to the BYE (RFC 3261 §13.3.1.4, §17.1.2.2).
    line.pass(secs(1 + 32 + 32));

    assert_eq!(line.endings().len(), 1);
    let (ending, _, heard) = line.endings()[0];
    assert_eq!((ending, heard), (Ending::NoAck, Some(HEARD)));
    line.expect_nothing_left();
}

#[test]
fn options_are_answered_on_both_addresses() {
    for address in BOTH {
        let mut line = Line::new();
        let target = Uri::parse(format!("sip:{address}").as_bytes()).unwrap();
        let request = OutgoingRequest {
            flow: Flow { transport: Transport::Udp, local: CALLER, remote: address },
            method: Method::Options,
            request_uri: target.clone(),
            routes: Vec::new(),
            from: NameAddr::new(target.clone()),
            to: NameAddr::new(target),
            headers: Vec::new(),
            credentials: None,
            body: None,
            max_forwards: 70,
        };
        line.caller.request(request, line.now().instant);
        line.settle();

        let status = line.events.iter().find_map(|(_, event)| match event {
            Event::Response { outcome: Ok(response), .. } => Some(response.status.as_u16()),
            _ => None,
        });
        assert_eq!(status, Some(200));
        line.expect_nothing_left();
    }
}

#[test]
fn reports_tell_of_audio_and_keys_of_live_calls_only() {
    let mut line = Line::new();
    let call = line.call("0100", FIRST);
    line.pass(secs(1));
    let port = media_port(0).id;
    let tag = line.tag_of(port);
    line.carrier.handle_media_event(MediaEvent::FirstPacket { port, tag }, line.now());
    line.carrier.handle_media_event(MediaEvent::FirstPacket { port, tag: tag + 1 }, line.now());
    line.settle();

    let arrived = line.reports.iter().filter(|report| report.happening == Happening::AudioArrived).count();
    assert_eq!(arrived, 1);
    line.bye(call);
    line.expect_nothing_left();
}

#[test]
fn silent_invites_beyond_the_limit_are_dropped() {
    let mut line = Line::with(Limits { silent_invites: 1, ..Limits::default() }, 8);
    line.call("0109", FIRST);
    line.call("0109", FIRST);
    assert_eq!(line.carrier.counts().dropped_silent, 1);
    assert_eq!(line.carrier.counts().silent_invites, 1);

    line.pass(secs(8));
    assert_eq!(line.responses(), [(8_000, 200)]);
}

#[test]
fn many_calls_at_once_leave_nothing_behind() {
    let mut line = Line::with(Limits::default(), 64);
    let calls = call_everyone(&mut line, 20);
    line.pass(secs(10));
    end_all(&mut line, &calls);
    line.expect_nothing_left();
}

#[test]
fn calls_over_a_lossy_line_leave_nothing_behind() {
    for seed in 0..50 {
        let mut line = Line::lossy(seed);
        let calls = call_everyone(&mut line, 2);
        line.pass(secs(20));
        end_all(&mut line, &calls);
        // An INVITE whose provisional responses were all lost is canceled only once one comes.
        line.pass(secs(100));
        line.expect_nothing_left();
    }
}

/// Calls each number so many times, at either address.
fn call_everyone(line: &mut Line, rounds: usize) -> Vec<SessionId> {
    let numbers = ["0100", "0101", "0102", "0103", "0104", "0105", "0106", "0109", "0110"];
    let mut calls = Vec::new();
    for round in 0..rounds {
        for (index, number) in numbers.iter().enumerate() {
            calls.push(line.call(number, BOTH[(round + index) % 2]));
            line.pass(Duration::from_millis(37));
        }
    }
    calls
}

/// Ends each call in the way that fits; on one that is over neither does anything.
fn end_all(line: &mut Line, calls: &[SessionId]) {
    for call in calls {
        if line.answer(*call).is_some() {
            line.bye(*call);
        } else {
            line.cancel(*call);
        }
    }
}

/// Each pair of source and sink that a port was given, in order.
fn sounds(line: &Line) -> Vec<(Source, Sink)> {
    let sources = line.commands.iter().filter_map(|command| match command {
        Command::SetSource { source, .. } => Some(source.clone()),
        _ => None,
    });
    let sinks = line.commands.iter().filter_map(|command| match command {
        Command::SetSink { sink, .. } => Some(*sink),
        _ => None,
    });
    sources.zip(sinks).collect()
}

fn remotes(line: &Line) -> Vec<RemoteMedia> {
    let remotes = line.commands.iter().filter_map(|command| match command {
        Command::SetRemote { remote, .. } => Some(remote.clone()),
        _ => None,
    });
    remotes.collect()
}

fn opened(line: &Line) -> usize {
    line.commands.iter().filter(|command| matches!(command, Command::Open { .. })).count()
}

/// When the carrier's BYE came.
fn byes(line: &Line) -> Vec<Duration> {
    let byes = line.events.iter().filter(|(_, event)| matches!(event, Event::Bye { .. }));
    byes.map(|(at, _)| *at).collect()
}

fn happened(line: &Line, happening: &Happening) -> bool {
    line.reports.iter().any(|report| report.happening == *happening)
}

/// An offer of a codec that is not carried.
fn g729_offer() -> Vec<u8> {
    let text = "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 18\r\n";
    text.as_bytes().to_vec()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
