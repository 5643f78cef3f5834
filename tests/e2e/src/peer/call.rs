//! One call at a far end.

use super::media::{self, Heard, Media};
use super::script::{Audio, Script, Sdp, Step};
use crate::sip_text::SipText;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a test can see of a call.
#[derive(Clone, Debug)]
pub struct CallView {
    /// The first INVITE.
    pub invite: SipText,
    /// Every message of the call that came, resends included, in order.
    pub received: Vec<(Instant, SipText)>,
    /// When the first 2xx went out.
    pub answered_at: Option<Instant>,
    /// When the ACK of the 2xx came.
    pub acknowledged_at: Option<Instant>,
    /// What was heard.
    pub heard: Vec<Heard>,
}

impl CallView {
    /// The user part that was called.
    #[must_use]
    pub fn user(&self) -> &str {
        self.invite.called_user().unwrap_or_default()
    }

    /// How often a request or response came: `INVITE`, `BYE`, `200 BYE`.
    #[must_use]
    pub fn count(&self, what: &str) -> usize {
        self.received.iter().filter(|(_, text)| text.what() == what).count()
    }

    /// When it came first.
    #[must_use]
    pub fn first(&self, what: &str) -> Option<Instant> {
        self.received.iter().find(|(_, text)| text.what() == what).map(|(at, _)| *at)
    }

    /// When a tone was first heard for 40 ms.
    #[must_use]
    pub fn first_heard(&self, hz: u16) -> Option<Instant> {
        media::first_heard(&self.heard, hz)
    }
}

pub(crate) struct Call {
    pub(crate) view: CallView,
    local: SocketAddr,
    remote: SocketAddr,
    tag: String,
    /// The INVITE that is answered now: the first, or the one with credentials.
    pending: SipText,
    script: VecDeque<Step>,
    lost: Vec<(&'static str, usize)>,
    answers_canceled: bool,
    due: Option<Instant>,
    /// The last final response to the pending INVITE, for its resends.
    last_final: Option<Vec<u8>>,
    /// A 2xx that waits for its ACK: when to resend, and the distance to the time after that.
    resend: Option<(Instant, Duration)>,
    media: Option<Media>,
    cseq: u32,
    /// A request of ours that waits for an answer, with its number of resends.
    request: Option<(Vec<u8>, Instant, Duration)>,
    sdp_version: u32,
    asked_for_offer: bool,
    over: bool,
}

impl Call {
    pub(crate) fn new(invite: SipText, local: SocketAddr, remote: SocketAddr, script: Script, now: Instant) -> Self {
        let mut hasher = DefaultHasher::new();
        (local, invite.call_id()).hash(&mut hasher);
        let tag = format!("peer{:x}", hasher.finish());
        let view = CallView {
            invite: invite.clone(),
            received: Vec::new(),
            answered_at: None,
            acknowledged_at: None,
            heard: Vec::new(),
        };
        Self {
            view,
            local,
            remote,
            tag,
            pending: invite,
            script: script.steps.into(),
            lost: script.lost,
            answers_canceled: script.answers_canceled,
            due: Some(now),
            last_final: None,
            resend: None,
            media: None,
            cseq: 1,
            request: None,
            sdp_version: 1,
            asked_for_offer: false,
            over: false,
        }
    }

    /// A request or response of this call came.
    pub(crate) fn handle(&mut self, text: SipText, now: Instant, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        self.view.received.push((now, text.clone()));
        let lost = self.lost.iter_mut().find(|(method, left)| text.method() == Some(method) && *left > 0);
        if let Some((_, left)) = lost {
            *left -= 1;
            return;
        }
        match text.method() {
            Some("INVITE") => self.handle_invite(text, now, out),
            Some("ACK") => {
                let is_ack_of_2xx = self.view.answered_at.is_some();
                if is_ack_of_2xx && self.view.acknowledged_at.is_none() {
                    self.view.acknowledged_at = Some(now);
                }
                self.resend = None;
            }
            Some("CANCEL") => {
                out.push((self.remote, self.response(&text, 200, &[], "")));
                if self.last_final.is_none() && self.answers_canceled {
                    self.script = VecDeque::new();
                    let answer = Script::silent().answer(Audio::Echo);
                    for step in answer.steps {
                        self.step(step, now, out);
                    }
                } else if self.last_final.is_none() {
                    let terminated = self.response(&self.pending, 487, &[], "");
                    self.finish_invite(terminated, out);
                    self.end();
                }
            }
            Some("BYE") => {
                out.push((self.remote, self.response(&text, 200, &[], "")));
                self.end();
            }
            Some(_) => out.push((self.remote, self.response(&text, 200, &[], ""))),
            None => self.handle_response(&text, out),
        }
    }

