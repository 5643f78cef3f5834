//! The harness of the end-to-end tests: the real binary, real sockets, SIP peers that are not our own code, and packet captures.
//!
//! Each test takes a [`Network`] of 254 loopback addresses to itself, so that tests run beside each other on the well-known ports.
//! A [`Tandem`] is the process under test, a [`Peer`] a far end that does as its script says, [`Sipp`] a far end that is somebody
//! else's program (a [`Scene`] says what it does in one call), a [`Kamailio`] the proxy at the edge of a carrier, a [`Capture`] what went over the wire. What is missing on the machine is a failed test that says what to install.

mod api;
mod baresip;
mod capture;
pub mod digest;
mod disk;
mod dns;
pub mod far_end;
mod kamailio;
mod lan;
mod load;
mod mail;
mod network;
mod pcap;
pub mod peer;
mod postgres;
mod prometheus;
mod scene;
mod secrecy;
mod sip_text;
mod sipp;
mod tandem;
mod tcp;
mod tls;
mod wait;

pub use api::{Answer, Api, text_at, trunk_body};
pub use baresip::Baresip;
pub use capture::{Capture, Packet};
pub use disk::SmallDisk;
pub use dns::Dns;
pub use far_end::{CalleeManners, CallerManners, FarCall, FarEnd};
pub use kamailio::{Edge, EdgeMessage, Kamailio};
pub use lan::{Lan, LanHost};
pub use load::{Done, Load};
pub use mail::{MailHost, MailServer, Offer};
pub use network::{Network, free_on_ipv6_loopback};
pub use peer::{CallView, Caller, Peer};
pub use postgres::Postgres;
pub use prometheus::Prometheus;
pub use scene::{SDP, Scene};
pub use secrecy::{PLANTED_PASSWORD, SecretSearch, files_below};
pub use sip_text::SipText;
pub use sipp::{Scenario, Sipp, SippCalls, SippCounts, SippMessage};
pub use tandem::{ADMIN_KEY, Finished, Options, Tandem, binary, environment, run};
pub use tcp::{TcpCarrier, TcpConnection};
pub use tls::{Authority, Certificate, Flaw, TlsSite};
pub use wait::{eventually, pause};
