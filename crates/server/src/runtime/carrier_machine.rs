use super::signalling::{Machine, WireOutput};
use std::time::Instant;
use tandem_carrier::{Carrier, LineCommand, Output};
use tandem_media::engine;
use tandem_model::Now;
use tandem_sip::endpoint::Flow;

/// The simulated carrier with its log.
pub(crate) struct CarrierMachine {
    carrier: Carrier,
}

/// Nothing is asked of the carrier but by SIP.
pub(crate) enum NoCommand {}

impl CarrierMachine {
    pub(crate) const fn new(carrier: Carrier) -> Self {
        Self { carrier }
    }
}

impl Machine for CarrierMachine {
    type Command = NoCommand;
    type LineCommand = LineCommand;

    fn handle_datagram(&mut self, flow: Flow, octets: &[u8], now: Now) {
        self.carrier.handle_datagram(flow, octets, now);
    }

    fn handle_transport_error(&mut self, flow: &Flow, now: Now) {
        self.carrier.handle_transport_error(flow, now);
    }

    fn uses_stream(&self, flow: &Flow) -> bool {
        self.carrier.uses_stream(flow)
    }

    fn handle_media_event(&mut self, event: engine::Event, now: Now) {
        self.carrier.handle_media_event(event, now);
    }

    fn handle_command(&mut self, command: NoCommand, _: Now) {
        match command {}
    }

    fn handle_timeout(&mut self, now: Now) {
        self.carrier.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.carrier.poll_timeout()
    }

    fn poll_output(&mut self, _: Now) -> Option<WireOutput<LineCommand>> {
        loop {
            match self.carrier.poll_output()? {
                Output::Transmit(transmit) => return Some(WireOutput::Transmit(transmit)),
                Output::Media(command) => return Some(WireOutput::Media(command)),
                Output::Line(command) => return Some(WireOutput::Line(command)),
                Output::Report(report) => tracing::info!(target: "carrier", "{report}"),
            }
        }
    }

    /// The carrier forgets: a call lost to a crash is what a carrier's clients must live with.
    fn commit(&mut self) {}
}
