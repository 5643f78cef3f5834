//! One call playing its script.

use std::slice;
use std::time::{Duration, Instant};

use tandem_media::engine::PortStats;
use tandem_model::Now;
use tandem_sip::endpoint::{self, SessionId};
use tandem_sip::message::{Body, Header, HeaderName, StatusCode};

use crate::exchange::Exchange;
use crate::persona::{Act, Step, Talk};
use crate::report::{CallNumber, Ending, Happening};
use crate::voice::Voice;

/// One call.
///
/// ```text
/// Early ──answer──► Answered ──BYE of ours──┐
///   │ └──refusal────────────────────────► Leaving
///   │                  │                    │
///   └─ CANCEL          └─ BYE               │
///         └────────────┴──── session ended ─┴──► Closing ── port closed ──► (over)
/// ```
#[derive(Debug)]
pub(crate) struct Call {
    number: CallNumber,
    session: SessionId,
    /// The steps that are left.
    script: slice::Iter<'static, Step>,
    phase: Phase,
    /// Absent where the script has no audio.
    voice: Option<Voice>,
}

#[derive(Debug)]
enum Phase {
    /// Not answered. `due` is the next step, or the end of patience.
    Early { due: Instant },
    /// Answered. `due` likewise.
    Answered { since: Instant, due: Instant },
    /// We refused or hung up, and the endpoint has yet to wind up the session.
    Leaving { answered_for: Option<Duration> },
    /// Of the session nothing is left; the media port is closing.
    Closing { ending: Ending, answered_for: Option<Duration> },
}

/// Whether a call goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Life {
    On,
    /// Its last report was made. Nothing will come of it any more.
    Over,
}

impl Call {
    /// A call whose script has not begun: [`Self::handle_timeout`] begins it.
    pub(crate) fn new(
        number: CallNumber,
        session: SessionId,
        script: &'static [Step],
        voice: Option<Voice>,
        now: Now,
    ) -> Self {
        let due = due_after(now.instant, script);
        Self { number, session, script: script.iter(), phase: Phase::Early { due }, voice }
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    pub(crate) fn voice(&self) -> Option<&Voice> {
        self.voice.as_ref()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Early { due } | Phase::Answered { due, .. } => Some(due),
            Phase::Leaving { .. } | Phase::Closing { .. } => None,
        }
    }

    /// Plays the steps that are due.
    pub(crate) fn handle_timeout(&mut self, exchange: &mut Exchange, now: Now) {
        while let Some(due) = self.poll_timeout()
            && due <= now.instant
        {
            match self.script.next() {
                Some(step) => self.play(step, due, exchange, now),
                None => self.lose_patience(exchange, now),
            }
        }
    }

    /// The peer acknowledged a 200 of ours.
    pub(crate) fn acknowledged(&mut self, body: Option<&[u8]>, exchange: &mut Exchange, now: Now) {
        let Some(voice) = &mut self.voice else { return };
        match voice.acknowledge(body, &exchange.callers) {
            Ok(true) => voice.connect(exchange),
            Ok(false) => {}
            Err(refusal) => {
                exchange.report(self.number, Happening::MediaRefused(refusal), now);
                self.hang_up(exchange, now);
            }
        }
    }

    /// The peer wants to change the session.
    pub(crate) fn reinvited(&mut self, offer: Option<&[u8]>, exchange: &mut Exchange, now: Now) {
        let Some(voice) = &mut self.voice else {
            // Without audio nothing was ever answered, so there is no dialog to come in.
            exchange.endpoint.reject_reinvite(self.session, StatusCode::NOT_ACCEPTABLE_HERE, now.instant);
            return;
        };
        if let Err(refusal) = voice.renegotiate(offer, &exchange.callers) {
            exchange.report(self.number, Happening::MediaRefused(refusal), now);
            exchange.endpoint.reject_reinvite(self.session, StatusCode::NOT_ACCEPTABLE_HERE, now.instant);
            return;
        }
        exchange.endpoint.answer_reinvite(self.session, Some(Body::sdp(voice.description())), now.instant);
        voice.connect(exchange);
        if let Some(direction) = voice.direction() {
            let changed = Happening::Changed { sending: direction.sends(), receiving: direction.receives() };
            exchange.report(self.number, changed, now);
        }
    }

    /// Nothing is left of the session.
    pub(crate) fn session_ended(&mut self, ending: endpoint::Ending, exchange: &mut Exchange, now: Now) -> Life {
        let answered_for = match self.phase {
            Phase::Early { .. } => None,
            Phase::Answered { since, .. } => Some(now.instant.saturating_duration_since(since)),
            Phase::Leaving { answered_for } | Phase::Closing { answered_for, .. } => answered_for,
        };
        self.phase = Phase::Closing { ending: Ending::from(ending), answered_for };
        if let Some(voice) = &mut self.voice {
            voice.close(exchange);
        }
        self.conclude(exchange, now)
    }

