//! What a far end does when it is called.

use std::time::Duration;

/// What a call meets, step by step. After the last step nothing more happens by itself.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub(crate) steps: Vec<Step>,
    /// Methods whose first requests are taken for lost.
    pub(crate) lost: Vec<(&'static str, usize)>,
    /// A CANCEL comes too late: the INVITE is answered with 200 all the same.
    pub(crate) answers_canceled: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Wait(Duration),
    /// A response to the INVITE. A 2xx is resent until its ACK comes.
    Respond {
        status: u16,
        headers: Vec<(String, String)>,
        body: Option<Sdp>,
        /// Instead of the call's own To tag: another branch of a fork answers.
        tag: Option<&'static str>,
    },
    /// A 401 or 407. The steps after it are for the INVITE that brings credentials.
    Challenge {
        status: u16,
    },
    /// A re-INVITE with this direction, as seen by the far end; waits for nothing.
    Reinvite {
        direction: &'static str,
        /// From another port.
        moved: bool,
    },
    /// A re-INVITE without a body.
    AskForOffer,
    Bye,
}

/// What stands in a body.
#[derive(Clone, Debug)]
pub(crate) enum Sdp {
    /// A right answer, with audio.
    Answer(Audio),
    /// This text.
    Text(String),
}

/// What a far end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audio {
    /// What it hears.
    Echo,
    /// A steady tone of so many hertz.
    Tone(u16),
    /// Nothing at all: no packet is sent.
    Mute,
}

impl Script {
    /// Takes no notice of the INVITE.
    #[must_use]
    pub fn silent() -> Self {
        Self::default()
    }

    /// Does nothing for a while.
    #[must_use]
    pub fn wait(self, length: Duration) -> Self {
        self.step(Step::Wait(length))
    }

    /// Answers with a bare status.
    #[must_use]
    pub fn respond(self, status: u16) -> Self {
        self.step(Step::Respond { status, tag: None, headers: Vec::new(), body: None })
    }

    /// Answers with a status and a header.
    #[must_use]
    pub fn respond_with(self, status: u16, name: &str, value: &str) -> Self {
        self.step(Step::Respond { status, tag: None, headers: vec![(name.to_owned(), value.to_owned())], body: None })
    }

    /// Answers 183 and opens the audio.
    #[must_use]
    pub fn early_media(self, audio: Audio) -> Self {
        self.step(Step::Respond { status: 183, tag: None, headers: Vec::new(), body: Some(Sdp::Answer(audio)) })
    }

    /// Answers 200 with audio.
    #[must_use]
    pub fn answer(self, audio: Audio) -> Self {
        self.step(Step::Respond { status: 200, tag: None, headers: Vec::new(), body: Some(Sdp::Answer(audio)) })
    }

    /// Answers 200 with this SDP, right or wrong.
    #[must_use]
    pub fn answer_text(self, sdp: &str) -> Self {
        self.step(Step::Respond { status: 200, tag: None, headers: Vec::new(), body: Some(Sdp::Text(sdp.to_owned())) })
    }

    /// Asks for credentials; goes on when an INVITE brings any.
    #[must_use]
    pub fn challenge(self, status: u16) -> Self {
        self.step(Step::Challenge { status })
    }

    /// Changes the session: `sendonly` is hold, `sendrecv` takes it back.
    #[must_use]
    pub fn reinvite(self, direction: &'static str) -> Self {
        self.step(Step::Reinvite { direction, moved: false })
    }

    /// Moves the audio to another port.
    #[must_use]
    pub fn move_media(self) -> Self {
        self.step(Step::Reinvite { direction: "sendrecv", moved: true })
    }

    /// Changes the session without an offer of its own (RFC 3261 §14.1).
    #[must_use]
    pub fn ask_for_offer(self) -> Self {
        self.step(Step::AskForOffer)
    }

    /// Answers 200 with audio and these headers.
    #[must_use]
    pub fn answer_with(self, audio: Audio, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.step(Step::Respond { status: 200, headers, body: Some(Sdp::Answer(audio)), tag: None })
    }

    /// Answers as another branch of a fork, with audio where it is a 2xx.
    #[must_use]
    pub fn respond_as(self, tag: &'static str, status: u16) -> Self {
        let body = (status >= 200).then_some(Sdp::Answer(Audio::Echo));
        self.step(Step::Respond { status, headers: Vec::new(), body, tag: Some(tag) })
    }

    /// Takes the first requests of a method for lost: they are shown, and not acted upon.
    #[must_use]
    pub fn lose(mut self, method: &'static str, count: usize) -> Self {
        self.lost.push((method, count));
        self
    }

    /// Answers the INVITE with 200 when it is canceled: the two have crossed.
    #[must_use]
    pub const fn answer_when_canceled(mut self) -> Self {
        self.answers_canceled = true;
        self
    }

    /// Hangs up.
    #[must_use]
    pub fn bye(self) -> Self {
        self.step(Step::Bye)
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What a user part asks for by its name, so that a dialled URI says what it meets:
    ///
    /// `echo`, `mute`, `tone700`; `silent`, `trying`, `ring`; `s486` or any other status, `s503r2` with Retry-After 2;
    /// `auth` (407, then `echo`), `authbad` (407 whatever comes); `nosdp`, `badsdp`, `opusonly`; `hangup300` (echo for 300 ms,
    /// then BYE), `late5000` (nothing for 5 s, then 200), `early600` (a tone of 600 Hz in 183, 1 s later 200), `hold`.
    /// Anything else is `echo`.
    #[must_use]
    pub fn named(user: &str) -> Self {
        let trying = || Self::silent().respond(100);
        let ringing = || trying().respond(180);
        let number = |prefix: &str| user.strip_prefix(prefix).and_then(|digits| digits.parse::<u16>().ok());
        match user {
            "mute" => return ringing().answer(Audio::Mute),
            "silent" => return Self::silent(),
            "trying" => return trying(),
            "ring" => return ringing(),
            "auth" => return Self::silent().challenge(407).respond(180).answer(Audio::Echo),
            "authbad" => return Self::silent().challenge(407).challenge(407).challenge(407).challenge(407),
            "nosdp" => return trying().respond(200),
            "badsdp" => return trying().answer_text("v=0\r\nthis is no SDP\r\n"),
            "opusonly" => return trying().answer_text(OPUS_ONLY),
            "hold" => {
                let pause = Duration::from_millis(400);
                let held = ringing().answer(Audio::Tone(1_000)).wait(pause).reinvite("sendonly").wait(pause);
                return held.reinvite("sendrecv");
            }
            _ => {}
        }
        if let Some(hz) = number("tone") {
            ringing().answer(Audio::Tone(hz))
        } else if let Some(ms) = number("hangup") {
            ringing().answer(Audio::Echo).wait(Duration::from_millis(ms.into())).bye()
        } else if let Some(ms) = number("late") {
            Self::silent().wait(Duration::from_millis(ms.into())).answer(Audio::Echo)
        } else if let Some(hz) = number("early") {
            trying().early_media(Audio::Tone(hz)).wait(Duration::from_secs(1)).answer(Audio::Echo)
        } else if let Some(status) = number("s") {
            trying().respond(status)
        } else if let Some((status, seconds)) = user.strip_prefix('s').and_then(|rest| rest.split_once('r'))
            && let Ok(status) = status.parse()
        {
            trying().respond_with(status, "Retry-After", seconds)
        } else {
            ringing().answer(Audio::Echo)
        }
    }
}

/// An answer with nothing that was offered.
const OPUS_ONLY: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n";
