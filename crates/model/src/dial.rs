use crate::{AccountId, CallId, E164, Timestamp, TrunkId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// Whole dial strings that reach help (3GPP TS 22.101 §10.1.1 and national plans). They are routed only where a trunk's `prefixes`
/// name them whole, and never held back by limits of business.
pub const EMERGENCY_NUMBERS: &[&str] = &["000", "08", "110", "112", "113", "118", "119", "911", "933", "999"];

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialTarget {
    /// A telephone number, over a trunk.
    Number(E164),
    /// A whole emergency dial string, over a trunk that names it.
    Emergency(String),
    /// A SIP URI as written (checked by the edge): over the requested trunk's next hop, or straight to the host when no trunk is named.
    Uri(String),
}

impl DialTarget {
    /// The number as dialled, or the user part of the URI (the host when it has none), at most 255 characters.
    #[must_use]
    pub fn number(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::Emergency(digits) => digits,
            Self::Uri(uri) => {
                let rest = uri.split_once(':').map_or(uri.as_str(), |(_, rest)| rest);
                let address = rest.split([';', '?']).next().unwrap_or(rest);
                address.rsplit_once('@').map_or(address, |(user, _)| user)
            }
        }
    }
}

/// Who talks once the call is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Connect {
    /// The caller hears themselves.
    Echo,
    /// A tone, until somebody hangs up.
    Play {
        /// Frequencies in hertz, mixed with `+`: `1000`, `440+480`; each 100 to 3,800, at most four.
        tone: String,
    },
    /// A tone, while what comes back is listened to for it: a call that tests a trunk. It goes over the trunk that the order names and no
    /// other, also when the trunk is not well. No client can order it by name.
    Test,
    /// Another SIP address.
    Sip {
        /// A `sip:` URI.
        uri: String,
    },
    /// Another number, over routing.
    Number {
        /// E.164.
        number: E164,
    },
    /// The number that was called, over routing: a tandem call. Only for calls that come in.
    Forward,
}

impl Connect {
    /// Most frequencies in one tone.
    pub const MAX_TONES: usize = 4;
    /// Lowest frequency of a tone, in hertz.
    pub const MIN_TONE_HZ: u16 = 100;
    /// Highest frequency of a tone, in hertz: the telephone band ends at 3.4 kHz, and sampling at 4.
    pub const MAX_TONE_HZ: u16 = 3_800;

    /// Reads `play`'s tone.
    ///
    /// # Errors
    /// [`ParseConnectError`] says which part is wrong.
    pub fn parse_tone(tone: &str) -> Result<Vec<u16>, ParseConnectError> {
        let parts: Vec<&str> = tone.split('+').map(str::trim).collect();
        if parts.len() > Self::MAX_TONES {
            return Err(ParseConnectError::TooManyTones);
        }
        let read = |part: &&str| part.parse().ok().filter(|hz| (Self::MIN_TONE_HZ..=Self::MAX_TONE_HZ).contains(hz));
        parts.iter().map(|part| read(part).ok_or(ParseConnectError::Tone)).collect()
    }
}

/// What is wrong with a `connect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseConnectError {
    /// Not a frequency in the telephone band.
    #[error("a tone is a frequency of 100 to 3800 Hz, or several joined by +, as 440+480")]
    Tone,
    /// More than four.
    #[error("at most 4 frequencies are mixed")]
    TooManyTones,
}

/// A call to be placed, checked by the edge.
#[derive(Clone, Debug)]
pub struct DialOrder {
    /// On whose account.
    pub account_id: AccountId,
    /// The id that the call will have, when whoever orders it must find it again; else the switch draws one. An order whose call is
    /// there already places no other.
    pub call_id: Option<CallId>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Whom to call.
    pub to: DialTarget,
    /// From; else the trunk's caller id, else its user name. A number or a SIP user part, 1 to 64 characters.
    pub from: Option<String>,
    /// Only over this trunk, and then its failover trunk.
    pub trunk_id: Option<TrunkId>,
    /// Who talks once it is answered.
    pub connect: Connect,
    /// For the whole call until the answer, 1 to 300 s.
    pub ring_timeout: Duration,
    /// From the answer on, 1 to 86,400 s.
    pub max_duration: Duration,
    /// Sent with every INVITE of the call: `X-…` and a short list of others, checked by the edge.
    pub headers: BTreeMap<String, String>,
    /// Kept with the call log.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Opaque.
    pub conversation_id: Option<Uuid>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tones() {
        assert_eq!(Connect::parse_tone("1000"), Ok(vec![1_000]));
        assert_eq!(Connect::parse_tone("440 + 480"), Ok(vec![440, 480]));
        assert_eq!(Connect::parse_tone("9000"), Err(ParseConnectError::Tone));
        assert_eq!(Connect::parse_tone(""), Err(ParseConnectError::Tone));
        assert_eq!(Connect::parse_tone("400+401+402+403+404"), Err(ParseConnectError::TooManyTones));
    }

    #[test]
    fn names_the_user_part_of_a_uri() {
        assert_eq!(DialTarget::Uri("sip:bob@127.0.0.3:5080;transport=udp".into()).number(), "bob");
        assert_eq!(DialTarget::Uri("sip:127.0.0.3:5080".into()).number(), "127.0.0.3:5080");
    }

    #[test]
    fn connect_names_what_it_does_not_know() {
        let error = serde_json::from_str::<Connect>(r#"{"type":"fax"}"#).unwrap_err().to_string();
        assert!(error.contains("fax") && error.contains("echo"), "{error}");
    }
}