    fn handle_invite(&mut self, text: SipText, now: Instant, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        let is_resend = text.cseq() == self.pending.cseq();
        if is_resend {
            out.extend(self.last_final.clone().map(|response| (self.remote, response)));
            return;
        }
        // With credentials, or a re-INVITE; the latter is answered as the session is.
        let has_credentials = text.header("Authorization").or(text.header("Proxy-Authorization")).is_some();
        if self.view.answered_at.is_some() {
            let sdp = self.sdp("sendrecv");
            let answer = self.response(&text, 200, &[], &sdp);
            out.push((self.remote, answer));
        } else if has_credentials {
            self.pending = text;
            self.last_final = None;
            self.due = Some(now);
        }
    }

    fn handle_response(&mut self, text: &SipText, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        let Some((number, method)) = text.cseq() else { return };
        if text.status().is_some_and(|status| status >= 200) {
            self.request = None;
            if method == "INVITE" {
                // An offer in the answer is answered in the ACK.
                let answer = if self.asked_for_offer { self.sdp("sendrecv") } else { String::new() };
                self.asked_for_offer = false;
                let ack = self.request_bytes("ACK", number, &answer);
                out.push((self.remote, ack));
            }
        }
    }

    /// Does what is due.
    pub(crate) fn run(&mut self, now: Instant, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        if let Some(media) = &mut self.media {
            media.run(now, &mut self.view.heard);
        }
        if let Some((due, distance)) = self.resend
            && due <= now
        {
            out.extend(self.last_final.clone().map(|response| (self.remote, response)));
            let distance = (distance * 2).min(T2);
            self.resend = Some((now + distance, distance));
        }
        if let Some((bytes, due, distance)) = &mut self.request
            && *due <= now
        {
            out.push((self.remote, bytes.clone()));
            *distance = (*distance * 2).min(T2);
            *due = now + *distance;
        }
        while self.due.is_some_and(|due| due <= now) && !self.over {
            match self.script.pop_front() {
                Some(step) => self.step(step, now, out),
                None => self.due = None,
            }
        }
    }

    /// When [`Self::run`] must be called again, if not for audio.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let due = self.due.filter(|_| !self.over);
        [due, self.resend.map(|(due, _)| due), self.request.as_ref().map(|(_, due, _)| *due)]
            .into_iter()
            .flatten()
            .min()
    }

    pub(crate) const fn has_media(&self) -> bool {
        self.media.is_some()
    }

