use std::net::IpAddr;

/// Where a request came from, put into its extensions by whoever has the connection.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);