    /// The media port is closed.
    pub(crate) fn port_closed(&mut self, stats: &PortStats, exchange: &mut Exchange, now: Now) -> Life {
        if let Some(voice) = &mut self.voice {
            voice.closed(stats);
        }
        self.conclude(exchange, now)
    }

    fn play(&mut self, step: &'static Step, due: Instant, exchange: &mut Exchange, now: Now) {
        // From the time it was due, so that a late wake-up does not delay the rest of the script.
        let next = due_after(due, self.script.as_slice());
        match &mut self.phase {
            Phase::Early { due } | Phase::Answered { due, .. } => *due = next,
            Phase::Leaving { .. } | Phase::Closing { .. } => return,
        }
        match &step.act {
            Act::Ring => {
                exchange.endpoint.progress(self.session, StatusCode::RINGING, None, now.instant);
                exchange.report(self.number, Happening::Ringing, now);
            }
            Act::EarlyMedia(talk) => {
                let body = self.voice.as_ref().and_then(Voice::early_description).map(Body::sdp);
                exchange.endpoint.progress(self.session, StatusCode::SESSION_PROGRESS, body, now.instant);
                exchange.report(self.number, Happening::EarlyMedia, now);
                self.talk(talk, exchange);
            }
            Act::Answer(talk) => {
                let body = self.voice.as_ref().map(|voice| Body::sdp(voice.description()));
                exchange.endpoint.accept(self.session, body, Vec::new(), now.instant);
                exchange.report(self.number, Happening::Answered, now);
                self.phase = Phase::Answered { since: now.instant, due: next };
                self.talk(talk, exchange);
            }
            Act::Refuse { status, retry_after } => {
                let retry_after = retry_after.map(|seconds| Header::new(HeaderName::RetryAfter, seconds));
                self.refuse(*status, retry_after.into_iter().collect(), exchange, now);
            }
            Act::HangUp => self.hang_up(exchange, now),
        }
    }

    fn talk(&mut self, talk: &Talk, exchange: &mut Exchange) {
        if let Some(voice) = &mut self.voice {
            voice.talk(talk, self.number, exchange);
        }
    }

    fn refuse(&mut self, status: StatusCode, headers: Vec<Header>, exchange: &mut Exchange, now: Now) {
        self.phase = Phase::Leaving { answered_for: None };
        exchange.endpoint.reject(self.session, status, headers, now.instant);
        exchange.report(self.number, Happening::Refused(status), now);
    }

    fn hang_up(&mut self, exchange: &mut Exchange, now: Now) {
        if let Phase::Answered { since, .. } = self.phase {
            self.phase = Phase::Leaving { answered_for: Some(now.instant.saturating_duration_since(since)) };
            exchange.endpoint.bye(self.session, None, now.instant);
        }
    }

    /// The script is over, and the caller did not end the call.
    fn lose_patience(&mut self, exchange: &mut Exchange, now: Now) {
        match self.phase {
            Phase::Early { .. } => self.refuse(StatusCode::TEMPORARILY_UNAVAILABLE, Vec::new(), exchange, now),
            Phase::Answered { .. } => self.hang_up(exchange, now),
            Phase::Leaving { .. } | Phase::Closing { .. } => {}
        }
    }

    fn conclude(&mut self, exchange: &mut Exchange, now: Now) -> Life {
        let Phase::Closing { ending, answered_for } = self.phase else { return Life::On };
        if self.voice.as_ref().is_some_and(Voice::is_open) {
            return Life::On;
        }
        let heard = self.voice.as_ref().and_then(Voice::heard);
        exchange.report(self.number, Happening::Ended { ending, answered_for, heard }, now);
        Life::Over
    }
}

/// When the first of `steps` is due, the one before it being done at `from`.
fn due_after(from: Instant, steps: &[Step]) -> Instant {
    from + steps.first().map_or(PATIENCE, |step| step.after)
}

impl From<endpoint::Ending> for Ending {
    fn from(ending: endpoint::Ending) -> Self {
        match ending {
            endpoint::Ending::Rejected => Self::Refused,
            endpoint::Ending::Canceled | endpoint::Ending::AnsweredThenCanceled => Self::Canceled,
            endpoint::Ending::RemoteBye => Self::CallerHungUp,
            endpoint::Ending::LocalBye | endpoint::Ending::LocalByeUnconfirmed | endpoint::Ending::DialogLost => {
                Self::CarrierHungUp
            }
            endpoint::Ending::NoAck => Self::NoAck,
            endpoint::Ending::Failed | endpoint::Ending::Transport => Self::Transport,
        }
    }
}

/// How long a call is left as it is after the last step of its script: an hour more than the longest call that can be
/// asked for, so that a caller that vanished does not keep its slot for ever.
const PATIENCE: Duration = Duration::from_secs(25 * 3_600);
