//! Once set up, sending, receiving and waiting allocate nothing, on a media thread as on a signalling shard.

#![deny(unsafe_op_in_unsafe_fn)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;

use tandem_netio::{
    Events, Interest, IoPath, Poller, ReceiveBatch, SEND_BATCH, SendBatch, SocketSet, UdpOptions, UdpSocket,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting the calls of each thread.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: every call goes to `System` unchanged. The counter is a constant-initialised `Cell` without a destructor, so
// counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is that of `System`, where the memory came from.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// How often this thread allocates in `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1_u64)))), 1);
}

#[test]
fn relaying_a_packet_allocates_nothing() {
    let [port, peer] = [UdpOptions::media(); 2].map(|options| bind("127.0.0.1:0", options));
    let mut poller = Poller::new().expect("a poller");
    poller.add(&port, 0, Interest::Read).expect("it is added");
    let mut events = Events::with_capacity(8);
    let mut buffer = [0; 2_048];
    let relay = || {
        for _ in 0..100 {
            peer.send_to(&[0x80; 172], port.local_addr()).expect("it is sent");
            poller.wait(&mut events, Some(Duration::from_secs(10))).expect("a wait");
            let (length, remote) = port.recv_from(&mut buffer).expect("a receive").expect("a packet");
            port.send_to(&buffer[..length], remote).expect("it is sent");
            assert_eq!(port.recv_from(&mut buffer).expect("a receive"), None);
        }
    };
    assert_eq!(allocations(relay), 0);
}

#[test]
fn relaying_packets_of_many_sockets_allocates_nothing() {
    const SOCKETS: usize = 20;
    let paths = match IoPath::best().0 {
        IoPath::IoUring => [IoPath::Epoll, IoPath::IoUring].as_slice(),
        IoPath::Epoll => [IoPath::Epoll].as_slice(),
    };
    for path in paths {
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").expect("a peer");
        let sockets: Vec<_> = (0..SOCKETS).map(|_| bind("127.0.0.1:0", UdpOptions::media())).collect();
        let addresses: Vec<_> = sockets.iter().map(UdpSocket::local_addr).collect();
        let (mut set, _waker) = SocketSet::new(*path, sockets).expect("a set");
        (0..SOCKETS).for_each(|index| set.open(index, 64 * 1024).expect("it is open"));
        let mut relay = || {
            for _ in 0..100 {
                for address in &addresses {
                    peer.send_to(&[0x80; 172], address).expect("it is sent");
                }
                let mut relayed = 0;
                while relayed < SOCKETS {
                    set.wait(Some(Duration::from_secs(10))).expect("a wait");
                    set.receive(|arrival, out| {
                        out.send((arrival.index + 1) % SOCKETS, arrival.remote, arrival.bytes);
                        relayed += 1;
                    });
                }
                set.wait(Some(Duration::ZERO)).expect("the rest is sent");
                for _ in 0..SOCKETS {
                    peer.recv(&mut [0; 200]).expect("a packet");
                }
            }
        };
        relay();
        assert_eq!(allocations(relay), 0, "{path}");
    }
}

#[test]
fn answering_batches_allocates_nothing_after_the_first() {
    let [server, client] = ["0.0.0.0:0", "127.0.0.1:0"].map(|address| bind(address, UdpOptions::signalling()));
    let asked = SocketAddr::new(client.local_addr().ip(), server.local_addr().port());
    let mut poller = Poller::new().expect("a poller");
    poller.add(&server, 0, Interest::Read).expect("it is added");
    let mut events = Events::with_capacity(8);
    let mut received = ReceiveBatch::new();
    let mut to_send = SendBatch::new();
    let mut answer_a_batch = || {
        for _ in 0..SEND_BATCH {
            to_send.push(client.local_addr(), asked, &[b'x'; 900]).expect("there is room");
        }
        assert_eq!(client.send_batch(&mut to_send).sent, SEND_BATCH);
        let mut answered = 0;
        while answered < SEND_BATCH {
            poller.wait(&mut events, Some(Duration::from_secs(10))).expect("a wait");
            answered += server.receive_batch(&mut received).expect("a receive");
            for datagram in received.iter_mut() {
                to_send.push(datagram.local, datagram.remote, datagram.bytes).expect("there is room");
            }
            server.send_batch(&mut to_send);
        }
    };
    answer_a_batch();
    assert_eq!(allocations(answer_a_batch), 0);
}

fn bind(address: &str, options: UdpOptions) -> UdpSocket {
    UdpSocket::bind(address.parse().expect("an address"), options).expect("a socket")
}
