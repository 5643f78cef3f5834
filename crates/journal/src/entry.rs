use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tandem_model::{CallId, LegId, Record, Timestamp, Transport};

/// One thing that must not be forgotten.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Goes on to the store, in order. The first state of a call comes before its legs and events.
    Record(Record),
    /// What is needed to end this leg from another process; replaces what was kept for it.
    Keep {
        /// Which leg.
        leg: LegId,
        /// Of which call.
        call: CallId,
        /// What.
        kept: Kept,
    },
    /// The leg is over: nothing need be kept for it.
    Forget {
        /// Which leg.
        leg: LegId,
    },
    /// The process was alive.
    Heartbeat {
        /// When.
        at: Timestamp,
    },
}

/// What is needed to end a leg from another process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// Our INVITE, which has no final answer yet.
    Invite {
        /// Where it went.
        flow: KeptFlow,
        /// The message as sent.
        #[serde(with = "octets")]
        octets: Vec<u8>,
    },
    /// An INVITE to us that has no final answer yet.
    WaitingCaller {
        /// Where it came from.
        flow: KeptFlow,
        /// The message as received.
        #[serde(with = "octets")]
        octets: Vec<u8>,
        /// Our tag in what it was answered so far.
        #[serde(default)]
        to_tag: String,
    },
    /// Such an INVITE after our 2xx, which nobody has acknowledged yet.
    AnsweredCaller {
        /// Where it came from.
        flow: KeptFlow,
        /// The message as received.
        #[serde(with = "octets")]
        octets: Vec<u8>,
        /// The printed dialog.
        text: String,
    },
    /// An established dialog, in the printed form of the SIP stack.
    Dialog {
        /// The printed dialog.
        text: String,
    },
}

/// Between which addresses a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFlow {
    /// Over what.
    pub transport: Transport,
    /// Our address.
    pub local: SocketAddr,
    /// The far address.
    pub remote: SocketAddr,
}

/// Octets as base64 text: a third longer, where serde's own sequence of numbers is three times as long.
mod octets {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(octets))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}
