//! Counts what indexing and checking a message allocates. Alone in its binary, for the allocator is the process's.

#![expect(unsafe_code, reason = "an allocator cannot be counted without implementing `GlobalAlloc`")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tandem_sip::message::{Index, Message};

thread_local! {
    /// Allocations of this thread. Another test thread's are none of ours.
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count_one() {
    // Fails only while the thread ends, when nobody counts any more.
    let _gone = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system allocator unchanged; counting touches a thread-local cell only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_message_is_read_with_one_allocation() {
    let invite = b"INVITE sip:+12025550100@203.0.113.10 SIP/2.0\r\n\
        Via: SIP/2.0/UDP proxy.example.net;branch=z9hG4bKp, SIP/2.0/UDP 192.0.2.7:5060;rport;branch=z9hG4bK4b2f\r\n\
        Max-Forwards: 70\r\n\
        From: \"Alice\" <sip:+12025550199@192.0.2.7;user=phone>;tag=as58f4a7c1\r\n\
        To: <sip:+12025550100@203.0.113.10>\r\n\
        Contact: <sip:+12025550199@192.0.2.7:5060>\r\n\
        Call-ID: 2f4c8d1e7b9a40d3@192.0.2.7\r\n\
        CSeq: 102 INVITE\r\n\
        Supported: timer\r\n\
        Content-Type: application/sdp\r\n\
        Content-Length: 5\r\n\r\nv=0\r\n";
    assert_eq!(allocations(|| assert!(Index::new(invite).is_ok())), 1);
    assert_eq!(allocations(|| assert!(Message::parse(invite).is_ok())), 1);

    let message = Message::parse(invite).unwrap();
    let names =
        || (message.branch(), message.from_tag(), message.to_tag(), message.call_id().len(), message.body().len());
    assert_eq!(allocations(|| assert_eq!(names(), (Some("z9hG4bKp"), Some("as58f4a7c1"), None, 26, 5))), 0);
}

fn allocations(deed: impl FnOnce()) -> usize {
    let before = COUNT.get();
    deed();
    COUNT.get() - before
}
