use std::fmt;

/// UDP ports, both ends included; holds the ports of at least one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortRange {
    /// The lowest.
    pub(crate) first: u16,
    /// The highest.
    pub(crate) last: u16,
}

impl PortRange {
    /// Room for 2,500 calls, below the ports that Linux gives to outgoing connections (32768 and up).
    pub(super) const DEFAULT: Self = Self { first: 20_000, last: 29_999 };

    /// Pairs of an even port for RTP and the next one for RTCP (RFC 3550 §11) that lie wholly within.
    pub(crate) const fn pairs(self) -> u16 {
        let first_even = self.first.saturating_add(self.first % 2);
        if first_even > self.last { 0 } else { (self.last - first_even).div_ceil(2) }
    }

    /// Whether the port is one of them.
    pub(crate) const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Why a text is no range of RTP ports.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortRangeError {
    #[error("{0:?} is not a range of ports, as 20000-29999")]
    Syntax(String),
    #[error("the range {0} ends before it begins")]
    Reversed(PortRange),
    #[error("the range {0} reaches below {LOWEST}, where ports need root")]
    Privileged(PortRange),
    #[error("the range {0} does not hold two pairs of ports; a call takes four ports, the first of them even")]
    TooNarrow(PortRange),
}

/// Two ports with a hyphen between them.
pub(super) fn parse(text: &str) -> Result<PortRange, PortRangeError> {
    let (first, last) = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.trim().parse().ok()?, last.trim().parse().ok()?)))
        .ok_or_else(|| PortRangeError::Syntax(text.to_owned()))?;
    let range = PortRange { first, last };
    if last < first {
        Err(PortRangeError::Reversed(range))
    } else if first < LOWEST {
        Err(PortRangeError::Privileged(range))
    } else if range.pairs() < PAIRS_PER_CALL {
        Err(PortRangeError::TooNarrow(range))
    } else {
        Ok(range)
    }
}

/// Ports below are the system's (RFC 6335 §6).
const LOWEST: u16 = 1024;
/// One for each of two legs.
const PAIRS_PER_CALL: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_pairs_that_lie_wholly_within() {
        let pairs = |first, last| PortRange { first, last }.pairs();
        assert_eq!(PortRange::DEFAULT.pairs(), 5_000);
        assert_eq!(pairs(20_000, 20_003), 2);
        assert_eq!(pairs(20_001, 20_004), 1);
        assert_eq!(pairs(20_000, 20_000), 0);
        assert_eq!(pairs(20_001, 20_001), 0);
        assert_eq!(pairs(65_535, 65_535), 0);
        assert_eq!(pairs(65_532, 65_535), 2);
    }

    #[test]
    fn refuses_a_bad_range() {
        for (text, expected) in [
            ("20000", "as 20000-29999"),
            ("20000-70000", "as 20000-29999"),
            ("a-b", "as 20000-29999"),
            ("30000-20000", "ends before it begins"),
            ("100-2000", "need root"),
            ("20001-20004", "four ports"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert_eq!(parse("20000 - 20003"), Ok(PortRange { first: 20_000, last: 20_003 }));
    }
}
