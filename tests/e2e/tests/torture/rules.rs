//! What is right and what is a fault: the index's words as rules.

use crate::corpus::{Answer, Carrier, Case, Sender, Silence};

/// What else is right, beside the codes of `any_of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Or {
    /// No answer.
    Silence,
    /// No answer, and a stream is closed.
    SilenceAndStreamClosed,
    /// A stream is closed, whatever was said.
    StreamClosed,
    /// It is a request like others: a call, or a refusal that has nothing to do with its form. What leaves for a far end is written
    /// anew, and nothing of it is acted upon or logged
    /// raw, which is checked for all cases alike.
    TakenAsValid,
    /// Refused for what it wants, not for its form. A call is no refusal.
    Policy,
    /// A call, only as its sender is known by its address; credentials that it brings decide nothing.
    CallOfAKnownAddress,
    /// A call as if the header were not there.
    HeaderIgnored,
}

impl Or {
    pub(crate) fn read(words: &str) -> Self {
        match words {
            "silence" => Self::Silence,
            "silence, stream closed" => Self::SilenceAndStreamClosed,
            "body taken as the next (broken) message: connection closed" => Self::StreamClosed,
            "treated as valid"
            | "treated as valid (routing/policy answer); when relayed, the corrected form goes out"
            | "treated as valid; NUL never reaches log, JSON or database unescaped"
            | "treated as valid; the call record holds a replacement character, the row is not lost"
            | "treated as valid; control characters escaped in logs"
            | "processed with RFC 2543 matching"
            | "header part ignored and never sent on or acted upon" => Self::TakenAsValid,
            "policy answer" | "registrar policy answer, URI kept inside <> when stored" => Self::Policy,
            "credentials ignored and the call routed, only when the source is let in by its address"
            | "credentials ignored" => Self::CallOfAKnownAddress,
            "header ignored" | "a plain new call, only when Replaces is not supported at all" => Self::HeaderIgnored,
            other => panic!("no rule for {other:?}"),
        }
    }

    fn allows_silence(self, carrier: Carrier, is_closed: bool) -> bool {
        match self {
            Self::Silence => true,
            Self::SilenceAndStreamClosed => carrier == Carrier::Udp || is_closed,
            Self::StreamClosed => carrier == Carrier::Tcp && is_closed,
            Self::TakenAsValid | Self::Policy | Self::CallOfAKnownAddress | Self::HeaderIgnored => false,
        }
    }

    fn allows_status(self, status: u16, sender: Sender) -> bool {
        match self {
            Self::Silence | Self::SilenceAndStreamClosed | Self::StreamClosed => false,
            Self::TakenAsValid => is_call(status) || is_policy(status),
            Self::Policy => is_policy(status),
            Self::CallOfAKnownAddress => sender == Sender::Trunk && is_call(status),
            Self::HeaderIgnored => is_call(status),
        }
    }
}

/// What came of a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Its final answers, each once.
    pub(crate) finals: Vec<u16>,
    /// The node has closed the connection.
    pub(crate) is_closed: bool,
}

/// What is wrong with what came of a case.
pub(crate) fn judge(case: &Case, carrier: Carrier, outcome: &Outcome) -> Option<String> {
    let status = match outcome.finals.as_slice() {
        [] => None,
        [status] => Some(*status),
        several => return Some(format!("was answered with each of {several:?}")),
    };
    let is_right = match (&case.answer, status) {
        (Some(answer), None) => may_be_silent(case, answer, carrier, outcome.is_closed),
        (Some(answer), Some(status)) => may_be(answer, status, case.sender),
        (None, None) => case.is_response_or_ack(),
        (None, Some(status)) => answers_of_flow(case).contains(&status),
    };
    let is_chosen = !case.must && CHOSEN.iter().any(|(id, code)| *id == case.id && status == Some(*code));
    let came = status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let closed = if outcome.is_closed { ", closed" } else { "" };
    (!is_right && !is_chosen).then(|| format!("{came}{closed}; wanted {:?}", case.answer))
}

fn may_be_silent(case: &Case, answer: &Answer, carrier: Carrier, is_closed: bool) -> bool {
    let by_silence = match answer.silence {
        Some(Silence::Required) => true,
        Some(Silence::IfUnanswerable) => UNANSWERABLE.contains(&case.id.as_str()),
        Some(Silence::IfPeerNotAllowed) => case.sender == Sender::Stranger,
        None => false,
    };
    by_silence || answer.or.is_some_and(|or| or.allows_silence(carrier, is_closed))
}

fn may_be(answer: &Answer, status: u16, sender: Sender) -> bool {
    if answer.silence == Some(Silence::Required) {
        return false;
    }
    // A node that is full or broken proves nothing.
    let is_failure = (500..600).contains(&status) && ![501, 505, 513].contains(&status);
    let by_codes = match (&answer.any_of, &answer.not) {
        (Some(good), _) => good.contains(&status),
        (None, Some(bad)) => !bad.contains(&status) && !is_failure,
        (None, None) => false,
    };
    // Where a refusal is preferred, others will do, but a call will not.
    let is_unwanted_call = answer.prefer.is_some_and(|best| !is_call(best)) && is_call(status);
    by_codes && !is_unwanted_call || answer.or.is_some_and(|or| or.allows_status(status, sender))
}

const fn is_call(status: u16) -> bool {
    matches!(status, 200..=299)
}

const fn is_policy(status: u16) -> bool {
    matches!(status, 401 | 403..=405 | 407 | 415 | 416 | 480..=488 | 501 | 603)
}

/// What a message of a call flow gets, each on its own. An INVITE that goes through proxies comes to us once more from each of them:
/// these are copies of one request (RFC 3261 §8.2.2.2, 482). Responses and ACKs get nothing.
fn answers_of_flow(case: &Case) -> &'static [u16] {
    match case.method() {
        "INVITE" if case.is_in_dialog() => &[481],
        "INVITE" => &[200, 482],
        "BYE" | "CANCEL" => &[481],
        "REGISTER" => &[405],
        _ => &[],
    }
}

/// Broken in what an answer has to copy, so that none can be written; all others that are broken are answered.
pub(crate) const UNANSWERABLE: [&str; 10] = [
    // No From, To or Call-ID, or no line that ends.
    "rfc4475/insuf",
    "sip/no-callid",
    "sip/cr-only",
    // A Via list with holes, and a tag of no characters.
    "sip/via-empty-values",
    "sip/tag-empty",
    // CSeq is no number and method.
    "rfc4475/scalar02",
    "sip/cseq-_1_INVITE",
    "sip/cseq-1",
    "sip/cseq-1_INVITE_extra",
    "sip/cseq-long-method",
];

/// Where the index leaves the choice, and we have chosen otherwise than it thinks best.
pub(crate) const CHOSEN: [(&str, u16); 1] = [
    // A tel: number that is not global and has no phone-context: short codes and emergency numbers come like that, and the rules of
    // the trunk say what a number means.
    ("sip/uri-tel-noctx", 200),
];
