//! What each number does, as data.

use std::time::Duration;

use tandem_media::engine::{Sink, Source};
use tandem_media::tone::{Beat, DEFAULT_LEVEL_DBM0, ToneSpec};
use tandem_sip::message::{StatusCode, Uri};

use crate::line::Impairment;

/// A number of the carrier and what it does.
#[derive(Debug)]
pub struct Persona {
    /// The number in E.164, without the `+`.
    pub digits: &'static str,
    /// For people: what a call to it meets.
    pub summary: &'static str,
    /// What it does on the first address.
    first: &'static Behaviour,
    /// What it does on the second address.
    second: &'static Behaviour,
}

/// Which of the carrier's two addresses was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Here some numbers misbehave.
    First,
    /// Here they do not.
    Second,
}

/// What a number does on one address.
#[derive(Debug)]
pub(crate) struct Behaviour {
    /// How long its INVITE is left unheard: not even a 100 is sent. Then the script begins.
    pub(crate) silence: Duration,
    /// What the line does to what it says; `None` on a good one.
    pub(crate) line: Option<Impairment>,
    /// What it does then. It ends with a refusal, or the caller ends the call.
    pub(crate) script: &'static [Step],
}

/// One step of a script.
#[derive(Debug)]
pub(crate) struct Step {
    /// How long after the step before it.
    pub(crate) after: Duration,
    pub(crate) act: Act,
}

/// What is done in a step.
#[derive(Debug)]
pub(crate) enum Act {
    /// 180.
    Ring,
    /// 183 with a session description: the audio path opens before the answer.
    EarlyMedia(Talk),
    /// 200.
    Answer(Talk),
    /// A final response that is none of success.
    Refuse {
        status: StatusCode,
        /// Retry-After, in seconds.
        retry_after: Option<u32>,
    },
    /// BYE.
    HangUp,
}

/// What the audio of a call is from a step on.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) says: Says,
    /// What becomes of what the caller says.
    pub(crate) hears: Sink,
}

/// What the caller hears.
#[derive(Debug)]
pub(crate) enum Says {
    /// Only what `hears` sends back.
    Nothing,
    Tone {
        frequencies_hz: &'static [u16],
        /// Steady without beats.
        cadence: &'static [Beat],
    },
}

impl Persona {
    /// Who is reached by a Request-URI: by its user with or without a `+`. Anyone else's number is not assigned.
    pub(crate) fn of(uri: &Uri) -> Option<&'static Self> {
        let digits = called_digits(uri)?;
        PERSONAS.iter().find(|persona| persona.digits == digits)
    }

    pub(crate) fn behaviour(&self, address: Address) -> &'static Behaviour {
        match address {
            Address::First => self.first,
            Address::Second => self.second,
        }
    }
}

impl Behaviour {
    /// Whether a call gets as far as audio.
    pub(crate) fn has_audio(&self) -> bool {
        self.script.iter().any(|step| match step.act {
            Act::EarlyMedia(_) | Act::Answer(_) => true,
            Act::Ring | Act::Refuse { .. } | Act::HangUp => false,
        })
    }
}

impl Says {
    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Nothing => Source::None,
            // A tone out of range would be heard as silence; a test has each of them tried.
            Self::Tone { frequencies_hz, cadence } => {
                ToneSpec::new(frequencies_hz, cadence, DEFAULT_LEVEL_DBM0).map_or(Source::Silence, Source::Tone)
            }
        }
    }
}

/// The number called as plain digits. Parameters in the user part (RFC 3398's `;npdi`, for one) do not count.
fn called_digits(uri: &Uri) -> Option<String> {
    let number = match uri {
        Uri::Sip(sip) => sip.user()?.into_owned(),
        Uri::Tel(tel) => tel.digits(),
        Uri::Other(_) => return None,
    };
    let number = number.split(';').next()?;
    Some(number.strip_prefix('+').unwrap_or(number).to_owned())
}

