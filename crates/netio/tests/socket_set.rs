//! Both paths of a set of sockets do the same, over real sockets on loopback.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tandem_netio::{IoPath, MAX_PACKET_BYTES, SocketSet, UdpOptions, UdpSocket, Waker};

/// Long enough that only a hang reaches it.
const HANG: Duration = Duration::from_secs(10);
const BUFFER_BYTES: u32 = 64 * 1024;

/// The paths that this host has; a sandbox may lack io_uring.
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output should know what was not tested")]
fn paths() -> Vec<IoPath> {
    let (best, why) = IoPath::best();
    match best {
        IoPath::IoUring => vec![IoPath::Epoll, IoPath::IoUring],
        IoPath::Epoll => {
            eprintln!("io_uring is not tested: {why:?}");
            vec![IoPath::Epoll]
        }
    }
}

#[test]
fn a_packet_comes_with_its_sender_and_is_answered() {
    for path in paths() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let peer = peer(address);
            let (mut set, _waker) = set(path, address, 3);
            set.open(1, BUFFER_BYTES).unwrap();
            peer.send_to(b"hello", at(&set, 1)).unwrap();
            let mut seen = Vec::new();
            turn(&mut set, |set| {
                set.receive(|arrival, out| {
                    seen.push((arrival.index, arrival.remote, arrival.bytes.to_vec()));
                    arrival.bytes.make_ascii_uppercase();
                    out.send(2, arrival.remote, arrival.bytes);
                });
                !seen.is_empty()
            });
            assert_eq!(seen, [(1, peer.local_addr().unwrap(), b"hello".to_vec())], "{path}");
            set.wait(Some(Duration::ZERO)).unwrap();
            let mut buffer = [0; 100];
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (b"HELLO".as_slice(), at(&set, 2)), "{path}");
        }
    }
}

#[test]
fn every_packet_of_a_burst_to_many_sockets_arrives_in_its_order() {
    const SOCKETS: usize = 40;
    const EACH: usize = 30;
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", SOCKETS);
        for index in 0..SOCKETS {
            set.open(index, BUFFER_BYTES).unwrap();
        }
        // More than the shared buffers hold, before anybody reads.
        for number in 0..EACH {
            for index in 0..SOCKETS {
                peer.send_to(&[u8::try_from(number).unwrap(); 172], at(&set, index)).unwrap();
            }
        }
        let mut seen = vec![Vec::new(); SOCKETS];
        turn(&mut set, |set| {
            set.receive(|arrival, _| seen[arrival.index].push(usize::from(arrival.bytes[0])));
            seen.iter().all(|numbers| numbers.len() == EACH)
        });
        assert!(seen.iter().all(|numbers| numbers.iter().copied().eq(0..EACH)), "{path}");
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn what_was_sent_to_a_closed_socket_never_arrives() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        for round in 0..20_u8 {
            peer.send_to(&[round, 0], at(&set, 0)).unwrap();
            set.open(0, BUFFER_BYTES).unwrap();
            peer.send_to(&[round, 1], at(&set, 0)).unwrap();
            let mut seen = Vec::new();
            turn(&mut set, |set| {
                set.receive(|arrival, _| seen.push(arrival.bytes.to_vec()));
                !seen.is_empty()
            });
            assert_eq!(seen, [[round, 1]], "{path}");
            // Half of the rounds close with a packet that the kernel has handed over already.
            peer.send_to(&[round, 2], at(&set, 0)).unwrap();
            if round % 2 == 0 {
                set.wait(Some(HANG)).unwrap();
            }
            set.close(0).unwrap();
            set.receive(|arrival, _| panic!("{path}: {arrival:?}"));
        }
    }
}

