//! The bounds of a message. What is beyond them is refused, never cut.

/// The largest message, start line to body, in octets.
///
/// A UDP datagram cannot be larger (RFC 3261 §18.1.1), and no signalling we carry comes near it over a stream.
pub const MAX_MESSAGE_BYTES: usize = 65_536;

/// The most header lines of a message. Long Via and Record-Route chains have some dozens; a message with more than
/// this is an attack on whoever indexes it.
pub const MAX_HEADERS: usize = 256;

/// The longest header, folds included, in octets. Identity tokens and long option lists reach 8 KiB of value.
pub const MAX_HEADER_BYTES: usize = 16_384;

/// The longest start line in octets. A Request-URI with all its parameters has some hundreds.
pub const MAX_START_LINE_BYTES: usize = 8_192;

/// The longest method name in octets. The longest registered one has 9.
pub const MAX_METHOD_BYTES: usize = 64;

/// The longest Call-ID in octets. Real ones have up to about 150; we keep it for the life of a call.
pub const MAX_CALL_ID_BYTES: usize = 512;

/// The longest tag or branch in octets. Each is kept for the life of its dialog or transaction.
pub const MAX_IDENTIFIER_BYTES: usize = 512;

/// The most values of one typed list (Via, Route, Record-Route, Contact). RFC 3261 §8.1.1.6 starts Max-Forwards
/// at 70, so a request passes no more than 70 proxies.
pub const MAX_LIST_VALUES: usize = 100;

/// The most empty lines in front of a start line (RFC 3261 §7.5) that are skipped.
pub const MAX_LEADING_CRLF: usize = 8;
