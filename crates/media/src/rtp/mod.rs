//! RTP: the header on the wire, and what can be learned from the packets of one sender (RFC 3550).

mod packet;
mod reception;

pub use packet::{HEADER_LEN, Header, RtpError, parse};
pub(crate) use reception::{Arrival, Reception, ReportBase};

/// The largest gap in the sequence that is taken for loss (RFC 3550 A.1). At 50 packets a second it is a minute.
pub(crate) const MAX_DROPOUT: i16 = 3_000;
/// How far behind the newest a packet may be and still belong to the stream (RFC 3550 A.1): two seconds.
pub(crate) const MAX_MISORDER: i16 = 100;

/// How far `to` is ahead of `from` in a sequence that wraps; negative when it is behind.
pub(crate) const fn sequence_distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from).cast_signed()
}

/// How far `to` is ahead of `from` in media time that wraps; negative when it is behind.
pub(crate) const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from).cast_signed()
}

/// Media time that passes in `elapsed` at `clock_rate`, wrapped to the 32 bits of an RTP timestamp.
pub(crate) fn media_time(elapsed: std::time::Duration, clock_rate: u32) -> u32 {
    let rate = u64::from(clock_rate);
    let whole = elapsed.as_secs().wrapping_mul(rate);
    let part = u64::from(elapsed.subsec_nanos()) * rate / 1_000_000_000;
    wrap(whole.wrapping_add(part))
}

/// Media time in microseconds, as far as that fits.
pub(crate) fn media_time_us(units: u32, clock_rate: u32) -> u32 {
    let micros = u64::from(units) * 1_000_000 / u64::from(clock_rate.max(1));
    u32::try_from(micros).unwrap_or(u32::MAX)
}

/// The low 32 bits: counters and times of RTP and RTCP wrap there.
#[expect(clippy::cast_possible_truncation, reason = "wrapping is what it is for")]
pub(crate) const fn wrap(count: u64) -> u32 {
    count as u32
}