    fn step(&mut self, step: Step, now: Instant, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        match step {
            Step::Wait(length) => self.due = Some(now + length),
            Step::Respond { status, headers, body, tag } => {
                let own_tag = self.tag.clone();
                if let Some(tag) = tag {
                    tag.clone_into(&mut self.tag);
                }
                let body = match body {
                    None => String::new(),
                    Some(Sdp::Text(text)) => text,
                    Some(Sdp::Answer(audio)) => self.answer_sdp(audio, now),
                };
                let response = self.response(&self.pending, status, &headers, &body);
                if tag.is_some() && self.view.answered_at.is_some() {
                    // Another branch than the one that answered first.
                    self.tag = own_tag;
                    out.push((self.remote, response));
                    return;
                }
                if status < 200 {
                    out.push((self.remote, response));
                    return;
                }
                if status < 300 {
                    self.view.answered_at = Some(now);
                    self.resend = Some((now + T1, T1));
                }
                self.finish_invite(response, out);
            }
            Step::Challenge { status } => {
                let name = if status == 401 { "WWW-Authenticate" } else { "Proxy-Authenticate" };
                let nonce = format!("nonce{}", self.script.len());
                let value = format!("Digest realm=\"peer.example\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"");
                let response = self.response(&self.pending, status, &[(name.to_owned(), value)], "");
                self.finish_invite(response, out);
                // Until the INVITE with credentials.
                self.due = None;
            }
            Step::AskForOffer => {
                self.asked_for_offer = true;
                self.sdp_version += 1;
                self.send_request("INVITE", "", now, out);
            }
            Step::Reinvite { direction, moved } => {
                if let Some(media) = &mut self.media {
                    media.mute(direction != "sendrecv");
                    if moved {
                        media.move_port();
                    }
                }
                self.sdp_version += 1;
                let sdp = self.sdp(direction);
                self.send_request("INVITE", &sdp, now, out);
            }
            Step::Bye => {
                self.send_request("BYE", "", now, out);
                self.media = None;
            }
        }
    }

    fn finish_invite(&mut self, response: Vec<u8>, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        out.push((self.remote, response.clone()));
        self.last_final = Some(response);
    }

    fn end(&mut self) {
        self.media = None;
        self.resend = None;
        self.over = true;
    }

    fn answer_sdp(&mut self, audio: Audio, now: Instant) -> String {
        match &mut self.media {
            Some(media) => media.set_audio(audio),
            None => self.media = Media::open(self.local.ip(), &self.pending, audio, now),
        }
        self.sdp("sendrecv")
    }

    fn sdp(&self, direction: &str) -> String {
        let Some(media) = &self.media else { return String::new() };
        let (ip, version, port, pt) = (self.local.ip(), self.sdp_version, media.port(), media.payload_type());
        let name = if pt == 0 { "PCMU" } else { "PCMA" };
        let network = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=peer 7 {version} IN {network} {ip}\r\ns=-\r\nc=IN {network} {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pt}\r\n\
             a=rtpmap:{pt} {name}/8000\r\na={direction}\r\n"
        )
    }

    /// RFC 3261 §8.2.6.
    fn response(&self, request: &SipText, status: u16, headers: &[(String, String)], body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status} {}\r\n", phrase(status));
        for (name, value) in &request.headers {
            let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
            if copied.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                let untagged = name.eq_ignore_ascii_case("To") && status > 100 && !value.contains(";tag=");
                let tag = if untagged { format!(";tag={}", self.tag) } else { String::new() };
                text.push_str(&format!("{name}: {value}{tag}\r\n"));
            }
        }
        if !headers.iter().any(|(name, _)| name == "Contact") {
            text.push_str(&format!("Contact: <sip:peer@{}>\r\n", self.local));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        finish(text, body)
    }

    fn send_request(&mut self, method: &str, body: &str, now: Instant, out: &mut Vec<(SocketAddr, Vec<u8>)>) {
        self.cseq += 1;
        let bytes = self.request_bytes(method, self.cseq, body);
        out.push((self.remote, bytes.clone()));
        self.request = Some((bytes, now + T1, T1));
    }

    /// A request inside the dialog, from the far end.
    fn request_bytes(&self, method: &str, cseq: u32, body: &str) -> Vec<u8> {
        let invite = &self.view.invite;
        let target = invite.address("Contact").unwrap_or_default();
        let header = |name| invite.header(name).unwrap_or_default();
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{}{method}{cseq};rport\r\n\
             From: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:peer@{}>\r\n",
            self.local,
            self.tag,
            header("To"),
            self.tag,
            header("From"),
            invite.call_id(),
            self.local
        );
        finish(text, body)
    }
}

fn finish(mut text: String, body: &str) -> Vec<u8> {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    text.into_bytes()
}

const fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        486 => "Busy Here",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        _ => "As the Script Says",
    }
}

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// RFC 3261 §17.1.2.2.
const T2: Duration = Duration::from_secs(4);
