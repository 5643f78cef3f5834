use super::table::IdleConnection;
use super::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tandem_model::Transport;
use tandem_netio::{Events, Poller};
use tandem_sip::endpoint::Transmit;

#[test]
fn a_request_is_heard_and_answered_over_its_connection() {
    let mut shard = Shard::start(StreamLimits::default());
    let mut peer = shard.connect();
    let whole = options("a");
    let (first, rest) = whole.as_bytes().split_at(30);
    peer.write_all(first).unwrap();
    peer.write_all(rest).unwrap();
    let (flow, octets) = shard.message();
    assert_eq!((flow.local, flow.remote), (shard.local, peer.local_addr().unwrap()));
    assert_eq!(octets, whole.as_bytes());
    shard.send(flow, "SIP/2.0 200 OK\r\n\r\n");
    assert_eq!(read_exactly(&mut peer, 18), "SIP/2.0 200 OK\r\n\r\n");
}

#[test]
fn a_ping_is_answered_and_a_lone_crlf_is_not() {
    let shard = Shard::start(StreamLimits::default());
    let mut peer = shard.connect();
    peer.write_all(b"\r\n\r\n").unwrap();
    assert_eq!(read_exactly(&mut peer, 2), "\r\n");
    peer.write_all(options("a").as_bytes()).unwrap();
    peer.write_all(b"\r\n").unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let silence = peer.read(&mut [0; 8]).unwrap_err();
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
}

#[test]
fn one_connection_to_a_peer_is_used_again_and_closed_ones_are_noticed() {
    let mut shard = Shard::start(StreamLimits::default());
    let far = Far::listen();
    let flow = shard.flow_to(far.address);
    shard.send(flow, &options("a"));
    shard.send(flow, &options("b"));
    let mut stream = far.accept();
    let both = options("a") + &options("b");
    assert_eq!(read_exactly(&mut stream, both.len()), both);
    stream.write_all(options("c").as_bytes()).unwrap();
    assert_eq!(shard.message().0, flow, "what comes back has the name of what was sent");

    drop(stream);
    assert_eq!(shard.failed(), flow);
    shard.send(flow, &options("d"));
    assert_eq!(read_exactly(&mut far.accept(), options("d").len()), options("d"));
}

#[test]
fn a_connection_that_a_peer_made_is_used_for_what_goes_to_its_address() {
    let mut shard = Shard::start(StreamLimits::default());
    let mut peer = shard.connect();
    peer.write_all(options("a").as_bytes()).unwrap();
    let heard = shard.message().0;
    let other = Flow { local: "0.0.0.0:5060".parse().unwrap(), ..heard };
    shard.send(other, &options("b"));
    assert_eq!(read_exactly(&mut peer, options("b").len()), options("b"));
    drop(peer);
    let mut failed = [shard.failed(), shard.failed()];
    failed.sort();
    assert_eq!(failed, [other, heard]);
}

#[test]
fn a_refused_connection_fails_at_once() {
    let mut shard = Shard::start(StreamLimits::default());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flow = shard.flow_to(closed);
    let begun = Instant::now();
    shard.send(flow, &options("a"));
    assert_eq!(shard.failed(), flow);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_response_whose_connection_is_gone_goes_to_the_port_of_sent_by() {
    let mut shard = Shard::start(StreamLimits::default());
    let far = Far::listen();
    let mut peer = shard.connect();
    peer.write_all(options("a").as_bytes()).unwrap();
    let (flow, _) = shard.message();
    drop(peer);
    assert_eq!(shard.failed(), flow);
    let response = response(far.address.port());
    shard.send(flow, &response);
    assert_eq!(read_exactly(&mut far.accept(), response.len()), response);
}

#[test]
fn a_response_takes_no_connection_that_is_being_made_to_a_port_that_its_peer_has_closed() {
    let mut shard = Shard::start(StreamLimits::default());
    let far = Far::listen();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let flow = shard.flow_to(closed);
    let response = response(far.address.port());
    shard.send(flow, &options("a"));
    shard.send(flow, &response);
    assert_eq!(read_exactly(&mut far.accept(), response.len()), response);
    assert_eq!(shard.failed(), flow);
}

#[test]
fn a_response_goes_over_our_own_connection_if_its_request_came_so() {
    let mut shard = Shard::start(StreamLimits::default());
    let (far, other) = (Far::listen(), Far::listen());
    let flow = shard.flow_to(far.address);
    shard.send(flow, &options("a"));
    let mut stream = far.accept();
    assert_eq!(read_exactly(&mut stream, options("a").len()), options("a"));
    stream.write_all(options("b").as_bytes()).unwrap();
    assert_eq!(shard.message().0, flow);
    let response = response(other.address.port());
    shard.send(flow, &response);
    assert_eq!(read_exactly(&mut stream, response.len()), response);
}

#[test]
fn a_half_sent_message_is_not_waited_for() {
    let shard = Shard::start(StreamLimits { assembly: Duration::from_millis(100), ..StreamLimits::default() });
    let mut peer = shard.connect();
    peer.write_all(b"OPTIONS sip:a@b SIP/2.0\r\nVia: ").unwrap();
    let begun = Instant::now();
    assert_eq!(read_all(&mut peer), "");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());

    // Nor one that comes octet by octet.
    let mut peer = shard.connect();
    peer.write_all(b"OPTIONS").unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let begun = Instant::now();
    loop {
        match peer.read(&mut [0; 8]) {
            Ok(_) => break,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if peer.write_all(b"S").is_err() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "it is still waited for");
    }
}

