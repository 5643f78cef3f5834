//! Real sockets on loopback. Datagrams there may take a moment, so everything waits on a poller and nothing sleeps.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tandem_netio::{
    BindError, DeliveryError, DeliveryErrorKind, Events, Interest, MAX_DATAGRAM_BYTES, Poller, RECEIVE_BATCH,
    ReceiveBatch, ReceiveTotals, SEND_BATCH, SendBatch, UdpOptions, UdpSocket,
};

/// Long enough that only a hang reaches it.
const HANG: Option<Duration> = Some(Duration::from_secs(10));

/// Ports that no other test can be given and no service of today uses.
const CLOSED_PORTS: [u16; 2] = [1, 2];

#[test]
fn a_wildcard_socket_answers_from_the_asked_address() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.3"), ("[::]:0", "::1")] {
        let server = signalling(wildcard);
        assert!(server.is_wildcard());
        let asked = SocketAddr::new(asked.parse().expect("an address"), server.local_addr().port());
        let client = signalling(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
        client.send_to(b"OPTIONS", asked).expect("it is sent");

        let mut batch = ReceiveBatch::new();
        assert_eq!(receive(&server, &mut batch), 1);
        let mut answers = SendBatch::new();
        for request in batch.iter_mut() {
            assert_eq!(request.remote, client.local_addr());
            assert_eq!(request.local, asked);
            assert_eq!(request.bytes, b"OPTIONS");
            answers.push(request.local, request.remote, b"200 OK").expect("there is room");
        }
        assert_eq!(server.send_batch(&mut answers).sent, 1);

        let mut buffer = [0; 100];
        readable(&client);
        assert_eq!(client.recv_from(&mut buffer).expect("an answer"), Some((6, asked)));
    }
}

#[test]
fn a_socket_with_one_address_reports_it_as_asked() {
    let server = signalling("127.0.0.2:0");
    let client = signalling("127.0.0.1:0");
    client.send_to(b"x", server.local_addr()).expect("it is sent");
    let mut batch = ReceiveBatch::new();
    receive(&server, &mut batch);
    let asked: Vec<_> = batch.iter_mut().map(|datagram| datagram.local).collect();
    assert_eq!(asked, [server.local_addr()]);
}

#[test]
fn a_socket_with_one_address_ignores_another_source() {
    let server = signalling("127.0.0.2:0");
    let client = signalling("127.0.0.1:0");
    let mut batch = SendBatch::new();
    batch.push(parse("127.0.0.9:1"), client.local_addr(), b"x").expect("there is room");
    assert_eq!(server.send_batch(&mut batch).sent, 1);
    readable(&client);
    assert_eq!(client.recv_from(&mut [0; 10]).expect("a datagram"), Some((1, server.local_addr())));
}

#[test]
fn a_batch_holds_many_datagrams_in_order_and_the_rest_waits() {
    let server = signalling("127.0.0.1:0");
    let client = signalling("127.0.0.1:0");
    let mut batch = SendBatch::new();
    let extra = 3;
    for number in 0..SEND_BATCH + extra {
        if batch.is_full() {
            assert_eq!(client.send_batch(&mut batch).sent, SEND_BATCH);
        }
        let payload = vec![b'x'; number]; // the first is empty, which UDP allows
        batch.push(client.local_addr(), server.local_addr(), &payload).expect("there is room");
    }
    assert_eq!(client.send_batch(&mut batch).sent, extra);
    assert_eq!(batch.totals().sent, (SEND_BATCH + extra) as u64);

    let mut received = ReceiveBatch::new();
    let mut lengths = Vec::new();
    let mut fullness = Vec::new();
    while lengths.len() < SEND_BATCH + extra {
        let count = receive(&server, &mut received);
        assert!(count <= RECEIVE_BATCH);
        assert_eq!(count, received.len());
        fullness.push(received.is_full());
        lengths.extend(received.iter_mut().map(|datagram| datagram.bytes.len()));
    }
    assert!(lengths.iter().copied().eq(0..SEND_BATCH + extra), "{lengths:?}");
    assert_eq!(server.receive_batch(&mut received).expect("a receive"), 0);
    assert!(received.is_empty());
    assert_eq!(received.iter_mut().count(), 0);
    let last = fullness.pop();
    assert!(last == Some(false) && fullness.iter().all(|full| *full), "{fullness:?}, {last:?}");
}

