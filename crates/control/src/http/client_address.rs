use std::net::IpAddr;

/// Where a request came from, put into its extensions by whoever has the connection. What comes through a trusted proxy has the address
/// of the proxy's client from there on.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);
