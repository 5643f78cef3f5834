//! Numbers and addresses as text. Every message has dozens, and the general way of writing them costs more than all else in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Writes a number in decimal digits.
pub(crate) fn write_decimal(f: &mut impl fmt::Write, number: impl itoa::Integer) -> fmt::Result {
    f.write_str(itoa::Buffer::new().format(number))
}

/// Writes four numbers with dots between them.
pub(crate) fn write_ipv4(f: &mut impl fmt::Write, address: Ipv4Addr) -> fmt::Result {
    let [first, rest @ ..] = address.octets();
    write_decimal(f, first)?;
    for octet in rest {
        f.write_char('.')?;
        write_decimal(f, octet)?;
    }
    Ok(())
}

/// Writes an address and its port as [`SocketAddr`] shows itself.
pub(crate) fn write_socket_addr(f: &mut impl fmt::Write, address: SocketAddr) -> fmt::Result {
    match address.ip() {
        IpAddr::V4(ip) => {
            write_ipv4(f, ip)?;
            f.write_char(':')?;
            write_decimal(f, address.port())
        }
        IpAddr::V6(_) => write!(f, "{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_as_the_standard_library_does() {
        for text in ["0.0.0.0:0", "255.255.255.255:65535", "192.0.2.10:5060", "[2001:db8::1]:5061"] {
            let mut written = String::new();
            write_socket_addr(&mut written, text.parse().unwrap()).unwrap();
            assert_eq!(written, text);
        }
    }
}
