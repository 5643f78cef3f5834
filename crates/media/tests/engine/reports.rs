//! RTCP of the engine.

use tandem_media::engine::{Channel, Command, RemoteMedia, Source};
use tandem_media::rtcp::{Packet, ReportBlock, parse};
use tandem_media::rtp::Header;

use crate::rig::{A, PEER_A, Rig, Sent, Talker, packet, remote};

fn reports(rig: &mut Rig) -> Vec<Sent> {
    std::mem::take(&mut rig.sent).into_iter().filter(|sent| matches!(sent.payload.get(1), Some(200 | 201))).collect()
}

#[test]
fn a_port_that_hears_reports_what_it_misses() {
    let mut rig = Rig::one();
    let mut talker = Talker::new(7);
    for step in 0..500 {
        let bytes = talker.packet();
        if step % 10 != 5 {
            rig.hear(A, PEER_A, &bytes);
        }
        rig.pass(20);
    }
    let reports = reports(&mut rig);
    assert!((1..=6).contains(&reports.len()));
    let last = reports.last().unwrap();
    assert_eq!((last.channel, last.to.to_string().as_str()), (Channel::Rtcp, "192.0.2.1:4001"));
    let mut packets = parse(&last.payload).unwrap();
    let Some(Packet::ReceiverReport(_, blocks)) = packets.next() else { panic!("no report") };
    let block = blocks.iter().next().unwrap();
    assert_eq!(block.ssrc, 7);
    assert!((20..=30).contains(&block.fraction_lost), "{}", block.fraction_lost);
    assert!(block.cumulative_lost > 10);
    assert_eq!(packets.next(), Some(Packet::SourceDescription));
}

#[test]
fn a_port_that_speaks_reports_its_clock_and_measures_the_round_trip() {
    let mut rig = Rig::one();
    rig.command(Command::SetSource { port: A, source: Source::Silence });
    rig.pass(8_000);
    let rtp = rig.take_rtp();
    let reports = reports(&mut rig);
    let last = reports.last().unwrap();
    let Some(Packet::SenderReport(sender, _)) = parse(&last.payload).unwrap().next() else {
        panic!("no sender report")
    };
    assert_eq!(sender.ssrc, rtp[0].header().ssrc);
    assert_eq!(sender.octet_count, sender.packet_count * 160);
    let sent_before = rtp.iter().filter(|sent| sent.at <= last.at).count();
    assert_eq!(usize::try_from(sender.packet_count).unwrap(), sent_before);
    // The moment in the stream is that of the report.
    let newest = rtp[sent_before - 1].header().timestamp;
    assert!(sender.rtp_timestamp.wrapping_sub(newest) <= 160);

    let middle = u32::try_from(sender.ntp >> 16 & 0xffff_ffff).unwrap();
    let since = u32::try_from((rig.now - last.at).as_millis()).unwrap();
    let delay = since * 65_536 / 1_000;
    rig.pass(30);
    let block = [sender.ssrc, 0x0300_0004, 9, 80, middle, delay].map(u32::to_be_bytes).concat();
    let report = [&[0x81, 201, 0, 7, 0, 0, 0, 1], block.as_slice()].concat();
    rig.hear_rtcp(A, "192.0.2.1:4001", &report);
    let stats = rig.stats(A);
    assert!(stats.round_trip_us.unwrap().abs_diff(30_000) < 100);
    let reported = stats.reported.unwrap();
    assert_eq!((reported.lost, reported.fraction_lost, reported.jitter_us), (4, 3, Some(10_000)));
    assert_eq!(stats.received.rtcp_packets, 1);
}

#[test]
fn on_a_multiplexed_port_rtcp_shares_the_way_of_rtp() {
    let mut rig = Rig::one();
    rig.remote(A, RemoteMedia { rtcp_mux: true, rtcp: None, ..remote(PEER_A) });
    let behind_nat = "192.0.2.1:61000";
    rig.hear(A, behind_nat, &Talker::new(7).packet());
    assert_eq!(rig.hear(A, behind_nat, &[0x80, 201, 0, 1, 0, 0, 0, 7]), None);
    assert_eq!(rig.stats(A).received.rtcp_packets, 1);
    rig.pass(8_000);
    let report = &reports(&mut rig)[0];
    assert_eq!((report.channel, report.to.to_string().as_str()), (Channel::Rtp, behind_nat));
}

#[test]
fn reports_go_to_where_the_reports_of_the_peer_come_from() {
    let mut rig = Rig::one();
    rig.hear_rtcp(A, "192.0.2.1:61001", &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    rig.pass(8_000);
    assert_eq!(reports(&mut rig)[0].to.to_string(), "192.0.2.1:61001");
}

#[test]
fn no_report_goes_to_an_address_behind_a_nat() {
    let mut rig = Rig::one();
    rig.remote(A, RemoteMedia { comedia: true, ..remote("10.0.0.5:4000") });
    rig.hear(A, "203.0.113.9:40000", &Talker::new(7).packet());
    rig.pass(20_000);
    assert_eq!(reports(&mut rig), []);
    rig.hear_rtcp(A, "203.0.113.9:40001", &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    rig.pass(8_000);
    assert_eq!(reports(&mut rig)[0].to.to_string(), "203.0.113.9:40001");
}

#[test]
fn rtcp_of_strangers_is_not_believed() {
    let mut rig = Rig::one();
    rig.hear_rtcp(A, "203.0.113.66:4001", &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    let stats = rig.stats(A);
    assert_eq!((stats.received.rtcp_packets, stats.received.dropped.rtcp), (0, 1));
    rig.pass(8_000);
    assert_eq!(reports(&mut rig)[0].to.to_string(), "192.0.2.1:4001");
}

#[test]
fn closing_says_goodbye_to_a_peer_that_got_reports() {
    let mut rig = Rig::one();
    rig.pass(8_000);
    reports(&mut rig);
    rig.command(Command::Close { port: A });
    let last = &reports(&mut rig)[0];
    assert_eq!(parse(&last.payload).unwrap().last(), Some(Packet::Goodbye));
}

#[test]
fn a_block_about_another_stream_is_passed_over() {
    let mut rig = Rig::one();
    rig.hear(A, PEER_A, &packet(Header { ..Talker::new(7).header }, &[0; 160]));
    let block = [1_u32, 0xff7f_ffff, 9, 80, 0, 0].map(u32::to_be_bytes).concat();
    let report = [&[0x81, 201, 0, 7, 0, 0, 0, 1], block.as_slice()].concat();
    rig.hear_rtcp(A, "192.0.2.1:4001", &report);
    assert_eq!(rig.stats(A).reported, None);
    let blocks = match parse(&report).unwrap().next() {
        Some(Packet::ReceiverReport(_, blocks)) => blocks.iter().collect::<Vec<ReportBlock>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(blocks[0].cumulative_lost, 0x7f_ffff);
}
