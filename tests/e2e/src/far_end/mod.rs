//! Both ends of many calls, over UDP or TCP, and all that they saw. They live on while the node dies: they resend, and reach it
//! again over another connection, as RFC 3261 has it. There is no audio.

mod call;
mod wire;

pub use call::{FarCall, Seen};

use crate::sip_text::SipText;
use call::Call;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tandem_model::Transport;
use wire::{Arrival, Wire};

/// What a callee does. Whoever is called says 100 at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct CalleeManners {
    /// Says 180.
    pub rings: bool,
    /// Answers after so long.
    pub answers_after: Option<Duration>,
    /// Or refuses with this status, at once.
    pub refuses: Option<u16>,
    /// Hangs up so long after the ACK of its answer.
    pub leaves_after: Option<Duration>,
}

/// What a caller does. Without anything it waits until it is hung up.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerManners {
    /// Cancels when nobody has answered after so long.
    pub gives_up_after: Option<Duration>,
    /// Hangs up so long after the answer.
    pub leaves_after: Option<Duration>,
    /// Takes so many answers for lost: they are shown, and not acted upon.
    pub loses_answers: usize,
}

/// A SIP far end with a thread of its own, which calls and is called.
#[derive(Debug)]
pub struct FarEnd {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Ends the thread when it is dropped.
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// By Call-ID, in the order of it.
    calls: Mutex<BTreeMap<String, Call>>,
}

#[derive(Debug)]
struct Order {
    call_id: String,
    to: SocketAddr,
    user: String,
    manners: CallerManners,
}

impl FarEnd {
    /// A far end at this address, that treats who calls it as `manners` says for the user part that is called.
    ///
    /// # Panics
    /// When the address is taken, or the transport is none of UDP and TCP.
    #[must_use]
    pub fn start(
        transport: Transport,
        address: SocketAddr,
        manners: impl Fn(&str) -> CalleeManners + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (orders, ordered) = channel();
        let wire = Wire::open(transport, address);
        let mut worker = Worker { wire, address, shared: Arc::clone(&shared), ordered, manners: Box::new(manners) };
        let thread = std::thread::spawn(move || worker.run());
        Self { address, shared, orders: Some(orders), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls `user` at the node. `number` tells the calls of this far end apart; the Call-ID is returned.
    ///
    /// # Panics
    /// When the far end has failed.
    pub fn call(&self, number: u32, to: SocketAddr, user: &str, manners: CallerManners) -> String {
        let call_id = format!("far-{number}@{}", self.address.ip());
        let order = Order { call_id: call_id.clone(), to, user: user.to_owned(), manners };
        let orders = self.orders.as_ref().expect("it is there until the far end is dropped");
        orders.send(order).expect("the far end runs");
        call_id
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<FarCall> {
        let calls = self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.values().map(|call| call.view.clone()).collect()
    }

    /// How many there are so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the worker was told already.
            drop(thread.join());
        }
    }
}

struct Worker {
    wire: Wire,
    address: SocketAddr,
    shared: Arc<Shared>,
    ordered: Receiver<Order>,
    manners: Box<dyn Fn(&str) -> CalleeManners + Send>,
}

impl Worker {
    fn run(&mut self) {
        let mut arrivals = Vec::new();
        loop {
            self.wire.receive(TICK, &mut arrivals);
            let shared = Arc::clone(&self.shared);
            let mut calls = shared.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            for arrival in arrivals.drain(..) {
                match arrival {
                    Arrival::Message(from, text) => self.take(from, &text, &mut calls, now),
                    Arrival::Closed(remote) => calls.values_mut().for_each(|call| call.connection_closed(remote)),
                }
            }
            loop {
                match self.ordered.try_recv() {
                    Ok(Order { call_id, to, user, manners }) => {
                        let call = Call::to_node(&call_id, self.address, to, &user, manners, &mut self.wire, now);
                        calls.insert(call_id, call);
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            calls.values_mut().for_each(|call| call.run(&mut self.wire, now));
        }
    }

    fn take(&mut self, from: SocketAddr, text: &SipText, calls: &mut BTreeMap<String, Call>, now: Instant) {
        let call_id = text.call_id().to_owned();
        let call = calls.entry(call_id).or_insert_with_key(|call_id| {
            let manners = (self.manners)(text.called_user().unwrap_or_default());
            Call::from_node(call_id, self.address, manners)
        });
        call.handle(from, text, &mut self.wire, now);
    }
}

/// How late a timer may be: short beside every span of a call.
const TICK: Duration = Duration::from_millis(2);