/// All numbers that are assigned.
pub const PERSONAS: &[Persona] = &[
    Persona { digits: "12025550100", summary: "rings 1 s, answers, echoes audio", first: &ECHO, second: &ECHO },
    Persona {
        digits: "12025550101",
        summary: "answers, plays a tone pattern, hangs up after 5 s",
        first: &TONE_PATTERN,
        second: &TONE_PATTERN,
    },
    Persona { digits: "12025550102", summary: "486 Busy", first: &BUSY, second: &BUSY },
    Persona { digits: "12025550103", summary: "rings for ever", first: &RING_FOR_EVER, second: &RING_FOR_EVER },
    Persona {
        digits: "12025550104",
        summary: "503 with Retry-After 2 on the first address; on the second as 0100",
        first: &UNAVAILABLE,
        second: &ECHO,
    },
    Persona { digits: "12025550105", summary: "404", first: &UNASSIGNED, second: &UNASSIGNED },
    Persona {
        digits: "12025550106",
        summary: "early media (183 with SDP), answers after 2 s",
        first: &EARLY_MEDIA,
        second: &EARLY_MEDIA,
    },
    Persona {
        digits: "12025550109",
        summary: "silent for 8 s, then 200 to the first INVITE, on the first address; on the second as 0100",
        first: &SILENT,
        second: &ECHO,
    },
    Persona {
        digits: "12025550110",
        summary: "answers, plays a steady tone with 5 % loss and 30 ms jitter",
        first: &BAD_LINE,
        second: &BAD_LINE,
    },
];

/// What a number without a persona does.
pub(crate) const UNASSIGNED: Behaviour =
    promptly(&[now(Act::Refuse { status: StatusCode::NOT_FOUND, retry_after: None })]);

const ECHO: Behaviour = promptly(&[now(Act::Ring), after(Duration::from_secs(1), Act::Answer(ECHOING))]);

const TONE_PATTERN: Behaviour = promptly(&[
    now(Act::Answer(Talk {
        says: Says::Tone {
            frequencies_hz: &[1_000],
            cadence: &[Beat { on: Duration::from_millis(400), off: Duration::from_millis(400) }],
        },
        hears: Sink::Discard,
    })),
    after(Duration::from_secs(5), Act::HangUp),
]);

const BUSY: Behaviour = promptly(&[now(Act::Refuse { status: StatusCode::BUSY_HERE, retry_after: None })]);

const RING_FOR_EVER: Behaviour = promptly(&[now(Act::Ring)]);

const UNAVAILABLE: Behaviour =
    promptly(&[now(Act::Refuse { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(2) })]);

const EARLY_MEDIA: Behaviour = promptly(&[
    now(Act::EarlyMedia(Talk { says: Says::Tone { frequencies_hz: &[600], cadence: &[] }, hears: Sink::Discard })),
    after(Duration::from_secs(2), Act::Answer(ECHOING)),
]);

const SILENT: Behaviour =
    Behaviour { silence: Duration::from_secs(8), line: None, script: &[now(Act::Answer(ECHOING))] };

/// A tone and no echo: it goes out fifty times a second whatever is heard, so that what is missing can be counted from the first
/// second, and a steady one has a gap where a packet is missing.
const BAD_LINE: Behaviour = Behaviour {
    silence: Duration::ZERO,
    line: Some(Impairment::BAD),
    script: &[now(Act::Answer(Talk {
        says: Says::Tone { frequencies_hz: &[800], cadence: &[] },
        hears: Sink::Discard,
    }))],
};

const ECHOING: Talk = Talk { says: Says::Nothing, hears: Sink::Echo };

const fn promptly(script: &'static [Step]) -> Behaviour {
    Behaviour { silence: Duration::ZERO, line: None, script }
}

const fn now(act: Act) -> Step {
    after(Duration::ZERO, act)
}

const fn after(after: Duration, act: Act) -> Step {
    Step { after, act }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tone_can_be_made() {
        for persona in PERSONAS {
            for behaviour in [persona.first, persona.second] {
                for step in behaviour.script {
                    let (Act::EarlyMedia(talk) | Act::Answer(talk)) = &step.act else { continue };
                    assert_ne!(talk.says.source(), Source::Silence, "{}", persona.digits);
                }
            }
        }
    }

    #[test]
    fn a_number_is_found_with_and_without_plus_and_parameters() {
        for uri in [
            "sip:+12025550100@192.0.2.1",
            "sip:12025550100@192.0.2.1:5070;user=phone",
            "sip:%2B12025550100@192.0.2.1",
            "sip:+12025550100;npdi@192.0.2.1",
            "tel:+1-202-555-0100",
        ] {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            assert_eq!(Persona::of(&uri).map(|persona| persona.digits), Some("12025550100"), "{uri}");
        }
    }

    #[test]
    fn other_numbers_are_nobody() {
        for uri in ["sip:+12025550199@192.0.2.1", "sip:2025550100@192.0.2.1", "sip:192.0.2.1", "mailto:a@example.com"] {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            assert!(Persona::of(&uri).is_none(), "{uri}");
        }
    }
}