#[test]
fn garbage_ends_the_connection_and_a_request_without_length_is_told_why() {
    let shard = Shard::start(StreamLimits::default());
    let mut peer = shard.connect();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut peer), "");

    let mut peer = shard.connect();
    peer.write_all(options("a").replace("Content-Length: 0\r\n", "").as_bytes()).unwrap();
    let answer = read_all(&mut peer);
    assert!(answer.starts_with("SIP/2.0 400 Bad Request"), "{answer}");
    assert!(answer.contains("received=127.0.0.1"), "{answer}");

    let mut peer = shard.connect();
    peer.write_all(options("a").replace("Length: 0", "Length: 1000000").as_bytes()).unwrap();
    assert!(read_all(&mut peer).starts_with("SIP/2.0 513 "));
}

#[test]
fn a_thousand_connections_from_one_address_are_capped_and_leave_room_for_others() {
    let mut shard = Shard::start(StreamLimits::default());
    let mut kept = Vec::new();
    let mut refused = 0;
    for _ in 0..1_000 {
        let mut peer = shard.connect();
        // The answer to a ping tells who was let in.
        match peer.write_all(b"\r\n\r\n").and_then(|()| peer.read(&mut [0; 2])) {
            Ok(2) => kept.push(peer),
            Ok(_) | Err(_) => refused += 1,
        }
    }
    assert_eq!((kept.len(), refused), (64, 936));

    let mut other = connect_from("127.0.0.7", shard.local);
    other.write_all(options("a").as_bytes()).unwrap();
    shard.message();
    kept.pop();
    // The place is free again once the shard's side has noticed.
    let begun = Instant::now();
    loop {
        let mut peer = shard.connect();
        if peer.write_all(b"\r\n\r\n").and_then(|()| peer.read(&mut [0; 2])).is_ok_and(|length| length == 2) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "a place that was given back is not free");
    }
}

#[test]
fn a_peer_that_does_not_read_fails_and_holds_nobody_up() {
    let limits = StreamLimits { outbox_bytes: 100_000, ..StreamLimits::default() };
    let mut shard = Shard::start(limits);
    let far = Far::listen();
    let flow = shard.flow_to(far.address);
    shard.send(flow, &options("a"));
    let _unread = far.accept();
    let large = format!("MESSAGE {}", "x".repeat(50_000));
    let begun = Instant::now();
    let mut sent = 0;
    while shard.table.poll_failed().is_none() {
        shard.send(flow, &large);
        sent += 1;
        assert!(begun.elapsed() < PATIENCE, "{sent} messages were taken");
    }
}

#[test]
fn what_a_peer_stops_reading_times_out() {
    let limits =
        StreamLimits { write: Duration::from_millis(100), outbox_bytes: usize::MAX, ..StreamLimits::default() };
    let mut shard = Shard::start(limits);
    let far = Far::listen();
    let flow = shard.flow_to(far.address);
    // More than the kernel's buffers hold.
    let large = format!("MESSAGE {}", "x".repeat(60_000));
    for _ in 0..512 {
        shard.send(flow, &large);
    }
    let _unread = far.accept();
    assert_eq!(shard.failed(), flow);
}

#[test]
fn an_idle_connection_is_closed_unless_it_is_needed() {
    let mut shard = Shard::start(StreamLimits { accepted_idle: Duration::from_millis(50), ..StreamLimits::default() });
    let mut peer = shard.connect();
    peer.write_all(options("a").as_bytes()).unwrap();
    let (flow, _) = shard.message();
    let needed = shard.idle();
    assert_eq!(needed.flows, [flow]);
    shard.send(flow, "SIP/2.0 200 OK\r\n\r\n");
    assert_eq!(read_exactly(&mut peer, 18), "SIP/2.0 200 OK\r\n\r\n");
    let unneeded = shard.idle();
    shard.table.release(&unneeded);
    assert_eq!(read_all(&mut peer), "");
    assert!(shard.table.poll_failed().is_none(), "nobody was hurt");
}

