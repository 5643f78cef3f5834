//! Relaying a packet allocates nothing, by a counting allocator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_media::engine::{Command, Engine, Limits, Output, Payload, PortId, RemoteMedia, Sink, Source};
use tandem_media::rtp::Header;
use tandem_media::tone::ToneSpec;
use tandem_model::Codec;

struct Counting;

thread_local! {
    /// Of this thread only: tests run beside each other.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const A: PortId = PortId(0);
const B: PortId = PortId(1);
const PACKETS: u32 = 10_000;

#[test]
fn the_counter_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn a_relay_allocates_nothing() {
    assert_eq!(forwarded(Sink::Relay { to: B }, Codec::Pcmu, 0), (PACKETS, 0));
}

#[test]
fn a_relay_between_two_codecs_allocates_nothing() {
    assert_eq!(forwarded(Sink::Relay { to: B }, Codec::Pcma, 0), (PACKETS, 0));
}

#[test]
fn an_echo_allocates_nothing() {
    assert_eq!(forwarded(Sink::Echo, Codec::Pcmu, 0), (PACKETS, 0));
}

#[test]
fn keys_in_a_relay_allocate_nothing() {
    assert_eq!(forwarded(Sink::Relay { to: B }, Codec::Pcmu, 101), (PACKETS, 0));
}

#[test]
fn a_tone_and_reports_allocate_nothing() {
    let mut call = Call::new(Sink::Discard, Codec::Pcmu);
    let source = Source::Tone(ToneSpec::parse("350+440").unwrap());
    call.command(Command::SetSource { port: A, source });
    call.pass(Duration::from_secs(20));
    let before = ALLOCATIONS.get();
    let sent = call.pass(Duration::from_secs(200));
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(sent > PACKETS);
}

/// How many of many packets went out, and the allocations meanwhile.
fn forwarded(sink: Sink, far_codec: Codec, payload_type: u8) -> (u32, u64) {
    let mut call = Call::new(sink, far_codec);
    // Long enough for the first reports, so that all buffers have their size.
    for step in 0..1_000 {
        call.forward(step, payload_type);
    }
    let before = ALLOCATIONS.get();
    let mut sent = 0;
    for step in 1_000..1_000 + PACKETS {
        sent += u32::from(call.forward(step, payload_type));
    }
    (sent, ALLOCATIONS.get() - before)
}

struct Call {
    engine: Engine,
    now: Instant,
}

impl Call {
    fn new(sink: Sink, far_codec: Codec) -> Self {
        let now = start();
        let mut call = Self { engine: Engine::new(Limits { ports: 2 }, now, Duration::ZERO), now };
        for (port, codec) in [(A, Codec::Pcmu), (B, far_codec)] {
            call.command(Command::Open { port, tag: 0, seed: u64::from(port.0) });
            call.command(Command::SetRemote { port, remote: remote(codec) });
            let after = Some(Duration::from_secs(1));
            call.command(Command::SetRtpTimeout { port, after });
        }
        call.command(Command::SetSink { port: A, sink });
        call
    }

    fn command(&mut self, command: Command) {
        self.engine.handle_command(command, self.now).unwrap();
    }

    fn forward(&mut self, step: u32, payload_type: u8) -> bool {
        let [_, _, high, low] = step.to_be_bytes();
        // Every tenth packet begins another key, if they are keys.
        let time = if payload_type == 101 { step / 10 * 10 } else { step };
        let header = Header {
            marker: false,
            payload_type,
            sequence: u16::from_be_bytes([high, low]),
            timestamp: time.wrapping_mul(160),
            ssrc: 9,
        };
        let mut packet = [5; 172];
        packet[..12].copy_from_slice(&header.to_bytes());
        let sent = self.engine.forward(A, peer(4_000), &mut packet, self.now).is_some();
        self.pass(Duration::from_millis(20));
        sent
    }

    /// Lets time pass as a shell would; how many datagrams left.
    fn pass(&mut self, time: Duration) -> u32 {
        let end = self.now + time;
        let mut sent = 0;
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            while let Some(output) = self.engine.poll_output() {
                sent += u32::from(matches!(output, Output::Transmit(_)));
            }
        }
        self.now = end;
        while self.engine.poll_output().is_some() {}
        sent
    }
}

fn peer(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn remote(codec: Codec) -> RemoteMedia {
    RemoteMedia {
        rtp: Some(peer(4_000)),
        rtcp: Some(peer(4_001)),
        rtcp_mux: false,
        codec,
        send_payload_type: codec.static_payload_type().unwrap(),
        receive_payload_types: vec![
            (0, Payload::Audio(Codec::Pcmu)),
            (8, Payload::Audio(Codec::Pcma)),
            (101, Payload::TelephoneEvent),
        ],
        telephone_event: Some(101),
        ptime_ms: 20,
        may_send: true,
        may_receive: true,
        signalling_source: None,
        comedia: false,
    }
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; nothing waits")]
fn start() -> Instant {
    Instant::now()
}
