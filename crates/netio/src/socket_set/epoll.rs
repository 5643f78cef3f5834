//! A receive and a send a packet, found by epoll.

use std::io;
use std::time::Duration;

use super::{Arrival, IoFailures, MAX_PACKET_BYTES, Outgoing, pace};
use crate::poller::{Events, Interest, Poller, Waker};
use crate::socket::UdpSocket;

#[derive(Debug)]
pub(super) struct Epoll {
    poller: Poller,
    events: Events,
    buffer: Box<[u8; MAX_PACKET_BYTES]>,
}

impl Epoll {
    pub(super) fn new() -> io::Result<(Self, Waker)> {
        let mut poller = Poller::new()?;
        let waker = poller.waker(WAKE_TOKEN)?;
        let events = Events::with_capacity(EVENTS_PER_WAIT);
        Ok((Self { poller, events, buffer: Box::new([0; MAX_PACKET_BYTES]) }, waker))
    }

    pub(super) fn open(&self, index: usize, socket: &UdpSocket) -> io::Result<()> {
        let token = u64::try_from(index).map_err(|_unknown| io::ErrorKind::NotFound)?;
        self.poller.add(socket, token, Interest::Read)
    }

    pub(super) fn close(&mut self, index: usize, socket: &UdpSocket) -> io::Result<()> {
        self.poller.remove(socket)?;
        let token = u64::try_from(index).map_err(|_unknown| io::ErrorKind::NotFound)?;
        self.events.forget(token);
        Ok(())
    }

    /// Waits, after a pause in which nothing is noticed, for at most `timeout` in all.
    pub(super) fn wait(&mut self, pause: Option<Duration>, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = pace::sleep(pause, timeout);
        self.poller.wait(&mut self.events, timeout).map(drop)
    }

    /// Takes one packet a socket: that there is no second one would cost another system call to learn, and a socket that
    /// has more is reported again by the next wait.
    pub(super) fn receive(
        &mut self,
        sockets: &[UdpSocket],
        failures: &mut IoFailures,
        mut handle: impl FnMut(Arrival<'_>, &mut Outgoing<'_>),
    ) {
        let mut outgoing = Outgoing { sockets, queue: None, failures };
        for event in self.events.iter() {
            let Ok(index) = usize::try_from(event.token) else { continue };
            let Some(socket) = sockets.get(index) else { continue };
            match socket.recv_from(self.buffer.as_mut_slice()) {
                Ok(Some((length, remote))) => {
                    let bytes = self.buffer.get_mut(..length).unwrap_or_default();
                    handle(Arrival { index, remote, bytes }, &mut outgoing);
                }
                Ok(None) => {}
                Err(error) => outgoing.failures.note(index, error),
            }
        }
        self.events.clear();
    }
}

const EVENTS_PER_WAIT: usize = 256;
/// No socket has this place.
const WAKE_TOKEN: u64 = u64::MAX;
