use std::convert::Infallible;
use std::time::Instant;
use tandem_carrier::{Datagram, LineCommand, Lines};
use tandem_media::engine::Transmit;

/// What packets of a media thread go through on their way out.
pub(crate) trait Line: Send + 'static {
    /// How it is changed.
    type Command: Send + 'static;

    fn handle_command(&mut self, command: Self::Command);
    /// Takes a packet, and gives it back if it is to be sent at once.
    fn carry<'a>(&mut self, packet: Transmit<'a>, now: Instant) -> Option<Transmit<'a>>;
    /// When [`Self::poll_due`] has something.
    fn poll_timeout(&self) -> Option<Instant>;
    /// The next of the others that is to be sent now.
    fn poll_due(&mut self, now: Instant) -> Option<Datagram>;
}

/// Calls go out as they are. Of this line nothing is left in the compiled thread.
pub(crate) struct Straight;

impl Line for Straight {
    type Command = Infallible;

    fn handle_command(&mut self, command: Infallible) {
        match command {}
    }

    fn carry<'a>(&mut self, packet: Transmit<'a>, _: Instant) -> Option<Transmit<'a>> {
        Some(packet)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_due(&mut self, _: Instant) -> Option<Datagram> {
        None
    }
}

/// Those of the simulated carrier, some of which are bad.
impl Line for Lines {
    type Command = LineCommand;

    fn handle_command(&mut self, command: LineCommand) {
        self.handle_command(command);
    }

    fn carry<'a>(&mut self, packet: Transmit<'a>, now: Instant) -> Option<Transmit<'a>> {
        self.carry(packet, now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn poll_due(&mut self, now: Instant) -> Option<Datagram> {
        self.poll_due(now)
    }
}
