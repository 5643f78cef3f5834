//! What every call works with.

use std::collections::VecDeque;
use std::net::IpAddr;

use ipnet::IpNet;
use tandem_media::engine::Command;
use tandem_model::Now;
use tandem_sip::endpoint::Endpoint;

use crate::carrier::Output;
use crate::line::LineCommand;
use crate::random::Seeds;
use crate::report::{CallNumber, Happening, Report};

/// The parts of the carrier that its calls share.
pub(crate) struct Exchange {
    pub(crate) endpoint: Endpoint,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) seeds: Seeds,
    pub(crate) callers: Callers,
}

/// Who may call, and so who may be sent audio.
#[derive(Debug)]
pub(crate) struct Callers(Vec<IpNet>);

impl Exchange {
    pub(crate) fn media(&mut self, command: Command) {
        self.outputs.push_back(Output::Media(command));
    }

    pub(crate) fn line(&mut self, command: LineCommand) {
        self.outputs.push_back(Output::Line(command));
    }

    pub(crate) fn report(&mut self, call: CallNumber, happening: Happening, now: Now) {
        self.outputs.push_back(Output::Report(Report { at: now.utc, call, happening }));
    }
}

impl Callers {
    pub(crate) fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// IPv4 addresses count as such also where a socket for both families shows them inside of IPv6.
    pub(crate) fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_admitted_by_network_also_when_mapped_into_ipv6() {
        let callers = Callers::new(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for (address, admitted) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", true),
            ("fd00::1", true),
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("::1", false),
        ] {
            assert_eq!(callers.admit(address.parse().unwrap()), admitted, "{address}");
        }
        assert!(!Callers::new(Vec::new()).admit("127.0.0.1".parse().unwrap()));
    }
}
