//! What the carrier saw, for a log.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tandem_media::dtmf::Digit;
use tandem_media::engine::PortStats;
use tandem_media::offer_answer::NegotiationError;
use tandem_model::Timestamp;
use tandem_sip::message::StatusCode;

use crate::persona::Address;

/// One call to the carrier, counted from 1; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallNumber(pub u64);

/// Something that the carrier saw. `Display` is a line for a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// When.
    pub at: Timestamp,
    /// In which call.
    pub call: CallNumber,
    /// What.
    pub happening: Happening,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// An INVITE came; the first report of each call.
    Seen {
        /// User and host of the Request-URI.
        called: String,
        /// User and host of From.
        from: String,
        /// The Call-ID.
        sip_call_id: String,
        /// Where it came from.
        remote: SocketAddr,
        /// Which address was asked.
        address: Address,
    },
    /// 180 was sent.
    Ringing,
    /// 183 with a session description was sent.
    EarlyMedia,
    /// 200 was sent.
    Answered,
    /// The session description cannot be served: a 488 follows, or a BYE if it came with the ACK.
    MediaRefused(MediaRefusal),
    /// A final response other than 200 was sent.
    Refused(StatusCode),
    /// The first audio of the caller arrived.
    AudioArrived,
    /// The caller pressed a key.
    Digit(Digit),
    /// The caller changed the session by a re-INVITE (hold and resume, for example).
    Changed {
        /// The caller wants to hear us.
        sending: bool,
        /// The caller talks to us.
        receiving: bool,
    },
    /// The last report of each call.
    Ended {
        /// How.
        ending: Ending,
        /// From the 200 to the end; `None` for a call that was not answered.
        answered_for: Option<Duration>,
        /// What its media port counted; `None` for a call without audio.
        heard: Option<Heard>,
    },
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// We refused it.
    Refused,
    /// The caller gave up before the answer.
    Canceled,
    /// The caller sent BYE.
    CallerHungUp,
    /// We sent BYE.
    CarrierHungUp,
    /// The caller never acknowledged our 200.
    NoAck,
    /// The transport failed.
    Transport,
}

/// What a call's media port counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// RTP packets from the caller.
    pub packets_received: u64,
    /// Of those the caller sent, how many never came. `None` when nothing was received.
    pub packets_lost: Option<u64>,
    /// RTP packets to the caller.
    pub packets_sent: u64,
}

/// Why a session description is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRefusal {
    /// Nothing can be agreed.
    Negotiation(NegotiationError),
    /// Audio is wanted at an address that may not call the carrier: it is not turned against third parties.
    ForeignAddress(IpAddr),
    /// The ACK of a 200 with an offer brought no answer.
    NoAnswer,
}

impl From<NegotiationError> for MediaRefusal {
    fn from(error: NegotiationError) -> Self {
        Self::Negotiation(error)
    }
}

impl From<&PortStats> for Heard {
    fn from(stats: &PortStats) -> Self {
        Self {
            packets_received: stats.received.packets,
            packets_lost: stats.received.lost,
            packets_sent: stats.sent.packets,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}: {}", self.call.0, self.happening)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seen { called, from, sip_call_id, remote, address } => {
                write!(f, "{from} calls {called} from {remote} on the {address} address, Call-ID {sip_call_id}")
            }
            Self::Ringing => f.write_str("ringing"),
            Self::EarlyMedia => f.write_str("early media"),
            Self::Answered => f.write_str("answered"),
            Self::MediaRefused(refusal) => write!(f, "media refused: {refusal}"),
            Self::Refused(status) => write!(f, "refused with {} {}", status.as_u16(), status.reason_phrase()),
            Self::AudioArrived => f.write_str("audio arrives"),
            Self::Digit(digit) => write!(f, "key {digit}"),
            Self::Changed { sending, receiving } => {
                let direction = match (sending, receiving) {
                    (true, true) => "both ways",
                    (true, false) => "to the caller only",
                    (false, true) => "from the caller only",
                    (false, false) => "neither way",
                };
                write!(f, "audio goes {direction}")
            }
            Self::Ended { ending, answered_for, heard } => {
                write!(f, "ended, {ending}")?;
                if let Some(time) = answered_for {
                    write!(f, ", after {}.{:03} s", time.as_secs(), time.subsec_millis())?;
                }
                match heard {
                    Some(Heard { packets_received, packets_lost, packets_sent }) => {
                        write!(f, "; {packets_received} packets received, {packets_sent} sent")?;
                        packets_lost.map_or(Ok(()), |lost| write!(f, ", {lost} lost"))
                    }
                    None => f.write_str("; no audio"),
                }
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Canceled => "canceled by the caller",
            Self::CallerHungUp => "the caller hung up",
            Self::CarrierHungUp => "the carrier hung up",
            Self::NoAck => "the answer was never acknowledged",
            Self::Transport => "the transport failed",
        })
    }
}

impl fmt::Display for MediaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Negotiation(error) => error.fmt(f),
            Self::ForeignAddress(address) => write!(f, "{address} may not call, and so gets no audio"),
            Self::NoAnswer => f.write_str("the ACK brought no answer to our offer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_for_people() {
        let line =
            |happening| Report { at: Timestamp::from_unix_micros(0), call: CallNumber(3), happening }.to_string();
        let seen = Happening::Seen {
            called: "+12025550100@127.0.0.2".into(),
            from: "+12025550190@127.0.0.1".into(),
            sip_call_id: "abc".into(),
            remote: "127.0.0.1:5060".parse().unwrap(),
            address: Address::First,
        };
        assert_eq!(
            line(seen),
            "call 3: +12025550190@127.0.0.1 calls +12025550100@127.0.0.2 from 127.0.0.1:5060 on the first \
             address, Call-ID abc"
        );
        assert_eq!(line(Happening::Refused(StatusCode::BUSY_HERE)), "call 3: refused with 486 Busy Here");
        let heard = Heard { packets_received: 250, packets_lost: Some(2), packets_sent: 248 };
        let ended = Happening::Ended {
            ending: Ending::CallerHungUp,
            answered_for: Some(Duration::from_millis(5_020)),
            heard: Some(heard),
        };
        assert_eq!(
            line(ended),
            "call 3: ended, the caller hung up, after 5.020 s; 250 packets received, 248 sent, 2 lost"
        );
    }
}