#[test]
fn the_largest_datagram_fits_a_slot() {
    for (address, largest) in [("127.0.0.1:0", MAX_DATAGRAM_BYTES - 20), ("[::1]:0", MAX_DATAGRAM_BYTES)] {
        let server = signalling(address);
        let client = signalling(address);
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(largest).collect();
        client.send_to(&payload, server.local_addr()).expect("it is sent");
        let mut batch = ReceiveBatch::new();
        assert_eq!(receive(&server, &mut batch), 1);
        for datagram in batch.iter_mut() {
            assert!(!datagram.truncated);
            assert!(datagram.bytes == payload);
        }
        assert_eq!(batch.totals(), ReceiveTotals { datagrams: 1, truncated: 0 });
    }
}

#[test]
fn a_cut_datagram_is_marked_and_counted() {
    let server = signalling("127.0.0.1:0");
    let client = signalling("127.0.0.1:0");
    let mut batch = ReceiveBatch::with_slot_bytes(4);
    let mut seen = Vec::new();
    for payload in [b"1234".as_slice(), b"12345", b"123"] {
        client.send_to(payload, server.local_addr()).expect("it is sent");
        assert_eq!(receive(&server, &mut batch), 1);
        seen.extend(batch.iter_mut().map(|datagram| (datagram.bytes.to_vec(), datagram.truncated)));
    }
    assert_eq!(seen, [(b"1234".to_vec(), false), (b"1234".to_vec(), true), (b"123".to_vec(), false)]);
    assert_eq!(batch.totals(), ReceiveTotals { datagrams: 3, truncated: 1 });
}

#[test]
fn a_closed_port_is_reported_at_once_and_costs_nobody_else() {
    for host in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let switch = signalling(host);
        let loopback = if switch.local_addr().is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let open = signalling(loopback);
        let closed = CLOSED_PORTS.map(|port| SocketAddr::new(open.local_addr().ip(), port));

        let mut batch = SendBatch::new();
        for target in [closed[0], open.local_addr(), closed[1], open.local_addr()] {
            batch.push(switch.local_addr(), target, b"INVITE sip:a SIP/2.0").expect("there is room");
        }
        let outcome = switch.send_batch(&mut batch);
        assert_eq!((outcome.sent, outcome.failures.len(), outcome.dropped), (4, 0, 0), "{:?}", outcome.failures);

        let mut arrived = 0;
        let mut received = ReceiveBatch::new();
        while arrived < 2 {
            arrived += receive(&open, &mut received);
        }

        let mut reports = BTreeMap::new();
        while reports.len() < 2 {
            assert!(wait(&switch, Interest::Read).error);
            // Receiving in between takes neither the reports away nor fails because of them.
            assert_eq!(switch.receive_batch(&mut received).expect("a receive"), 0);
            let mut quoted = [0; 6];
            while let Some(report) = switch.next_delivery_error(&mut quoted).expect("the queue is readable") {
                let DeliveryError { remote, kind, quoted_bytes } = report;
                assert_eq!(quoted.get(..quoted_bytes), Some(b"INVITE".as_slice()));
                reports.insert(remote, kind);
            }
        }
        assert!(closed.iter().all(|remote| reports.get(remote) == Some(&DeliveryErrorKind::PortUnreachable)));
        assert_eq!(switch.next_delivery_error(&mut []).expect("the queue is readable"), None);
    }
}

#[test]
fn a_media_socket_hears_nothing_of_a_closed_port() {
    let port = media("127.0.0.1:0");
    let closed = SocketAddr::new(port.local_addr().ip(), CLOSED_PORTS[0]);
    let open = media("127.0.0.1:0");
    for _ in 0..3 {
        port.send_to(b"rtp", closed).expect("it is sent");
    }
    port.send_to(b"rtp", open.local_addr()).expect("it is sent");
    readable(&open);
    assert_eq!(open.recv_from(&mut [0; 2_048]).expect("a packet"), Some((3, port.local_addr())));
    assert_eq!(port.recv_from(&mut [0; 2_048]).expect("no error"), None);
    assert_eq!(port.next_delivery_error(&mut []).expect("no error"), None);
}

#[test]
fn a_connected_port_hears_its_peer_only_until_it_is_disconnected() {
    for host in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
        let port = media(host);
        let loopback = if port.local_addr().is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let address = SocketAddr::new(parse(loopback).ip(), port.local_addr().port());
        let [peer, stranger] = [media(loopback), media(loopback)];
        let mut buffer = [0; 2_048];
        let mut next = || {
            readable(&port);
            port.recv_from(&mut buffer).expect("a receive").map(|(_, remote)| remote)
        };

        port.connect(peer.local_addr()).expect("there is a route");
        stranger.send_to(b"x", address).expect("it is sent");
        peer.send_to(b"x", address).expect("it is sent");
        assert_eq!(next(), Some(peer.local_addr()));
        port.send(b"abc").expect("it is sent");
        readable(&peer);
        assert_eq!(peer.recv_from(&mut [0; 10]).expect("a packet"), Some((3, address)));

        port.connect(stranger.local_addr()).expect("there is a route");
        stranger.send_to(b"x", address).expect("it is sent");
        assert_eq!(next(), Some(stranger.local_addr()));

        port.disconnect().expect("the port is still ours");
        peer.send_to(b"x", address).expect("it is sent");
        assert_eq!(next(), Some(peer.local_addr()));
        assert!(port.send(b"to whom?").is_err());
    }
}

