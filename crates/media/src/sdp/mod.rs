//! Session descriptions (RFC 8866).
//!
//! [`Session::parse`] reads what peers send and [`Session::to_bytes`] writes it again without loss: each line is kept,
//! also attributes that nobody here knows. The parser is liberal where phones are known to be sloppy (bare LF, lines in
//! another order, blank lines at the end, no `s=` or `t=`) and strict where a guess would send media astray (addresses,
//! ports, payload types). Printing always gives the order and the line ends of RFC 8866.

mod address;
mod attribute;
mod error;
mod media;
mod parse;
mod print;
mod text;

pub use address::{AddressFamily, Connection, Host};
pub use attribute::{Attribute, Direction, RtcpAddress, RtpMap};
pub use error::ParseError;
pub use media::{Media, MediaKind, Protocol};
pub use text::{KeyText, Text};

/// The largest body that is read: what one UDP datagram can carry.
pub const MAX_BYTES: usize = 65_535;

/// Longest line in bytes. The longest known in practice, a certificate in an attribute, is a third of this.
pub const MAX_LINE_BYTES: usize = 8_192;

/// Most lines. A browser's offer with a dozen streams has about a thousand.
pub const MAX_LINES: usize = 2_048;

/// Most `m=` lines. Conference bridges offer a dozen.
pub const MAX_MEDIA: usize = 64;

/// Most formats in an `m=` line: there are 128 RTP payload types.
pub const MAX_FORMATS: usize = 128;

/// A session description (RFC 8866 §5), its parts in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `o=`
    pub origin: Origin,
    /// `s=`; `-` when the peer left it out.
    pub name: Text,
    /// `i=`
    pub information: Option<Text>,
    /// `u=`
    pub uri: Option<Text>,
    /// `e=`
    pub emails: Vec<Text>,
    /// `p=`
    pub phones: Vec<Text>,
    /// `c=`, for streams that have none of their own.
    pub connection: Option<Connection>,
    /// `b=`
    pub bandwidths: Vec<Text>,
    /// `t=`, `r=` and `z=`, of which there is at least one; `t=0 0` when the peer left them out.
    pub times: Vec<TimeLine>,
    /// `k=`, which RFC 8866 made obsolete.
    pub key: Option<KeyText>,
    /// `a=` before the first `m=`.
    pub attributes: Vec<Attribute>,
    /// `m=` with what follows it.
    pub media: Vec<Media>,
}

/// Who made the description, and which edition it is (RFC 8866 §5.2).
///
/// The fields are kept as they came: phones write negative numbers and names that no one can resolve here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The user's login, `-` for none. May hold blanks, against the grammar.
    pub username: Text,
    /// Unique together with the user name and the address.
    pub session_id: Text,
    /// Goes up by one with each change (RFC 3264 §8).
    pub session_version: Text,
    /// `IN`
    pub network: Text,
    /// `IP4` or `IP6`
    pub family: Text,
    /// The address of the machine that made the session; media does not go there.
    pub address: Text,
}

/// A line of the time description (RFC 8866 §5.9 to §5.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeLine {
    /// `t=`: start and stop.
    Active(Text),
    /// `r=`: repetition of the `t=` before it.
    Repeat(Text),
    /// `z=`: time zone adjustments.
    Zone(Text),
}

impl TimeLine {
    /// `t=0 0`: not bounded, what SIP uses (RFC 3264 §5).
    pub fn unbounded() -> Self {
        Self::Active("0 0".into())
    }
}

impl Session {
    /// The direction of `media`: its own attribute, else the session's, else both ways (RFC 8866 §6.7).
    pub fn direction_of(&self, media: &Media) -> Direction {
        Direction::among(&media.attributes)
            .or_else(|| Direction::among(&self.attributes))
            .unwrap_or(Direction::SendRecv)
    }

    /// The `c=` line that holds for `media`: its own, else the session's (RFC 8866 §5.7).
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connections.first().or(self.connection.as_ref())
    }
}
