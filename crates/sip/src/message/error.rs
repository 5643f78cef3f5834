//! What can be wrong with a received message, and what may be done about it.

use super::address::NameAddr;
use super::cseq::CSeq;
use super::header::SipCallId;
use super::header_name::HeaderName;
use super::status::StatusCode;
use super::via::Via;

/// A message that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Only blank lines or nothing at all: a keep-alive. Drop it without a word.
    #[error("keep-alive")]
    KeepAlive,
    /// Nothing that looks like SIP. Drop it; do not let it cost a log line each.
    #[error("not SIP")]
    NotSip,
    /// A broken response or ACK, or a request so broken that nobody can be told. Drop it.
    #[error("message to be discarded: {0}")]
    Discard(Flaw),
    /// A broken request that can be answered.
    #[error("request to be refused: {}", .0.flaw)]
    Answerable(Box<Refusal>),
}

/// A broken request that can be answered, with what is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 414, 489, 505 or 513.
    pub status: StatusCode,
    /// What is wrong; its text is fit for a reason phrase or a log.
    pub flaw: Flaw,
    /// All Via values of the request, topmost first; at least one.
    pub vias: Vec<Via>,
    /// From.
    pub from: NameAddr,
    /// To.
    pub to: NameAddr,
    /// Call-ID.
    pub call_id: SipCallId,
    /// CSeq.
    pub cseq: CSeq,
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Over [`MAX_MESSAGE_BYTES`](super::limits::MAX_MESSAGE_BYTES).
    #[error("message too large")]
    TooLarge,
    /// Over [`MAX_START_LINE_BYTES`](super::limits::MAX_START_LINE_BYTES).
    #[error("start line too long")]
    StartLineTooLong,
    /// The start line is no request line or status line.
    #[error("bad start line")]
    BadStartLine,
    /// The version is not SIP/2.0.
    #[error("unsupported SIP version")]
    UnsupportedVersion,
    /// The Request-URI breaks its grammar, or has headers.
    #[error("bad Request-URI")]
    BadRequestUri,
    /// The header block does not end, or a line is no header.
    #[error("bad header line")]
    BadHeaderLine,
    /// A CR, LF or NUL inside a header value.
    #[error("forbidden control character in a header")]
    ForbiddenControl,
    /// Over [`MAX_HEADER_BYTES`](super::limits::MAX_HEADER_BYTES).
    #[error("header too long")]
    HeaderTooLong,
    /// Over [`MAX_HEADERS`](super::limits::MAX_HEADERS).
    #[error("too many headers")]
    TooManyHeaders,
    /// A header that must be there is not.
    #[error("missing {0}")]
    Missing(HeaderName),
    /// A header that may come only once comes again.
    #[error("more than one {0}")]
    Repeated(HeaderName),
    /// A header value breaks its grammar.
    #[error(transparent)]
    BadHeader(#[from] BadHeader),
    /// The method of CSeq is not that of the request.
    #[error("CSeq method differs from the request's")]
    MethodMismatch,
    /// The body is shorter than Content-Length.
    #[error("body shorter than Content-Length")]
    BodyCut,
}

/// The value of a header breaks its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad {0}")]
pub struct BadHeader(pub HeaderName);