#[test]
fn a_connected_port_goes_on_when_its_peer_is_closed() {
    let port = media("127.0.0.1:0");
    // An address of its own, so that no other test takes the port while it is closed.
    let peer = media("127.0.0.78:0");
    let address = peer.local_addr();
    port.connect(address).expect("there is a route");
    drop(peer);
    for _ in 0..3 {
        port.send(b"rtp").expect("an ICMP error is no result");
    }
    assert_eq!(port.recv_from(&mut [0; 10]).expect("an ICMP error is no result"), None);
    let peer = media(&address.to_string());
    port.send(b"rtp").expect("it is sent");
    readable(&peer);
    assert_eq!(peer.recv_from(&mut [0; 10]).expect("a packet"), Some((3, port.local_addr())));
}

#[test]
fn datagrams_that_cannot_be_sent_are_named_and_the_others_arrive() {
    let server = signalling("127.0.0.1:0");
    let client = signalling("0.0.0.0:0");
    let anywhere = parse("0.0.0.0:0");
    let mut batch = SendBatch::new();
    batch.push(anywhere, server.local_addr(), b"a").expect("there is room");
    batch.push(anywhere, server.local_addr(), &[0; MAX_DATAGRAM_BYTES + 100]).expect("there is room");
    batch.push(anywhere, server.local_addr(), b"b").expect("there is room");
    batch.push(anywhere, parse("[::1]:5060"), b"of the other family").expect("there is room");
    batch.push(parse("198.51.100.1:0"), server.local_addr(), b"from an address not ours").expect("there is room");
    batch.push(anywhere, server.local_addr(), b"c").expect("there is room");
    let outcome = client.send_batch(&mut batch);
    assert_eq!((outcome.sent, outcome.dropped), (3, 0));
    let [too_long, other_family, not_ours] = outcome.failures else { panic!("{:?}", outcome.failures) };
    assert_eq!((too_long.index, too_long.error.raw_os_error()), (1, Some(libc::EMSGSIZE)));
    assert_eq!((other_family.index, other_family.error.raw_os_error()), (3, Some(libc::EAFNOSUPPORT)));
    // Kernels differ in what they call it.
    assert!(matches!(not_ours.error.raw_os_error(), Some(libc::EINVAL | libc::ENETUNREACH)), "{not_ours:?}");
    assert_eq!((not_ours.index, not_ours.remote), (4, server.local_addr()));
    assert_eq!(batch.totals().failed, 3);

    let mut received = ReceiveBatch::new();
    let mut payloads = Vec::new();
    while payloads.len() < 3 {
        receive(&server, &mut received);
        payloads.extend(received.iter_mut().map(|datagram| datagram.bytes.to_vec()));
    }
    assert_eq!(payloads, [b"a", b"b", b"c"]);
    assert_eq!(client.next_delivery_error(&mut []).expect("no error"), None);
}

#[test]
fn an_address_in_use_is_named() {
    let first = signalling("127.0.0.1:0");
    let error = UdpSocket::bind(first.local_addr(), UdpOptions::signalling()).expect_err("it is taken");
    assert!(matches!(error, BindError::InUse { address } if address == first.local_addr()));
    assert_eq!(error.to_string(), format!("UDP {} is already in use", first.local_addr()));
}

#[test]
fn an_address_of_another_host_is_named() {
    let error = UdpSocket::bind(parse("198.51.100.1:5060"), UdpOptions::media()).expect_err("it is not ours");
    assert!(matches!(error, BindError::NotOurs { .. }));
    assert_eq!(error.address(), parse("198.51.100.1:5060"));
}

#[test]
fn both_families_can_have_the_same_port() {
    let v4 = signalling("0.0.0.0:0");
    let v6 = UdpSocket::bind(parse(&format!("[::]:{}", v4.local_addr().port())), UdpOptions::signalling());
    assert!(v6.expect("the port is free in IPv6").is_wildcard());
}

#[test]
fn a_mapped_address_is_bound_as_ipv4() {
    let socket = media("[::ffff:127.0.0.1]:0");
    assert_eq!(socket.local_addr().ip(), parse("127.0.0.1:0").ip());
}