#[test]
fn a_socket_that_is_opened_again_at_once_hears_each_packet_once() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        for _ in 0..3 {
            set.open(0, BUFFER_BYTES).unwrap();
            set.close(0).unwrap();
        }
        set.open(0, BUFFER_BYTES).unwrap();
        set.wait(Some(Duration::ZERO)).unwrap();
        set.close(0).unwrap();
        set.open(0, BUFFER_BYTES).unwrap();
        for number in 0..10 {
            peer.send_to(&[number], at(&set, 0)).unwrap();
        }
        let mut seen = Vec::new();
        turn(&mut set, |set| {
            set.receive(|arrival, _| seen.extend_from_slice(arrival.bytes));
            seen.len() >= 10
        });
        assert!(seen.iter().copied().eq(0..10), "{path}: {seen:?}");
    }
}

#[test]
fn empty_and_long_datagrams_do_not_end_the_reception() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        set.open(0, BUFFER_BYTES).unwrap();
        let mut lengths = Vec::new();
        for length in [0, MAX_PACKET_BYTES, 0, MAX_PACKET_BYTES + 1, 9_000, 1] {
            peer.send_to(&vec![7; length], at(&set, 0)).unwrap();
            let so_far = lengths.len();
            turn(&mut set, |set| {
                set.receive(|arrival, _| lengths.push(arrival.bytes.len()));
                lengths.len() > so_far
            });
        }
        assert_eq!(lengths, [0, MAX_PACKET_BYTES, 0, MAX_PACKET_BYTES, MAX_PACKET_BYTES, 1], "{path}");
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn a_closed_far_end_disturbs_nothing() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        set.open(0, BUFFER_BYTES).unwrap();
        // ICMP says that nobody listens there (tcpmux, which no service of today uses).
        for _ in 0..5 {
            set.send(0, "127.0.0.1:1".parse().unwrap(), b"x");
            set.wait(Some(Duration::from_millis(1))).unwrap();
            set.receive(|arrival, _| panic!("{path}: {arrival:?}"));
        }
        set.send(0, peer.local_addr().unwrap(), b"still here");
        set.wait(Some(Duration::ZERO)).unwrap();
        let mut buffer = [0; 100];
        assert_eq!(peer.recv_from(&mut buffer).unwrap(), (10, at(&set, 0)), "{path}");
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn what_the_kernel_refuses_is_counted_and_the_rest_is_sent() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 2);
        let to = peer.local_addr().unwrap();
        set.send(1, "[::1]:9".parse().unwrap(), b"the other family");
        set.send(7, to, b"no such socket");
        set.send(0, to, b"fine");
        set.wait(Some(Duration::ZERO)).unwrap();
        set.receive(|arrival, _| panic!("{path}: {arrival:?}"));
        assert_eq!(peer.recv_from(&mut [0; 100]).unwrap(), (4, at(&set, 0)), "{path}");
        let failures = set.take_failures();
        assert_eq!(failures.count, 2, "{path}");
        assert!(failures.last.is_some(), "{path}");
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn more_packets_than_a_call_can_take_are_sent_in_their_order() {
    const PACKETS: u32 = 3_000;
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        let mut received = 0;
        let mut buffer = [0; 100];
        for number in 0..PACKETS {
            set.send(0, peer.local_addr().unwrap(), &number.to_be_bytes());
            // The peer's buffer is small.
            if number % 100 == 99 {
                set.wait(Some(Duration::ZERO)).unwrap();
                while received <= number {
                    peer.recv_from(&mut buffer).unwrap();
                    assert_eq!(buffer[..4], received.to_be_bytes(), "{path}");
                    received += 1;
                }
            }
        }
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn a_queue_that_overflows_makes_room_by_sending() {
    for path in paths() {
        let (mut set, _waker) = set(path, "127.0.0.1:0", 2);
        let to = at(&set, 1);
        for _ in 0..5_000 {
            set.send(0, to, &[0; 1_000]);
        }
        assert_eq!(set.take_failures().count, 0, "{path}");
    }
}

#[test]
fn another_thread_wakes_the_set() {
    for path in paths() {
        let (mut set, waker) = set(path, "127.0.0.1:0", 1);
        for _ in 0..100 {
            let waker = waker.clone();
            let sender = thread::spawn(move || waker.wake().unwrap());
            let start = Instant::now();
            set.wait(Some(HANG)).unwrap();
            assert!(start.elapsed() < HANG, "{path}: a wake was lost");
            set.receive(|arrival, _| panic!("{path}: {arrival:?}"));
            sender.join().unwrap();
        }
    }
}

#[test]
fn a_wait_without_packets_ends_at_its_deadline_and_not_before() {
    for path in paths() {
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        set.open(0, BUFFER_BYTES).unwrap();
        for timeout in [Duration::from_micros(300), Duration::from_micros(1_700)] {
            let start = Instant::now();
            set.wait(Some(timeout)).unwrap();
            assert!(start.elapsed() >= timeout, "{path}");
        }
    }
}

#[test]
fn a_set_is_made_by_one_thread_and_used_by_another() {
    for path in paths() {
        let peer = peer("127.0.0.1:0");
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        let to = at(&set, 0);
        let user = thread::spawn(move || {
            set.open(0, BUFFER_BYTES).unwrap();
            let mut seen = 0;
            turn(&mut set, |set| {
                set.receive(|_, _| seen += 1);
                seen > 0
            });
        });
        // Until it is open, what is sent may be thrown away.
        while !user.is_finished() {
            peer.send_to(b"x", to).unwrap();
            thread::yield_now();
        }
        user.join().unwrap();
    }
}

#[test]
fn the_ports_of_a_set_that_is_gone_are_free_at_once() {
    const SOCKETS: usize = 200;
    for path in paths() {
        for round in 0..5 {
            let (mut set, _waker) = set(path, "127.0.0.1:0", SOCKETS);
            for index in 0..SOCKETS {
                set.open(index, BUFFER_BYTES).unwrap();
            }
            set.wait(Some(Duration::ZERO)).unwrap();
            for index in 0..SOCKETS * round / 4 {
                set.close(index).unwrap();
            }
            if round % 2 == 0 {
                set.wait(Some(Duration::ZERO)).unwrap();
            }
            let addresses: Vec<_> = set.sockets().iter().map(UdpSocket::local_addr).collect();
            drop(set);
            for address in addresses {
                UdpSocket::bind(address, UdpOptions::media()).unwrap();
            }
        }
    }
}

#[test]
fn only_an_existing_socket_opens_and_only_once() {
    for path in paths() {
        let (mut set, _waker) = set(path, "127.0.0.1:0", 1);
        set.open(1, BUFFER_BYTES).unwrap_err();
        set.close(0).unwrap_err();
        set.open(0, BUFFER_BYTES).unwrap();
        set.open(0, BUFFER_BYTES).unwrap_err();
        set.close(0).unwrap();
        set.close(0).unwrap_err();
    }
}

/// Turns until `done` says so.
fn turn(set: &mut SocketSet, mut done: impl FnMut(&mut SocketSet) -> bool) {
    let start = Instant::now();
    while !done(set) {
        assert!(start.elapsed() < HANG, "nothing comes");
        set.wait(Some(HANG)).expect("a wait");
    }
}

fn set(path: IoPath, address: &str, sockets: usize) -> (SocketSet, Waker) {
    let bind = |_| UdpSocket::bind(address.parse().expect("an address"), UdpOptions::media()).expect("a socket");
    SocketSet::new(path, (0..sockets).map(bind).collect()).expect("a set")
}

fn at(set: &SocketSet, index: usize) -> SocketAddr {
    set.sockets()[index].local_addr()
}

fn peer(address: &str) -> std::net::UdpSocket {
    let peer = std::net::UdpSocket::bind(address).expect("a peer");
    peer.set_read_timeout(Some(HANG)).expect("a timeout");
    peer
}
