//! Memory that the kernel fills: a ring of buffers from which it takes one for each packet (`io_uring_register_buf_ring(3)`).

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// Buffers of one size, each at any time either the kernel's or, between a completion and [`Buffers::give_back`], ours.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The ring of entries, page-aligned, and behind it the buffers.
    memory: NonNull<u8>,
    /// How many entries were ever given to the kernel, as it counts them.
    tail: u16,
}

#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: `memory` belongs to this value alone, and what the kernel does with it does not depend on the thread.
unsafe impl Send for Buffers {}

/// How many packets fit between two system calls. A turn that finds more leaves them in the sockets' buffers for the
/// next. A power of two, as the kernel wants it.
pub(super) const BUFFERS: u16 = 512;
/// How large each is: the kernel's header, the sender's address and a packet.
pub(super) const BUFFER_BYTES: u32 = 2_048;
/// How much further apart buffers are than they are long, so that their beginnings do not share a few cache sets.
const STRIDE: usize = BUFFER_BYTES as usize + 3 * 64;
/// The kernel wants the entries page-aligned.
const PAGE: usize = 4_096;
const ENTRIES_BYTES: usize = (BUFFERS as usize * size_of::<BufRingEntry>()).next_multiple_of(PAGE);
const GROUP: u16 = 0;

impl Buffers {
    /// The group number that requests name.
    pub(super) const GROUP: u16 = GROUP;

    #[expect(unsafe_code, reason = "the memory is shared with the kernel")]
    pub(super) fn new() -> Self {
        // SAFETY: the layout is not of size 0.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(Self::LAYOUT) };
        let mut buffers = Self { memory, tail: 0 };
        for id in 0..BUFFERS {
            buffers.give_back(id);
        }
        buffers.publish();
        buffers
    }

    /// Lends all buffers to the ring.
    #[expect(unsafe_code, reason = "the kernel writes into the memory from now on")]
    pub(super) fn register(&self, submitter: &Submitter<'_>) -> std::io::Result<()> {
        let address = self.memory.as_ptr().expose_provenance() as u64;
        // SAFETY: the entries are page-aligned and `BUFFERS` long. They and the buffers that they name live until after
        // the ring has been closed: see `Ring`'s `Drop`.
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }
    }

    /// What the kernel has written into a buffer; `None` for one that it cannot have named.
    ///
    /// The buffer must be ours: named by a completion, and not given back since.
    #[expect(unsafe_code, reason = "the memory is shared with the kernel")]
    pub(super) fn filled(&mut self, id: u16, length: usize) -> Option<&mut [u8]> {
        if id >= BUFFERS || length > BUFFER_BYTES as usize {
            return None;
        }
        // SAFETY: `id` is below `BUFFERS`, so the offset is within the memory.
        let start = unsafe { self.memory.add(offset(id)) };
        // SAFETY: `length` is within the buffer; it was zeroed or written by the kernel, which does not touch it until it
        // is given back; the borrow of `self` keeps others from it.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), length) })
    }

    /// Gives a buffer to the kernel, which sees it after [`publish`](Self::publish).
    #[expect(unsafe_code, reason = "the memory is shared with the kernel")]
    pub(super) fn give_back(&mut self, id: u16) {
        if id >= BUFFERS {
            return;
        }
        // SAFETY: as in `filled`.
        let buffer = unsafe { self.memory.add(offset(id)) };
        let slot = usize::from(self.tail % BUFFERS);
        // SAFETY: the slot is one of `BUFFERS` entries, at the start of the memory.
        let entry = unsafe { self.memory.cast::<BufRingEntry>().add(slot) };
        // SAFETY: the entry is aligned and initialised, and the kernel reads those before the published tail only.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(buffer.as_ptr().expose_provenance() as u64);
        entry.set_len(BUFFER_BYTES);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see all buffers that were given back.
    #[expect(unsafe_code, reason = "the memory is shared with the kernel")]
    pub(super) fn publish(&self) {
        // SAFETY: the memory begins with an entry, of which the tail is a field that is otherwise unused.
        let tail = unsafe { BufRingEntry::tail(self.memory.as_ptr().cast()) };
        // SAFETY: it is aligned for 16 bits, lives as long as the memory, and is accessed atomically on both sides.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    const LAYOUT: Layout = match Layout::from_size_align(ENTRIES_BYTES + BUFFERS as usize * STRIDE, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("the size is far from overflowing"),
    };
}

impl Drop for Buffers {
    #[expect(unsafe_code, reason = "the memory was allocated by hand, for its alignment")]
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout and nobody has freed it.
        unsafe { dealloc(self.memory.as_ptr(), Self::LAYOUT) };
    }
}

const fn offset(id: u16) -> usize {
    ENTRIES_BYTES + id as usize * STRIDE
}