#[test]
fn nothing_waiting_is_no_error() {
    let socket = signalling("127.0.0.1:0");
    assert_eq!(socket.recv_from(&mut [0; 100]).expect("no error"), None);
    assert_eq!(socket.receive_batch(&mut ReceiveBatch::new()).expect("no error"), 0);
    assert_eq!(socket.send_batch(&mut SendBatch::new()).sent, 0);
}

#[test]
fn what_overflows_a_receive_buffer_is_counted() {
    let options = UdpOptions { receive_buffer_bytes: Some(4_096), ..UdpOptions::media() };
    let server = UdpSocket::bind(parse("127.0.0.1:0"), options).expect("a socket");
    assert_eq!(server.receive_buffer_bytes().expect("a size"), 4_096);
    assert_eq!(server.dropped_by_kernel().expect("a count"), 0);
    let client = signalling("127.0.0.1:0");
    let sent = 100;
    for _ in 0..sent {
        client.send_to(&[0; 1_000], server.local_addr()).expect("it is sent");
    }
    let mut received = 0;
    while received + server.dropped_by_kernel().expect("a count") < sent {
        readable(&server);
        while server.recv_from(&mut [0; 2_048]).expect("a receive").is_some() {
            received += 1;
        }
    }
    assert!(received < sent);
}

#[test]
fn a_poller_reports_by_token_what_is_ready_until_it_is_read() {
    let poller_sockets = [media("127.0.0.1:0"), media("127.0.0.1:0")];
    let mut poller = Poller::new().expect("a poller");
    for (token, socket) in (10..).zip(&poller_sockets) {
        poller.add(socket, token, Interest::Read).expect("it is added");
    }
    let [quiet, busy] = &poller_sockets;
    let mut events = Events::with_capacity(8);
    let tokens = |events: &Events| events.iter().map(|event| event.token).collect::<Vec<_>>();

    quiet.send_to(b"x", busy.local_addr()).expect("it is sent");
    for _ in 0..2 {
        assert_eq!(poller.wait(&mut events, HANG).expect("a wait"), 1);
        assert_eq!(tokens(&events), [11]);
    }
    poller.modify(busy, 12, Interest::ReadWrite).expect("it is known");
    poller.wait(&mut events, HANG).expect("a wait");
    assert!(events.iter().eq([tandem_netio::Event { token: 12, readable: true, writable: true, error: false }]));
    poller.remove(busy).expect("it is known");
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).expect("a wait"), 0);
    assert!(events.is_empty());

    let twice = poller.add(quiet, 1, Interest::Read).expect_err("it is known already");
    assert_eq!(twice.kind(), std::io::ErrorKind::AlreadyExists);
    let gone = poller.remove(busy).expect_err("it is not known");
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
}

fn parse(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

fn signalling(address: &str) -> UdpSocket {
    UdpSocket::bind(parse(address), UdpOptions::signalling()).expect("a socket")
}

fn media(address: &str) -> UdpSocket {
    UdpSocket::bind(parse(address), UdpOptions::media()).expect("a socket")
}

fn wait(socket: &UdpSocket, interest: Interest) -> tandem_netio::Event {
    let mut poller = Poller::new().expect("a poller");
    poller.add(socket, 0, interest).expect("it is added");
    let mut events = Events::with_capacity(1);
    poller.wait(&mut events, HANG).expect("a wait");
    events.iter().next().expect("something happens in time")
}

fn readable(socket: &UdpSocket) {
    assert!(wait(socket, Interest::Read).readable);
}

/// Waits for datagrams and receives a batch of them.
fn receive(socket: &UdpSocket, batch: &mut ReceiveBatch) -> usize {
    readable(socket);
    socket.receive_batch(batch).expect("a receive")
}

#[test]
fn a_socket_with_the_least_buffer_keeps_few_datagrams() {
    let reader = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), UdpOptions::media()).unwrap();
    reader.set_receive_buffer_bytes(0).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), UdpOptions::media()).unwrap();
    for _ in 0..100 {
        sender.send_to(&[0; 172], reader.local_addr()).unwrap();
    }
    let mut buffer = [0; 256];
    let kept = std::iter::from_fn(|| reader.recv_from(&mut buffer).unwrap()).count();
    assert!(kept < 10, "{kept} of 100 were kept");

    reader.set_receive_buffer_bytes(64 * 1024).unwrap();
    for _ in 0..20 {
        sender.send_to(&[0; 172], reader.local_addr()).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| reader.recv_from(&mut buffer).unwrap()).count(), 20);
}