#[test]
fn a_quiet_connection_of_ours_is_pinged_and_a_busy_one_is_not_closed_for_it() {
    let mut shard = Shard::start(StreamLimits { ping: Duration::from_millis(50), ..StreamLimits::default() });
    let far = Far::listen();
    let flow = shard.flow_to(far.address);
    shard.send(flow, &options("a"));
    let mut stream = far.accept();
    let expected = options("a") + "\r\n\r\n\r\n\r\n";
    assert_eq!(read_exactly(&mut stream, expected.len()), expected);
    stream.write_all(b"\r\n").unwrap();
    stream.write_all(options("b").as_bytes()).unwrap();
    assert_eq!(shard.message().0, flow);
}

#[test]
fn ipv6_goes_both_ways() {
    let mut shard = Shard::start_on("[::1]:0", StreamLimits::default());
    let far = Far::listen_on("[::1]:0");
    let flow = shard.flow_to(far.address);
    shard.send(flow, &options("a"));
    assert_eq!(read_exactly(&mut far.accept(), options("a").len()), options("a"));
    assert_eq!(shard.failed(), flow);

    let mut peer = TcpStream::connect(shard.local).unwrap();
    peer.write_all(options("b").as_bytes()).unwrap();
    assert_eq!(shard.message().0, shard.flow_to(peer.local_addr().unwrap()));
}

#[test]
fn ipv4_and_ipv6_share_a_port() {
    let runtime = runtime();
    let _within = runtime.enter();
    let six = bind("[::]:0".parse().unwrap()).unwrap();
    let four = bind(SocketAddr::new("0.0.0.0".parse().unwrap(), six.local().port()));
    four.unwrap();
}

/// A table with the wait of a shard's thread.
struct Shard {
    table: StreamTable,
    poller: Poller,
    local: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Shard {
    fn start(limits: StreamLimits) -> Self {
        Self::start_on("127.0.0.1:0", limits)
    }

    fn start_on(address: &str, limits: StreamLimits) -> Self {
        let runtime = runtime();
        let listener = {
            let _within = runtime.enter();
            bind(address.parse().unwrap()).unwrap()
        };
        let local = listener.local();
        let mut poller = Poller::new().unwrap();
        let waker = poller.waker(0).unwrap();
        let table = StreamTable::start(vec![listener], runtime.handle().clone(), waker, limits);
        Self { table, poller, local, _runtime: runtime }
    }

    fn connect(&self) -> TcpStream {
        connect_from("127.0.0.1", self.local)
    }

    fn flow_to(&self, remote: SocketAddr) -> Flow {
        Flow { transport: Transport::Tcp, local: self.local, remote }
    }

    fn send(&mut self, flow: Flow, text: &str) {
        self.table.send(&Transmit { flow, payload: Arc::from(text.as_bytes()) });
    }

    fn next(&mut self) -> Arrival {
        let deadline = Instant::now() + PATIENCE;
        let mut events = Events::with_capacity(4);
        loop {
            if let Some(arrival) = self.table.poll() {
                return arrival;
            }
            assert!(Instant::now() < deadline, "nothing has happened");
            self.poller.wait(&mut events, Some(deadline - Instant::now())).unwrap();
        }
    }

    fn message(&mut self) -> (Flow, Vec<u8>) {
        loop {
            match self.next() {
                Arrival::Message { flow, octets } => return (flow, octets),
                Arrival::Idle(_) => {}
                Arrival::Failed(flow) => panic!("{flow:?} failed"),
            }
        }
    }

    fn failed(&mut self) -> Flow {
        match self.next() {
            Arrival::Failed(flow) => flow,
            Arrival::Message { .. } | Arrival::Idle(_) => panic!("no failure"),
        }
    }

    fn idle(&mut self) -> IdleConnection {
        match self.next() {
            Arrival::Idle(idle) => idle,
            Arrival::Message { .. } | Arrival::Failed(_) => panic!("not idle"),
        }
    }
}

/// Another host that listens.
struct Far {
    listener: TcpListener,
    address: SocketAddr,
}

impl Far {
    fn listen() -> Self {
        Self::listen_on("127.0.0.1:0")
    }

    fn listen_on(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn connect_from(local: &str, remote: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(local.parse().unwrap(), 0)).unwrap();
        socket.connect(remote).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_exactly(stream: &mut TcpStream, length: usize) -> String {
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).unwrap();
    String::from_utf8(octets).unwrap()
}

/// What comes until the connection is closed, by a reset even.
fn read_all(stream: &mut TcpStream) -> String {
    let mut octets = Vec::new();
    match stream.read_to_end(&mut octets) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it is still open"),
    }
    String::from_utf8(octets).unwrap()
}

/// A response to a request that said it came from this port.
fn response(sent_by: u16) -> String {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.9:{sent_by};branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:b@b>;tag=2\r\n\
         Call-ID: a\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
    )
}

fn options(branch: &str) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK{branch}\r\nFrom: <sip:c@d>;tag=1\r\nTo: <sip:a@b>\r\n\
         Call-ID: {branch}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
